"""Attribute matching, applied again to what a source answered (PS3.4 C.2.2.2).

Some PACS ignore a key, fold case where they shouldn't, or don't where they should; this is what
the search means by a match, whoever answered:

- A key absent from a row is unknown and doesn't count against it. Present but empty is no match
  for anything but universal matching.
- Any value of a multi-valued attribute may match; of several alternatives in the query, any.
- PN: case-insensitive, by character form (NFC); trailing empty components and components left
  out at the end are equal; a query of one component group is compared with the alphabetic,
  ideographic and phonetic group alike; wildcards reach across components.
- Other text: case-sensitive, leading and trailing spaces don't count.
- Numbers by value. Dates and times as intervals (farsight.ps318.temporal); a datetime without an
  offset takes (0008,0201) of its row.
- Sequences: one item has to match all keys of that sequence.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from farsight.model import Attributes, JsonAttribute
from farsight.ps318.attribute_levels import TIMEZONE_OFFSET_FROM_UTC
from farsight.ps318.matching_key import NUMBER_VRS, TEMPORAL_VRS, MatchingKey, as_number
from farsight.ps318.temporal import Interval, interval, offset_us, parse_range
from farsight.ps318.wildcard import has_wildcards, wildcard_match

_Predicate = Callable[[Any], bool]
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def matches(attributes: Attributes, keys: Iterable[MatchingKey]) -> bool:
    """Whether a row, in the DICOM JSON model, matches all keys it says anything about."""
    zone = _first_text(attributes.get(TIMEZONE_OFFSET_FROM_UTC))
    return _matches(attributes, [(key, 0) for key in keys if not key.is_universal], zone)


def unknown_keys(attributes: Attributes, keys: Iterable[MatchingKey]) -> tuple[MatchingKey, ...]:
    """The keys that `matches` couldn't decide because the row doesn't have the attribute."""
    return tuple(key for key in keys if not key.is_universal and key.tag not in attributes)


def values_of(attribute: JsonAttribute | None) -> list[Any]:
    """The values that aren't empty."""
    if not attribute:
        return []
    return [value for value in attribute.get("Value", ()) if value not in (None, "", {})]


def person_name_form(name: str) -> str:
    """One component group in the form names are compared in: NFC, case folded, tails cut."""
    if name.isascii():
        folded = name.lower()
    else:
        folded = "".join(map(_folded, unicodedata.normalize("NFC", name)))
    if " " in folded:
        folded = "^".join(part.strip(" ") for part in folded.split("^"))
    return folded.rstrip("^")


@lru_cache(maxsize=4096)
def _folded(character: str) -> str:
    """One letter for one: no PACS takes "ss" for a sharp s."""
    folded = character.casefold()
    return folded if len(folded) == 1 else character.lower()


def _matches(attributes: Attributes, keys: Sequence[tuple[MatchingKey, int]], zone: str) -> bool:
    """Keys with the depth reached in their path; those of one sequence are decided together."""
    sequences: dict[str, list[tuple[MatchingKey, int]]] = {}
    for key, depth in keys:
        tag = key.path[depth]
        if tag not in attributes:
            continue
        if depth + 1 < len(key.path):
            sequences.setdefault(tag, []).append((key, depth + 1))
        elif not _any_value(attributes[tag], key, zone):
            return False
    return all(
        any(_matches(item, inner, zone) for item in values_of(attributes[tag]))
        for tag, inner in sequences.items()
    )


def _any_value(attribute: JsonAttribute, key: MatchingKey, zone: str) -> bool:
    present = values_of(attribute)
    return any(
        predicate(value)
        for predicate in (_predicate(key.vr, wanted, zone) for wanted in key.values)
        for value in present
    )


@lru_cache(maxsize=2048)
def _predicate(vr: str, wanted: str, zone: str) -> _Predicate:
    if vr == "PN":
        return _person_name(wanted)
    if vr in TEMPORAL_VRS:
        return _temporal(vr, wanted, zone)
    if vr in NUMBER_VRS:
        number = as_number(wanted)
        return lambda value: as_number(str(value)) == number
    if vr not in ("UI", "AS") and has_wildcards(wanted):
        return lambda value: wildcard_match(wanted, str(value).strip(" "))
    return lambda value: str(value).strip(" \0") == wanted


def _temporal(vr: str, wanted: str, zone: str) -> _Predicate:
    asked = parse_range(vr, wanted)
    default = offset_us(zone) if vr == "DT" else None

    def covered(value: Any) -> bool:
        found = interval(vr, str(value))
        if found is None:
            return False
        if found.offset_us is None:
            found = Interval(found.first, found.last, default)
        return asked.covers(found)

    return covered


def _person_name(wanted: str) -> _Predicate:
    groups = [person_name_form(group) for group in wanted.split("=")]
    if len(groups) == 1:
        return lambda value: any(_one_name(groups[0], name) for name in _names(value) if name)

    def by_group(value: Any) -> bool:
        names = _names(value)
        return len(groups) <= len(_GROUPS) and all(
            not group or _one_name(group, name) for group, name in zip(groups, names, strict=False)
        )

    return by_group


def _one_name(wanted: str, name: str) -> bool:
    """Both in person_name_form. Components the name lacks at its end count as empty."""
    if not name:
        return not wanted.strip("*^")
    if not has_wildcards(wanted):
        return wanted == name
    return wildcard_match(wanted, name) or wildcard_match(
        wanted, name + "^" * (wanted.count("^") - name.count("^"))
    )


def _names(value: Any) -> list[str]:
    """The three component groups of a PN in DICOM JSON, in person_name_form."""
    if isinstance(value, dict):
        return [person_name_form(str(value.get(group) or "")) for group in _GROUPS]
    parts = str(value).split("=")[:3]
    return [person_name_form(part) for part in parts + [""] * (3 - len(parts))]


def _first_text(attribute: JsonAttribute | None) -> str:
    found = values_of(attribute)
    return str(found[0]).strip(" ") if found else ""
