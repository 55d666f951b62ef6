"""One value field from the DICOM JSON model (PS3.18 F.2.3 to F.2.7): values in, bytes out.

The inverse of json_values. Laws: what comes out means what came in, or ValueUnfit is raised; no
message holds a value. A backslash within a value would make two of it where there may be several;
a control character may end it for whoever reads it. Numbers are Digits or, where clients quoted
them, text; text may be Digits where clients left the quotes out. Values aren't checked against the
dictionary, nor dates against the calendar: archives hold such objects, and application/dicom
brings them in as well.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from farsight.ps318.json_reader import Digits
from farsight.ps318.json_values import BINARY_VRS
from farsight.ps318.refused import ValueUnfit

#: Text to bytes in the character set that is in force.
Encoder = Callable[[str], bytes]

_NAME_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
_MOST_DECIMAL_CHARS: Final = 16
_MOST_INTEGER_CHARS: Final = 12
_MOST_DIGITS: Final = 512
#: First value of these is unsigned whatever their VR says (PS3.3 C.7.6.3.1.5, C.11.1.1.1).
_LUT_DESCRIPTORS: Final = frozenset((0x00281101, 0x00281102, 0x00281103, 0x00283002))
_TAG: Final = re.compile(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?\Z")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}(\.0*)?\Z")
_DECIMAL: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\Z")
_NOT_FINITE: Final = re.compile(r"[+-]?(nan|inf|infinity)\Z", re.IGNORECASE)
_PLAIN: Final = frozenset(("AE", "AS", "CS", "DA", "DT", "TM", "UI"))
_PARAGRAPHS: Final = frozenset(("LT", "ST", "UT"))
_ONE_VALUE: Final = _PARAGRAPHS | {"UR"}
#: Those of PS3.5 6.1.3 that paragraphs may have; ESC begins another set in every one there is.
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")
_CONTROLS_IN_PARAGRAPHS: Final = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
#: struct's code of one value.
_NUMBER_CODES: Final = {
    "US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q", "FL": "f", "FD": "d",
}  # fmt: skip
TEXT_VRS: Final = _PARAGRAPHS | {"LO", "SH", "UC", "PN"}


def value_bytes(tag: int, vr: str, values: Sequence[Any], encode: Encoder) -> bytes:
    """The value field, not padded. `vr`: any but SQ. Raises: ValueUnfit, and what `encode` does."""
    if not values or (len(values) == 1 and values[0] is None):
        return b""
    if vr in BINARY_VRS:
        raise ValueUnfit(f"{vr} has no Value, but InlineBinary or a BulkDataURI")
    if vr in TEXT_VRS:
        return encode(_joined(vr, list(map(_name if vr == "PN" else _text, values))))
    if vr in _PLAIN or vr == "UR":
        return _ascii(_joined(vr, list(map(_text, values))))
    if vr == "DS":
        return _ascii(_joined(vr, list(map(_decimal_string, values))))
    if vr == "IS":
        return _ascii(_joined(vr, list(map(_integer_string, values))))
    if vr == "AT":
        return b"".join(map(_attribute_tag, values))
    return _numbers(tag, vr, values)


def shortened_decimals(values: Sequence[Any]) -> bool:
    """Whether numbers among them have more digits than a DS can hold (PS3.5 6.2)."""
    return any(isinstance(value, Digits) and len(value) > _MOST_DECIMAL_CHARS for value in values)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueUnfit("a value is neither text nor a number")
    return value


def checked_text(vr: str, text: str) -> str:
    """The text of a whole value field. Raises: ValueUnfit for control characters."""
    controls = _CONTROLS_IN_PARAGRAPHS if vr in _PARAGRAPHS else _CONTROLS
    if controls.search(text):
        raise ValueUnfit(f"a value holds a control character that {vr} can't have")
    return text


def _joined(vr: str, values: Sequence[str]) -> str:
    if vr == "UI":
        values = [value.rstrip("\0") for value in values]  # padding that was left in
    if vr not in _ONE_VALUE and any("\\" in value for value in values):
        raise ValueUnfit("a value holds a backslash, which separates values")
    if vr in _ONE_VALUE and len(values) > 1:
        raise ValueUnfit(f"{vr} has one value only")
    return checked_text(vr, "\\".join(values))


def _ascii(text: str) -> bytes:
    try:
        return text.encode("ascii")
    except UnicodeEncodeError as error:
        raise ValueUnfit("a value has characters beyond the default repertoire") from error


def _name(value: Any) -> str:
    """Component groups, or the name as one text with "=" between them."""
    if not isinstance(value, dict):
        return _text(value)
    if not value.keys() <= set(_NAME_GROUPS):
        raise ValueUnfit("a name has something beside Alphabetic, Ideographic and Phonetic")
    groups = [_text(value.get(name)) for name in _NAME_GROUPS]
    if any("=" in group for group in groups):
        raise ValueUnfit("a group of name components holds a =")
    return "=".join(groups).rstrip("=")


def _decimal_string(value: Any) -> str:
    if not isinstance(value, Digits) or len(value) <= _MOST_DECIMAL_CHARS:
        return _number_text(value)
    number = float(_number_text(value))
    for precision in range(17, 0, -1):
        text = f"{number:.{precision}g}"
        if len(text) <= _MOST_DECIMAL_CHARS and math.isfinite(float(text)):
            return text
    raise ValueUnfit("a number is too long for a DS")


def _number_text(value: Any) -> str:
    text = _text(value)
    if isinstance(value, Digits) and not (_is_decimal(text) and math.isfinite(float(text))):
        raise ValueUnfit("a number is none that decimal digits can show")
    return text


def _is_decimal(text: str) -> bool:
    """Of a length that no honest writer needs more than, so that reading it costs nothing."""
    return len(text) <= _MOST_DIGITS and _DECIMAL.match(text) is not None


def _integer_string(value: Any) -> str:
    if not isinstance(value, Digits):
        return _text(value)
    text = str(_integer(value))
    if len(text) > _MOST_INTEGER_CHARS:
        raise ValueUnfit("a number is too long for an IS")
    return text


def _attribute_tag(value: Any) -> bytes:
    match = _TAG.match(_text(value))
    if match is None:
        raise ValueUnfit("a value is no tag of eight hexadecimal digits")
    return struct.pack("<HH", int(match[1], 16), int(match[2], 16))


def _numbers(tag: int, vr: str, values: Sequence[Any]) -> bytes:
    read = _real if vr in ("FL", "FD") else _integer
    numbers = [read(value) for value in values]
    if tag in _LUT_DESCRIPTORS and vr == "SS" and 0x8000 <= numbers[0] <= 0xFFFF:
        numbers[0] -= 0x10000
    try:
        return struct.pack(f"<{len(numbers)}{_NUMBER_CODES[vr]}", *numbers)
    except (struct.error, OverflowError) as error:
        raise ValueUnfit(f"a number is out of the range of {vr}") from error


def _integer(value: Any) -> int:
    text = _text(value).strip(" ")
    if _INTEGER.match(text):
        return int(text.partition(".")[0])
    if _is_decimal(text):
        number = float(text)
        if number.is_integer() and abs(number) < 2**53:
            return int(number)
    raise ValueUnfit("a value is no whole number")


def _real(value: Any) -> float:
    text = _text(value).strip(" ")
    if _NOT_FINITE.match(text):
        return float(text)
    if not _is_decimal(text) or math.isinf(float(text)):
        raise ValueUnfit("a value is no number that can be written")
    return float(text)
