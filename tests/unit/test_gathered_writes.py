"""Quick answers in many pieces, to clients that take them as slowly as they like."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doors import opening
from farsight.ps318.multipart_related import Part, RelatedBody
from farsight.web import bounded_protocol
from farsight.web.messages import Request, Response
from farsight.web.wire_form import MOST_PIECES, behind

HEAD = (("Content-Type", "a/b"),)
#: Parts of an answer by the name it is asked for: their sizes.
ANSWERS = {
    "one": [12_000_000],
    "few": [100, 4_000_000, 1, 4_000_000, 0, 4_000_000],
    "many": [1_000] * (2 * MOST_PIECES),
    "short": [10, 20],
}


def _parts(name: str) -> list[Part]:
    pattern = bytes(range(251))
    bodies = [(pattern * (size // 251 + 1))[:size] for size in ANSWERS[name]]
    return [Part(HEAD, memoryview(body)) for body in bodies]


_BODIES = {name: RelatedBody("a/b", "XX", _parts(name)) for name in ANSWERS}


def _answer(request: Request) -> Response:
    body = _BODIES[request.path.rpartition("/")[2]]
    return Response(200, (("Content-Type", body.content_type),), body)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with opening(_answer) as start:
        yield start(at_once=True).port


def _connected(port: int, buffer_bytes: int) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    client.settimeout(20)
    client.connect(("127.0.0.1", port))
    return client


def _ask(client: socket.socket, name: str, pause_s: float = 0.0, at_once: int = 1 << 16) -> bytes:
    client.sendall(b"GET /x/%s HTTP/1.1\r\nHost: a\r\n\r\n" % name.encode())
    got = b""
    while b"\r\n\r\n" not in got:
        piece = client.recv(at_once)
        assert piece, "it was closed"
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    (length,) = (
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length")
    )
    pieces = [body]
    have = len(body)
    while have < length:
        time.sleep(pause_s)
        pieces.append(client.recv(at_once))
        assert pieces[-1], "it ended early"
        have += len(pieces[-1])
    assert have == length
    return b"".join(pieces)


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("buffer_bytes", [4_096, 1 << 20])
def test_all_of_it_comes(port: int, name: str, buffer_bytes: int) -> None:
    with _connected(port, buffer_bytes) as client:
        for _ in range(3):
            assert _ask(client, name) == b"".join(_BODIES[name].chunks())


def test_one_who_takes_it_slowly_holds_up_nobody(port: int) -> None:
    with _connected(port, 4_096) as slow, _connected(port, 1 << 20) as quick:
        slow.sendall(b"GET /x/one HTTP/1.1\r\nHost: a\r\n\r\n")
        slow.recv(10)
        for name in ANSWERS:
            assert _ask(quick, name) == b"".join(_BODIES[name].chunks())


def test_one_who_leaves_in_the_middle(port: int, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        with _connected(port, 4_096) as client:
            client.sendall(b"GET /x/one HTTP/1.1\r\nHost: a\r\n\r\n")
            client.recv(10)
    with _connected(port, 1 << 20) as client:
        assert _ask(client, "few") == b"".join(_BODIES["few"].chunks())
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_it_is_written_in_one_call(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    really = bounded_protocol.os.writev

    def counted(descriptor: int, pieces: list[bytes]) -> int:
        calls.append(len(pieces))
        return really(descriptor, pieces)

    monkeypatch.setattr(bounded_protocol.os, "writev", counted)
    with _connected(port, 1 << 20) as client:
        _ask(client, "short")
    assert calls == [6]  # the head, two heads of parts with their parts, the end


@given(st.lists(st.binary(max_size=6), max_size=8), st.integers(0, 60))
def test_what_is_behind(chunks: list[bytes], size: int) -> None:
    whole = b"".join(chunks)
    assert b"".join(behind(chunks, min(size, len(whole)))) == whole[size:]
