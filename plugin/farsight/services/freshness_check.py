"""One check of one study: what the PACS say now, and what follows from it.

Laws:
- A series of which a PACS has more than is here isn't whole any more, in the record that is kept
  with it, before anything of it is fetched: no end of the process between the two makes it whole.
- What was found wanting is looked at again at the next check, whatever the counts say then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from farsight.errors import FarsightError, PacsError, PacsTimeout
from farsight.model import InstanceRef, SeriesRef
from farsight.ports.archive import Archive
from farsight.ports.pacs import Pacs
from farsight.services.census import Census, Held, HeldSeries, take
from farsight.services.comparison import (
    Censuses,
    Missing,
    grown,
    missing,
    names_there,
    new_series,
    remembered,
)
from farsight.services.parallel import run_all
from farsight.services.vanished import Vanished

LOG = logging.getLogger("farsight.freshness")
_PACS_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check came to.

    grown_series: those the PACS have more of, and missing_instances how many more; new_series:
    those they didn't list before; vanished_instances: what they list no more, and what of it was
    deleted here; failures: why a PACS didn't answer.
    """

    study_instance_uid: str
    checked_at: str  # ISO 8601, UTC
    grown_series: int = 0
    missing_instances: int = 0
    new_series: int = 0
    vanished_instances: int = 0
    deleted_instances: int = 0
    failures: tuple[str, ...] = ()

    @property
    def is_news(self) -> bool:
        changes = self.grown_series, self.new_series, self.vanished_instances, self.failures
        return any(changes)


#: What each PACS said last, by its name.
Known = Mapping[str, Census]


class StudyCheck:
    """Keeps nothing between checks but what `Vanished` suspects."""

    def __init__(
        self,
        sources: Sequence[Pacs],
        archive: Archive,
        fetch_ahead: Callable[[SeriesRef], bool],
        vanished: Vanished,
    ) -> None:
        """`fetch_ahead`: begins to fetch what a series lacks."""
        self._sources = tuple(sources)
        self._archive = archive
        self._fetch_ahead = fetch_ahead
        self._vanished = vanished

    def __call__(
        self, study_instance_uid: str, known: Known, *, thorough: bool
    ) -> tuple[Finding, Known]:
        """What was found, and what to know at the next check. `thorough`: as of `take`.

        Raises: ArchiveError.
        """
        held = self._held(study_instance_uid)
        if all(one.record is None for one in held.values()):
            return Finding(study_instance_uid, _now()), {}  # whoever asks for it asks the PACS
        censuses, failures = self._ask(study_instance_uid, held, known, thorough=thorough)
        gone = [] if failures else self._gone(study_instance_uid, held, censuses)
        deleted = frozenset() if failures else self._vanished.settle(study_instance_uid, gone)
        more = grown(study_instance_uid, held, censuses)
        self._mark(_without(held, deleted), more, {ref.series for ref in deleted}, censuses)
        fresh = new_series(study_instance_uid, held, censuses, known)
        for series in (*more, *fresh):
            self._fetch(series)
        pending = {*more, *fresh, *(one.ref.series for one in gone if self._vanished.deletes)}
        finding = Finding(
            study_instance_uid,
            _now(),
            grown_series=len(more),
            missing_instances=sum(n - _held_of(held, series) for series, n in more.items()),
            new_series=len(fresh),
            vanished_instances=len(gone),
            deleted_instances=len(deleted),
            failures=failures,
        )
        return finding, {**known, **remembered(censuses, pending, fresh)}

    def _held(self, study_instance_uid: str) -> dict[str, HeldSeries]:
        stored = self._archive.study_instances(study_instance_uid)
        return {
            uid: HeldSeries(
                frozenset(sop_instance_uids),
                self._archive.completeness(SeriesRef(study_instance_uid, uid)),
            )
            for uid, sop_instance_uids in stored.items()
        }

    def _ask(
        self, study_instance_uid: str, held: Held, known: Known, *, thorough: bool
    ) -> tuple[dict[str, Census], tuple[str, ...]]:
        """What each PACS says, and why others don't."""
        alone = len(self._sources) == 1
        jobs = [
            partial(
                take,
                pacs,
                study_instance_uid,
                held,
                known.get(pacs.name),
                alone=alone,
                thorough=thorough,
            )
            for pacs in self._sources
        ]
        outcomes = run_all(jobs, max_threads=len(jobs), timeout_s=_PACS_WAIT_S)
        censuses: dict[str, Census] = {}
        failures: list[str] = []
        for pacs, outcome in zip(self._sources, outcomes, strict=True):
            error = outcome.error
            if outcome.timed_out:
                error = PacsTimeout(pacs.name, f"no complete answer within {_PACS_WAIT_S:g} s")
            if outcome.value is not None:
                censuses[pacs.name] = outcome.value
            elif isinstance(error, PacsError):
                LOG.info("study %s: not checked: %s", study_instance_uid, error)
                failures.append(str(error))
            elif error is not None:
                raise error
        return censuses, tuple(failures)

    def _gone(self, study_instance_uid: str, held: Held, censuses: Censuses) -> list[Missing]:
        """The book is asked only of series in which something isn't listed."""
        doubtful = [
            SeriesRef(study_instance_uid, uid)
            for uid, one in held.items()
            if any(
                (names := census.listed.get(uid)) is not None and one.sop_instance_uids - names
                for census in censuses.values()
            )
        ]
        held_by = self._vanished.held_by(doubtful)
        return missing(held_by, censuses)

    def _mark(
        self,
        held: Held,
        more: Mapping[SeriesRef, int],
        fewer: Collection[SeriesRef],
        censuses: Censuses,
    ) -> None:
        """The records of series that have grown, and of those that have lost some."""
        there = {one: len(names_there(one.series_instance_uid, censuses)) for one in fewer}
        for series, expected in {**there, **more}.items():
            record, here = held[series.series_instance_uid].record, _held_of(held, series)
            if record is not None and here and expected:
                stored = min(here, expected)
                told = replace(record, expected=expected, stored=stored, checked_at=_now())
                self._archive.mark_complete(series, told)

    def _fetch(self, series: SeriesRef) -> None:
        try:
            self._fetch_ahead(series)
        except FarsightError as error:
            LOG.warning("series %s: not fetched ahead: %s", series.series_instance_uid, error)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _held_of(held: Held, series: SeriesRef) -> int:
    return len(held[series.series_instance_uid].sop_instance_uids)


def _without(held: Held, deleted: Collection[InstanceRef]) -> dict[str, HeldSeries]:
    gone: dict[str, set[str]] = {}
    for ref in deleted:
        gone.setdefault(ref.series_instance_uid, set()).add(ref.sop_instance_uid)
    return {
        uid: replace(one, sop_instance_uids=one.sop_instance_uids - gone.get(uid, set()))
        for uid, one in held.items()
    }
