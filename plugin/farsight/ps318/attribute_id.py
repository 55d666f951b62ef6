"""Attribute identifiers of queries: tag or keyword, sequences with dots (PS3.18 8.3.4.1)."""

from __future__ import annotations

import re
from functools import lru_cache

from pydicom.datadict import dictionary_VR, tag_for_keyword

_TAG = re.compile(r"[0-9A-Fa-f]{8}\Z")
MAX_DEPTH = 8
MAX_CHARS = 256


def attribute_path(text: str) -> tuple[str, ...] | None:
    """Tags (eight upper-case hex digits) from the outermost sequence to the attribute.

    None where the text is neither: a keyword the dictionary doesn't know, command or file
    meta elements, group lengths, a path through something that is no sequence.
    """
    if len(text) > MAX_CHARS or text.count(".") >= MAX_DEPTH:
        return None
    return _path(text)


@lru_cache(maxsize=4096)
def _path(text: str) -> tuple[str, ...] | None:
    tags = [_tag(part) for part in text.split(".")]
    known = [tag for tag in tags if tag is not None]
    if len(known) != len(tags) or any(vr_of(tag) != "SQ" for tag in known[:-1]):
        return None
    return tuple(known)


@lru_cache(maxsize=4096)
def vr_of(tag: str) -> str | None:
    """The VR of the dictionary (PS3.6), the first where it offers several; None: unknown."""
    if is_private(tag):
        return None
    try:
        return dictionary_VR(int(tag, 16)).split(" ")[0]
    except KeyError:
        return None


def is_private(tag: str) -> bool:
    """Odd groups are private (PS3.5 7.8)."""
    return int(tag[:4], 16) % 2 == 1


def tag_of(keyword: str) -> str:
    """The tag of a keyword known to exist; for tables in the code. Raises: KeyError."""
    number = tag_for_keyword(keyword)
    if number is None:
        raise KeyError(keyword)
    return f"{number:08X}"


def _tag(part: str) -> str | None:
    if _TAG.match(part):
        tag = part.upper()
    else:
        number = tag_for_keyword(part) if part else None  # the dictionary has nameless entries
        if number is None:
            return None
        tag = f"{number:08X}"
    if int(tag[:4], 16) < 0x0008 or tag.endswith("0000"):
        return None
    return tag
