"""Request in, Response out: what handlers see, whichever door the client came through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from farsight.ps318.multipart_related import RelatedBody
from farsight.services.presence import Presence


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, decoded exactly once.

    path: absolute, percent-decoded ("/dicom-web/studies").
    query: decoded pairs in the order sent, repeated names kept.
    headers: names in lower case.
    base_url: scheme and host as the client knows us, no trailing slash: "http://host:8043".
    presence: tells when the client has left; where the door can't know, it never does.
    stream: the body where it is read as it comes; then `body` is empty.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    base_url: str = ""
    presence: Presence = field(default_factory=Presence, compare=False)
    stream: Iterator[bytes | memoryview] | None = field(default=None, compare=False)

    def chunks(self) -> Iterator[bytes | memoryview]:
        """The body, as it comes or in one piece; to be read once.

        Raises: FarsightError where it does not come to its end.
        """
        return iter((self.body,)) if self.stream is None else self.stream

    def parameter(self, name: str) -> str | None:
        """The last value of a query parameter, or None."""
        values = [value for key, value in self.query if key == name]
        return values[-1] if values else None


Body = bytes | RelatedBody


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer. Content-Type is among the headers; the doors add lengths and dates."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: Body = b""

    def header(self, name: str) -> str | None:
        """The first header of that name, whatever its case."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def with_headers(self, *extra: tuple[str, str]) -> Response:
        return Response(self.status, (*self.headers, *extra), self.body)
