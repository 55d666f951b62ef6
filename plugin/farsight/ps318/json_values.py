"""One value field as DICOM JSON (PS3.18 F.2.3 to F.2.7): encoded bytes in, JSON text out.

Laws: padding goes, everything else stays; an empty value is null, an empty field has no
"Value"; a number is a JSON number wherever JSON has one for it, otherwise the string that was
there; nothing raises.

Numbers that JSON can't hold: IS and DS that are no numbers, and SV and UV beyond 2^53, are
strings (F.2.3, note). For NaN and infinities in FL and FD the standard has no encoding; they
become the strings "NaN", "Infinity" and "-Infinity", which the usual parsers of numbers read.
"""

from __future__ import annotations

import math
import re
import struct
from base64 import b64encode
from collections.abc import Callable, Iterable
from json.encoder import encode_basestring
from typing import Final

from farsight.dicom.byte_order import swapped
from farsight.dicom.charset import NAME_DELIMITERS, TEXT_DELIMITERS, VALUE_DELIMITERS, CharacterSets
from farsight.dicom.vr import WORD_BYTES

#: VRs that are InlineBinary or BulkDataURI, never Value (F.2.2).
BINARY_VRS: Final = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))

_MAX_EXACT: Final = 2**53 - 1
_NAME_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
#: First value of these is unsigned whatever their VR says (PS3.3 C.7.6.3.1.5, C.11.1.1.1).
_LUT_DESCRIPTORS: Final = frozenset((0x00281101, 0x00281102, 0x00281103, 0x00283002))

_JSON_NUMBER: Final = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,40})?\Z", re.ASCII)
_DECIMAL: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)


def value_json(
    tag: int, vr: str, raw: bytes, big_endian: bool, character_sets: CharacterSets
) -> str:
    """What follows `"vr":"XX"` in the attribute object, comma included, the VR itself before it.

    A binary number whose length doesn't fit its VR is given as UN, so that no byte is lost.
    """
    if not raw:
        return f'"{vr}"'
    if vr in BINARY_VRS:
        return inline_binary(vr, raw, WORD_BYTES.get(vr, 1) if big_endian else 1)
    values: list[str] | None
    if vr in _TEXT_WRITERS:
        values = _TEXT_WRITERS[vr](raw, character_sets)
    elif vr in _PLAIN_WRITERS:
        values = _PLAIN_WRITERS[vr](raw.decode("latin-1"))
    else:
        values = _numbers(tag, vr, raw, ">" if big_endian else "<")
    if values is None:
        return inline_binary("UN", raw, 1)
    if not values:
        return f'"{vr}"'
    return f'"{vr}","Value":[{",".join(values)}]'


def inline_binary(vr: str, raw: bytes, word_bytes: int) -> str:
    """InlineBinary, little endian (F.2.7); `word_bytes` above 1 where `raw` is big endian."""
    text = b64encode(swapped(raw, word_bytes)).decode("ascii")
    return f'"{vr}","InlineBinary":"{text}"'


def _string(text: str) -> str:
    return encode_basestring(text) if text else "null"


def _strings(texts: Iterable[str]) -> list[str]:
    return _present([_string(text) for text in texts])


def _present(values: list[str]) -> list[str]:
    """A single empty value is no value (F.2.5)."""
    return [] if values == ["null"] else values


def _plain(text: str) -> list[str]:
    """AE, AS, CS, DA, DT, TM, UI: default repertoire, spaces around a value mean nothing."""
    return _strings(value.strip(" \0") for value in text.split("\\"))


def _uri(text: str) -> list[str]:
    return _strings((text.rstrip(" \0"),))


def _short(raw: bytes, character_sets: CharacterSets) -> list[str]:
    """LO, SH: spaces on either side are padding (PS3.5 6.2)."""
    text = character_sets.decode(raw, VALUE_DELIMITERS)
    return _strings(value.strip(" \0") for value in text.split("\\"))


