"""Long answers over real connections: every byte in its place, whatever the client does."""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

import pytest

from doors import opening
from farsight.ps318.multipart_related import Part, RelatedBody, encode_related
from farsight.web.full_door import FullDoor
from farsight.web.messages import Request, Response
from farsight.web.outflow import _framed
from farsight.web.routes import Handler

_HEADERS = (("Content-Type", "a/b"),)
Bodies = Callable[[], Iterable[bytes]]
Serve = Callable[[Bodies], FullDoor]


class Parts:
    """Anew at each run."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies

    def __iter__(self) -> Iterator[Part]:
        return (Part(_HEADERS, body) for body in self._bodies())


def whole(bodies: Bodies) -> bytes:
    return b"".join(encode_related(Parts(bodies), "XX"))


@pytest.fixture
def serve() -> Iterator[Serve]:
    def handler_of(bodies: Bodies) -> Handler:
        def handler(request: Request) -> Response:
            if request.path == "/x/short":
                return Response(200, _HEADERS, b"short")
            body = RelatedBody("a/b", "XX", Parts(bodies))
            return Response(200, (("Content-Type", body.content_type),), body)

        return handler

    with opening(handler_of(list)) as start:
        yield lambda bodies: start(handler_of(bodies), threads=4)


def asked(door: FullDoor, read: Callable[[http.client.HTTPResponse], bytes]) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=30)
    try:
        connection.request("GET", "/x/")
        return read(connection.getresponse())
    finally:
        connection.close()


def random_bodies(seed: int, count: int, longest: int) -> list[bytes]:
    chosen = random.Random(seed)
    return [chosen.randbytes(chosen.randrange(longest)) for _ in range(count)]


@pytest.mark.parametrize(
    ("count", "longest"),
    [(1, 2), (3000, 40), (400, 20_000), (40, 2 << 20), (3, 20 << 20)],
    ids=["one", "many tiny", "many", "large", "very large"],
)
def test_every_byte_in_its_place(serve: Serve, count: int, longest: int) -> None:
    bodies = random_bodies(count, count, longest)
    assert asked(serve(lambda: bodies), lambda answer: answer.read()) == whole(lambda: bodies)


def test_nothing_in_it(serve: Serve) -> None:
    assert asked(serve(list), lambda answer: answer.read()) == whole(list)
    bodies = [b"", b"", b"x", b""]
    assert asked(serve(lambda: bodies), lambda answer: answer.read()) == whole(lambda: bodies)


def test_clients_of_all_speeds_at_once(serve: Serve) -> None:
    bodies = random_bodies(7, 60, 1 << 20)
    expected = hashlib.sha256(whole(lambda: bodies)).digest()
    door = serve(lambda: bodies)

    def slowly(seed: int) -> bytes:
        chosen = random.Random(seed)

        def read(answer: http.client.HTTPResponse) -> bytes:
            digest = hashlib.sha256()
            while piece := answer.read(chosen.choice((1, 100, 65_536, 3 << 20))):
                digest.update(piece)
                if chosen.random() < 0.02:
                    time.sleep(0.02)
            return digest.digest()

        return asked(door, read)

    with ThreadPoolExecutor(12) as clients:  # more than there are workers
        assert list(clients.map(slowly, range(12))) == [expected] * 12


def test_what_is_ready_does_not_wait_for_what_is_not(serve: Serve) -> None:
    release = threading.Event()

    def bodies() -> Iterator[bytes]:
        for number in range(3):
            yield b"%d" % number * 1000
        assert release.wait(30)
        yield b"last"

    def read(answer: http.client.HTTPResponse) -> bytes:
        got = b""
        while not got.endswith(b"2" * 1000):
            got += answer.read1(100)
        release.set()
        return got + answer.read()

    plain = [b"0" * 1000, b"1" * 1000, b"2" * 1000, b"last"]
    assert asked(serve(bodies), read) == whole(lambda: plain)


def test_the_connection_goes_on_behind_a_long_answer(serve: Serve) -> None:
    bodies = random_bodies(3, 20, 1 << 20)
    door = serve(lambda: bodies)
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=30)
    for _ in range(3):
        connection.request("GET", "/x/")
        assert connection.getresponse().read() == whole(lambda: bodies)
        connection.request("GET", "/x/short")
        assert connection.getresponse().read() == b"short"
    connection.close()


def test_requests_that_come_before_the_answer_is_over(serve: Serve) -> None:
    bodies = random_bodies(4, 20, 1 << 20)
    door = serve(lambda: bodies)
    with socket.create_connection(("127.0.0.1", door.port), timeout=30) as peer:
        request = b"GET /x/%s HTTP/1.1\r\nHost: a\r\n%s\r\n"
        last = request % (b"short", b"Connection: close\r\n")
        peer.sendall(request % (b"", b"") * 2 + request % (b"short", b"") + last)
        time.sleep(0.2)  # nothing is read: all buffers on the way are full
        answers = peer.makefile("rb")
        for expected in (whole(lambda: bodies),) * 2 + (b"short",) * 2:
            assert _next_answer(answers) == expected
        assert answers.read() == b""


def _next_answer(stream: BinaryIO) -> bytes:
    """Of a connection with several, which http.client can't read."""
    headers = {}
    assert stream.readline().startswith(b"HTTP/1.1 200")
    while (line := stream.readline().strip().lower()) != b"":
        name, _, value = line.partition(b": ")
        headers[name] = value
    if b"content-length" in headers:
        return stream.read(int(headers[b"content-length"]))
    body = b""
    while size := int(stream.readline(), 16):
        body += stream.read(size)
        assert stream.read(2) == b"\r\n"
    assert stream.readline() == b"\r\n"
    return body


