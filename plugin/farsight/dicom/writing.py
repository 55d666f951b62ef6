"""The pieces a data set in Explicit VR Little Endian is made of (PS3.5 section 7, annex A.4).

Long values are never copied: what is written is a list of pieces, to be joined or sent in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from struct import pack
from typing import Final

from farsight.dicom.scan import UNDEFINED
from farsight.dicom.vr import SHORT_VRS

Pieces = list["bytes | memoryview"]
Piece = bytes | memoryview

EXTENDED_OFFSETS: Final = 0x7FE00001
EXTENDED_LENGTHS: Final = 0x7FE00002
#: No value and no fragment can be longer: the length beyond says that it is undefined.
MAX_LENGTH: Final = 0xFFFFFFFE

_PADDED_WITH_SPACE: Final = frozenset(
    ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT")
)
_SHORT: Final = frozenset(SHORT_VRS.values())
_MAX_SHORT_LENGTH: Final = 0xFFFE
SEQUENCE_END: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"


def element_header(tag: int, vr: str, length: int) -> bytes:
    """A value too long for a 16-bit length field becomes UN (PS3.5 6.2.2)."""
    if vr in _SHORT and length <= _MAX_SHORT_LENGTH:
        return pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode("ascii"), length)
    code = b"UN" if vr in _SHORT else vr.encode("ascii")
    return pack("<HH2sHL", tag >> 16, tag & 0xFFFF, code, 0, length)


def item_header(length: int) -> bytes:
    """Of an item of a sequence, and of a fragment."""
    return b"\xfe\xff\x00\xe0" + pack("<L", length)


def padding(vr: str) -> bytes:
    """The byte that makes a value of this VR even (PS3.5 6.2)."""
    return b" " if vr in _PADDED_WITH_SPACE else b"\0"


def encapsulated_value(fragments: Sequence[Piece], *, table: bool = True) -> Pieces:
    """A value of undefined length in fragments, padded to even length each.

    `table`: it begins with a Basic Offset Table that has an entry for each fragment, else with an
    empty one; so it does where 32 bits don't reach.
    """
    offsets = fragment_offsets(fragments) if table and basic_table_fits(fragments) else []
    basic = pack(f"<{len(offsets)}L", *offsets)
    pieces: Pieces = [item_header(len(basic)) + basic]
    for fragment in fragments:
        odd = len(fragment) % 2
        pieces += (item_header(len(fragment) + odd), fragment)
        if odd:
            pieces.append(b"\0")
    pieces.append(SEQUENCE_END)
    return pieces


def fragment_offsets(fragments: Sequence[Piece]) -> list[int]:
    """Of the first byte of each item tag, counted from the first fragment's."""
    sizes = (8 + len(fragment) + len(fragment) % 2 for fragment in fragments)
    return list(accumulate(sizes, initial=0))[:-1]


def basic_table_fits(fragments: Sequence[Piece]) -> bool:
    """Whether 32 bits reach to the last fragment (PS3.5 A.4)."""
    return not fragments or fragment_offsets(fragments)[-1] <= UNDEFINED


def extended_tables(fragments: Sequence[Piece]) -> tuple[bytes, bytes]:
    """Extended Offset Table and its lengths, without padding (PS3.3 C.7.6.3.1.8)."""
    offsets, lengths = fragment_offsets(fragments), [len(fragment) for fragment in fragments]
    return pack(f"<{len(offsets)}Q", *offsets), pack(f"<{len(lengths)}Q", *lengths)
