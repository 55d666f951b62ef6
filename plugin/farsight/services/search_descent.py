"""All rows of one source for a search, down the hierarchy (PS3.4 C.4.1.2.1, PS3.18 10.6).

C-FIND without relational queries wants the UIDs of all levels above. Where the search doesn't
give them (`/instances`), or wants to match or return attributes of a level above, that level is
asked first and its rows are gone through one by one, newest study first, within a bound.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial

from farsight.errors import PacsFailure, PacsRefusedService
from farsight.model import Attributes, Level
from farsight.ps318.attribute_levels import (
    LEVELS,
    MODALITIES_IN_STUDY,
    STUDY_DATE,
    UNIQUE_KEY,
    level_of,
    parent_of,
)
from farsight.ps318.matching import matches, unknown_keys, values_of
from farsight.ps318.search_query import SearchQuery
from farsight.services.parallel import Job, run_all
from farsight.services.search_by_date import (
    FIRST_DAYS,
    FIRST_DAYS_FILTERED,
    ByDate,
    Days,
    Spans,
    bounds_of,
    days_with,
)
from farsight.services.search_rows import distinct, in_order, is_uid, uid_of
from farsight.services.search_source import SearchSource
from farsight.services.study_contents import Counter

LOG = logging.getLogger("farsight.search")


@dataclass(frozen=True, slots=True)
class DescentLimits:
    """max_rows: of one query; a source with more studies is asked by date. max_fan_out: objects
    of one level gone into. max_counted: studies whose modalities are found out. patience_s: a
    source that takes longer for all it has is asked by date, unless it has few_rows only."""

    max_rows: int = 20_000
    max_fan_out: int = 500
    max_counted: int = 1_000
    counting_threads: int = 4
    few_rows: int = 2_000
    patience_s: float = 0.5


@dataclass(slots=True)
class Descent:
    """One search at one source. `uids`: tag -> UID for the levels the resource names.

    `notes` are texts for Warning headers about what the answer lacks; `is_cut`: a bound was hit.
    """

    source: SearchSource
    query: SearchQuery
    uids: Mapping[str, str]
    counter: Counter
    limits: DescentLimits = field(default_factory=DescentLimits)
    spans: Spans = field(default_factory=Spans)
    notes: list[str] = field(default_factory=list)
    is_cut: bool = False

    def rows(self) -> list[Attributes]:
        """Rows at the query's level, those above joined in; every one has its UIDs.

        Raises: FarsightError of the source.
        """
        return self._rows(self.query.level)

    def _rows(self, level: Level) -> list[Attributes]:
        found: list[Attributes] = []
        for above in self._above(level):
            inherited = {
                tag: value for tag, value in above.items() if level_of(tag) in _above_levels(level)
            }
            for row in self._asked(level, inherited):
                said = {tag: value for tag, value in row.items() if values_of(value)}
                found.append({**row, **inherited, **said})
        return found

    def _above(self, level: Level) -> list[Attributes]:
        parent = parent_of(level)
        if parent is None:
            return [{}]
        known = self._known_uid(parent)
        if known and not self._wanted(parent):
            stub = {UNIQUE_KEY[parent]: {"vr": "UI", "Value": [known]}}
            return [{**above, **stub} for above in self._above(parent)]
        keys = self.query.keys_at(parent)
        found = self._rows(parent)
        if parent is Level.STUDY:
            found = self._with_modalities(found)
        parents = in_order(parent, [row for row in found if matches(row, keys)], lambda row: row)
        if len(parents) > self.limits.max_fan_out:
            self.is_cut = True
            self.notes.append(
                f"{self.source.name}: only the first {self.limits.max_fan_out} of {len(parents)} "
                f"objects at level {parent.value} were searched"
            )
        return parents[: self.limits.max_fan_out]

    def _with_modalities(self, studies: list[Attributes]) -> list[Attributes]:
        """Found out where the search asks by them and the source doesn't tell."""
        keys = self.query.matching_keys
        if not any(key.tag == MODALITIES_IN_STUDY and not key.is_universal for key in keys):
            return studies
        tags = (MODALITIES_IN_STUDY,)
        ordered = in_order(Level.STUDY, studies, lambda row: row)
        lacking = [row for row in ordered if self.counter.lacks(row, tags)]
        if len(lacking) > self.limits.max_counted:
            self.is_cut = True
            most = self.limits.max_counted
            self.notes.append(
                f"{self.source.name}: the modalities of {most} studies were looked at"
            )
            beyond = {id(row) for row in lacking[most:]}
            ordered = [row for row in ordered if id(row) not in beyond]
        outcomes = run_all(
            [
                partial(self.counter.complete, self.source, row, tags)
                for row in lacking[: self.limits.max_counted]
            ],
            max_threads=self.limits.counting_threads,
            timeout_s=self.source.timeout_s,
        )
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
            if outcome.timed_out:
                raise self.source.out_of_time("took too long to tell modalities")
        return ordered

    def _asked(self, level: Level, inherited: Attributes) -> list[Attributes]:
        upper = {UNIQUE_KEY[above]: uid_of(inherited, above) for above in _above_levels(level)}
        asked = dict(upper)
        if known := self._known_uid(level):
            asked[UNIQUE_KEY[level]] = known
        most = self.limits.max_rows
        by_date = self._by_date(asked) if level is self.query.level is Level.STUDY else None
        if by_date is None:
            rows = self.source.search(self.query, level, asked, most + 1)
        else:
            rows = self._newest_or_all(by_date, asked)
        if len(rows) > most:
            self.is_cut = True
            self.notes.append(
                f"{self.source.name}: more than {most} matches, the rest was not read"
            )
        kept = [row for row in rows[:most] if is_uid(uid_of(row, level))]
        if len(kept) < len(rows[:most]):
            self.notes.append(f"{self.source.name}: rows without a valid UID were left out")
        return distinct([row for row in kept if _belongs(row, upper)], level)

    def _newest_or_all(self, by_date: ByDate, asked: Mapping[str, str]) -> list[Attributes]:
        """All, unless that takes too long or is too much, as far as it is known: then the newest.

        All are asked for on another thread, and not waited for for long: a PACS may look for
        every study it has before it sends the first. That is done once in a while only.
        """
        days = self.spans.of(by_date.search, by_date.needed)
        first_days = FIRST_DAYS if self._asks_for_all else FIRST_DAYS_FILTERED
        if days is None and self.spans.is_large:
            days = first_days
        if days is not None and (rows := self._newest(by_date, days)) is not None:
            return rows
        if self.spans.is_small or self.spans.is_large:
            return self._everything(asked)
        job = Job(lambda: self._everything(asked))
        outcome = job.outcome(self.limits.patience_s)
        if outcome.timed_out:
            self.spans.note_large()
        elif outcome.error is None and self._asks_for_all:
            self.spans.note_small()
        too_much = outcome.timed_out or len(outcome.value or ()) > self.limits.max_rows
        if days is None and too_much:
            rows = self._newest(by_date, first_days)
            if rows is not None:
                return rows
        outcome = job.outcome()
        if outcome.value is None:
            assert outcome.error is not None
            raise outcome.error
        return outcome.value

    def _everything(self, asked: Mapping[str, str]) -> list[Attributes]:
        rows = self.source.search(self.query, Level.STUDY, asked, self.limits.max_rows + 1)
        if self._asks_for_all and len(rows) <= self.limits.few_rows:
            self.spans.note_not_so_large()
        return rows

    @property
    def _asks_for_all(self) -> bool:
        return all(key.is_universal for key in self.query.matching_keys)

    def _by_date(self, asked: Mapping[str, str]) -> ByDate | None:
        """How the studies of this search are asked for by date; None: not at all."""
        bounds = bounds_of(self.query.matching_keys)
        if bounds is None or UNIQUE_KEY[Level.STUDY] in asked:
            return None
        most = self.limits.max_rows
        needed = most if self.query.limit is None else self.query.offset + self.query.limit

        def of(window: Days, max_rows: int) -> list[Attributes]:
            dated = {**asked, STUDY_DATE: str(window)}
            return self.source.search(self.query, Level.STUDY, dated, max_rows)

        def surely(rows: Sequence[Attributes]) -> list[Attributes]:
            return distinct(filter(self._surely_matches, rows), Level.STUDY)

        keys = frozenset((key.path, key.values) for key in self.query.matching_keys)
        return ByDate(keys, bounds, of, surely, needed, most)

    def _newest(self, by_date: ByDate, days: int) -> list[Attributes] | None:
        """The newest of more than can be read: exact for each source, so for all of them joined.

        None where dates are of no help.
        """
        today = date.today()
        try:
            rows = by_date.newest(today, days)
        except PacsRefusedService:
            raise
        except PacsFailure as error:  # it may not take ranges; if it is something else, it stays
            LOG.info("%s; asking without dates", error)
            return None
        if rows is None:
            return None
        sure = by_date.surely(rows)
        days = days_with(sure, by_date.needed, by_date.top(today))
        self.spans.keep(by_date.search, by_date.needed, days)
        self.is_cut = True
        matching = [row for row in rows if matches(row, self.query.matching_keys)]
        return in_order(Level.STUDY, matching, lambda row: row)

    def _surely_matches(self, row: Attributes) -> bool:
        keys = self.query.matching_keys
        return matches(row, keys) and not unknown_keys(row, keys)

    def _known_uid(self, level: Level) -> str | None:
        """The UID the resource names, or the only one the query asks for."""
        tag = UNIQUE_KEY[level]
        if tag in self.uids:
            return self.uids[tag]
        values = [key.values for key in self.query.matching_keys if key.path == (tag,)]
        return values[0][0] if len(values) == 1 and len(values[0]) == 1 else None

    def _wanted(self, level: Level) -> bool:
        """Whether the search needs anything of this level but its UID."""
        tags = set(self.query.include_fields) | {key.tag for key in self.query.matching_keys}
        if self._is_relational(level):
            return True
        return any(level_of(tag) is level for tag in tags - set(UNIQUE_KEY.values()))

    def _is_relational(self, level: Level) -> bool:
        """The resource doesn't name the object: its attributes belong into the rows."""
        return UNIQUE_KEY[level] not in self.uids


def _above_levels(level: Level) -> tuple[Level, ...]:
    return LEVELS[: LEVELS.index(level)]


def _belongs(row: Attributes, upper: Mapping[str, str]) -> bool:
    """Whether the row names no other parent than the one asked about."""
    return all(values_of(row.get(tag)) in ([], [uid]) for tag, uid in upper.items())
