"""Byte ranges (RFC 9110 14) over answers that are one block of bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from farsight.errors import RangeNotSatisfiable
from farsight.web.conditional import matches
from farsight.web.messages import Request, Response

#: No body is as long as sixteen digits can say: what is longer is no range we know.
_SINGLE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})\Z")


@dataclass(frozen=True, slots=True)
class Lazy:
    """A body that is read where it is asked for. most_bytes: of a range that has no end."""

    size: int
    read: Callable[[int, int], bytes]
    most_bytes: int

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self.size)
        return self.read(start, stop - start)


def with_range(
    request: Request,
    headers: tuple[tuple[str, str], ...],
    body: bytes | memoryview | Lazy,
    tag: str = "",
) -> Response:
    """206 with the part asked for; the whole where no single range is asked for.

    `tag`: the entity tag it is sent with; a client may want the range of that only.

    Raises: RangeNotSatisfiable when the range begins behind the end.
    """
    if matches(request.headers.get("if-none-match"), tag):  # goes before ranges: RFC 9110 13.2.2
        return Response(200, headers)
    found = _SINGLE.match(request.headers.get("range", "").replace(" ", ""))
    headers = (*headers, ("Accept-Ranges", "bytes"))
    other = request.headers.get("if-range", tag) != tag  # RFC 9110 13.1.5: strong, and no dates
    if found is None or found.groups() == ("", "") or other or request.method != "GET":
        return Response(200, headers, bytes(body[:]))
    first, last = found.groups()
    size = len(body)
    if first == "":
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
    if isinstance(body, Lazy) and not last:
        stop = min(stop, start + body.most_bytes)
    if start >= size or start >= stop:
        raise RangeNotSatisfiable(size)
    headers = (*headers, ("Content-Range", f"bytes {start}-{stop - 1}/{size}"))
    return Response(206, headers, bytes(body[start:stop]))
