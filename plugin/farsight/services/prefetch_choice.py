"""Which studies are priors, and whose. Nothing here asks anybody.

Laws:
- A patient is known by PatientID, never by name; without one nobody is anybody's.
- The same PatientID is the same patient only where both issuers say so, or where one source gives
  both. Different birth dates under it are a contradiction: neither is taken for the other.
- What isn't told isn't guessed: a study without a date is no prior, one without a body part is
  none of a rule that names some.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum

from farsight.model import Attributes
from farsight.model_prefetch import PriorsWanted
from farsight.ps318 import attribute_levels as levels
from farsight.ps318.matching import values_of
from farsight.ps318.temporal import interval

ISSUER_OF_PATIENT_ID = "00100021"


class Verdict(Enum):
    """Whether two data sets are of one patient."""

    SAME = "same"
    OTHER = "other"
    CONTRADICTION = "contradiction"


@dataclass(frozen=True, slots=True)
class Patient:
    """What tells patients apart; "" where it isn't told. Never logged, never shown."""

    patient_id: str
    issuer: str
    birth_date: str


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """What a source says of a study. date: YYYYMMDD, "" for none or no date. time: as it says.

    modalities: empty where it doesn't tell. instances: -1 where it doesn't tell.
    """

    study_instance_uid: str
    patient: Patient
    date: str = ""
    time: str = ""
    modalities: frozenset[str] = frozenset()
    instances: int = -1


def patient_of(row: Attributes) -> Patient:
    """Without the padding of DICOM values (PS3.5 6.2). Two PatientIDs in one are none."""
    return Patient(
        _text(row, levels.PATIENT_ID) if _is_single(row, levels.PATIENT_ID) else "",
        _text(row, ISSUER_OF_PATIENT_ID),
        _day(_text(row, levels.PATIENT_BIRTH_DATE)),
    )


def facts_of(row: Attributes) -> StudyFacts:
    """Of a row of C-FIND at STUDY level."""
    count = _text(row, levels.NUMBER_OF_STUDY_RELATED_INSTANCES)
    return StudyFacts(
        _text(row, levels.STUDY_INSTANCE_UID),
        patient_of(row),
        _day(_text(row, levels.STUDY_DATE)),
        _text(row, levels.STUDY_TIME),
        codes_of(row, levels.MODALITIES_IN_STUDY),
        int(count) if count.isascii() and count.isdigit() and 0 < len(count) < 10 else -1,
    )


def codes_of(row: Attributes, tag: str) -> frozenset[str]:
    """Code strings, as the rules spell them."""
    codes = (str(value).strip(" \0").upper() for value in values_of(row.get(tag)))
    return frozenset(code for code in codes if code)


def compare(one: Patient, other: Patient, *, one_source: bool) -> Verdict:
    """`one_source`: both are named by the same source, whose PatientIDs are its own."""
    if not one.patient_id or one.patient_id != other.patient_id:
        return Verdict.OTHER
    if one.issuer and other.issuer:
        if one.issuer != other.issuer:
            return Verdict.OTHER
    elif not one_source:
        return Verdict.OTHER
    if one.birth_date and other.birth_date and one.birth_date != other.birth_date:
        return Verdict.CONTRADICTION
    return Verdict.SAME


def modalities_wanted(wanted: PriorsWanted, modalities: Collection[str]) -> frozenset[str] | None:
    """Of priors of a study of those modalities: any of the answer, empty for whatever there is.

    None: there can be none, for it has no modality in common with those wanted, or tells none.
    """
    if not wanted.same_modality:
        return wanted.modalities
    common = frozenset(modalities)
    if wanted.modalities:
        common &= wanted.modalities
    return common or None


def days_wanted(before: str, max_age_days: int) -> str:
    """A range of StudyDate that ends with the day `before` (YYYYMMDD), which is included."""
    if not max_age_days:
        return f"-{before}"
    day = datetime.strptime(before, "%Y%m%d").date()
    first = day - timedelta(days=min(max_age_days, (day - date.min).days))
    return f"{first:%Y%m%d}".zfill(8) + f"-{before}"


def earlier(
    candidates: Iterable[StudyFacts], than: StudyFacts, max_age_days: int
) -> list[StudyFacts]:
    """Those before it, the newest first; of the same day only where both times say so."""
    if not than.date:
        return []
    first, _, last = days_wanted(than.date, max_age_days).partition("-")
    found = [
        one
        for one in candidates
        if one.study_instance_uid != than.study_instance_uid
        and one.date
        and first <= one.date <= last
        and (one.date < than.date or _is_before(one.time, than.time))
    ]
    return newest_first(found)


def newest_first(found: Iterable[StudyFacts]) -> list[StudyFacts]:
    """Each study once, in an order that is always the same."""
    once = {one.study_instance_uid: one for one in found}
    ordered = sorted(once.values(), key=lambda one: one.study_instance_uid)
    ordered.sort(key=lambda one: (one.date, one.time.replace(":", "")), reverse=True)
    return ordered


def has_any(found: Collection[str], wanted: frozenset[str]) -> bool:
    """Empty `wanted`: whatever there is, also nothing."""
    return not wanted or not wanted.isdisjoint(found)


def body_parts_wanted(wanted: PriorsWanted, body_parts: Collection[str]) -> frozenset[str] | None:
    """As modalities_wanted."""
    if not wanted.same_body_part:
        return wanted.body_parts
    common = frozenset(body_parts)
    if wanted.body_parts:
        common &= wanted.body_parts
    return common or None


def _is_before(one: str, other: str) -> bool:
    """Whether the first time is over when the second begins, whatever they leave open."""
    first, second = interval("TM", one), interval("TM", other)
    return first is not None and second is not None and first.last < second.first


def _day(text: str) -> str:
    """YYYYMMDD; "" for what is no date."""
    day = text.replace(".", "")
    return day if interval("DA", day) is not None else ""


def _is_single(row: Attributes, tag: str) -> bool:
    return len(row.get(tag, {}).get("Value", ())) == 1


def _text(row: Attributes, tag: str) -> str:
    values = values_of(row.get(tag))
    return str(values[0]).strip(" \0") if values else ""
