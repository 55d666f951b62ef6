"""The thumbnails of a series as they are kept with it, so that a restart draws nothing anew.

A record is: four bytes that name it, the version of its format, the length of a head, the head in
JSON, the pictures one after another. It counts only for the instances it was made of
(`fingerprint`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from struct import Struct
from typing import Final

_NAME: Final = b"FSTH"
_FORMAT: Final = 1
_START: Final = Struct("<4sBL")
#: Sizes and types that clients ask for; the oldest goes.
_MOST_KEPT: Final = 4


def write_thumbnails(fingerprint: str, pictures: Mapping[str, bytes]) -> bytes:
    """`pictures`: by what they were asked for as, the newest last."""
    newest = dict(list(pictures.items())[-_MOST_KEPT:])
    sizes = {name: len(picture) for name, picture in newest.items()}
    head = {"fingerprint": fingerprint, "pictures": sizes}
    encoded = json.dumps(head, separators=(",", ":")).encode("utf-8")
    return b"".join((_START.pack(_NAME, _FORMAT, len(encoded)), encoded, *newest.values()))


def read_thumbnails(data: bytes, fingerprint: str) -> dict[str, bytes]:
    """The pictures, if they are of these instances; nothing for what isn't whole."""
    if len(data) < _START.size:
        return {}
    name, version, length = _START.unpack_from(data)
    if name != _NAME or version != _FORMAT:
        return {}
    try:
        head = json.loads(data[_START.size : _START.size + length])
        sizes = {str(key): int(size) for key, size in head["pictures"].items()}
        made_of = head["fingerprint"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    at = _START.size + length
    if made_of != fingerprint or min(sizes.values(), default=0) < 0:
        return {}
    if at + sum(sizes.values()) != len(data):
        return {}
    pictures = {}
    for key, size in sizes.items():
        pictures[key] = data[at : at + size]
        at += size
    return pictures
