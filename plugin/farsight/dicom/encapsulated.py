"""Encapsulated pixel data: where its fragments lie (PS3.5 A.4)."""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from farsight.dicom.positions import Body, Element
from farsight.errors import MalformedDicom

ITEM_LITTLE: Final = b"\xfe\xff\x00\xe0"
ITEM_BIG: Final = b"\xff\xfe\xe0\x00"
_DELIMITER_BYTES: Final = 8
MAX_FRAGMENTS: Final = 1_000_000
SEQUENCE_ENDS: Final = (b"\xfe\xff\xdd\xe0", b"\xff\xfe\xe0\xdd")
_LENGTH: Final = (Struct("<L").unpack_from, Struct(">L").unpack_from)


class Fragment(NamedTuple):
    """body[offset : offset + length]; the item tag stands 8 bytes before."""

    offset: int
    length: int


def walk_fragments(body: Body, pos: int, stop: int) -> tuple[list[Fragment], int]:
    """The fragments from `pos` on, offset table included, and where their delimiter stands.

    Only the item headers are read. Raises MalformedDicom.
    """
    fragments: list[Fragment] = []
    while pos + 8 <= stop:
        header = body[pos : pos + 8]
        mark = header[:4]
        if mark in SEQUENCE_ENDS:
            return fragments, pos
        if mark not in (ITEM_LITTLE, ITEM_BIG):
            raise MalformedDicom("encapsulated data holds something that is not a fragment")
        length: int = _LENGTH[mark == ITEM_BIG](header, 4)[0]
        fragments.append(Fragment(pos + 8, length))
        if len(fragments) > MAX_FRAGMENTS:
            raise MalformedDicom(f"encapsulated data has more than {MAX_FRAGMENTS} fragments")
        pos += 8 + length
    raise MalformedDicom("encapsulated data has no end")


def fragments_of(body: Body, element: Element) -> list[Fragment]:
    """The fragments of a value of undefined length. Raises MalformedDicom."""
    start = element.value_offset
    return walk_fragments(body, start, start + element.length + _DELIMITER_BYTES)[0]
