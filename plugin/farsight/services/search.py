"""Searching the PACS and the archive as if they were one (PS3.18 10.6, PS3.4 C.2.2.2).

Laws: every row is matched again here; rows are joined by UID only; a source that failed is an
error or a warning, never silence; the order is the same for every page.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from farsight.errors import FarsightError
from farsight.model import Attributes, Level
from farsight.ports.archive import Archive
from farsight.ports.pacs import Pacs
from farsight.ps318 import warning
from farsight.ps318.attribute_levels import MODALITIES_IN_STUDY, UNIQUE_KEY
from farsight.ps318.dicom_json import attributes_json
from farsight.ps318.matching import matches, unknown_keys
from farsight.ps318.resource_path import ResourcePath
from farsight.ps318.search_query import SearchQuery
from farsight.services.parallel import Outcome, run_all
from farsight.services.recent_answers import RecentAnswers
from farsight.services.search_answer import answer_row, shown_tags
from farsight.services.search_by_date import Spans
from farsight.services.search_descent import Descent
from farsight.services.search_newest import DescentLimits
from farsight.services.search_page import PageLimits, Paging
from farsight.services.search_rows import FoundRow, in_order, join_rows
from farsight.services.search_source import (
    ArchiveSource,
    PacsSource,
    SearchSource,
    SourceHabits,
)
from farsight.services.study_contents import ContentsCache, Counter

LOG = logging.getLogger("farsight.search")


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """Bounds of one search. archive_timeout_s: of the archive; each PACS has its own.
    answers_live_s: how old an answer may be that the next who asks gets."""

    archive_timeout_s: float = 60.0
    answers_live_s: float = 0.0
    descent: DescentLimits = field(default_factory=DescentLimits)
    page: PageLimits = field(default_factory=PageLimits)


@dataclass(frozen=True)
class SearchResult:
    """One page. `warnings`: texts for Warning headers (farsight.ps318.warning). may_be_kept:
    no source failed."""

    rows: tuple[Attributes, ...]
    warnings: tuple[str, ...] = ()
    may_be_kept: bool = True

    @cached_property
    def json(self) -> bytes:
        """The rows as one JSON array; a page asked for again isn't written again."""
        return attributes_json(self.rows)


@dataclass(frozen=True, slots=True)
class _Page:
    """What a page is known by. only: the PACS it is about, None for all. changes: of the archive,
    when it was asked for."""

    query: SearchQuery
    scope: ResourcePath
    root_url: str
    only: str | None
    changes: int


def _weight(result: SearchResult) -> int | None:
    return len(result.rows) if result.may_be_kept else None


