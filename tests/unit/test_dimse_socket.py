"""How what is long goes over a line that is slow."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from farsight.adapters.dimse_socket import send_pieces, unsent_bytes

PIECES = [bytes([number % 251]) * (number * 37 % 5000) for number in range(3000)]


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
        with ours, theirs:
            yield ours, theirs


def _read(theirs: socket.socket, count: int, into: bytearray, pause_s: float) -> None:
    while len(into) < count:
        into += theirs.recv(1 << 20)
        time.sleep(pause_s)


@pytest.mark.parametrize("pause_s", [0, 0.01])
def test_every_byte_in_order(ends: tuple[socket.socket, socket.socket], pause_s: float) -> None:
    ours, theirs = ends
    whole, came = b"".join(PIECES), bytearray()
    reader = threading.Thread(target=_read, args=(theirs, len(whole), came, pause_s))
    reader.start()
    ours.settimeout(20)
    send_pieces(ours, iter(PIECES))
    reader.join(60)
    assert bytes(came) == whole
    assert unsent_bytes(ours) == 0


def test_the_time_out_is_for_silence_not_for_the_whole(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    whole, came = bytes(400_000), bytearray()
    reader = threading.Thread(target=_read, args=(theirs, len(whole), came, 0.05))
    reader.start()
    ours.settimeout(0.5)
    started = time.monotonic()
    send_pieces(ours, iter([whole[at : at + 1000] for at in range(0, len(whole), 1000)]))
    took_s = time.monotonic() - started
    reader.join(60)
    assert bytes(came) == whole
    assert took_s > 0.5, "or this shows nothing"


def test_nobody_reads(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, _theirs = ends
    ours.settimeout(0.3)
    with pytest.raises(TimeoutError):
        send_pieces(ours, iter([bytes(64 << 20)]))
    assert unsent_bytes(ours) > 0
