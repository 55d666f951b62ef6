"""A Response as an HTTP server takes it: headers, chunks of a body."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from farsight.ps318.multipart_related import RelatedBody
from farsight.web.messages import Response

Chunk = bytes | memoryview
#: In one call; the system's limit is 1024.
MOST_PIECES = 512
#: Above this a copy costs more than another call of the system.
_JOINED_BYTES = 256 << 10


def in_few_writes(chunks: list[Chunk]) -> list[Chunk]:
    """The same bytes, in as few pieces as cost no long copy: each is a call, and a packet."""
    if sum(map(len, chunks)) <= _JOINED_BYTES:
        return [b"".join(chunks)]
    return chunks


def behind(chunks: Sequence[Chunk], size: int) -> Sequence[Chunk]:
    """What comes after so many bytes."""
    for position, chunk in enumerate(chunks):
        if size < len(chunk):
            return (memoryview(chunk)[size:], *chunks[position + 1 :])
        size -= len(chunk)
    return ()


def wire_form(
    response: Response,
) -> tuple[list[tuple[str, str]], list[Chunk] | Iterator[Chunk]]:
    """Headers with Content-Length where it is known, and the body: a list if it is all there.

    Content-Type is among the response's own, with the boundary if the body has parts.
    """
    headers = list(response.headers)
    body = response.body
    length: int | None
    chunks: list[Chunk] | Iterator[Chunk]
    if isinstance(body, RelatedBody):
        if isinstance(body.parts, tuple | list):
            chunks = list(body.chunks())
            length = sum(map(len, chunks))
        else:
            length, chunks = None, body.chunks()
    else:
        length, chunks = len(body), [body]
    if length is not None and response.status not in (204, 304):
        headers.append(("Content-Length", str(length)))
    return headers, chunks


def encoded_header(text: str) -> bytes:
    """Of a header; what it can't say is a question mark."""
    return text.encode("latin-1", "replace")


def start_message(status: int, headers: list[tuple[str, str]]) -> dict[str, Any]:
    """ASGI 3's, of an answer that begins."""
    pairs = [(encoded_header(name), encoded_header(value)) for name, value in headers]
    return {"type": "http.response.start", "status": status, "headers": pairs}
