"""The full door over real sockets: what it says, what it bounds, what it lets go."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from doors import Open, opening
from farsight.errors import MalformedDicom, PayloadTooLarge, SettingsError
from farsight.ps318.multipart_related import Part, RelatedBody
from farsight.web.base_url import BaseUrl
from farsight.web.credentials import Credentials
from farsight.web.full_door import FullDoor
from farsight.web.messages import Request, Response
from farsight.web.routes import Router
from farsight.web.worker_pool import WorkerPool

JSON = (("Content-Type", "application/json"),)


def echo(request: Request) -> Response:
    """What the handler was given, as JSON."""
    seen = {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": dict(request.headers),
        "body": request.body.decode("latin-1"),
        "base_url": request.base_url,
    }
    return Response(200, JSON, json.dumps(seen).encode())


@pytest.fixture
def open_door() -> Iterator[Open]:
    with opening(echo) as start:
        yield start


def connect(door: FullDoor) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", door.port, timeout=20)


def ask(
    door: FullDoor, method: str = "GET", path: str = "/x/y", **more: object
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = connect(door)
    connection.request(method, path, **more)  # type: ignore[arg-type]
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def raw(door: FullDoor, data: bytes) -> bytes:
    """Sends bytes, reads until the server closes."""
    with socket.create_connection(("127.0.0.1", door.port), timeout=20) as peer:
        with contextlib.suppress(OSError):  # closed while we were still talking
            peer.sendall(data)
        got = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := peer.recv(65536):
                got += piece
        return got


def test_a_request_is_decoded_exactly_once(open_door: Open) -> None:
    path = "/x/a%20b/%2541?k=1&k=2&empty=&plus=a+b&comma=a%2Cb&utf=%C3%BC"
    _, body = ask(open_door(), "GET", path, headers={"X-Thing": "v", "Accept": "a/b"})
    seen = json.loads(body)
    assert seen["path"] == "/x/a b/%41"
    assert seen["query"] == [
        ["k", "1"], ["k", "2"], ["empty", ""], ["plus", "a b"], ["comma", "a,b"], ["utf", "ü"],
    ]  # fmt: skip
    assert seen["headers"]["x-thing"] == "v"


def test_base_url_names_the_door(open_door: Open) -> None:
    door = open_door()
    own = f"http://127.0.0.1:{door.port}"
    assert json.loads(ask(door)[1])["base_url"] == own
    assert json.loads(ask(door, headers={"Host": "127.0.0.1"})[1])["base_url"] == own
    assert json.loads(ask(door, headers={"Host": "evil/"})[1])["base_url"] == "http://localhost:1"


def test_head_is_get_without_body(open_door: Open) -> None:
    door = open_door(lambda request: Response(200, JSON, b"12345"))
    answer, body = ask(door, "HEAD")
    assert (answer.status, answer.headers["Content-Length"], body) == (200, "5", b"")
    assert ask(door, "GET")[1] == b"12345"


def streamed(bodies: Iterator[bytes]) -> Response:
    parts = (Part((("Content-Type", "a/b"),), body) for body in bodies)
    return in_parts(RelatedBody("a/b", "XX", parts))


def in_parts(body: RelatedBody) -> Response:
    return Response(200, (("Content-Type", body.content_type),), body)


def test_head_of_a_stream_reads_nothing_of_it(open_door: Open) -> None:
    read: list[int] = []

    def chunks() -> Iterator[bytes]:
        read.append(1)
        yield b"x"

    door = open_door(lambda request: streamed(chunks()))
    answer, body = ask(door, "HEAD")
    assert (answer.status, body, read) == (200, b"", [])
    assert answer.headers["Content-Type"] == 'multipart/related; type="a/b"; boundary=XX'
    assert ask(door, "GET")[0].status == 200
    assert read == [1]


def test_options_and_other_methods(open_door: Open) -> None:
    door = open_door()
    answer, body = ask(door, "OPTIONS")
    assert (answer.status, answer.headers["Allow"], body) == (204, "GET, HEAD, OPTIONS", b"")
    assert answer.headers["Content-Length"] is None
    for method in ("PUT", "DELETE", "PATCH", "TRACE"):
        answer, body = ask(door, method)
        assert answer.status == 405
        assert json.loads(body)["status"] == 405


def test_keep_alive(open_door: Open) -> None:
    door = open_door()
    connection = connect(door)
    sockets = set()
    for number in range(5):
        connection.request("GET", f"/x/{number}")
        answer = connection.getresponse()
        assert json.loads(answer.read())["path"] == f"/x/{number}"
        assert connection.sock is not None
        sockets.add(connection.sock.getsockname())
    assert len(sockets) == 1
    connection.close()


def test_pipelined_requests_are_answered_in_order(open_door: Open) -> None:
    request = b"GET /x/%d HTTP/1.1\r\nHost: a\r\n%s\r\n"
    got = raw(open_door(), request % (1, b"") + request % (2, b"Connection: close\r\n"))
    assert got.count(b"HTTP/1.1 200") == 2
    assert got.index(b'"/x/1"') < got.index(b'"/x/2"')


def test_oversized_head(open_door: Open) -> None:
    door = open_door()
    head = b"GET /x/ HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * (400 << 10)
    assert raw(door, head).startswith(b"HTTP/1.1 431 ")
    lines = b"".join(b"X-%d: %s\r\n" % (n, b"a" * 1000) for n in range(400))
    assert raw(door, b"GET /x/ HTTP/1.1\r\nHost: a\r\n" + lines).startswith(b"HTTP/1.1 431 ")
    assert ask(door)[0].status == 200


@pytest.mark.parametrize(
    "bad", [b"GET /" + b"a" * (70 << 10) + b" HTTP/1.1\r\n", b"\x16\x03\x01\r\n"]
)
def test_nothing_is_written_into_an_answer_under_way(open_door: Open, bad: bytes) -> None:
    """A request that can't be read comes behind one whose answer is being sent."""
    go_on = threading.Event()

    def chunks() -> Iterator[bytes]:
        yield b"A" * 500
        assert go_on.wait(10)
        yield b"B" * 500

    door = open_door(lambda request: streamed(chunks()))
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as client:
        client.sendall(b"GET /x/ HTTP/1.1\r\nHost: a\r\n\r\n")
        received = client.recv(65536)
        client.sendall(bad + b"\r\n")
        time.sleep(0.1)
        go_on.set()
        with contextlib.suppress(ConnectionResetError):
            while more := client.recv(65536):
                received += more
    assert received.count(b"HTTP/1.1 ") == 1


