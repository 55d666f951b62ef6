"""What one PACS says of a study whose series are here: as few questions as tell whether anything
differs (PS3.4 C.4.1).

Laws: where the counts are those of last time, or of what is here, one question at STUDY level is
all; instances are listed by name only where the count of their series differs or isn't told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from farsight.dimse.status import refuses_identifier
from farsight.errors import PacsFailure
from farsight.model import Completeness, IdentifierKey, Level, SeriesRef
from farsight.ports.pacs import Pacs
from farsight.ps318.attribute_levels import (
    NUMBER_OF_SERIES_RELATED_INSTANCES,
    NUMBER_OF_STUDY_RELATED_INSTANCES,
    NUMBER_OF_STUDY_RELATED_SERIES,
)
from farsight.services.listing_rows import INSTANCE, SERIES, STUDY, rows_of, text_of, unique_keys
from farsight.services.search_rows import number_of


@dataclass(frozen=True, slots=True)
class Counts:
    """Of a study: its series, its instances; 0 where that isn't told."""

    series: int = 0
    instances: int = 0

    @property
    def told(self) -> bool:
        return self.series > 0 and self.instances > 0


@dataclass(frozen=True, slots=True)
class HeldSeries:
    """A series here. record: None where it never was whole."""

    sop_instance_uids: frozenset[str]
    record: Completeness | None

    @property
    def settled_count(self) -> int:
        """How many it has, if that is all there was when it was checked; else -1."""
        held = len(self.sop_instance_uids)
        if self.record is None or not self.record.was_whole:
            return -1
        return held if self.record.expected == held else -1


Held = Mapping[str, HeldSeries]


@dataclass(frozen=True, slots=True)
class Census:
    """What one PACS said.

    counts: None where it doesn't list the study. series: SeriesInstanceUID -> number of instances,
    0 where it isn't told. listed: of the series that were asked for by name, what it lists; None
    where it only counts. unchanged: by its counts nothing differs from before, so neither was.
    """

    counts: Counts | None
    series: Mapping[str, int]
    listed: Mapping[str, frozenset[str] | None]
    unchanged: bool = False

    def is_short(self, series_instance_uid: str) -> bool:
        """Whether it lists another number of instances than it tells."""
        found, told = self.listed[series_instance_uid], self.series.get(series_instance_uid, 0)
        return found is not None and told > 0 and told != len(found)


def take(
    pacs: Pacs,
    study_instance_uid: str,
    held: Held,
    known: Census | None,
    *,
    alone: bool,
    thorough: bool,
) -> Census:
    """Asks; of the series held only those that were whole once are looked into.

    `known`: what it said last. `alone`: no other PACS is a source of what is here. `thorough`:
    counts aren't enough, names are asked for. Raises: PacsError.
    """
    counts = _counts(pacs, study_instance_uid)
    if counts is None:
        return Census(None, {}, {uid: frozenset() for uid in held})
    if counts.told and not thorough:
        if known is not None and known.counts == counts:
            return replace(known, listed={}, unchanged=True)
        if known is None and alone and counts == _settled_counts(held):
            numbers = {uid: one.settled_count for uid, one in held.items()}
            return Census(counts, numbers, {}, unchanged=True)
    series = _series(pacs, study_instance_uid)
    listed: dict[str, frozenset[str] | None] = {}
    for uid, one in held.items():
        told = series.get(uid, 0)
        before = (known.series.get(uid, 0) if known is not None else 0) or one.settled_count
        if one.record is not None and (thorough or told == 0 or told != before):
            listed[uid] = instances_of(pacs, SeriesRef(study_instance_uid, uid))
    return Census(counts, series, listed)


def _settled_counts(held: Held) -> Counts | None:
    """Of what is here, if all of it was found whole."""
    numbers = [one.settled_count for one in held.values()]
    return None if -1 in numbers else Counts(len(numbers), sum(numbers))


def _counts(pacs: Pacs, study_instance_uid: str) -> Counts | None:
    """None: it lists no such study. Raises: PacsError."""
    keys = (
        IdentifierKey(STUDY, "UI", study_instance_uid),
        IdentifierKey(NUMBER_OF_STUDY_RELATED_SERIES, "IS"),
        IdentifierKey(NUMBER_OF_STUDY_RELATED_INSTANCES, "IS"),
    )
    try:
        rows = rows_of(pacs, Level.STUDY, keys)
    except PacsFailure as error:
        if not refuses_identifier(error.dimse_status):
            raise
        return Counts()  # maybe it takes no such keys
    told = {
        Counts(
            max(0, number_of(row, NUMBER_OF_STUDY_RELATED_SERIES)),
            max(0, number_of(row, NUMBER_OF_STUDY_RELATED_INSTANCES)),
        )
        for row in rows
    }
    if not told:
        return None
    return told.pop() if len(told) == 1 else Counts()  # rows that contradict each other


def _series(pacs: Pacs, study_instance_uid: str) -> dict[str, int]:
    """SeriesInstanceUID -> number of instances, 0 where it isn't told. Raises: PacsError."""
    keys = (
        IdentifierKey(STUDY, "UI", study_instance_uid),
        IdentifierKey(SERIES, "UI"),
        IdentifierKey(NUMBER_OF_SERIES_RELATED_INSTANCES, "IS"),
    )
    found = {
        text_of(row, SERIES): max(0, number_of(row, NUMBER_OF_SERIES_RELATED_INSTANCES))
        for row in rows_of(pacs, Level.SERIES, keys)
    }
    found.pop("", None)
    return found


def instances_of(pacs: Pacs, series: SeriesRef) -> frozenset[str] | None:
    """By name; None where it doesn't tell those. Raises: PacsError."""
    try:
        rows = rows_of(pacs, Level.IMAGE, (IdentifierKey(INSTANCE, "UI"), *unique_keys(series)))
    except PacsFailure as error:
        if not refuses_identifier(error.dimse_status):
            raise
        return None
    names = frozenset(text_of(row, INSTANCE) for row in rows)
    return None if "" in names else names
