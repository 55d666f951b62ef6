"""A body between the event loop and a worker: all of it, not too much at once, or an error."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from itertools import chain
from typing import Any

import pytest

from fakes.scripted_pacs import wait_until
from farsight.errors import PayloadTooLarge, RequestTimeout
from farsight.services.presence import ClientGone
from farsight.web import pace
from farsight.web.body_channel import BodyChannel

KILOBYTE, MEGABYTE = 1 << 10, 1 << 20
Message = dict[str, Any]
GONE: Message = {"type": "http.disconnect"}


def more(body: bytes, *, last: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": not last}


class Client:
    """What a server's `receive` gives; nothing comes any more after the last of the messages."""

    def __init__(self, messages: Iterator[Message]) -> None:
        self._messages = messages
        self.sent_bytes = 0

    async def receive(self) -> Message:
        message = next(self._messages, None)
        if message is None:
            await asyncio.Event().wait()
            raise AssertionError("never")
        await asyncio.sleep(message.get("after_s", 0))
        self.sent_bytes += len(message.get("body", b""))
        return message


def trickle(*, count: int, size: int = 1) -> Iterator[Message]:
    """A client that sends a little now and then."""
    for number in range(count):
        yield {**more(bytes(size), last=number == count - 1), "after_s": 0.01}


Pump = Callable[[Iterator[Message], int], tuple[BodyChannel, Client, "Future[None]"]]


@pytest.fixture
def pump() -> Iterator[Pump]:
    """Starts pumps on an event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    started: list[Future[None]] = []

    def start(
        messages: Iterator[Message], max_bytes: int
    ) -> tuple[BodyChannel, Client, Future[None]]:
        async def made() -> BodyChannel:
            return BodyChannel(loop, max_bytes)

        channel = asyncio.run_coroutine_threadsafe(made(), loop).result(10)
        client = Client(messages)
        future = asyncio.run_coroutine_threadsafe(channel.pump(client.receive), loop)
        started.append(future)
        return channel, client, future

    yield start
    for future in started:
        future.cancel()
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.mark.parametrize("size", [1, 1000, 300 * KILOBYTE, 9 * MEGABYTE])
@pytest.mark.parametrize("count", [1, 2, 50])
def test_all_of_it_in_order(pump: Pump, size: int, count: int) -> None:
    count = min(count, 20 * MEGABYTE // size)
    pieces = [bytes([number % 251]) * size for number in range(count)]
    messages = [*(more(piece) for piece in pieces), more(b"", last=True)]
    channel, _, future = pump(iter(messages), 1 << 30)
    assert b"".join(channel.chunks()) == b"".join(pieces)
    future.result(10)


@pytest.mark.parametrize("last", [b"", b"end"])
def test_a_short_body(pump: Pump, last: bytes) -> None:
    channel, _, _ = pump(iter([more(last, last=True)]), 10)
    assert b"".join(channel.chunks()) == last


def test_no_more_is_taken_than_is_read(pump: Pump) -> None:
    """The client waits while nobody reads; nothing is lost by that."""
    piece = bytes(100 * KILOBYTE)
    messages = [*[more(piece)] * 300, more(b"", last=True)]
    channel, client, future = pump(iter(messages), 1 << 30)
    wait_until(lambda: client.sent_bytes > 4 * MEGABYTE)
    chunks = channel.chunks()
    read = 0
    for chunk in chunks:
        read += len(chunk)
        assert client.sent_bytes - read < 12 * MEGABYTE, "what waits, and what is being handed over"
    assert read == 300 * len(piece)
    future.result(10)


def test_the_client_waits_for_the_reader(pump: Pump) -> None:
    channel, client, future = pump(
        iter([*[more(bytes(MEGABYTE))] * 50, more(b"", last=True)]), 1 << 30
    )
    wait_until(lambda: client.sent_bytes >= 5 * MEGABYTE)
    assert not future.done()
    assert client.sent_bytes < 7 * MEGABYTE
    assert sum(map(len, channel.chunks())) == 50 * MEGABYTE


def test_a_client_that_leaves(pump: Pump) -> None:
    channel, _, future = pump(iter([more(b"a" * MEGABYTE), more(b"b"), GONE]), 1 << 30)
    with pytest.raises(ClientGone):
        list(channel.chunks())
    future.result(10)


def test_too_much(pump: Pump) -> None:
    channel, _, future = pump(iter([more(b"a" * 10), more(b"b" * MEGABYTE), more(b"")]), MEGABYTE)
    with pytest.raises(PayloadTooLarge, match=r"1 MB .Farsight\.Stow\.MaxMegabytes"):
        list(channel.chunks())
    future.result(10)
    channel, _, _ = pump(iter([more(b"a" * MEGABYTE, last=True)]), MEGABYTE)
    assert sum(map(len, channel.chunks())) == MEGABYTE, "just what is allowed"


def test_silence(pump: Pump, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "SILENCE_S", 0.05)
    channel, _, _ = pump(iter([more(b"a")]), 1 << 30)
    with pytest.raises(RequestTimeout):
        list(channel.chunks())


def test_a_trickle(pump: Pump, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that would end, some day."""
    monkeypatch.setattr(pace, "WINDOW_S", 0.05)
    channel, _, _ = pump(trickle(count=500), 1 << 30)
    with pytest.raises(RequestTimeout, match="below 1000 bytes/s"):
        list(channel.chunks())


def test_a_trickle_behind_a_lot(pump: Pump, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was sent quickly is no credit."""
    monkeypatch.setattr(pace, "WINDOW_S", 0.05)
    lot = [more(bytes(MEGABYTE))] * 10
    channel, _, _ = pump(chain(lot, trickle(count=500)), 1 << 30)
    with pytest.raises(RequestTimeout):
        list(channel.chunks())


def test_slow_and_enough(pump: Pump, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "WINDOW_S", 0.05)
    channel, _, _ = pump(trickle(count=30, size=10 * KILOBYTE), 1 << 30)
    assert sum(map(len, channel.chunks())) == 300 * KILOBYTE


def test_a_slow_reader_is_no_silence(pump: Pump, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the client's own silence counts."""
    monkeypatch.setattr(pace, "SILENCE_S", 0.2)
    messages = [*[more(bytes(MEGABYTE))] * 20, more(b"", last=True)]
    channel, client, _ = pump(iter(messages), 1 << 30)
    wait_until(lambda: client.sent_bytes >= 4 * MEGABYTE)
    threading.Event().wait(0.5)
    assert sum(map(len, channel.chunks())) == 20 * MEGABYTE


def test_closing_ends_the_pump(pump: Pump) -> None:
    """Whoever answered before all was read: what still comes is not kept, nobody waits."""
    channel, client, future = pump(iter([more(bytes(MEGABYTE))] * 1000), 1 << 40)
    wait_until(lambda: client.sent_bytes >= 4 * MEGABYTE)
    channel.close()
    future.result(10)
    assert client.sent_bytes < 12 * MEGABYTE


def test_closing_after_the_loop_has_ended() -> None:
    """As when the server stops."""
    loop = asyncio.new_event_loop()
    channel = BodyChannel(loop, 10)
    loop.close()
    channel.close()
