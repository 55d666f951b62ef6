"""Rows of a search in the DICOM JSON model: identity, order, and joining those of one UID.

Laws: rows are joined by UIDs alone, never by PatientID or position; two rows of one UID that
name different patients stay two; the row of the first source counts, later ones fill gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from farsight.errors import InvalidUid
from farsight.model import Attributes, JsonAttribute, Level, checked_uid
from farsight.ps318 import attribute_levels as levels
from farsight.ps318.matching import person_name_form, values_of
from farsight.ps318.temporal import interval

_COUNTS = (
    levels.NUMBER_OF_STUDY_RELATED_SERIES,
    levels.NUMBER_OF_STUDY_RELATED_INSTANCES,
    levels.NUMBER_OF_SERIES_RELATED_INSTANCES,
)
_ONLINE = "ONLINE"
T = TypeVar("T")


@dataclass(slots=True)
class FoundRow:
    """One source's row. ae_title None: it is held in the archive."""

    source: int
    ae_title: str | None
    attributes: Attributes


@dataclass(slots=True)
class JoinedRow:
    """What all sources say of one object, in the order of the sources."""

    uids: tuple[str, ...]
    rows: list[FoundRow] = field(default_factory=list)

    def attributes(self) -> Attributes:
        """The first source's values, gaps filled; counts are the largest, modalities all."""
        joined: Attributes = {}
        for row in self.rows:
            for tag, attribute in row.attributes.items():
                if not values_of(joined.get(tag)):
                    joined[tag] = attribute
        for tag in _COUNTS:
            if numbers := [n for row in self.rows if (n := number_of(row.attributes, tag)) >= 0]:
                joined[tag] = {"vr": "IS", "Value": [max(numbers)]}
        if len(self.rows) > 1 and (found := self._modalities()):
            joined[levels.MODALITIES_IN_STUDY] = {"vr": "CS", "Value": found}
        joined.update(self._whereabouts())
        return joined

    def _modalities(self) -> list[str]:
        tag = levels.MODALITIES_IN_STUDY
        return sorted({str(v) for row in self.rows for v in values_of(row.attributes.get(tag))})

    def _whereabouts(self) -> Attributes:
        """Retrieve AE titles and availability: ONLINE where the archive has all of it."""
        titles = list(dict.fromkeys(row.ae_title for row in self.rows if row.ae_title))
        found: Attributes = {levels.INSTANCE_AVAILABILITY: _code(self._availability())}
        if titles:
            found[levels.RETRIEVE_AE_TITLE] = {"vr": "AE", "Value": titles}
        else:
            found[levels.RETRIEVE_AE_TITLE] = {"vr": "AE"}
        return found

    def _availability(self) -> str:
        local = [row.attributes for row in self.rows if row.ae_title is None]
        remote = [row.attributes for row in self.rows if row.ae_title is not None]
        if local and all(_covers(local[0], row) for row in remote):
            return _ONLINE
        tag = levels.INSTANCE_AVAILABILITY
        said = [str(value) for row in remote for value in values_of(row.get(tag))]
        return _ONLINE if _ONLINE in said else (said or ["NEARLINE"])[0]


def join_rows(rows: Iterable[FoundRow], level: Level) -> tuple[list[JoinedRow], list[str]]:
    """Joined rows in no particular order, and a warning text per UID with two identities."""
    by_uid: dict[tuple[str, ...], list[JoinedRow]] = {}
    for row in sorted(rows, key=lambda row: row.source):
        uids = tuple(uid_of(row.attributes, above) for above in _down_to(level))
        joined = by_uid.setdefault(uids, [])
        for candidate in joined:
            if all(_same_patient(row.attributes, other.attributes) for other in candidate.rows):
                candidate.rows.append(row)
                break
        else:
            joined.append(JoinedRow(uids, [row]))
    doubled = [
        f"{levels_name(level)} {uids[-1]} is given different patients; it is listed once for each"
        for uids, joined in by_uid.items()
        if len(joined) > 1
    ]
    return [row for joined in by_uid.values() for row in joined], doubled


