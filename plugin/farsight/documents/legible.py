"""Values of elements as people read them: text decoded, dates in ISO 8601, names in order.

Laws: whatever comes from a file passes `legible`, so no control character and no half of a
surrogate pair gets out; the digits of a number are those of the file; nothing here raises,
except that walking into a broken sequence is MalformedDicom.
"""

from __future__ import annotations

import functools
import json
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydicom._uid_dict import UID_dictionary
from pydicom.datadict import dictionary_description

from farsight.dicom.charset import CharacterSets
from farsight.dicom.elements import DataSet
from farsight.dicom.vr import is_private, is_private_creator
from farsight.errors import MalformedDicom
from farsight.ps318.json_values import BINARY_VRS, value_json
from farsight.ps318.temporal import interval

UNREADABLE: Final = "(can't be read)"

_NOT_TEXT: Final = re.compile(
    "[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]"
)
_LINE_END: Final = re.compile("\r\n?|\f")
_MAX_REMEMBERED_BYTES: Final = 128
_CLOCK_ENDS: Final = (2, 4, 6)


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept (PS3.3 table 8.8-1); every part may be empty."""

    value: str
    scheme: str
    meaning: str

    @property
    def text(self) -> str:
        return self.meaning or self.value

    @property
    def identity(self) -> str:
        """ "(T-28000, SRT)", or nothing where there is no code."""
        parts = [part for part in (self.value, self.scheme) if part]
        return f"({', '.join(parts)})" if parts else ""


def legible(text: str) -> str:
    """Line ends are line feeds; characters that aren't text become U+FFFD."""
    return _NOT_TEXT.sub("\ufffd", _LINE_END.sub("\n", text))


def values_of(data_set: DataSet, tag: int) -> tuple[str, ...]:
    """The values of an element, none where it is absent or empty; of a sequence, none."""
    element = data_set.elements.get(tag)
    if element is None or not element.length or element.vr == "SQ":
        return ()
    if element.undefined or element.vr in BINARY_VRS:
        return (_bytes(element.length),)
    read = _remembered if element.length <= _MAX_REMEMBERED_BYTES else _values
    return read(tag, element.vr, data_set.raw(tag), data_set.big_endian, data_set.character_sets())


def text_of(data_set: DataSet, tag: int, separator: str = ", ") -> str:
    """All values of an element in one string; empty where there is none."""
    return separator.join(values_of(data_set, tag))


def items_of(data_set: DataSet, tag: int) -> Iterator[DataSet]:
    """The items of a sequence; none where it is absent. Raises MalformedDicom."""
    element = data_set.elements.get(tag)
    if element is not None and element.vr == "SQ":
        for span in data_set.item_spans(element):
            yield data_set.item(span)


def codes_of(data_set: DataSet, tag: int) -> tuple[Code, ...]:
    """The codes in a code sequence. Raises MalformedDicom."""
    return tuple(code_in(item) for item in items_of(data_set, tag))


def code_in(item: DataSet) -> Code:
    """The code that an item is, its value in whichever form it has (PS3.3 8.1)."""
    value = next(
        filter(None, (text_of(item, tag) for tag in (0x00080100, 0x00080119, 0x00080120))), ""
    )
    return Code(value, text_of(item, 0x00080102), text_of(item, 0x00080104))


def code_text(data_set: DataSet, tag: int) -> str:
    """The meanings in a code sequence. Raises MalformedDicom."""
    return "; ".join(code.text for code in codes_of(data_set, tag))


def label_of(tag: int) -> str:
    """The name of an attribute in PS3.6, or its tag."""
    if not is_private(tag):
        try:
            return dictionary_description(tag)
        except KeyError:
            pass
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def class_name(sop_class_uid: str) -> str:
    """The name of a SOP class in PS3.6, the UID where it has none, "unknown class" without one."""
    entry = UID_dictionary.get(sop_class_uid)
    return entry[0] if entry else legible(sop_class_uid) or "unknown class"


def attributes_of(data_set: DataSet, known: frozenset[int]) -> Iterator[tuple[str, str]]:
    """Name and value of every attribute that isn't `known`; sequences in brackets.

    What can't be read is said to be so.
    """
    for tag in sorted(data_set.elements.keys() - known):
        element = data_set.elements[tag]
        if is_private_creator(tag) or not tag & 0xFFFF:
            continue
        if element.vr != "SQ":
            text = text_of(data_set, tag)
        else:
            try:
                text = "; ".join(_item_text(item) for item in items_of(data_set, tag))
            except MalformedDicom:
                text = UNREADABLE
        yield label_of(tag), text or "(empty)"