class SearchService:
    """Search of studies, series and instances; safe to use from many threads.

    `habits`: by the names of the PACS.
    """

    def __init__(
        self,
        pacs: Sequence[Pacs],
        archive: Archive | None,
        limits: SearchLimits | None = None,
        contents: ContentsCache | None = None,
        habits: Mapping[str, SourceHabits] | None = None,
    ) -> None:
        of = habits or {}
        self._limits = limits or SearchLimits()
        # A page is made of answers that are kept themselves: together they are that old.
        live_s = self._limits.answers_live_s / 2
        self._sources: tuple[SearchSource, ...] = tuple(
            PacsSource(one, of.get(one.name, SourceHabits()), live_s) for one in pacs
        )
        self._archive = archive
        if archive is not None:
            self._sources += (ArchiveSource(archive, self._limits.archive_timeout_s),)
        self._pages: RecentAnswers[_Page, SearchResult] = RecentAnswers(live_s, _weight)
        self._only: str | None = None
        self._spans = [Spans() for _ in self._sources]
        self._counter = Counter(contents or ContentsCache())

    def search(self, query: SearchQuery, scope: ResourcePath, root_url: str) -> SearchResult:
        """One page of what matches, merged, in order.

        `scope` names the resource searched; `root_url` is the service's absolute base URI,
        without a trailing slash, for RetrieveURL.

        Raises: the first PacsError (or ArchiveError) when a source failed and nothing was found.
        """
        changes = 0 if self._archive is None else self._archive.changes
        page = _Page(replace(query, fresh=False), scope, root_url, self._only, changes)
        return self._pages.answer(
            page, lambda: self._search(query, scope, root_url), fresh=query.fresh
        )

    def _search(self, query: SearchQuery, scope: ResourcePath, root_url: str) -> SearchResult:
        descents, outcomes = self._ask(query, scope)
        failures = [outcome.error for outcome in outcomes if outcome.error is not None]
        notes = [note for descent in descents for note in descent.notes]
        found = self._matching(query, outcomes, notes)
        joined, doubled = join_rows(found, query.level)
        if self._only is not None:  # what is here says how near it is, and is nothing of its own
            joined = [row for row in joined if any(one.ae_title is not None for one in row.rows)]
        ordered = in_order(query.level, joined, lambda row: row.rows[0].attributes)
        named = [level for level, tag in UNIQUE_KEY.items() if tag in _scope_uids(scope)]
        shown = shown_tags(query, named)
        paging = Paging(self._sources, self._counter, query, shown, self._limits.page)
        page, remaining = paging.page(ordered)
        if failures and not paging.matched:
            raise failures[0]
        rows = tuple(answer_row(row.attributes(), query, named, root_url) for row in page)
        texts = [
            *query.warnings,
            *(f"{error}; its results are missing" for error in failures),
            *notes,
            *doubled,
            *paging.notes,
            *_remaining(remaining, is_cut=any(descent.is_cut for descent in descents)),
        ]
        self._log(query, outcomes, len(rows))
        return SearchResult(rows, tuple(dict.fromkeys(texts)), may_be_kept=not failures)

    def only(self, pacs: str) -> SearchService:
        """The same service for what one PACS has, under its name; what is known is shared."""
        fewer = copy.copy(self)
        chosen = [
            (source, spans)
            for source, spans in zip(self._sources, self._spans, strict=True)
            if source.pacs in (pacs, None)
        ]
        fewer._sources = tuple(source for source, _ in chosen)
        fewer._spans = [spans for _, spans in chosen]
        fewer._only = pacs
        return fewer

    def _ask(
        self, query: SearchQuery, scope: ResourcePath
    ) -> tuple[list[Descent], list[Outcome[list[Attributes]]]]:
        """Every source at once; one out of time counts as failed."""
        uids = _scope_uids(scope)
        limits = self._limits.descent
        descents = [
            Descent(source, query, uids, self._counter, limits, spans)
            for source, spans in zip(self._sources, self._spans, strict=True)
        ]
        outcomes = run_all(
            [descent.rows for descent in descents],
            max_threads=len(descents),
            timeout_s=[source.timeout_s for source in self._sources],
        )
        return descents, [
            Outcome(error=_late(source)) if outcome.timed_out else outcome
            for source, outcome in zip(self._sources, outcomes, strict=True)
        ]

    def _matching(
        self, query: SearchQuery, outcomes: Sequence[Outcome[list[Attributes]]], notes: list[str]
    ) -> list[FoundRow]:
        """The rows that match, as far as they say; a note for keys no row of a source has."""
        found: list[FoundRow] = []
        for index, (source, outcome) in enumerate(zip(self._sources, outcomes, strict=True)):
            unknown: set[str] = set()
            for row in outcome.value or ():
                if matches(row, query.matching_keys):
                    found.append(FoundRow(index, source.ae_title, row))
                    unknown.update(
                        key.name
                        for key in unknown_keys(row, query.matching_keys)
                        if key.tag != MODALITIES_IN_STUDY
                    )
            if unknown:
                names = ", ".join(sorted(unknown))
                notes.append(f"{source.name} does not return {names}; not filtered by it")
        return found

    def _log(
        self, query: SearchQuery, outcomes: Sequence[Outcome[list[Attributes]]], rows: int
    ) -> None:
        counts = ", ".join(
            f"{source.name}: {'failed' if outcome.value is None else len(outcome.value)}"
            for source, outcome in zip(self._sources, outcomes, strict=True)
        )
        LOG.info("search at level %s: %d rows (%s)", query.level.value, rows, counts)


def _late(source: SearchSource) -> FarsightError:
    return source.out_of_time(f"no complete answer within {source.timeout_s:g} s")


def _scope_uids(scope: ResourcePath) -> dict[str, str]:
    named = {
        Level.STUDY: scope.study_instance_uid,
        Level.SERIES: scope.series_instance_uid,
        Level.IMAGE: scope.sop_instance_uid,
    }
    return {UNIQUE_KEY[level]: uid for level, uid in named.items() if uid is not None}


def _remaining(remaining: int | None, *, is_cut: bool) -> list[str]:
    """A number only where all that match have been seen."""
    if remaining == 0:
        return []
    if remaining is None or is_cut:
        return [warning.MORE_RESULTS]
    return [warning.remaining_results(remaining)]