def distinct(rows: Iterable[Attributes], level: Level) -> list[Attributes]:
    """One row per object: some PACS answer once per instance. Gaps are filled from repetitions;
    a repetition that names another patient stays a row of its own."""
    by_uid: dict[tuple[str, ...], list[Attributes]] = {}
    for row in rows:
        uids = tuple(uid_of(row, above) for above in _down_to(level))
        known = by_uid.setdefault(uids, [])
        same = next((other for other in known if _same_patient(row, other)), None)
        if same is None:
            known.append(dict(row))
            continue
        for tag, attribute in row.items():
            if not values_of(same.get(tag)):
                same[tag] = attribute
    return [row for known in by_uid.values() for row in known]


def in_order(level: Level, items: Iterable[T], attributes_of: Callable[[T], Attributes]) -> list[T]:
    """Newest study first; series and instances by their number; then by UID."""
    keyed = [(attributes_of(item), item) for item in items]
    keyed.sort(key=lambda pair: [uid_of(pair[0], above) for above in _down_to(level)])
    if level is Level.STUDY:
        keyed.sort(key=lambda pair: _moment(pair[0]), reverse=True)
    else:
        tag = levels.SERIES_NUMBER if level is Level.SERIES else levels.INSTANCE_NUMBER
        keyed.sort(key=lambda pair: _number_or_last(pair[0], tag))
    return [item for _, item in keyed]


def uid_of(attributes: Attributes, level: Level) -> str:
    """The UID of the row at that level; "" where it has none."""
    values = values_of(attributes.get(levels.UNIQUE_KEY[level]))
    return str(values[0]).strip(" \0") if values else ""


def is_uid(text: str) -> bool:
    try:
        checked_uid(text, "UID")
    except InvalidUid:
        return False
    return True


def number_of(attributes: Attributes, tag: str) -> int:
    """An integer attribute; -1 where it is missing, empty or no number."""
    text = first_text(attributes.get(tag))
    return int(text) if text.isascii() and text.isdigit() and len(text) < 13 else -1


def first_text(attribute: JsonAttribute | None) -> str:
    """The first value as text; "" where there is none."""
    values = values_of(attribute)
    return str(values[0]).strip(" ") if values else ""


def levels_name(level: Level) -> str:
    return {
        Level.STUDY: "StudyInstanceUID",
        Level.SERIES: "SeriesInstanceUID",
        Level.IMAGE: "SOPInstanceUID",
    }[level]


def _down_to(level: Level) -> tuple[Level, ...]:
    return levels.LEVELS[: levels.LEVELS.index(level) + 1]


def _moment(row: Attributes) -> tuple[str, str]:
    date = first_text(row.get(levels.STUDY_DATE)).replace(".", "")
    if interval("DA", date) is None:
        date = ""  # last, as those without one
    return date, first_text(row.get(levels.STUDY_TIME)).replace(":", "")


def _number_or_last(row: Attributes, tag: str) -> tuple[bool, int]:
    text = first_text(row.get(tag))
    digits = text.removeprefix("-").removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 13):
        return True, 0
    return False, int(text)


def _covers(local: Attributes, remote: Attributes) -> bool:
    """Whether the archive has at least as much of the object as the PACS says there is."""
    said = [tag for tag in _COUNTS if number_of(remote, tag) >= 0]
    if not said:
        return uid_of(remote, Level.IMAGE) != ""
    return all(number_of(local, tag) >= number_of(remote, tag) for tag in said)


def _same_patient(one: Attributes, other: Attributes) -> bool:
    """Whether two rows may be of one patient; what either doesn't say is no contradiction."""
    ids = _differ(_text(one, levels.PATIENT_ID), _text(other, levels.PATIENT_ID))
    names = _differ(_name(one), _name(other))
    births = _differ(_text(one, levels.PATIENT_BIRTH_DATE), _text(other, levels.PATIENT_BIRTH_DATE))
    if ids is None:
        return not (names or births)
    return not ids and not (names and births)


def _differ(one: str, other: str) -> bool | None:
    """None where one of them is empty."""
    return one != other if one and other else None


def _text(row: Attributes, tag: str) -> str:
    return first_text(row.get(tag))


def _name(row: Attributes) -> str:
    values = values_of(row.get(levels.PATIENT_NAME))
    value = values[0] if values else ""
    text = value.get("Alphabetic", "") if isinstance(value, dict) else str(value)
    return person_name_form(str(text))


def _code(value: str) -> JsonAttribute:
    return {"vr": "CS", "Value": [value]}
