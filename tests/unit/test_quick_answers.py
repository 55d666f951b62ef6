"""The short way through the full door: taken for plain GETs only, and never told from the long."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farsight.errors import NotAcceptable, NotFound, RangeNotSatisfiable
from farsight.ps318.multipart_related import Part, RelatedBody
from farsight.web import full_door
from farsight.web.base_url import BaseUrl
from farsight.web.bounded_protocol import BoundedProtocol
from farsight.web.byte_range import with_range
from farsight.web.conditional import conditional
from farsight.web.credentials import Credentials
from farsight.web.full_door import FullDoor
from farsight.web.messages import Request, Response
from farsight.web.quick_answers import QuickAnswer, QuickAnswers
from farsight.web.routes import Router
from farsight.web.worker_pool import WorkerPool

TEXT = (("Content-Type", "text/plain"),)
LONG = bytes(range(256)) * 4096  # above what is joined, and above what a transport buffers
LAST = b"GET /x/last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
RELEASE = threading.Event()
ERRORS = {"404": NotFound("no"), "406": NotAcceptable("no"), "416": RangeNotSatisfiable(7)}
Doors = tuple[FullDoor, FullDoor]
#: Status, headers in lower case without the date, body.
Answer = tuple[int, list[tuple[str, str]], bytes]


def answer(request: Request) -> Response:
    name = request.path.rpartition("/")[2]
    parts = [Part((("Content-Type", "a/b"),), body) for body in (b"one", memoryview(b"two"))]
    if name in ERRORS:
        raise ERRORS[name]
    if name == "held":
        assert RELEASE.wait(20)
    if name == "file":
        response = with_range(request, TEXT, b"0123456789", '"t"')
        return conditional(request, response, '"t"', "private")
    if name in ("related", "streamed"):
        kept = parts if name == "related" else iter(parts)
        body = RelatedBody("a/b", "XX", kept)
        return Response(200, (("Content-Type", body.content_type),), body)
    if name in ("204", "long"):
        return Response(204) if name == "204" else Response(200, TEXT, LONG)
    seen = [request.path, request.query, sorted(request.headers.items()), request.base_url]
    return Response(200, TEXT, json.dumps([*seen, len(request.body)]).encode())


class Counting(QuickAnswers):
    taken = 0  # how many requests went the short way

    def answer(self, data: bytes, client_address: str) -> QuickAnswer | None:
        found = super().answer(data, client_address)
        Counting.taken += found is not None
        return found


class Never(QuickAnswers):
    def answer(self, data: bytes, client_address: str) -> QuickAnswer | None:
        return None


class Seen:
    size = 0  # of what was read at all doors
    last: BoundedProtocol | None = None  # that had some of it


@contextlib.contextmanager
def opened(way: type[QuickAnswers], users: dict[str, str] | None = None) -> Iterator[FullDoor]:
    pool = WorkerPool(4)
    at_once = {"/x/": lambda asked: None if "later" in asked.path else answer(asked)}
    router = Router({"/x/": answer}, at_once=at_once)
    door = FullDoor(router, pool, Credentials(bool(users), users or {}), BaseUrl("http://a:1"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(full_door, "QuickAnswers", way)
        door.start("127.0.0.1", 0)
    yield door
    door.stop(5)
    pool.close()


@pytest.fixture(scope="module")
def doors() -> Iterator[Doors]:  # one with both ways, one with the long way only
    received = BoundedProtocol.data_received

    def data_received(self: BoundedProtocol, data: bytes) -> None:
        received(self, data)
        Seen.last, Seen.size = self, Seen.size + len(data)

    with pytest.MonkeyPatch.context() as patch, opened(Counting) as quick, opened(Never) as slow:
        patch.setattr(BoundedProtocol, "data_received", data_received)
        yield quick, slow


def connect(door: FullDoor) -> socket.socket:
    Seen.last = None
    return socket.create_connection(("127.0.0.1", door.port), timeout=20)


def send(peer: socket.socket, packet: bytes) -> None:
    """Until the door has read it, or closed: what is sent next comes on its own."""
    stop, deadline = Seen.size + len(packet), time.monotonic() + 20
    with contextlib.suppress(OSError):
        peer.sendall(packet)
        while Seen.size < stop and not (Seen.last and Seen.last.transport.is_closing()):
            assert time.monotonic() < deadline
            time.sleep(0.0005)


def rest_of(peer: socket.socket) -> bytes:
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := peer.recv(1 << 20):
            got += piece
    return got


class Stream(io.BytesIO):
    def makefile(self, _mode: str) -> Stream:
        return self

    def close(self) -> None:
        """Told after each answer: another may follow."""


def answers_in(got: bytes, method: str = "GET") -> list[Answer]:
    stream, answers = Stream(got), []
    while stream.tell() < len(got):
        found = http.client.HTTPResponse(stream, method=method)  # type: ignore[arg-type]
        found.begin()
        headers = sorted((name.lower(), value) for name, value in found.getheaders())
        headers.remove(("date", found.headers["date"]))
        answers.append((found.status, headers, found.read()))
        method = "GET"
    return answers


def talk(door: FullDoor, *packets: bytes) -> list[Answer]:
    """All that is answered to them, and to a last one where the connection is open by then."""
    with connect(door) as peer:
        for packet in packets:
            send(peer, packet)
        with contextlib.suppress(OSError):
            peer.sendall(LAST)
        got = rest_of(peer).replace(b":%d" % door.port, b":12345")
    return answers_in(got, "HEAD" if packets[0].startswith(b"HEAD") else "GET")


def get(target: str, *lines: str, version: str = "1.1") -> bytes:
    head = [f"GET {target} HTTP/{version}", "Host: a", *lines]
    return "\r\n".join([*head, "", ""]).encode("latin-1")


PLAIN, LATER = get("/x/y"), get("/x/later")
POST = get("/x/y", "Content-Length: 3").replace(b"GET", b"POST")
TAKEN = [
    PLAIN, *map(get, ("/x/404", "/x/406", "/x/416", "/x/204", "/x/long", "/x/related", "/x/file")),
    *(get("/x/file", line) for line in ("Range: bytes=2-5", "Range: bytes=20-")),
    get("/x/file", 'If-None-Match: W/"t"'), get("/x/file", 'If-None-Match: "t"', "Range: bytes=2-"),
    *map(get, ("/x//../y/./z~_-", "/x/y?", "/x/y?a=1&a=2&=3&b=&c==d;e=f:/,", "/x/y/?a=//b")),
    get("/x/y", "X-Odd: \xff\t\xe4 ", "x-odd: again", "Empty:"), PLAIN.replace(b" a\r", b"\r"),
    get("/x/y", "Host2: b", "TE: trailers", "Trailer: X", "HTTP2-Settings: AA", "Cookie: Host: b"),
]  # fmt: skip
LINES = [
    "Connection: close", "CONNECTION: Close", "Connection: keep-alive", "Keep-Alive: timeout=5",
    "Expect: 100-continue", "Connection: Upgrade\r\nUpgrade: h2c", "Host: b", "Connection : close",
    "X-A: b\r\n c", "X-A: a\nX-B: b", "X-A: a\rb", "X-A: a\0b", "X-A: \x01", ": b", "X A: b",
    "X-A: a\n\nGET /x/z HTTP/1.1\r\nHost: b", "X-A: " + "a" * 9000, "Content-Length: 0",
    "Content-Length: 3", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0",
    "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0",
]  # fmt: skip
LEFT = [
    LATER, *map(get, ("/x/streamed", "/y/", "//x/y", "/x/%79?a=%20", "/x/y?a=b+c", "/x/y?a=b?c")),
    *map(get, ("/x/y?a&b=c", "/x/y?a=1&&b=2", "/x/y#z", "http://b/x/y", "*", "x/y", "/x/\xe4", "")),
    *(get("/x/y", line) for line in LINES), get("/x/y", f"Content-Length: {len(PLAIN)}") + PLAIN,
    get("/x/y", version="1.0"), get("/x/y", "Connection: keep-alive", version="1.0"),
    get("/x/y", version="2.0"), PLAIN.replace(b"1.1\r", b"1.1"), PLAIN[:-2] + b"\n",
    PLAIN.replace(b"Host", b"Accept"), b"GET /x/y HTTP/1.1\r\n\r\n", b"\r\n" + PLAIN,
    PLAIN + b"\r\n", PLAIN + get("/x/z"), LATER + PLAIN, PLAIN + LATER + PLAIN, POST + b"abc",
    *(PLAIN.replace(b"GET", other) for other in (b"get", b"GET ", b"HEAD", b"OPTIONS", b"\x16")),
]  # fmt: skip


@pytest.mark.parametrize("request_", [*TAKEN, *LEFT], ids=lambda data: repr(data[:90]))
def test_both_ways_give_the_same_answers(doors: Doors, request_: bytes) -> None:
    before = Counting.taken
    answers = talk(doors[0], request_)
    assert Counting.taken - before == (request_ in TAKEN)
    assert answers == talk(doors[1], request_)
    assert len(answers) == 2 or request_ not in TAKEN, "the connection goes on"


TARGETS = st.sampled_from(["y", "file", "later", "related", "y?a=b", "416"])
ODD_TARGETS = st.text("/x.y%2?&=;+a,:#@*", max_size=12)
NAMES = "Host/Range/If-None-Match/Connection/Content-Length/Upgrade/Expect/TE/X-\xff/X A/ X/"
NAMES += "/Transfer-Encoding/Keep-Alive/Trailer"
VALUES = st.sampled_from(["a:1", "bytes=1-2", '"t"', "close", "keep-alive", "0", "3", "chunked"])
ODD_VALUES = st.text(st.characters(max_codepoint=255), max_size=6)
ENDS = st.sampled_from(["\r\n"] * 12 + ["\n", "\r", "\r\n ", "\n\r"])
LINE = (
    st.sampled_from(NAMES.split("/")),
    st.sampled_from([":", ": ", " : "]),
    VALUES | ODD_VALUES,
    ENDS,
)


@given(
    st.sampled_from(["GET"] * 8 + ["POST", "PUT", "get", "G"]), TARGETS | ODD_TARGETS,
    st.sampled_from(["HTTP/1.1"] * 8 + ["HTTP/1.0", "HTTP/1.10", "HTTP/0.9", ""]),
    st.lists(st.tuples(*LINE), max_size=4).map(lambda lines: "".join(map("".join, lines))), ENDS,
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_whatever_comes_is_answered_the_same(
    doors: Doors, method: str, target: str, version: str, lines: str, end: str
) -> None:
    data = f"{method} /x/{target} {version}\r\nHost: a:1\r\n{lines}{end}".encode("latin-1")
    assert talk(doors[0], data) == talk(doors[1], data)


def test_pieces_and_turns(doors: Doors) -> None:
    before, whole, within = Counting.taken, talk(doors[1], PLAIN), PLAIN[:-2] + b"X-A: "
    for cut in range(1, len(PLAIN)):
        assert talk(doors[0], PLAIN[:cut], PLAIN[cut:]) == whole
    assert talk(doors[0], within, PLAIN) == talk(doors[1], within, PLAIN)
    assert Counting.taken == before
    packets = [PLAIN, LATER, PLAIN, POST, b"abc", PLAIN, PLAIN + LATER, PLAIN, get("/x/long")]
    assert talk(doors[0], *packets) == talk(doors[1], *packets)
    assert talk(doors[0], POST, PLAIN, PLAIN) == talk(doors[1], POST, PLAIN, PLAIN)
    assert Counting.taken > before


def test_what_comes_behind_one_under_way_waits_for_it(doors: Doors) -> None:
    before = Counting.taken
    with connect(doors[0]) as peer:
        send(peer, get("/x/later/held"))
        send(peer, PLAIN)
        assert Counting.taken == before
        RELEASE.set()
        peer.sendall(LAST)
        bodies = [json.loads(body)[0] for _, _, body in answers_in(rest_of(peer))]
    assert bodies == ["/x/later/held", "/x/y", "/x/last"]


def test_who_reads_nothing_is_answered_no_more(doors: Doors) -> None:
    """The answers wait in the connection's buffer: it would hold any number of them."""
    sent, before = 0, Counting.taken
    with connect(doors[0]) as peer:
        while not (Seen.last and Seen.last.flow.write_paused):
            send(peer, get("/x/long"))
            sent += 1
        send(peer, PLAIN)
        assert Counting.taken - before == sent
        peer.sendall(LAST)
        assert [len(body) for _, _, body in answers_in(rest_of(peer))][:sent] == [len(LONG)] * sent


