"""Encapsulated pixel data: where its fragments lie (PS3.5 A.4)."""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from farsight.dicom.positions import Element
from farsight.errors import MalformedDicom

ITEM_LITTLE: Final = b"\xfe\xff\x00\xe0"
ITEM_BIG: Final = b"\xff\xfe\xe0\x00"
_DELIMITER_BYTES: Final = 8
SEQUENCE_ENDS: Final = (b"\xfe\xff\xdd\xe0", b"\xff\xfe\xe0\xdd")
_LENGTH: Final = (Struct("<L").unpack_from, Struct(">L").unpack_from)


class Fragment(NamedTuple):
    """body[offset : offset + length]; the item tag stands 8 bytes before."""

    offset: int
    length: int


def walk_fragments(body: bytes, pos: int, stop: int) -> tuple[list[Fragment], int]:
    """The fragments from `pos` on, offset table included, and where their delimiter stands.

    Only the item headers are read. Raises MalformedDicom.
    """
    fragments: list[Fragment] = []
    while pos + 8 <= stop:
        mark = body[pos : pos + 4]
        if mark in SEQUENCE_ENDS:
            return fragments, pos
        if mark not in (ITEM_LITTLE, ITEM_BIG):
            raise MalformedDicom("encapsulated data holds something that is not a fragment")
        length: int = _LENGTH[mark == ITEM_BIG](body, pos + 4)[0]
        fragments.append(Fragment(pos + 8, length))
        pos += 8 + length
    raise MalformedDicom("encapsulated data has no end")


def fragments_of(body: bytes, element: Element) -> list[Fragment]:
    """The fragments of a value of undefined length. Raises MalformedDicom."""
    start = element.value_offset
    return walk_fragments(body, start, start + element.length + _DELIMITER_BYTES)[0]
