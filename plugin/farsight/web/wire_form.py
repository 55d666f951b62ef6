"""A Response as an HTTP server takes it: encoded headers, chunks of a body."""

from __future__ import annotations

from collections.abc import Iterator

from farsight.ps318.multipart_related import RelatedBody
from farsight.web.messages import Response

Chunk = bytes | memoryview
#: Above this a copy costs more than another call of the system.
_JOINED_BYTES = 256 << 10


def in_few_writes(chunks: list[Chunk]) -> list[Chunk]:
    """The same bytes, in as few pieces as cost no long copy: each is a call, and a packet."""
    if sum(map(len, chunks)) <= _JOINED_BYTES:
        return [b"".join(chunks)]
    return chunks


def wire_form(
    response: Response,
) -> tuple[list[tuple[bytes, bytes]], list[Chunk] | Iterator[Chunk]]:
    """Headers with Content-Length where it is known, and the body: a list if it is all there."""
    headers = list(response.headers)
    body = response.body
    length: int | None
    chunks: list[Chunk] | Iterator[Chunk]
    if isinstance(body, RelatedBody):
        headers = [pair for pair in headers if pair[0].lower() != "content-type"]
        headers.append(("Content-Type", body.content_type))
        if isinstance(body.parts, tuple | list):
            chunks = list(body.chunks())
            length = sum(map(len, chunks))
        else:
            length, chunks = None, body.chunks()
    else:
        length, chunks = len(body), [body]
    if length is not None and response.status not in (204, 304):
        headers.append(("Content-Length", str(length)))
    return [(n.encode("latin-1"), v.encode("latin-1", "replace")) for n, v in headers], chunks
