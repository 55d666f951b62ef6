"""From joined rows to one page of them: undecided matches settled, counts filled in, cut to size.

A search by ModalitiesInStudy can't be decided for rows whose source doesn't send it. Those are
looked into in the order of the list, only as far as the page needs, and within a bound.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from farsight.errors import FarsightError
from farsight.model import Attributes, Level
from farsight.ps318.attribute_levels import MODALITIES_IN_STUDY
from farsight.ps318.matching import matches
from farsight.ps318.matching_key import MatchingKey
from farsight.ps318.search_query import SearchQuery
from farsight.services.parallel import run_all
from farsight.services.search_rows import JoinedRow, uid_of
from farsight.services.search_source import SearchSource
from farsight.services.study_contents import Counter

_BATCH = 50


@dataclass(frozen=True, slots=True)
class PageLimits:
    """max_results: rows in one answer. max_counted: studies looked into to decide a match.
    timeout_s: for all that is counted."""

    max_results: int = 20_000
    max_counted: int = 1_000
    counting_threads: int = 4
    timeout_s: float = 60.0


@dataclass(slots=True)
class Paging:
    """One page of one search. `shown`: tags of an answer's rows, those that can be counted are.
    `notes`: texts for Warning headers. `matched`: rows that match, as far as they were looked
    at."""

    sources: Sequence[SearchSource]
    counter: Counter
    query: SearchQuery
    shown: frozenset[str]
    limits: PageLimits
    notes: list[str] = field(default_factory=list)
    matched: int = 0
    _given_up: set[int] = field(default_factory=set)
    _deadline: float = 0.0

    def page(self, ordered: Sequence[JoinedRow]) -> tuple[list[JoinedRow], int | None]:
        """The rows of the page, completed, and how many follow it; None: more, number unknown.

        Rows whose match can't be decided, because the source failed, stay in; a note says so.
        """
        self._deadline = time.monotonic() + self.limits.timeout_s
        limit = self.limits.max_results
        if self.query.limit is not None:
            limit = min(limit, self.query.limit)
        end = self.query.offset + limit
        decided, remaining = self._decided(ordered, end)
        self.matched = len(decided)
        chosen = decided[self.query.offset : end]
        self._complete(chosen)
        return chosen, remaining

    def _decided(
        self, ordered: Sequence[JoinedRow], end: int
    ) -> tuple[list[JoinedRow], int | None]:
        key = self._modalities_key()
        if key is None or not any(map(_undecided, ordered)):
            return list(ordered), max(0, len(ordered) - end)
        kept: list[JoinedRow] = []
        counted = position = 0
        while position < len(ordered) and len(kept) <= end:
            if counted >= self.limits.max_counted:
                self.notes.append(
                    f"ModalitiesInStudy was found out for {counted} studies only; narrow the search"
                )
                return kept, None
            batch = ordered[position : position + _BATCH]
            position += len(batch)
            undecided = [row for row in batch if _undecided(row)]
            counted += len(undecided)
            self._complete(undecided)
            kept += [row for row in batch if self._keep(row, key)]
        if position < len(ordered):
            return kept, None
        return kept, max(0, len(kept) - end)

    def _modalities_key(self) -> MatchingKey | None:
        if self.query.level is not Level.STUDY:
            return None
        keys = self.query.matching_keys
        return next((k for k in keys if k.tag == MODALITIES_IN_STUDY and not k.is_universal), None)

    def _keep(self, row: JoinedRow, key: MatchingKey) -> bool:
        """Any source's modalities may match; a row that is still undecided stays."""
        of_sources = [found.attributes for found in row.rows]
        if any(MODALITIES_IN_STUDY not in attributes for attributes in of_sources):
            return True
        return any(matches(attributes, [key]) for attributes in of_sources)

    def _complete(self, joined: Iterable[JoinedRow]) -> None:
        """Counts for every source's row that lacks them; one failure ends it for that source."""
        rows: dict[tuple[int, str], list[Attributes]] = {}
        for row in joined:
            for found in row.rows:
                if self.counter.lacks(found.attributes, self.shown):
                    study = uid_of(found.attributes, Level.STUDY)
                    rows.setdefault((found.source, study), []).append(found.attributes)
        jobs = [_Job(self, source, of_study) for (source, _), of_study in rows.items()]
        outcomes = run_all(
            jobs,
            max_threads=self.limits.counting_threads,
            timeout_s=max(0.0, self._deadline - time.monotonic()),
        )
        for job, outcome in zip(jobs, outcomes, strict=True):
            for row_of_job, completed in zip(job.rows, outcome.value or (), strict=False):
                row_of_job.update(completed)
        late = {
            job.source
            for job, outcome in zip(jobs, outcomes, strict=True)
            if outcome.timed_out and job.source not in self._given_up
        }
        for source in sorted(late):
            self.give_up(source, self.sources[source].out_of_time("took too long to count"))

    def give_up(self, source: int, error: FarsightError) -> None:
        """Count nothing more at this source; the first reason is noted."""
        if source not in self._given_up:
            self._given_up.add(source)
            self.notes.append(f"modalities and counts are incomplete: {error}")

    def has_given_up(self, source: int) -> bool:
        return source in self._given_up


@dataclass(frozen=True, slots=True)
class _Job:
    """Rows of one study at one source: what is found out for one serves the next."""

    paging: Paging
    source: int
    rows: Sequence[Attributes]

    def __call__(self) -> list[Attributes]:
        """Copies with what was found out: one that comes late must not change what is read."""
        source = self.paging.sources[self.source]
        fresh = self.paging.query.fresh
        completed: list[Attributes] = []
        try:
            for row in self.rows:
                if self.paging.has_given_up(self.source):
                    break
                copied = dict(row)
                self.paging.counter.complete(source, copied, self.paging.shown, fresh=fresh)
                completed.append(copied)
        except FarsightError as error:
            self.paging.give_up(self.source, error)
        return completed


def _undecided(row: JoinedRow) -> bool:
    return any(MODALITIES_IN_STUDY not in found.attributes for found in row.rows)
