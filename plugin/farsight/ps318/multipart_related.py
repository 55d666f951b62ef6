"""multipart/related as DICOMweb uses it (PS3.18 8.6.1.2, RFC 2387): writing.

Laws: every part is `--boundary CRLF headers CRLF CRLF body CRLF`; the last line is
`--boundary-- CRLF`; header names keep their usual case because clients in the field compare
them literally.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

CRLF = b"\r\n"
_DRAWN_AT_ONCE = 256
_SPARE: deque[str] = deque()
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One body part. `headers` in order, Content-Type first."""

    headers: Headers
    body: bytes | memoryview

    @property
    def content_type(self) -> str:
        return next(value for name, value in self.headers if name == "Content-Type")


@runtime_checkable
class Sized(Protocol):
    """Parts that know how long they will be."""

    def sizes(self) -> Iterable[tuple[Headers, int]] | None:
        """Headers and length in bytes of the body of each part; None where that can't be told."""
        ...


@dataclass(frozen=True, slots=True)
class RelatedBody:
    """A multipart/related answer. Every run through `parts` gives the same ones, maybe lazily."""

    root_type: str  # media type of the parts, without parameters
    boundary: str
    parts: Iterable[Part]

    @property
    def content_type(self) -> str:
        return f'multipart/related; type="{self.root_type}"; boundary={self.boundary}'

    def chunks(self) -> Iterator[bytes | memoryview]:
        return encode_related(self.parts, self.boundary)

    def length(self) -> int | None:
        """In bytes, where that can be told without making the parts."""
        sizes = self.parts.sizes() if isinstance(self.parts, Sized) else None
        if sizes is None:
            return None
        end = len(f"\r\n--{self.boundary}--\r\n")
        each = [len(_head(headers, self.boundary)) + size for headers, size in sizes]
        return sum(each) + len(CRLF) * (len(each) - 1) + end


def new_boundary() -> str:
    """A boundary that can't occur in the parts by accident (128 random bits).

    Many are drawn at once: the system is asked without the interpreter, which has to be waited
    for again where others want it too.
    """
    while True:
        try:
            return f"farsight-{_SPARE.popleft()}"
        except IndexError:
            drawn = secrets.token_hex(16 * _DRAWN_AT_ONCE)
            _SPARE.extend(drawn[at : at + 32] for at in range(0, len(drawn), 32))


def encode_related(parts: Iterable[Part], boundary: str) -> Iterator[bytes | memoryview]:
    """The wire form, in chunks: delimiters with headers, and each part's body untouched.

    Bodies aren't copied: a frame may be half a megabyte of a larger object.
    """
    before = b""
    for part in parts:
        yield before + _head(part.headers, boundary)
        yield part.body
        before = CRLF
    yield before + b"--" + boundary.encode("ascii") + b"--" + CRLF


def _head(headers: Headers, boundary: str) -> bytes:
    """All of a part that stands before its body."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"--{boundary}\r\n{lines}\r\n".encode()
