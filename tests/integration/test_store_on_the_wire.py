"""Messages to store as bytes on a connection: cut, announced wrongly, one after another."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from fakes.scripted_pacs import wait_until
from orthanc_process import OrthancProcess, requires_orthanc
from raw_http import RawConnection
from stowing import (
    BOUNDARY,
    RELATED,
    STUDIES,
    doors,
    held,
    new_files,
    nothing_stored,
    related,
    spooled,
    store,
    stored_files,
    storing_gateway,
    uid_of,
)

pytestmark = requires_orthanc
TYPE = f"Content-Type: {RELATED.format(BOUNDARY)}"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancProcess]:
    """Its uploads go to a file early."""
    directory = tmp_path_factory.mktemp("gateway")
    with storing_gateway(directory, {"MemoryMegabytes": 1}) as gateway:
        yield gateway


@pytest.fixture(params=["full", "orthanc"])
def door(request: pytest.FixtureRequest, gateway: OrthancProcess) -> str:
    return doors(gateway)[request.param == "orthanc"]


@pytest.fixture
def connection(door: str) -> Iterator[RawConnection]:
    with RawConnection(door) as connection:
        yield connection


def _length(body: bytes) -> str:
    return f"Content-Length: {len(body)}"


def test_odd_chunks(gateway: OrthancProcess, connection: RawConnection) -> None:
    """A byte at a time, then sizes in upper case with leading zeros and extensions."""
    files = new_files(3)
    body = related(files, begin=b"\r\n")
    connection.post(STUDIES, TYPE, "Transfer-Encoding: chunked")
    for at in range(150):
        connection.send_chunk(body[at : at + 1])
    rest = body[150:]
    half = len(rest) // 2
    connection.send(b"%04X\r\n%b\r\n" % (half, rest[:half]))
    connection.send_chunk(rest[half:])
    connection.send_chunk(b"")
    answer = connection.answer()
    assert answer.status == 200, answer.body
    assert [stored_files(gateway, uid_of(file)) for file in files] == [[file] for file in files]


def test_byte_by_byte(gateway: OrthancProcess, connection: RawConnection) -> None:
    files = new_files(1, size=8)
    body = related(files)
    connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.post(STUDIES, TYPE, _length(body))
    for at in range(len(body)):
        connection.send(body[at : at + 1])
    assert connection.answer().status == 200
    assert stored_files(gateway, uid_of(files[0])) == files


@pytest.mark.parametrize("ends", ["closes", "resets"])
def test_a_client_that_leaves_in_the_middle(gateway: OrthancProcess, door: str, ends: str) -> None:
    """A hundred of them: all that was taken is forgotten, and the next are served."""
    files = new_files(2, size=64)
    body = related(files)
    before = held(gateway)
    for number in range(100):
        with RawConnection(door) as connection:
            connection.post(STUDIES, TYPE, _length(body))
            connection.send(body[: 100 + number * (len(body) - 200) // 100])
            if ends == "resets":
                linger = struct.pack("ii", 1, 0)
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    for _ in range(100):
        assert store(door, files).status == 200
    assert len(held(gateway)) == len(before) + len(files)
    wait_until(lambda: spooled(gateway) == [])


def test_a_length_that_is_too_long(gateway: OrthancProcess, door: str) -> None:
    """All of it is there, but more was announced: the client stops sending, and hears why not."""
    body = related(new_files(1))
    with nothing_stored(gateway), RawConnection(door) as connection:
        connection.post(STUDIES, TYPE, f"Content-Length: {len(body) + 10}")
        connection.send(body)
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.is_closed() or connection.answer().status >= 400


def test_a_length_that_is_too_short(gateway: OrthancProcess, connection: RawConnection) -> None:
    """What is beyond it is the next request, and that is none: the connection ends, with or without
    an answer to the first one."""
    body = related(new_files(1))
    with nothing_stored(gateway):
        connection.post(STUDIES, TYPE, f"Content-Length: {len(body) - 20}")
        connection.send(body)
        assert connection.is_closed() or connection.answer().status == 400


def test_two_lengths_are_refused(gateway: OrthancProcess, door: str) -> None:
    """RFC 9112 6.3: such a message may be smuggled past a proxy."""
    body = related(new_files(1))
    with nothing_stored(gateway), RawConnection(gateway.full_door_url) as connection:
        connection.post(STUDIES, TYPE, _length(body), "Transfer-Encoding: chunked")
        connection.send(body)
        assert connection.answer().status == 400


def test_expect(gateway: OrthancProcess, door: str, connection: RawConnection) -> None:
    """RFC 9110 10.1.1, as curl does it with large bodies. Orthanc's port does not say 100; clients
    don't wait for it for ever."""
    files = new_files(1)
    body = related(files)
    connection.post(STUDIES, TYPE, _length(body), "Expect: 100-continue")
    if door == gateway.full_door_url:
        assert connection.answer().status == 100
    connection.send(body)
    answer = connection.answer()
    assert (connection.answer() if answer.status == 100 else answer).status == 200
    assert stored_files(gateway, uid_of(files[0])) == files


def test_http_1_0(gateway: OrthancProcess, connection: RawConnection) -> None:
    files = new_files(1)
    body = related(files)
    connection.post(STUDIES, TYPE, _length(body), version="1.0")
    connection.send(body)
    assert connection.answer().status == 200
    assert connection.is_closed()
    assert stored_files(gateway, uid_of(files[0])) == files


def test_one_connection_goes_on_after_errors(
    gateway: OrthancProcess, connection: RawConnection
) -> None:
    """What could be read to its end leaves nothing of its body behind."""
    files = new_files(3, size=64)
    for number, (good, bad) in enumerate(
        [
            (related(files[:1]), related(new_files(1, size=256))[:-10]),
            (related(files[1:2]), b"no delimiter" * 100_000),
            (related(files[2:]), b"-"),
        ]
    ):
        for body, status in ((bad, 400), (good, 200)):
            connection.post(STUDIES, TYPE, _length(body))
            connection.send(body)
            answer = connection.answer()
            assert answer.status == status, (number, answer.body)
    assert [stored_files(gateway, uid_of(file)) for file in files] == [[file] for file in files]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (["Content-Type: text/plain"], 415),
        ([TYPE, "Content-Encoding: gzip"], 415),
        (["Content-Type: multipart/related"], 400),
        ([TYPE, "Accept: image/png"], 406),
    ],
)
@pytest.mark.parametrize("size", [100, 10 << 20])
def test_what_the_head_tells_is_judged_before_the_body(
    gateway: OrthancProcess, headers: list[str], status: int, size: int
) -> None:
    """Nobody is asked to go on with a body that won't be taken (RFC 9110 10.1.1)."""
    full = gateway.full_door_url
    length = f"Content-Length: {size}"
    with nothing_stored(gateway), RawConnection(full) as connection:
        connection.post(STUDIES, *headers, length, "Expect: 100-continue")
        answer = connection.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
    with nothing_stored(gateway), RawConnection(full) as connection:
        connection.post(STUDIES, *headers, length)
        connection.send(bytes(size))
        assert connection.answer().status == status


def test_requests_that_come_together(gateway: OrthancProcess) -> None:
    """Pipelined (RFC 9112 9.3.2): answered in their order."""
    files = new_files(3)
    with RawConnection(gateway.full_door_url) as connection:
        for file in files:
            body = related([file])
            connection.post(STUDIES, TYPE, _length(body))
            connection.send(body)
        for file in files:
            answer = connection.answer()
            assert answer.status == 200
            assert uid_of(file).encode() in answer.body