def _unlimited(raw: bytes, character_sets: CharacterSets) -> list[str]:
    """UC: spaces in front count."""
    text = character_sets.decode(raw, VALUE_DELIMITERS)
    return _strings(value.rstrip(" \0") for value in text.split("\\"))


def _single(raw: bytes, character_sets: CharacterSets) -> list[str]:
    """LT, ST, UT: one value, in which a backslash is a backslash."""
    return _strings((character_sets.decode(raw, TEXT_DELIMITERS).rstrip(" \0"),))


def _names(raw: bytes, character_sets: CharacterSets) -> list[str]:
    """PN: the non-empty component groups of each name (F.2.2)."""
    text = character_sets.decode(raw, NAME_DELIMITERS)
    return _present([_name(value) for value in text.split("\\")])


def _name(text: str) -> str:
    groups = [group.strip(" \0") for group in text.split("=")]
    named = [
        f'"{name}":{encode_basestring(group)}'
        for name, group in zip(_NAME_GROUPS, groups, strict=False)
        if group
    ]
    return f"{{{','.join(named)}}}" if named else "null"


def _decimals(text: str) -> list[str]:
    """DS: the digits as they are wherever they are JSON already, so that none is lost."""
    texts = [value.strip(" \0") for value in text.split("\\")]
    return _present([value if _JSON_NUMBER.match(value) else _decimal(value) for value in texts])


def _decimal(text: str) -> str:
    if not _DECIMAL.match(text):
        return _string(text)
    value = float(text)
    return repr(value) if math.isfinite(value) else encode_basestring(text)


def _integers(text: str) -> list[str]:
    """IS, also where somebody wrote it like a DS."""
    return _present([_integer(value.strip(" \0")) for value in text.split("\\")])


def _integer(text: str) -> str:
    if not _DECIMAL.match(text):
        return _string(text)
    value = float(text)
    if abs(value) > _MAX_EXACT or value != int(value):
        return encode_basestring(text)
    return str(int(value))


def _numbers(tag: int, vr: str, raw: bytes, order: str) -> list[str] | None:
    """AT and the binary numbers; None where the length doesn't fit the VR."""
    code, size = _NUMBER_CODES[vr]
    if len(raw) % size:
        return None
    if vr == "AT":
        words = struct.unpack(f"{order}{len(raw) // 2}H", raw)
        pairs = zip(words[::2], words[1::2], strict=True)
        return [f'"{group:04X}{number:04X}"' for group, number in pairs]
    values = list(struct.unpack(f"{order}{len(raw) // size}{code}", raw))
    if tag in _LUT_DESCRIPTORS and vr == "SS" and values[0] < 0:
        values[0] += 65536
    return [_number(value) for value in values]


def _number(value: int | float) -> str:
    if isinstance(value, int):
        return str(value) if abs(value) <= _MAX_EXACT else f'"{value}"'
    if math.isfinite(value):
        return repr(value)
    return '"NaN"' if math.isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'


_PLAIN_WRITERS: Final[dict[str, Callable[[str], list[str]]]] = {
    **dict.fromkeys(("AE", "AS", "CS", "DA", "DT", "TM", "UI"), _plain),
    "UR": _uri,
    "DS": _decimals,
    "IS": _integers,
}
_TEXT_WRITERS: Final[dict[str, Callable[[bytes, CharacterSets], list[str]]]] = {
    **dict.fromkeys(("LO", "SH"), _short),
    "UC": _unlimited,
    **dict.fromkeys(("LT", "ST", "UT"), _single),
    "PN": _names,
}
#: struct's code and the size in bytes of one value.
_NUMBER_CODES: Final = {
    "US": ("H", 2),
    "SS": ("h", 2),
    "UL": ("L", 4),
    "SL": ("l", 4),
    "UV": ("Q", 8),
    "SV": ("q", 8),
    "FL": ("f", 4),
    "FD": ("d", 8),
    "AT": ("HH", 4),
}