def test_only_idle_connections_are_closed(doors: Doors) -> None:
    with connect(doors[0]) as peer:
        send(peer, PLAIN)
        protocol = Seen.last
        assert protocol is not None and protocol.timeout_keep_alive_task is not None  # noqa: PT018
        protocol.loop.call_soon_threadsafe(protocol.timeout_keep_alive_handler)  # set long before
        send(peer, PLAIN)
        send(peer, PLAIN)
        protocol.timeout_keep_alive = 0
        protocol.loop.call_soon_threadsafe(protocol.timeout_keep_alive_handler)
        assert len(answers_in(rest_of(peer))) == 3


@pytest.mark.usefixtures("doors")
def test_a_known_header_lets_nobody_else_in() -> None:
    right, wrong = (f"Authorization: Basic YTp{last}" for last in "ij")
    headers = ((right,), (wrong,), (), (right, wrong), (right,), (wrong,), (right, "X: y"))
    packets = [get(path, *lines) for lines in headers for path in ("/x/y", "/x/404")]
    with opened(Counting, {"a": "b"}) as first, opened(Never, {"a": "b"}) as second:
        before = Counting.taken
        answers = talk(first, *packets)
        assert answers == talk(second, *packets)
        assert 0 < Counting.taken - before <= 6
    assert [status for status, *_ in answers[::2]] == [200, 401, 401, 401, 200, 401, 200, 401]


