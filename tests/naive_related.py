"""multipart/related by its definition, on the whole body at once: readers have to agree."""

from __future__ import annotations

import re

Parts = list[tuple[dict[str, str], bytes]]
_LINE = re.compile(rb"([A-Za-z-]+)[ \t]*:(.*)")


class NotMultipart(Exception):
    """It breaks the rules, or has no end."""


def naive_parts(body: bytes, boundary: str) -> Parts:
    """Raises: NotMultipart."""
    line = rb"\n--" + re.escape(boundary.encode()) + rb"(?:(--)|[ \t]*(?=\r\n)|([ \t]*\n))"
    body = b"\n" + body
    found = re.search(line, body)
    parts: Parts = []
    while True:
        if found is None or found[2] is not None:
            raise NotMultipart
        if found[1]:
            if re.match(rb"[ \t]*[^ \t\r\n]", body[found.end() :]):
                raise NotMultipart
            return parts
        blank = body.find(b"\r\n\r\n", found.end())
        if blank < 0:
            raise NotMultipart
        headers = _headers(body[found.end() + 2 : blank])
        found = re.compile(rb"\r" + line).search(body, blank + 2)
        end = found.start() if found is not None else len(body)
        parts.append((headers, body[blank + 4 : end]))


def _headers(block: bytes) -> dict[str, str]:
    lines = re.sub(rb"\r\n(?=[ \t])", b"", block).split(b"\r\n") if block else []
    headers: dict[str, str] = {}
    for text in lines:
        field = _LINE.fullmatch(text)
        name = field[1].decode().lower() if field else ""
        if field is None or name in headers or b"\r" in text or b"\n" in text:
            raise NotMultipart
        headers[name] = field[2].decode("latin-1").strip(" \t")
    return headers
