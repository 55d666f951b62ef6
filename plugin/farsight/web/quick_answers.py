"""Requests that are answered as soon as their bytes are there: without a task, a parser, a thread.

A viewer sends the same headers with every request, so what they come to is remembered by their
bytes; what differs is one line. Laws: whatever isn't plainly a whole GET of that kind goes the
long way, and both ways give the same answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import httptools

from farsight.errors import FarsightError
from farsight.services.presence import Presence
from farsight.web.messages import Request, Response
from farsight.web.wire_form import encoded_header, wire_form

#: A path and a query without anything that would have to be decoded, or could be read in two ways.
_LINE = re.compile(rb"GET (/[A-Za-z0-9._~/-]*)(?:\?([A-Za-z0-9._~/,:;=&-]*))? HTTP/1\.1\r\n")
#: What changes how the connection goes on, or says that more comes than the head.
_OTHERS = frozenset(
    (
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
    )
)
_MOST_BYTES = 8 << 10
#: Header blocks, and fields in one: what is remembered takes a few megabytes at most.
_MOST_REMEMBERED, _MOST_FIELDS = 200, 64

#: A header's names and values as they came, the client's address -> what a request begins with.
Begin = Callable[[list[tuple[bytes, bytes]], str], Request]
AtOnce = Callable[[Request], Response | None]


@dataclass(frozen=True, slots=True)
class QuickAnswer:
    """head: status line and headers, without the empty line."""

    head: bytes
    chunks: list[bytes | memoryview]


class QuickAnswers:
    """Of one door; used on its event loop only."""

    def __init__(self, begin: Begin, at_once: AtOnce) -> None:
        """`begin`: raises FarsightError where such a header is refused."""
        self._begin = begin
        self._at_once = at_once
        self._known: dict[tuple[bytes, str], Request | None] = {}

    def answer(self, data: bytes, client_address: str) -> QuickAnswer | None:
        """The answer to what has come on a connection that waits for a request; None: it goes the
        long way."""
        if len(data) > _MOST_BYTES or (asked := _LINE.match(data)) is None:
            return None
        key = data[asked.end() :], client_address
        if key not in self._known and not self._learn(key):
            return None
        if (first := self._known[key]) is None:
            return None
        path, query = asked[1].decode("ascii"), _pairs(asked[2])
        if query is None:
            return None
        presence = Presence()
        request = Request("GET", path, query, first.headers, b"", first.base_url, presence)
        try:
            response = self._at_once(request)
            return None if response is None else _on_the_wire(response)
        finally:
            presence.over()

    def _learn(self, key: tuple[bytes, str]) -> bool:
        """False: that is less than a head, or more, and isn't to be remembered."""
        header, _ = key
        if header.find(b"\r\n\r\n") != len(header) - 4:
            return False
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        self._known[key] = self._read(*key)
        return True

    def _read(self, header: bytes, client_address: str) -> Request | None:
        """What requests with this header begin with."""
        found = _Fields()
        parser = httptools.HttpRequestParser(found)
        try:
            parser.feed_data(b"GET / HTTP/1.1\r\n" + header)
            if not found.complete or len(found.fields) > _MOST_FIELDS:
                return None
            request = self._begin(found.fields, client_address)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, FarsightError):
            return None  # said on the long way
        return None if _OTHERS & request.headers.keys() else request


class _Fields:
    """What the parser tells of a head."""

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_message_complete(self) -> None:
        self.complete = True


def _pairs(query: bytes | None) -> tuple[tuple[str, str], ...] | None:
    """Decoded; None where it isn't made of names and values alone."""
    if not query:
        return ()
    pairs = [pair.partition("=") for pair in query.decode("ascii").split("&")]
    if not all(equals for _, equals, _ in pairs):
        return None
    return tuple((name, value) for name, _, value in pairs)


def _on_the_wire(response: Response) -> QuickAnswer | None:
    headers, chunks = wire_form(response)
    if not isinstance(chunks, list):
        return None
    lines = [_STATUS_LINES[response.status], *[f"{name}: {value}\r\n" for name, value in headers]]
    return QuickAnswer(encoded_header("".join(lines)), chunks)


_STATUS_LINES: Mapping[int, str] = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
}