def test_noise_is_400(open_door: Open) -> None:
    door = open_door()
    assert raw(door, b"\x16\x03\x01 this is TLS\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert ask(door)[0].status == 200


def test_body_limit(open_door: Open) -> None:
    door = open_door(max_body_bytes=1000)
    assert json.loads(ask(door, "GET", body=b"a" * 1000)[1])["body"] == "a" * 1000
    for body in (b"a" * 1001, iter([b"a" * 600, b"b" * 600])):
        answer, said = ask(door, "GET", body=body)
        assert answer.status == PayloadTooLarge.status == 413
        assert "1000 bytes" in json.loads(said)["error"]


def test_too_many_parameters(open_door: Open) -> None:
    query = "&".join(["a=1"] * 20_001)
    answer, _ = ask(open_door(), "GET", f"/x/?{query}"[: 60 << 10])
    assert answer.status in (200, 400)
    head = f"GET /x/?{'&' * 30_000} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    assert raw(open_door(), head.encode()).startswith(b"HTTP/1.1 400 ")


def test_credentials_are_asked_before_anything_else(open_door: Open) -> None:
    called = threading.Event()

    def handler(request: Request) -> Response:
        called.set()
        return Response()

    door = open_door(handler, credentials=Credentials(True, {"a": "b"}))
    for headers in ({}, {"Authorization": "Basic !"}, {"Authorization": "Basic YTpj"}):
        for path in ("/x/y", "/nowhere"):
            answer, _ = ask(door, "GET", path, headers=headers)
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert not called.is_set()
    assert ask(door, headers={"Authorization": "Basic YTpi"})[0].status == 200


def test_related_bodies(open_door: Open) -> None:
    parts = [Part((("Content-Type", "a/b"),), b"one"), Part((("Content-Type", "a/b"),), b"two")]

    def handler(request: Request) -> Response:
        kept = parts if request.path == "/x/kept" else iter(parts)
        return in_parts(RelatedBody("a/b", "XX", kept))  # type: ignore[arg-type]

    door = open_door(handler)
    kept, kept_body = ask(door, "GET", "/x/kept")
    streamed, streamed_body = ask(door, "GET", "/x/streamed")
    assert kept_body == streamed_body
    assert int(kept.headers["Content-Length"]) == len(kept_body)
    assert streamed.headers["Transfer-Encoding"] == "chunked"
    assert kept.headers.get_all("Content-Type") == ['multipart/related; type="a/b"; boundary=XX']


def test_a_client_that_goes_away_ends_the_stream(open_door: Open) -> None:
    closed = threading.Event()

    def chunks() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            closed.set()

    door = open_door(lambda request: streamed(chunks()), threads=2)
    for _ in range(4):  # more than there are threads: none may be lost
        closed.clear()
        peer = socket.create_connection(("127.0.0.1", door.port), timeout=20)
        peer.sendall(b"GET /x/ HTTP/1.1\r\nHost: a\r\n\r\n")
        assert peer.recv(1000).startswith(b"HTTP/1.1 200")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        assert closed.wait(20), "the generator is closed"


def test_an_error_in_mid_stream_cuts_the_answer_short(open_door: Open) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x" * 100
        raise PayloadTooLarge("in the middle")

    def handler(request: Request) -> Response:
        if request.path == "/x/bad":
            return streamed(chunks())
        return echo(request)

    door = open_door(handler)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        ask(door, "GET", "/x/bad")
    assert ask(door)[0].status == 200


def test_an_error_before_the_first_chunk_is_said(open_door: Open) -> None:
    def chunks() -> Iterator[bytes]:
        raise PayloadTooLarge("at the very beginning")
        yield b""

    answer, body = ask(open_door(lambda request: streamed(chunks())))
    assert answer.status == 413
    assert "at the very beginning" in json.loads(body)["error"]


def test_as_many_blocked_handlers_as_threads_and_no_more(open_door: Open) -> None:
    """64 clients waiting for a slow PACS: the 65th request waits, unless there is a thread more."""
    release = threading.Event()
    blocked = threading.Semaphore(0)

    def handler(request: Request) -> Response:
        if request.path == "/x/slow":
            blocked.release()
            assert release.wait(30)
        return Response(200, JSON, b"{}")

    door = open_door(handler, threads=65)
    with ThreadPoolExecutor(64) as clients:
        waiting = [clients.submit(ask, door, "GET", "/x/slow") for _ in range(64)]
        for _ in range(64):
            assert blocked.acquire(timeout=20)
        assert ask(door, "GET", "/x/quick")[0].status == 200
        extra = threading.Thread(target=ask, args=(door, "GET", "/x/slow"), daemon=True)
        extra.start()
        assert blocked.acquire(timeout=20)
        quick = clients_last(door)
        assert not quick.wait(0.3), "every thread is taken"
        release.set()
        assert quick.wait(20)
        assert {future.result(20)[0].status for future in waiting} == {200}
        extra.join(20)


def clients_last(door: FullDoor) -> threading.Event:
    """One more request; the event is set when it is answered."""
    answered = threading.Event()

    def run() -> None:
        if ask(door, "GET", "/x/quick")[0].status == 200:
            answered.set()

    threading.Thread(target=run, daemon=True).start()
    return answered


def test_stopping_answers_those_who_wait(open_door: Open) -> None:
    release, entered = threading.Event(), threading.Event()

    def handler(request: Request) -> Response:
        entered.set()
        release.wait(30)
        return Response()

    door = open_door(handler)
    with ThreadPoolExecutor(1) as clients:
        waiting = clients.submit(ask, door)
        assert entered.wait(20)
        door.stop(10)
        answer, body = waiting.result(20)
        release.set()
    assert answer.status == 503
    assert json.loads(body)["error"] == "the server is stopping"
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", door.port), timeout=5)


def test_a_port_that_is_taken(open_door: Open) -> None:
    taken = open_door().port
    pool = WorkerPool(1)
    door = FullDoor(Router({}), pool, Credentials(), BaseUrl("http://localhost:1"))
    with pytest.raises(SettingsError, match=rf"Farsight.Http.Port is {taken}: .*in use"):
        door.start("127.0.0.1", taken)
    pool.close()


def test_a_slow_stream_does_not_hold_up_others(open_door: Open) -> None:
    release = threading.Event()

    def chunks() -> Iterator[bytes]:
        yield b"first"
        assert release.wait(20)
        yield b"last"

    def handler(request: Request) -> Response:
        if request.path == "/x/slow":
            return streamed(chunks())
        return echo(request)

    door = open_door(handler)
    connection = connect(door)
    connection.request("GET", "/x/slow")
    answer = connection.getresponse()
    begun = b""
    while not begun.endswith(b"first"):
        begun += answer.read1(100)
    assert ask(door)[0].status == 200
    release.set()
    assert b"last" in answer.read()
    connection.close()


def test_an_answer_that_ends_early_is_one_line_in_the_log(
    open_door: Open, caplog: pytest.LogCaptureFixture
) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"first"
        raise MalformedDicom("the second object can't be read")

    door = open_door(lambda _request: streamed(chunks()))
    connection = connect(door)
    connection.request("GET", "/x/short")
    with pytest.raises(http.client.IncompleteRead):
        connection.getresponse().read()
    connection.close()
    said = [record.getMessage() for record in caplog.records if record.name == "farsight.web"]
    assert said == ["an answer ended early: the second object can't be read"]
    assert not any(record.exc_info for record in caplog.records)
