"""The tokenizer: where the elements of one data set lie in a buffer (PS3.5 section 7).

Laws: nothing is copied; every position stays inside the buffer or MalformedDicom is raised;
each step moves forward; sequences nest MAX_DEPTH deep at most; a data set has MAX_ELEMENTS
at most. Values are not looked at, except to find the end of those of undefined length.

Read leniently, because archives hold such objects: items in implicit VR inside an explicit
data set, elements without VR there (PS3.5 6.2.2 and its misreadings), unknown VRs, stray
delimiters, a few zero bytes at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

from farsight.dicom.encapsulated import ITEM_BIG, ITEM_LITTLE, SEQUENCE_ENDS, walk_fragments
from farsight.dicom.positions import BeyondEnd, Element, Elements, Span
from farsight.dicom.vr import (
    LONG_VRS,
    NO_BYTE_ORDER,
    PUBLIC_VRS,
    SHORT_VRS,
    is_private,
    is_private_creator,
    private_vr,
    public_vr,
)
from farsight.errors import MalformedDicom

MAX_DEPTH: Final = 64
MAX_ELEMENTS: Final = 100_000
UNDEFINED: Final = 0xFFFFFFFF
PIXEL_DATA: Final = 0x7FE00010
#: Pixel Data, Float Pixel Data, Double Float Pixel Data: an object has one of them.
PIXELS: Final = (PIXEL_DATA, 0x7FE00008, 0x7FE00009)

_ITEM_END_TAG: Final = 0xFFFEE00D
_ITEM_TAG: Final = 0xFFFEE000
_EXPLICIT: Final = (Struct("<HH2sH").unpack_from, Struct(">HH2sH").unpack_from)
_IMPLICIT: Final = (Struct("<HHL").unpack_from, Struct(">HHL").unpack_from)
_UINT32: Final = (Struct("<L").unpack_from, Struct(">L").unpack_from)

_element: Callable[[type[Element], tuple[int, str, int, int, bool]], Element] = tuple.__new__


class Scanner:
    """Tokenizes one buffer. Remembers where undefined lengths end, so nothing is walked twice."""

    __slots__ = ("_ends", "body")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self._ends: dict[int, int] = {}

    def data_set(
        self, start: int, stop: int, implicit: bool, big_endian: bool, depth: int = 0
    ) -> Elements:
        """The elements between two positions. Raises MalformedDicom."""
        elements, _ = self._scan(start, stop, implicit, big_endian, depth, delimited=False)
        return elements

    def items(self, element: Element, implicit: bool, depth: int) -> list[Span]:
        """The items of a sequence, found without looking into those of defined length.

        `implicit` tells how the data set that holds the sequence is encoded, `depth` the
        nesting of the items. Raises MalformedDicom.
        """
        spans: list[Span] = []
        stop = element.value_offset + element.length
        self._walk_items(element.value_offset, stop, implicit, depth, spans, bounded=True)
        return spans

    # -- data sets ----------------------------------------------------------------------

    def _scan(
        self,
        pos: int,
        stop: int,
        implicit: bool,
        big_endian: bool,
        depth: int,
        *,
        delimited: bool,
    ) -> tuple[Elements, int]:
        """Elements from `pos`, and the position after them; delimited: up to an item delimiter."""
        if depth > MAX_DEPTH:
            raise MalformedDicom(f"sequences are nested more than {MAX_DEPTH} deep")
        elements: Elements = {}
        scan = self._scan_implicit if implicit else self._scan_explicit
        pos, ended = scan(elements, pos, stop, big_endian, depth, delimited)
        if delimited and not ended:
            raise MalformedDicom("an item of undefined length has no end")
        if not delimited and stop - pos and self.body[pos:stop].strip(b"\0 "):
            raise MalformedDicom(f"{stop - pos} bytes are left over at the end of a data set")
        return elements, pos

    def _scan_explicit(
        self,
        elements: Elements,
        pos: int,
        stop: int,
        big_endian: bool,
        depth: int,
        delimited: bool,
    ) -> tuple[int, bool]:
        body, unpack, short = self.body, _EXPLICIT[big_endian], SHORT_VRS
        undefined, last = False, stop - 8
        while pos <= last:
            group, number, code, length = unpack(body, pos)
            tag = group << 16 | number
            vr = short.get(code)
            start = pos + 8
            if vr is None:
                if group == 0xFFFE:
                    pos = start
                    if self._is_end(tag, delimited):
                        return pos, True
                    continue
                vr, start, length = self._long_form(pos, stop, tag, code, length, big_endian)
                if vr == "UN" and length != UNDEFINED:
                    vr = self._known_vr(elements, tag, start, length, big_endian)
                undefined = length == UNDEFINED
                if undefined:
                    vr, end, pos = self._undefined(tag, vr, start, stop, False, depth)
                    length = end - start
            if not undefined:
                pos = start + length
                if pos > stop:
                    element = Element(tag, vr, start, length, False)
                    raise BeyondEnd(element, stop - start, depth)
            elements[tag] = _element(Element, (tag, vr, start, length, undefined))
            undefined = False
            if len(elements) > MAX_ELEMENTS:
                raise MalformedDicom(f"a data set has more than {MAX_ELEMENTS} elements")
        return pos, False

    def _scan_implicit(
        self,
        elements: Elements,
        pos: int,
        stop: int,
        big_endian: bool,
        depth: int,
        delimited: bool,
    ) -> tuple[int, bool]:
        body, unpack, known, last = self.body, _IMPLICIT[big_endian], PUBLIC_VRS, stop - 8
        while pos <= last:
            group, number, length = unpack(body, pos)
            tag = group << 16 | number
            start = pos + 8
            vr = known.get(tag)
            if vr is None:
                if group == 0xFFFE:
                    pos = start
                    if self._is_end(tag, delimited):
                        return pos, True
                    continue
                vr = self._dictionary_vr(elements, tag) or "UN"
            undefined = length == UNDEFINED
            if undefined:
                vr, end, pos = self._undefined(tag, vr, start, stop, True, depth)
                length = end - start
            else:
                pos = start + length
                if pos > stop:
                    element = Element(tag, vr, start, length, False)
                    raise BeyondEnd(element, stop - start, depth)
            elements[tag] = _element(Element, (tag, vr, start, length, undefined))
            if len(elements) > MAX_ELEMENTS:
                raise MalformedDicom(f"a data set has more than {MAX_ELEMENTS} elements")
        return pos, False

    @staticmethod
    def _is_end(tag: int, delimited: bool) -> bool:
        """Whether a delimiter ends the data set; those that end nothing are skipped."""
        if tag == _ITEM_TAG:
            raise MalformedDicom("an item stands outside a sequence")
        if delimited and tag != _ITEM_END_TAG:
            raise MalformedDicom("an item of undefined length has no end")
        return delimited

    # -- elements -----------------------------------------------------------------------

    def _long_form(
        self, pos: int, stop: int, tag: int, code: bytes, length16: int, big_endian: bool
    ) -> tuple[str, int, int]:
        """VR, value position and length of an element whose VR is no short one."""
        vr = LONG_VRS.get(code)
        if vr is None and not (b"AA" <= code <= b"ZZ" and code.isalpha()):
            # no VR at all: some writers fall back into implicit VR half-way
            implied = None if is_private(tag) else public_vr(tag)
            return implied or "UN", pos + 8, _UINT32[big_endian](self.body, pos + 4)[0]
        if pos + 12 > stop:
            raise MalformedDicom(f"the data set ends within the header of {_name(tag)}")
        length: int = _UINT32[big_endian](self.body, pos + 8)[0]
        if vr is None:  # a VR of the future has a 32-bit length (PS3.5 6.2); of the past, 16 bits
            if length16 == 0 and pos + 12 + length <= stop:
                return "UN", pos + 12, length
            return "UN", pos + 8, length16
        return vr, pos + 12, length

    def _known_vr(
        self, elements: Elements, tag: int, start: int, length: int, big_endian: bool
    ) -> str:
        """VR for an element that says UN with a defined length: from the dictionary if it fits.

        What UN holds is little endian (PS3.5 6.2.2), so in a big endian data set only values
        without byte order can be told.
        """
        vr = self._dictionary_vr(elements, tag) or "UN"
        if big_endian:
            return vr if vr in NO_BYTE_ORDER else "UN"
        is_items = self.body[start : start + 4] == ITEM_LITTLE or length == 0
        return "UN" if vr == "SQ" and not is_items else vr

    def _dictionary_vr(self, elements: Elements, tag: int) -> str | None:
        if not is_private(tag):
            return public_vr(tag)
        if is_private_creator(tag):
            return "LO"
        creator = elements.get(tag & 0xFFFF0000 | (tag >> 8 & 0xFF))
        if creator is None:
            return None
        start = creator.value_offset
        name = self.body[start : start + min(creator.length, 64)]
        return private_vr(tag, name.decode("latin-1").strip(" \0"))

    def _undefined(
        self, tag: int, vr: str, start: int, stop: int, implicit: bool, depth: int
    ) -> tuple[str, int, int]:
        """VR, end of the value and position after the delimiter, for an undefined length."""
        if vr in ("OB", "OW") or tag == PIXEL_DATA:
            end = self._ends.get(start) or walk_fragments(self.body, start, stop)[1]
        elif vr in ("SQ", "UN") or (implicit and self.body[start : start + 4] == ITEM_LITTLE):
            vr = "SQ"
            end = self._ends.get(start) or self._walk_items(
                start, stop, implicit, depth + 1, None, bounded=False
            )
        else:
            raise MalformedDicom(f"{_name(tag)} has VR {vr} and an undefined length")
        self._ends[start] = end
        return vr, end, end + 8

    # -- sequences ----------------------------------------------------------------------

    def _walk_items(
        self,
        pos: int,
        stop: int,
        implicit: bool,
        depth: int,
        spans: list[Span] | None,
        *,
        bounded: bool,
    ) -> int:
        """Position of the sequence delimiter, or of the end where that is `bounded`."""
        while pos + 8 <= stop:
            mark = self.body[pos : pos + 4]
            if mark in SEQUENCE_ENDS:
                return pos
            big_endian = mark == ITEM_BIG
            if not big_endian and mark != ITEM_LITTLE:
                raise MalformedDicom("a sequence holds something that is not an item")
            length: int = _UINT32[big_endian](self.body, pos + 4)[0]
            start = pos + 8
            in_implicit = implicit or self._is_implicit(start, stop)
            if length == UNDEFINED:
                pos = self._ends.get(start, 0)
                if not pos:
                    encoding = (in_implicit, big_endian, depth)
                    _, pos = self._scan(start, stop, *encoding, delimited=True)
                    self._ends[start] = pos
                end = pos - 8
            else:
                pos = end = start + length
                if end > stop:
                    raise MalformedDicom("an item is longer than the sequence that holds it")
            if spans is not None:
                spans.append(Span(start, end, in_implicit, big_endian))
        if not bounded:
            raise MalformedDicom("a sequence of undefined length has no end")
        return stop

    def _is_implicit(self, start: int, stop: int) -> bool:
        """Whether the item at `start` carries no VRs, though the data set around it does.

        PS3.5 6.2.2 asks for that inside UN; some writers do it elsewhere.
        """
        code = self.body[start + 4 : start + 6]
        if start + 8 > stop or self.body[start : start + 2] in (b"\xfe\xff", b"\xff\xfe"):
            return False  # empty: nothing to read either way
        return code not in SHORT_VRS and code not in LONG_VRS


def _name(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