@pytest.mark.parametrize("error", [OSError(5, "disk"), TimeoutError("late"), RuntimeError("bug")])
def test_whatever_fails_in_the_middle_cuts_the_answer_short(serve: Serve, error: Exception) -> None:
    def bodies() -> Iterator[bytes]:
        yield from [b"x" * 300_000] * 10
        raise error

    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        asked(serve(bodies), lambda answer: answer.read())


def test_a_client_that_stops_talking_gets_no_bytes_out_of_place(serve: Serve) -> None:
    """It half-closes with a second request queued, which uvicorn takes for the one answered."""
    bodies = random_bodies(6, 40, 400_000)
    expected = whole(lambda: bodies)
    door = serve(lambda: bodies)
    for turn in range(8):
        with socket.socket() as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            peer.settimeout(30)
            peer.connect(("127.0.0.1", door.port))
            peer.sendall(b"GET /x/ HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
            time.sleep(0.02 * turn)
            peer.shutdown(socket.SHUT_WR)
            body, is_whole = _first_body(peer.makefile("rb"))
        assert expected.startswith(body)
        assert not is_whole or body == expected


def _first_body(stream: BinaryIO) -> tuple[bytes, bool]:
    """As far as it came, and whether it came to its end."""
    while stream.readline().strip():
        pass
    body = b""
    while (line := stream.readline()).endswith(b"\r\n"):
        size = int(line, 16)
        body += stream.read(size)
        if stream.read(2) != b"\r\n":
            return body, False
        if not size:
            return body, True
    return body, False


def test_a_client_that_leaves_before_anything_is_there_is_no_error(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    asked_for, left = threading.Event(), threading.Event()

    def bodies() -> Iterator[bytes]:
        asked_for.set()
        assert left.wait(20)
        time.sleep(0.1)  # the event loop notices
        yield b"x" * 1000

    door = serve(bodies)
    with socket.create_connection(("127.0.0.1", door.port), timeout=20) as peer:
        peer.sendall(b"GET /x/ HTTP/1.1\r\nHost: a\r\n\r\n")
        assert asked_for.wait(20)
    left.set()
    door.stop(5)
    said = [
        one for one in caplog.records if one.name in ("asyncio", "farsight.web", "uvicorn.error")
    ]
    assert [one.getMessage() for one in said if one.levelname == "ERROR"] == []


def test_long_answers_take_turns(serve: Serve) -> None:
    """More than there are workers, none of which ends before all have begun."""
    all_have_begun = threading.Barrier(6)
    over = threading.Event()

    def bodies() -> Iterator[bytes]:
        while not over.is_set():
            time.sleep(0.005)
            yield bytes(1000)

    def read(answer: http.client.HTTPResponse) -> bytes:
        begun = answer.read(2000)
        all_have_begun.wait(20)
        over.set()
        answer.read()
        return begun

    door = serve(bodies)
    with ThreadPoolExecutor(6) as clients:
        begun = list(clients.map(lambda _number: len(asked(door, read)), range(6)))
    assert begun == [2000] * 6


def test_no_descriptor_is_left_open(serve: Serve) -> None:
    bodies = random_bodies(5, 4, 1 << 20)
    door = serve(lambda: bodies)
    asked(door, lambda answer: answer.read())
    before = len(os.listdir("/proc/self/fd"))
    for number in range(30):
        asked(door, lambda answer, leaves=number % 2: answer.read(10 if leaves else None))  # type: ignore[misc]
    deadline = time.monotonic() + 10
    while len(os.listdir("/proc/self/fd")) > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_an_empty_chunk_is_never_framed() -> None:
    assert list(_framed([])) == []
    assert list(_framed([b"", b""])) == []
    assert b"".join(_framed([b"ab", b"", memoryview(b"c")])) == b"3\r\nabc\r\n"
    many = [b"x"] * 5000
    assert b"".join(_framed(many)) == b"1388\r\n" + b"x" * 5000 + b"\r\n"
    assert len(_framed(many)) <= 1024, "more is refused by the system"
