"""Values in little endian, which is all that web services know (PS3.18 8.7.3.3.1)."""

from __future__ import annotations

from array import array
from typing import Final

from farsight.dicom.elements import DataSet
from farsight.dicom.positions import Element
from farsight.dicom.vr import WORD_BYTES

_BITS_ALLOCATED: Final = 0x00280100
_PIXEL_DATA: Final = 0x7FE00010
_ARRAY_CODES: Final = {2: "H", 4: "I", 8: "Q"}


def swapped(raw: bytes | memoryview, word_bytes: int) -> bytes:
    """The bytes with each word of 1, 2, 4 or 8 bytes reversed; an incomplete last one is kept."""
    if word_bytes == 1:
        return bytes(raw)
    whole = len(raw) - len(raw) % word_bytes
    words = array(_ARRAY_CODES[word_bytes], bytes(raw[:whole]))
    words.byteswap()
    return words.tobytes() + bytes(raw[whole:])


def word_bytes_of(data_set: DataSet, element: Element) -> int:
    """How many bytes have to be reversed at a time to make a value little endian; 1 for none.

    Pixel cells above 8 bits are swapped as cells, whatever the VR: encoders in the field write
    them so. Cells of up to 8 bits in OW are packed into words of 16 (PS3.5 8.1.1, annex D).
    """
    if not data_set.big_endian:
        return 1
    if element.tag == _PIXEL_DATA:
        bits = data_set.number(_BITS_ALLOCATED)
        if bits in (16, 32, 64):
            return int(bits) // 8
    return WORD_BYTES.get(element.vr, 1)


def little_endian(data_set: DataSet, element: Element) -> bytes | memoryview:
    """A value in little endian; a view where it is already."""
    view = data_set.view(element.tag)
    word_bytes = word_bytes_of(data_set, element)
    return view if word_bytes == 1 else swapped(view, word_bytes)
