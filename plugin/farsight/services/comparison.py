"""What is here beside what the PACS say of it: what is new there, what isn't there any more."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from farsight.model import InstanceRef, SeriesRef
from farsight.services.census import Census, Counts, Held

#: By the names of the PACS.
Censuses = Mapping[str, Census]


@dataclass(frozen=True, slots=True)
class Missing:
    """An instance that a PACS is known to have held, and lists no more. is_sure: it lists others of
    the series, as many as it tells there are."""

    ref: InstanceRef
    pacs: str
    is_sure: bool


def grown(study_instance_uid: str, held: Held, censuses: Censuses) -> dict[SeriesRef, int]:
    """Series of which the PACS have more than is here: what there is of each altogether."""
    found: dict[SeriesRef, int] = {}
    for uid, one in held.items():
        here = one.sop_instance_uids
        there = len(here | names_there(uid, censuses))
        for census in censuses.values():
            if uid in census.listed and census.listed[uid] is None:
                there = max(there, census.series.get(uid, 0))
        if there > len(here):
            found[SeriesRef(study_instance_uid, uid)] = there
    return found


def names_there(series_instance_uid: str, censuses: Censuses) -> frozenset[str]:
    """What the PACS list of a series together, as far as they were asked."""
    told = (census.listed.get(series_instance_uid) for census in censuses.values())
    return frozenset(name for names in told for name in names or ())


def new_series(
    study_instance_uid: str, held: Held, censuses: Censuses, known: Censuses
) -> list[SeriesRef]:
    """Those a PACS didn't list before: what was there all along and isn't here wasn't wanted."""
    found = {
        uid
        for pacs, census in censuses.items()
        if pacs in known
        for uid in census.series.keys() - known[pacs].series.keys() - held.keys()
    }
    return [SeriesRef(study_instance_uid, uid) for uid in sorted(found)]


def missing(held_by: Mapping[InstanceRef, str], censuses: Censuses) -> list[Missing]:
    """Of the instances known to be held by a PACS, those that it lists no more, nor any other.

    `held_by`: of what is here, the name of the PACS.
    """
    found = []
    for ref, pacs in held_by.items():
        uid = ref.series_instance_uid
        census = censuses.get(pacs)
        if census is None or uid not in census.listed:
            continue
        names = census.listed[uid]
        if names is None or ref.sop_instance_uid in names or census.is_short(uid):
            continue
        others = [other for name, other in censuses.items() if name != pacs]
        if any(_may_have(other, ref) for other in others):
            continue
        found.append(Missing(ref, pacs, is_sure=bool(names) and census.series.get(uid, 0) > 0))
    return found


def _may_have(census: Census, ref: InstanceRef) -> bool:
    uid = ref.series_instance_uid
    if uid not in census.listed:
        return uid in census.series
    names = census.listed[uid]
    return names is None or ref.sop_instance_uid in names


def remembered(
    censuses: Censuses, pending: Collection[SeriesRef], fresh: Collection[SeriesRef]
) -> dict[str, Census]:
    """What to compare with next time: of series that are not in order yet, no counts.

    `fresh`: those among them that weren't listed before; they are new until they are here.
    """
    unsettled = {series.series_instance_uid for series in pending}
    new = {series.series_instance_uid for series in fresh}
    kept: dict[str, Census] = {}
    for pacs, census in censuses.items():
        counts = census.counts
        if unsettled & (census.series.keys() | census.listed.keys()):
            counts = Counts()
        series = {
            uid: 0 if uid in unsettled else count
            for uid, count in census.series.items()
            if uid not in new
        }
        kept[pacs] = Census(counts, series, {})
    return kept
