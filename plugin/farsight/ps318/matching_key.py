"""One matching key of a query, its values checked against the VR (PS3.18 8.3.4.1, PS3.4 C.2.2.2).

| VR                                        | kinds of matching                                |
|-------------------------------------------|--------------------------------------------------|
| UI                                        | single, list of UIDs (comma, backslash, repeated)|
| DA TM DT                                  | single, range                                    |
| CS AE                                     | single, wildcard, list of alternatives           |
| PN LO SH LT ST UC UR UT                   | single, wildcard                                 |
| IS DS US SS UL SL FL FD SV UV             | single, by value                                 |
| AS                                        | single                                           |
| SQ, binary and unknown                    | universal only                                   |

A list of alternatives goes beyond the standard, which leaves `ModalitiesInStudy=CT,MR` undefined;
viewers send it, and neither VR can contain a comma.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from farsight.errors import InvalidParameter, InvalidUid
from farsight.model import Level, checked_uid
from farsight.ps318.attribute_id import vr_of
from farsight.ps318.attribute_levels import level_of
from farsight.ps318.temporal import parse_range

TEXT_VRS = frozenset({"PN", "LO", "SH", "LT", "ST", "UC", "UR", "UT", "CS", "AE"})
LIST_VRS = frozenset({"UI", "CS", "AE"})
TEMPORAL_VRS = frozenset({"DA", "TM", "DT"})
#: Least and most of each integer VR (PS3.5 6.2).
_RANGES = {
    "IS": (-(1 << 31), (1 << 31) - 1),
    "SS": (-(1 << 15), (1 << 15) - 1),
    "US": (0, (1 << 16) - 1),
    "SL": (-(1 << 31), (1 << 31) - 1),
    "UL": (0, (1 << 32) - 1),
    "SV": (-(1 << 63), (1 << 63) - 1),
    "UV": (0, (1 << 64) - 1),
}
NUMBER_VRS = _RANGES.keys() | {"DS", "FL", "FD"}
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?\Z")
#: VRs whose values may hold a backslash (PS3.5 6.2); elsewhere it separates values.
_ONE_VALUE_VRS = frozenset({"LT", "ST", "UT", "UR"})
MAX_TEXT_CHARS = 1_024
MAX_LIST_VALUES = 1_000


@dataclass(frozen=True, slots=True)
class MatchingKey:
    """path: tags from the outermost sequence inward. values: alternatives; none: universal.

    Times are in DIMSE's form (no colons); whether a value is a range or has wildcards follows
    from the VR.
    """

    path: tuple[str, ...]
    vr: str
    values: tuple[str, ...]
    name: str  # as the client wrote it

    @property
    def tag(self) -> str:
        """The attribute of the data set itself: the outermost sequence for a path."""
        return self.path[0]

    @property
    def is_universal(self) -> bool:
        return not self.values

    @property
    def level(self) -> Level | None:
        return level_of(self.tag)


def matching_key(path: tuple[str, ...], name: str, values: Sequence[str]) -> MatchingKey:
    """A key from the values given for one attribute (one, or several for a repeated name).

    Raises: InvalidParameter naming the parameter.
    """
    vr = vr_of(path[-1]) or "UN"
    if vr in LIST_VRS:
        items = [item for value in values for item in value.replace("\\", ",").split(",")]
        alternatives = [item.strip(" ") for item in items]
        if len(alternatives) > 1 and not all(alternatives):
            raise InvalidParameter(name, values[0], "the list has an empty value")
    else:
        if len(set(values)) > 1:
            raise InvalidParameter(name, values[1], "given more than once")
        alternatives = [values[0].strip(" ")]
    if len(alternatives) > MAX_LIST_VALUES:
        raise InvalidParameter(name, values[0], f"more than {MAX_LIST_VALUES} values")
    if any(_is_universal(value) for value in alternatives):
        return MatchingKey(path, vr, (), name)
    checked = dict.fromkeys(_checked(vr, name, value) for value in alternatives)
    return MatchingKey(path, vr, tuple(checked), name)


def _is_universal(value: str) -> bool:
    """Empty, or nothing but `*` (PS3.4 C.2.2.2.3, C.2.2.2.4)."""
    return not value.strip("*")


def _checked(vr: str, name: str, value: str) -> str:
    if vr in TEMPORAL_VRS:
        try:
            return parse_range(vr, value).text
        except ValueError as error:
            raise InvalidParameter(name, value, str(error)) from error
    if vr == "UI":
        try:
            return checked_uid(value, name)
        except InvalidUid as error:
            raise InvalidParameter(name, value, "not a UID (digits and dots, 1 to 64)") from error
    if vr in NUMBER_VRS:
        return _number(vr, name, value)
    if vr not in TEXT_VRS and vr != "AS":
        raise InvalidParameter(name, value, f"an attribute of VR {vr} can't be matched by a value")
    if len(value) > MAX_TEXT_CHARS:
        raise InvalidParameter(name, value, f"at most {MAX_TEXT_CHARS} characters")
    if "\\" in value and vr not in _ONE_VALUE_VRS:
        raise InvalidParameter(name, value, "a backslash can't be part of a value")
    return value


def _number(vr: str, name: str, value: str) -> str:
    number = as_number(value)
    if number is None:
        raise InvalidParameter(name, value, f"expected a number (VR {vr})")
    if vr not in _RANGES:
        return value
    least, most = _RANGES[vr]
    if number != number.to_integral_value() or not least <= number <= most:
        why = f"expected a whole number from {least} to {most} (VR {vr})"
        raise InvalidParameter(name, value, why)
    return str(int(number))


def as_number(text: str) -> Decimal | None:
    """A decimal of at most 64 characters; None for anything else, infinities and NaN."""
    text = text.strip(" ")
    if len(text) > 64 or not _DECIMAL.match(text):
        return None
    number = Decimal(text)
    return number if number.is_finite() and abs(number.adjusted()) < 400 else None
