"""All studies of a search at one source, or the newest where all are too many or take too long."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from farsight.errors import PacsError, PacsRefusedService
from farsight.model import Attributes, Level
from farsight.ps318.attribute_levels import STUDY_DATE, UNIQUE_KEY
from farsight.ps318.matching import matches, unknown_keys
from farsight.ps318.search_query import SearchQuery
from farsight.services.parallel import Job
from farsight.services.search_by_date import (
    FIRST_DAYS,
    FIRST_DAYS_FILTERED,
    ByDate,
    Days,
    Size,
    Spans,
    bounds_of,
    days_with,
)
from farsight.services.search_rows import distinct, in_order
from farsight.services.search_source import SearchSource

LOG = logging.getLogger("farsight.search")
#: What a PACS has is rarely older than this.
_ALL_DAYS = 20 * 365


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
class StudySearch:
    """`uids`: of a study the resource names. `is_cut`: there is more than `rows` returned."""

    source: SearchSource
    query: SearchQuery
    uids: Mapping[str, str]
    limits: DescentLimits
    spans: Spans
    is_cut: bool = False

    def rows(self) -> list[Attributes]:
        """At most one more than limits.max_rows. Raises: FarsightError of the source."""
        by_date = self._by_date()
        if by_date is None:
            return self._everything()
        return self._newest_or_all(by_date)

    def _newest_or_all(self, by_date: ByDate) -> list[Attributes]:
        """All, unless that takes too long or is too much, as far as it is known: then the newest.

        All are asked for on another thread, and not waited for for long: a PACS may look for
        every study it has before it sends the first. That is done once in a while only.
        """
        days = self.spans.of(by_date.search, by_date.needed)
        if days is None and self._is_for_dates(by_date):
            days = FIRST_DAYS if self._asks_for_all else FIRST_DAYS_FILTERED
        if days is not None and (rows := self._newest(by_date, days)) is not None:
            return rows
        job = Job(self._everything)
        may_last = self.spans.size is not Size.UNKNOWN or days is not None
        outcome = job.outcome(None if may_last else self.limits.patience_s)
        if outcome.timed_out or len(outcome.value or ()) > self.limits.max_rows:
            self.spans.note(Size.LARGE)
            rows = self._newest(by_date, FIRST_DAYS) if days is None else None
            if rows is not None:
                return rows
        elif outcome.error is None and self._asks_for_all and not may_last:
            self.spans.note(Size.SMALL)
        outcome = job.outcome()
        if outcome.value is None:
            assert outcome.error is not None
            raise outcome.error
        return outcome.value

    def _is_for_dates(self, by_date: ByDate) -> bool:
        """Whether there is so much that all of it isn't to be asked for: going by the last days.

        What a search leaves of a large source may be little enough.
        """
        size, most = self.spans.size, self.limits.max_rows
        if self._asks_for_all:
            is_page = size is Size.UNKNOWN and self.query.limit is not None
            if is_page and self._lately(by_date, FIRST_DAYS) * 8 > by_date.needed:
                self.spans.note(Size.LARGE)
            return self.spans.size is Size.LARGE
        if size is not Size.LARGE:
            return False
        if self.source.knows(self.query, Level.STUDY, self.uids, most + 1):
            return False
        few_lately = self.limits.few_rows * FIRST_DAYS_FILTERED // _ALL_DAYS
        return self._lately(by_date, FIRST_DAYS_FILTERED) > few_lately

    def _lately(self, by_date: ByDate, days: int) -> int:
        """How many match in the last days; 0 where ranges are refused."""
        top, first = by_date.top(date.today()), by_date.bounds.first
        if days <= (top - first).days:
            first = top - timedelta(days - 1)
        window = Days(first, by_date.bounds.last)
        try:
            return len(by_date.surely(by_date.ask(window, self.limits.max_rows + 1)))
        except PacsRefusedService:
            raise
        except PacsError as error:
            LOG.info("%s; asking without dates", error)
            return 0

    def _everything(self) -> list[Attributes]:
        rows = self.source.search(self.query, Level.STUDY, self.uids, self.limits.max_rows + 1)
        few = len(rows) <= self.limits.few_rows
        if few and self._asks_for_all and self.spans.size is Size.LARGE:
            self.spans.note(Size.UNKNOWN)
        return rows

    @property
    def _asks_for_all(self) -> bool:
        return all(key.is_universal for key in self.query.matching_keys)

    def _by_date(self) -> ByDate | None:
        """How the studies of this search are asked for by date; None: not at all."""
        bounds = bounds_of(self.query.matching_keys)
        if bounds is None or UNIQUE_KEY[Level.STUDY] in self.uids:
            return None
        most = self.limits.max_rows
        needed = most if self.query.limit is None else self.query.offset + self.query.limit

        def of(window: Days, max_rows: int) -> list[Attributes]:
            dated = {**self.uids, STUDY_DATE: str(window)}
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
        except PacsError as error:  # it may not take ranges; if it is something else, it stays
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
