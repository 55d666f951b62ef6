"""Answers of the full door that begin before all of the body has come, and bodies that never do."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator

import pytest
import requests

from farsight.errors import UnsupportedMediaType
from farsight.web import full_door, lingering, pace
from farsight.web.base_url import BaseUrl
from farsight.web.credentials import Credentials
from farsight.web.full_door import FullDoor
from farsight.web.messages import Request, Response
from farsight.web.routes import Router
from farsight.web.worker_pool import WorkerPool
from raw_http import RawConnection

MEGABYTE = 1 << 20
SMALL, LARGE = 1000, 100 * MEGABYTE


class Storing:
    """Reads all, and says how much; takes no text."""

    def __call__(self, request: Request) -> Response:
        self.check(request)
        return Response(200, (), b"%d" % sum(map(len, request.chunks())))

    def check(self, request: Request) -> None:
        if request.headers.get("content-type", "").startswith("text/"):
            raise UnsupportedMediaType("no text")


Open = Callable[..., str]


@pytest.fixture
def open_door() -> Iterator[Open]:
    """Opens a door and tells its URL. "/x/" takes long bodies, "/s/" short ones."""
    opened: list[tuple[FullDoor, WorkerPool]] = []

    def start(*, threads: int = 4, credentials: Credentials | None = None) -> str:
        pool = WorkerPool(threads)
        methods = {root: lambda _path: ("POST", "OPTIONS") for root in ("/x/", "/s/")}
        roots = {"/x/": Storing(), "/s/": Storing(), "/r/": Storing()}
        door = FullDoor(
            Router(roots, methods, streams=("/x/",)),
            pool,
            credentials or Credentials(),
            BaseUrl("http://localhost:1"),
            SMALL,
            LARGE,
        )
        door.start("127.0.0.1", 0)
        opened.append((door, pool))
        return f"http://127.0.0.1:{door.port}"

    yield start
    for door, pool in opened:
        door.stop(5)
        pool.close()


def feed(connection: RawConnection, megabytes: int) -> None:
    for _ in range(megabytes):
        connection.send(bytes(MEGABYTE))


def announced(size: int) -> str:
    return f"Content-Length: {size}"


REFUSALS = [
    pytest.param("/s/", announced(LARGE), 413, id="too long"),
    pytest.param("/x/", announced(LARGE + 1), 413, id="too long for a long one"),
    pytest.param("/r/", announced(LARGE), 405, id="no POST here"),
    pytest.param("/r/", announced(10), 405, id="no POST here, short"),
    pytest.param("/z/", announced(LARGE), 404, id="nothing here"),
    pytest.param("/x/", f"{announced(LARGE)}\r\nContent-Type: text/plain", 415, id="of a type"),
    pytest.param("/x/", f"{announced(10)}\r\nContent-Type: text/plain", 415, id="short, of a type"),
    pytest.param("/x/", "Transfer-Encoding: chunked\r\nContent-Type: text/plain", 415, id="chunks"),
]


@pytest.mark.parametrize(("path", "headers", "status"), REFUSALS)
@pytest.mark.parametrize("expects", [False, True])
def test_what_is_refused_by_its_head(
    open_door: Open, path: str, headers: str, status: int, expects: bool
) -> None:
    """At once, without asking for the body (RFC 9110 10.1.1), and as the last of its connection."""
    more = ("Expect: 100-continue",) if expects else ()
    with RawConnection(open_door()) as connection:
        connection.post(path, headers, *more)
        answer = connection.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert json.loads(answer.body)["status"] == status


@pytest.mark.parametrize(("path", "headers", "status"), REFUSALS)
def test_no_next_request_is_taken_for_the_body(
    open_door: Open, monkeypatch: pytest.MonkeyPatch, path: str, headers: str, status: int
) -> None:
    monkeypatch.setattr(lingering, "LINGER_S", 0.3)
    with RawConnection(open_door()) as connection:
        connection.post(path, headers)
        assert connection.answer().status == status
        with contextlib.suppress(OSError):
            connection.post("/x/", announced(0))
        assert connection.is_closed()


@pytest.mark.parametrize("path", ["/s/", "/r/", "/z/"])
def test_who_sends_everything_first_reads_the_answer(open_door: Open, path: str) -> None:
    door = open_door()
    for _ in range(3):
        answer = requests.post(door + path, data=bytes(30 * MEGABYTE), timeout=60)
        assert answer.status_code == {"/s/": 413, "/r/": 405, "/z/": 404}[path]


@pytest.mark.parametrize("sends", [True, False])
def test_who_has_no_credentials_holds_no_connection(
    open_door: Open, monkeypatch: pytest.MonkeyPatch, sends: bool
) -> None:
    monkeypatch.setattr(lingering, "LINGER_S", 0.3)
    with RawConnection(open_door(credentials=Credentials(True, {"a": "b"}))) as connection:
        connection.post("/x/", announced(1 << 40))
        answer = connection.answer()
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        if not sends:
            connection.send(b"1")
            assert connection.is_closed()
            return
        with pytest.raises(ConnectionError):
            feed(connection, 1000)


def test_a_refusal_with_all_there_leaves_the_connection(open_door: Open) -> None:
    """The body was read, or there is none."""
    with RawConnection(open_door(credentials=Credentials(True, {"a": "b"}))) as connection:
        for _ in range(3):
            connection.post("/x/", announced(0))
            assert connection.answer().status == 401
        for _ in range(3):
            connection.post("/x/", announced(3), "Authorization: Basic YTpi")
            connection.send(b"123")
            assert connection.answer().body == b"3"


@pytest.mark.parametrize(
    ("path", "size"), [("/s/", 100), ("/x/", 100), ("/x/", 10 * MEGABYTE), ("/x/", None)]
)
@pytest.mark.parametrize("trickles", [False, True])
def test_who_stops_sending(
    open_door: Open,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    size: int | None,
    trickles: bool,
) -> None:
    monkeypatch.setattr(pace, "WINDOW_S" if trickles else "SILENCE_S", 0.2)
    monkeypatch.setattr(lingering, "LINGER_S", 0.3)
    with RawConnection(open_door()) as connection:
        connection.socket.settimeout(20)
        connection.post(path, "Transfer-Encoding: chunked" if size is None else announced(size))
        while not connection.is_answered_within(0.05):
            (connection.send if size is not None else connection.send_chunk)(b"1")
            if not trickles:
                break
        answer = connection.answer()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert connection.is_closed()


def test_uploads_have_a_bounded_wait(open_door: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who hold all turns do not keep the others waiting for ever."""
    monkeypatch.setattr(full_door, "_TURN_S", 0.2)
    door = open_door(threads=2)
    with RawConnection(door) as first, RawConnection(door) as second:
        first.post("/x/", announced(2 * MEGABYTE), "Expect: 100-continue")
        assert first.answer().status == 100, "it has its turn"
        for _ in range(2):
            refused = requests.post(f"{door}/x/", data=bytes(2 * MEGABYTE), timeout=60)
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
            assert refused.headers["Connection"] == "close"
        assert requests.post(f"{door}/x/", data=b"123", timeout=60).content == b"3"
        first.send(bytes(2 * MEGABYTE))
        assert first.answer().status == 200
        second.post("/x/", announced(2 * MEGABYTE))
        second.send(bytes(2 * MEGABYTE))
        assert second.answer().status == 200, "a turn that was waited for in vain is not lost"
