"""multipart/related taken apart by an independent reading of RFC 2046."""

from __future__ import annotations

import re

import requests


def related_parts(response: requests.Response) -> list[tuple[str, bytes]]:
    """Content type and body of each part."""
    boundary = re.search(r"boundary=\"?([^\";]+)", response.headers["Content-Type"])
    assert boundary is not None, response.headers["Content-Type"]
    delimiter = b"\r\n--" + boundary.group(1).encode()
    pieces = (b"\r\n" + response.content).split(delimiter)
    assert pieces[-1].startswith(b"--")
    found = []
    for piece in pieces[1:-1]:
        head, _, body = piece.partition(b"\r\n\r\n")
        kind = re.search(rb"Content-Type: ([^\r]+)", head)
        assert kind is not None
        found.append((kind.group(1).decode(), body))
    return found
