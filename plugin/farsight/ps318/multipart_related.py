"""multipart/related as DICOMweb uses it (PS3.18 8.6.1.2, RFC 2387): writing.

Laws: every part is `--boundary CRLF headers CRLF CRLF body CRLF`; the last line is
`--boundary-- CRLF`; header names keep their usual case because clients in the field compare
them literally.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

CRLF = b"\r\n"


@dataclass(frozen=True, slots=True)
class Part:
    """One body part. `headers` in order, Content-Type first."""

    headers: tuple[tuple[str, str], ...]
    body: bytes | memoryview

    @property
    def content_type(self) -> str:
        return next(value for name, value in self.headers if name == "Content-Type")


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


def new_boundary() -> str:
    """A boundary that can't occur in the parts by accident (128 random bits)."""
    return f"farsight-{uuid.uuid4().hex}"


def encode_related(parts: Iterable[Part], boundary: str) -> Iterator[bytes | memoryview]:
    """The wire form, in chunks: delimiters with headers, and each part's body untouched.

    Bodies aren't copied: a frame may be half a megabyte of a larger object.
    """
    delimiter = b"--" + boundary.encode("ascii")
    before = b""
    for part in parts:
        head = "".join(f"{name}: {value}\r\n" for name, value in part.headers)
        yield before + delimiter + CRLF + head.encode("utf-8") + CRLF
        yield part.body
        before = CRLF
    yield before + delimiter + b"--" + CRLF
