"""Data sets from the DICOM JSON model into Explicit VR Little Endian (PS3.18 F.2, PS3.5 7.1).

Laws: elements ascend, sequences have defined lengths, group lengths go (F.2.2); every attribute is
written or InstanceRefused names it; long values are referred to, never copied.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from farsight.dicom.scan import MAX_DEPTH, MAX_ELEMENTS, UNDEFINED
from farsight.dicom.vr import LONG_VRS, SHORT_VRS, WORD_BYTES
from farsight.dicom.writing import (
    MAX_LENGTH,
    Piece,
    Pieces,
    element_header,
    encapsulated_value,
    item_header,
    padding,
)
from farsight.model import JsonAttribute
from farsight.ps318.bulk_parts import BulkPart, BulkParts
from farsight.ps318.json_reader import Repeated
from farsight.ps318.json_values import BINARY_VRS
from farsight.ps318.pixel_parts import FLOAT_VRS, PIXEL_DATA, Level, Pixels, frame_count, pixels_of
from farsight.ps318.refused import InstanceRefused, ValueUnfit
from farsight.ps318.store_reasons import FailureReason
from farsight.ps318.text_encoding import UNICODE, encoder_for, in_unicode
from farsight.ps318.value_bytes import (
    TEXT_VRS,
    Encoder,
    checked_text,
    shortened_decimals,
    value_bytes,
)

CHARACTER_SET: Final = 0x00080005
PIXELS: Final = frozenset((PIXEL_DATA, *FLOAT_VRS))

_VRS: Final = frozenset((*SHORT_VRS.values(), *LONG_VRS.values()))
_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}\Z")
_CONTENTS: Final = ("Value", "InlineBinary", "BulkDataURI")
#: "keyword" is found in the field, and says nothing that the tag doesn't.
_NAMES: Final = frozenset(("vr", "keyword", *_CONTENTS))
#: PS3.5 7.1: of items, of commands, and those that are nobody's.
_NO_GROUPS: Final = frozenset((0x0000, 0x0001, 0x0003, 0x0005, 0x0007, 0xFFFE, 0xFFFF))


@dataclass(frozen=True, slots=True)
class Coercion:
    """An attribute whose value isn't written as it came. path: `<tag>`, or `<tag>/<item>/<tag>`."""

    path: str
    original: JsonAttribute
    why: str


def level_of(attributes: Any, where: str = "") -> dict[int, JsonAttribute]:
    """Attributes by tag, their names and shapes checked. `where`: ends in a slash, for messages.

    Raises: InstanceRefused.
    """
    if isinstance(attributes, Repeated):
        raise _refused(f"{where}{attributes.name[:16]!r} stands twice in one data set")
    if not isinstance(attributes, dict):
        raise _refused(f"{where or 'it '}is not a data set")
    level: dict[int, JsonAttribute] = {}
    for name, attribute in attributes.items():
        if not _TAG.match(name):
            raise _refused(f"{where}{name[:16]!r} is not a tag of eight hexadecimal digits")
        tag = int(name, 16)
        if tag >> 16 in _NO_GROUPS or (where and tag >> 16 == 2):
            raise _refused(f"{where}{name} can't be in a data set")
        if tag in level:
            raise _refused(f"{where}{name} stands twice in one data set")
        _check_shape(attribute, where + name)
        level[tag] = attribute
    if len(level) > MAX_ELEMENTS:
        raise _refused(f"a data set has more than {MAX_ELEMENTS} elements")
    return level