def test_what_is_known_is_of_one_address() -> None:
    quick = QuickAnswers(lambda _fields, address: Request("GET", "/", base_url=address), answer)
    found = [quick.answer(PLAIN, address) for address in ("one", "two", "one")]
    seen = [json.loads(b"".join(one.chunks))[3] for one in found if one is not None]
    assert seen == ["one", "two", "one"]


@pytest.mark.parametrize(
    "rest", [b"", b"Host: a%d", b"Host: a%d\r\n", b"\r\nbody%d", b"Host: a%d\r\n\r\nGET /"]
)
def test_nothing_but_whole_heads_is_remembered(rest: bytes) -> None:
    """Else what comes in pieces would drive out what is asked for again and again."""
    quick = QuickAnswers(lambda *_: pytest.fail("nor read"), answer)
    for number in range(300):
        packet = b"GET /x/y HTTP/1.1\r\n" + (rest % number if b"%" in rest else rest)
        assert quick.answer(packet, "one") is None
    assert not quick._known


@pytest.mark.parametrize("part", [b"P", PLAIN[:-2] + b"X-A: "])
def test_a_head_begun_behind_another_request_is_gone_on_with(doors: Doors, part: bytes) -> None:
    """What comes next is the rest of that, whatever it looks like."""

    def both(door: FullDoor) -> list[Answer]:
        with connect(door) as peer:
            send(peer, PLAIN + part)
            got = b""
            while b'"/x/y"' not in got:
                got += peer.recv(1 << 16)
            send(peer, PLAIN)
            peer.sendall(LAST)
            return answers_in((got + rest_of(peer)).replace(b":%d" % door.port, b":12345"))

    assert both(doors[0]) == both(doors[1])


def test_proxy_connection_closes_too(doors: Doors) -> None:
    asked = get("/x/y", "Proxy-Connection: close")
    assert talk(doors[0], asked) == talk(doors[1], asked)