_CODE_TAGS: Final = frozenset((0x00080100, 0x00080119, 0x00080120, 0x00080102, 0x00080104))


def _item_text(item: DataSet) -> str:
    code = code_in(item)
    rest = [f"{label}: {text}" for label, text in attributes_of(item, _CODE_TAGS)]
    if code.text:
        rest.insert(0, f"{code.text} {code.identity}".strip())
    return f"[{', '.join(rest)}]"


def _values(
    tag: int, vr: str, raw: bytes, big_endian: bool, character_sets: CharacterSets
) -> tuple[str, ...]:
    decoded = _decoded(tag, vr, raw, big_endian, character_sets)
    values = tuple(legible(_readable(vr, value)) for value in decoded)
    return () if values == ("",) else values


#: Reports say the same codes over and over.
_remembered = functools.lru_cache(maxsize=4096)(_values)


def _decoded(
    tag: int, vr: str, raw: bytes, big_endian: bool, character_sets: CharacterSets
) -> list[Any]:
    """Values in the shape of the DICOM JSON model, but numbers as text."""
    if vr in ("DS", "IS"):
        return [value.strip(" \0") for value in raw.decode("latin-1").split("\\")]
    attribute = value_json(tag, vr, raw, big_endian, character_sets)
    decoder = _SINGLES if vr == "FL" else _DIGITS
    found = decoder.decode(f'{{"vr":{attribute}}}')
    if "InlineBinary" in found:
        return [_bytes(len(raw))]
    values: list[Any] = found.get("Value", [])
    return values


def _bytes(length: int) -> str:
    return f"({length} bytes)"


def _single(text: str) -> str:
    """The fewest digits that make the same number in single precision."""
    value = float(text)
    for digits in range(6, 10):
        shorter = f"{value:.{digits}g}"
        if struct.pack("<f", float(shorter)) == struct.pack("<f", value):
            break
    return shorter


#: Readers of JSON that keep numbers as text.
_DIGITS: Final = json.JSONDecoder(parse_int=str, parse_float=str)
_SINGLES: Final = json.JSONDecoder(parse_int=str, parse_float=_single)


def _readable(vr: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return name_text(value)
    text = str(value)
    if vr in ("DA", "TM", "DT") and interval(vr, text) is not None:
        return {"DA": _date, "TM": _time, "DT": _date_time}[vr](text)
    return text


def _date(text: str) -> str:
    digits = text.replace(".", "")
    return "-".join(filter(None, (digits[:4], digits[4:6], digits[6:8])))


def _time(text: str) -> str:
    digits, point, fraction = text.replace(":", "").partition(".")
    return ":".join(digits[end - 2 : end] for end in _CLOCK_ENDS if digits[end - 2 : end]) + (
        point + fraction
    )


def _date_time(text: str) -> str:
    """Of the precision it has: "2001-02", "2001-02-13 18:47:46.5 +01:00"."""
    local, zone = (text[:-5], text[-5:]) if text[-5:-4] in ("+", "-") else (text, "")
    clock = _time(local[8:])
    offset = f"{zone[:3]}:{zone[3:]}" if zone else ""
    return " ".join(filter(None, (_date(local[:8]), clock, offset)))


def name_text(groups: Mapping[str, str]) -> str:
    """ "Yamada, Dr Tarou (山田 太郎, やまだ たろう)": the groups of a PN (PS3.5 6.2.1)."""
    family, given, middle, prefix, suffix = (
        part.strip() for part in (groups.get("Alphabetic", "").split("^") + [""] * 5)[:5]
    )
    forenames = " ".join(filter(None, (prefix, given, middle)))
    alphabetic = ", ".join(filter(None, (family, forenames, suffix)))
    others = [
        " ".join(filter(None, groups.get(name, "").split("^")))
        for name in ("Ideographic", "Phonetic")
    ]
    written = ", ".join(filter(None, others))
    return f"{alphabetic} ({written})" if alphabetic and written else alphabetic or written