def _check_shape(attribute: Any, where: str) -> None:
    if isinstance(attribute, Repeated):
        raise _refused(f"{where} has {attribute.name[:16]!r} twice")
    vr = attribute.get("vr") if isinstance(attribute, dict) else None
    if not isinstance(vr, str) or vr not in _VRS:
        raise _refused(f"{where} has no VR, or an unknown one")
    if not attribute.keys() <= _NAMES:
        unknown = next(name for name in attribute if name not in _NAMES)
        raise _refused(f"{where} has something unknown: {unknown[:32]!r}")
    given = [name for name in _CONTENTS if attribute.get(name) is not None]
    if len(given) > 1:
        raise _refused(f"{where} has both {given[0]} and {given[1]}")
    if given:
        content = attribute[given[0]]
        is_list = isinstance(content, list)
        if is_list != (given[0] == "Value") or not (is_list or type(content) is str):
            raise _refused(f"{where} has a {given[0]} of another type")


class DataSetWriter:
    """Writes one instance. `pieces`: what is written so far; `coercions`: what was changed.

    `unicode`: all text in UTF-8, whatever character sets are named. `declared`: the transfer
    syntax by the metadata. `pixels`: those of the instance itself, found before.
    """

    def __init__(
        self, bulk: BulkParts, *, unicode: bool, declared: str, pixels: Pixels | None
    ) -> None:
        self.pieces: Pieces = []
        self.coercions: list[Coercion] = []
        self._bulk = bulk
        self._unicode = unicode
        self._declared = declared
        self._pixels = pixels

    def write(self, level: Mapping[int, JsonAttribute]) -> int:
        """The instance's own attributes, and how many bytes they are.

        Raises: InstanceRefused; NotInSet where it has to be written in Unicode.
        """
        if self._unicode:
            level = {CHARACTER_SET: {"vr": "CS"}, **level}
        return self._data_set(level, encoder_for([]), "", 0)

    def _data_set(self, level: Level, encode: Encoder, where: str, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise _refused(f"sequences are nested more than {MAX_DEPTH} deep")
        if self._unicode:
            encode = in_unicode
        elif CHARACTER_SET in level:
            encode = encoder_for(level[CHARACTER_SET].get("Value") or [])
        total = 0
        for tag in sorted(level):
            if not tag & 0xFFFF:
                continue
            try:
                total += self._element(tag, level, encode, where, depth)
            except ValueUnfit as error:
                raise InstanceRefused(error.reason, f"{where}{tag:08X}: {error}") from error
        return total

    def _element(self, tag: int, level: Level, encode: Encoder, where: str, depth: int) -> int:
        attribute = level[tag]
        vr: str = attribute["vr"]
        if tag in PIXELS:
            found = self._pixels if depth == 0 else None
            return self._pixel_data(tag, found or self._pixels_in(tag, level))
        if vr == "SQ":
            return self._sequence(tag, attribute, encode, f"{where}{tag:08X}", depth)
        if tag == CHARACTER_SET and self._unicode:
            attribute = self._unicode_instead(attribute, f"{where}{tag:08X}")
        values = attribute.get("Value")
        if values is None:
            return self._value(tag, vr, self._elsewhere(vr, attribute, encode))
        if vr == "DS" and shortened_decimals(values):
            why = "a DS has 16 characters at most"
            self.coercions.append(Coercion(f"{where}{tag:08X}", attribute, why))
        return self._value(tag, vr, value_bytes(tag, vr, values, encode))

    def _unicode_instead(self, attribute: JsonAttribute, where: str) -> JsonAttribute:
        named = attribute.get("Value")
        if named and named != [UNICODE]:
            why = f"some text does not fit this character set; it is {UNICODE} now"
            self.coercions.append(Coercion(where, attribute, why))
        return {"vr": "CS", "Value": [UNICODE]}

    def _elsewhere(self, vr: str, attribute: JsonAttribute, encode: Encoder) -> Piece:
        """A value that is inline in base64 or in another part; empty where there is none."""
        value: Piece = b""
        if attribute.get("InlineBinary") is not None:
            if vr not in BINARY_VRS:
                raise ValueUnfit(f"{vr} has no InlineBinary")
            value = inline_value(attribute)
        elif attribute.get("BulkDataURI") is not None:
            value = self._bulk.one(attribute["BulkDataURI"]).data
            if vr in TEXT_VRS:  # UTF-8, as metadata is (F.2.2, note 4)
                return encode(checked_text(vr, _unicode_text(value)))
        if vr != "OW" and len(value) % WORD_BYTES.get(vr, 1):
            raise ValueUnfit(f"its length does not fit {vr}")
        return value

    def _value(self, tag: int, vr: str, value: Piece) -> int:
        odd = len(value) % 2
        if len(value) > MAX_LENGTH:
            raise ValueUnfit("it is longer than a value can be")
        header = element_header(tag, vr, len(value) + odd)
        self.pieces += (header, value)
        if odd:
            self.pieces.append(padding(vr))
        return len(header) + len(value) + odd

    def _sequence(
        self, tag: int, attribute: JsonAttribute, encode: Encoder, where: str, depth: int
    ) -> int:
        if not attribute.keys().isdisjoint(("InlineBinary", "BulkDataURI")):
            raise ValueUnfit("a sequence has its items in Value")
        items = attribute.get("Value") or []
        at, total = len(self.pieces), 0
        self.pieces.append(b"")  # the header, once the length is known
        for number, item in enumerate([] if items == [None] else items, 1):
            inside = f"{where}/{number}/"
            item_at = len(self.pieces)
            self.pieces.append(b"")
            length = self._data_set(level_of(item, inside), encode, inside, depth + 1)
            self.pieces[item_at] = item_header(length)
            total += 8 + length
            if total > MAX_LENGTH:
                raise ValueUnfit("it is longer than a value can be")
        self.pieces[at] = element_header(tag, "SQ", total)
        return len(self.pieces[at]) + total

    def _pixels_in(self, tag: int, level: Level) -> Pixels:
        """Those of an icon, say: plain, or in the transfer syntax of the instance."""
        pixels = find_pixels(tag, level, self._bulk, self._declared)
        around = self._pixels.transfer_syntax_uid if self._pixels else ""
        if pixels.transfer_syntax_uid not in ("", around):
            raise ValueUnfit("it is in another transfer syntax than the instance")
        return pixels

    def _pixel_data(self, tag: int, pixels: Pixels) -> int:
        at = len(self.pieces)
        if pixels.transfer_syntax_uid:
            has_table = pixels.in_frames and not pixels.needs_extended_table
            self.pieces.append(element_header(tag, pixels.vr, UNDEFINED))
            self.pieces += encapsulated_value(pixels.chunks, table=has_table)
        else:
            length = sum(map(len, pixels.chunks))
            if length > MAX_LENGTH:
                raise ValueUnfit("it is longer than a value can be")
            self.pieces.append(element_header(tag, pixels.vr, length + length % 2))
            self.pieces += pixels.chunks
            if length % 2:
                self.pieces.append(b"\0")
        return sum(map(len, self.pieces[at:]))


def find_pixels(tag: int, level: Level, bulk: BulkParts, declared: str) -> Pixels:
    """The pixels of one level, wherever they came. Raises: ValueUnfit."""
    attribute = level[tag]
    if attribute.get("BulkDataURI") is not None:
        parts = bulk.frames(attribute["BulkDataURI"], frame_count(level))
    elif attribute.get("InlineBinary") is not None:
        parts = [BulkPart("", "", inline_value(attribute))]
    else:
        raise ValueUnfit("there are no pixels in it")
    return pixels_of(tag, level, parts, declared)


def inline_value(attribute: JsonAttribute) -> bytes:
    """InlineBinary in strict base64 (F.2.7, RFC 4648 4). Raises: ValueUnfit."""
    try:
        return b64decode(attribute["InlineBinary"], validate=True)
    except ValueError as error:
        raise ValueUnfit("InlineBinary is not base64") from error


def _unicode_text(value: Piece) -> str:
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError as error:
        raise ValueUnfit("the text in its part is not in UTF-8") from error


def _refused(why: str) -> InstanceRefused:
    return InstanceRefused(FailureReason.CANNOT_UNDERSTAND, why)
