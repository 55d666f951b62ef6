"""One place to search, a PACS or the archive, with its habits levelled out.

What is learned of a PACS: whether it takes lists of UIDs, whether it tells capital letters in
names apart (PS3.4 leaves that open), whether it finds letters outside ASCII. Each is found out
once, when a search first needs it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from farsight.dimse.identifier import dimse_value, identifier_keys, search_identifier
from farsight.errors import (
    ArchiveError,
    FarsightError,
    PacsFailure,
    PacsRefusedService,
    PacsTimeout,
)
from farsight.model import Attributes, IdentifierKey, Level
from farsight.ports.archive import Archive
from farsight.ports.pacs import Pacs
from farsight.ps318.attribute_levels import LEVELS, PATIENT_NAME, STUDY_DATE, holds
from farsight.ps318.matching import matches
from farsight.ps318.search_query import SearchQuery
from farsight.services.recent_answers import RecentAnswers
from farsight.services.refining import Question, Refining
from farsight.services.search_probes import SearchProbes
from farsight.services.search_rows import uid_of

#: How long a refusal counts: it may have been something else.
_REMEMBERED_S = 3600.0


class SearchSource(Protocol):
    """What the search asks. Raises FarsightError subclasses."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    @property
    def pacs(self) -> str | None:
        """The name of the PACS; None for the archive."""
        ...

    @property
    def ae_title(self) -> str | None:
        """Its AE title; None for the archive."""
        ...

    @property
    def timeout_s(self) -> float:
        """For its whole answer."""
        ...

    def out_of_time(self, why: str) -> FarsightError:
        """The error for an answer that didn't come in time."""
        ...

    def search(
        self, query: SearchQuery, level: Level, upper_uids: Mapping[str, str], max_rows: int
    ) -> list[Attributes]:
        """Rows at `level` that may match; at most `max_rows`.

        `upper_uids`: tag -> UID of the levels above; or (0008,0020) -> some days of the search.
        """
        ...

    def knows(
        self, query: SearchQuery, level: Level, upper_uids: Mapping[str, str], max_rows: int
    ) -> bool:
        """Whether `search` would be answered without asking anybody."""
        ...

    def rows(
        self, level: Level, values: Mapping[str, str], *, fresh: bool = False
    ) -> list[Attributes]:
        """All rows at `level` for these tags and values, "" for what is only to be returned.

        `fresh`: not what was answered a moment ago.
        """
        ...


class ArchiveSource:
    """The archive: no habits."""

    name = "the local store"
    pacs: str | None = None
    ae_title: str | None = None

    def __init__(self, archive: Archive, timeout_s: float) -> None:
        self._archive = archive
        self.timeout_s = timeout_s

    def out_of_time(self, why: str) -> FarsightError:
        return ArchiveError(f"{self.name}: {why}")

    def search(
        self, query: SearchQuery, level: Level, upper_uids: Mapping[str, str], max_rows: int
    ) -> list[Attributes]:
        keys = search_identifier(query, level, upper_uids)
        return list(self._archive.find(level, keys, max_rows=max_rows))

    def knows(
        self, query: SearchQuery, level: Level, upper_uids: Mapping[str, str], max_rows: int
    ) -> bool:
        del query, level, upper_uids, max_rows  # it keeps nothing
        return False

    def rows(
        self, level: Level, values: Mapping[str, str], *, fresh: bool = False
    ) -> list[Attributes]:
        del fresh  # it keeps nothing
        return list(self._archive.find(level, identifier_keys(values)))


@dataclass(frozen=True, slots=True)
class SourceHabits:
    """What is known of a PACS beforehand. timeout_s: for its whole answer to a search.
    universal_tags: attributes it matches too narrowly (a ModalitiesInStudy compared as one
    string, say); they are sent as universal keys and matched here."""

    timeout_s: float = 60.0
    universal_tags: frozenset[str] = frozenset()


class PacsSource:
    """A PACS, and what has been learned of it."""

    def __init__(self, pacs: Pacs, habits: SourceHabits, answers_live_s: float = 0.0) -> None:
        self._pacs = pacs
        self.pacs = pacs.name
        self.timeout_s = habits.timeout_s
        self._recent: RecentAnswers[Question, list[Attributes]] = RecentAnswers(answers_live_s, len)
        self._refining = Refining()
        self._universal_tags = habits.universal_tags
        self._no_uid_lists_until = 0.0
        self._probes = SearchProbes(pacs)

    @property
    def name(self) -> str:
        return f"PACS {self._pacs.name!r}"

    @property
    def ae_title(self) -> str | None:
        return self._pacs.ae_title

    def out_of_time(self, why: str) -> FarsightError:
        return PacsTimeout(self._pacs.name, why)

    def search(
        self, query: SearchQuery, level: Level, upper_uids: Mapping[str, str], max_rows: int
    ) -> list[Attributes]:
        question = self._question(query, level, upper_uids, max_rows)
        keys = question.keys
        lists = [key for key in keys if key.vr == "UI" and "\\" in key.value]
        if STUDY_DATE in upper_uids:  # some days of a search: nothing to be put to proof by
            return self._ask(question, fresh=query.fresh)
        if not lists:
            return self._found(query, question)
        if time.monotonic() >= self._no_uid_lists_until:
            try:
                return self._ask(question, fresh=query.fresh)
            except PacsRefusedService:
                raise
            except PacsFailure:
                rows = self._one_by_one(level, keys, lists[0], max_rows)
                self._no_uid_lists_until = time.monotonic() + _REMEMBERED_S
                return rows
        return self._one_by_one(level, keys, lists[0], max_rows)

    def rows(
        self, level: Level, values: Mapping[str, str], *, fresh: bool = False
    ) -> list[Attributes]:
        return self._ask(Question(level, identifier_keys(values)), fresh=fresh)

    def _question(
        self, query: SearchQuery, level: Level, upper_uids: Mapping[str, str], max_rows: int
    ) -> Question:
        universal = self._universal_tags | self._to_widen(query, level)
        return Question(level, search_identifier(query, level, upper_uids, universal), max_rows)

    def knows(
        self, query: SearchQuery, level: Level, upper_uids: Mapping[str, str], max_rows: int
    ) -> bool:
        if query.fresh:
            return False
        question = self._question(query, level, upper_uids, max_rows)
        if self._recent.knows(question):
            return True
        proven = self._refining.is_proven
        return proven and self._refining.wider(question, self._recent.good()) is not None

    def _found(self, query: SearchQuery, question: Question) -> list[Attributes]:
        """From a wider answer of a moment ago, where that is proven to do."""
        wide = None
        if not (query.fresh or self._recent.knows(question)):
            wide = self._refining.wider(question, self._recent.good())
        if wide is not None and self._refining.may_answer():
            return wide
        rows = self._ask(question, fresh=query.fresh)
        if wide is not None and question.is_complete(rows):
            self._refining.proof(_uids_of(wide, query), _uids_of(rows, query))
        return rows

    def _ask(self, question: Question, *, fresh: bool) -> list[Attributes]:
        def ask() -> list[Attributes]:
            max_rows = question.max_rows
            rows = list(self._pacs.find(question.level, question.keys, max_rows=max_rows))
            self._refining.note(question, rows)
            return rows

        return self._recent.answer(question, ask, fresh=fresh)

    def _one_by_one(
        self, level: Level, keys: Iterable[IdentifierKey], listed: IdentifierKey, max_rows: int
    ) -> list[Attributes]:
        """The same search once per UID of `listed`; other lists become universal."""
        others = [
            IdentifierKey(
                key.tag, key.vr, "" if key.vr == "UI" and "\\" in key.value else key.value
            )
            for key in keys
            if key.tag != listed.tag
        ]
        rows: list[Attributes] = []
        for uid in listed.value.split("\\"):
            identifier = [*others, IdentifierKey(listed.tag, listed.vr, uid)]
            identifier.sort(key=lambda key: key.tag)
            rows += self._pacs.find(level, identifier, max_rows=max_rows - len(rows))
            if len(rows) >= max_rows:
                break
        return rows

    def _to_widen(self, query: SearchQuery, level: Level) -> frozenset[str]:
        """Keys that this PACS would match too narrowly: names whose capitals it tells apart, and
        letters it doesn't find."""
        of_level = [key for key in query.matching_keys if holds(level, key.tag)]
        names = {
            key.tag for key in of_level if key.vr == "PN" and any(map(_has_letters, key.values))
        }
        if PATIENT_NAME in names and self._probes.folds_case():
            names.remove(PATIENT_NAME)  # of other names it may not keep capitals alone
        letters = {key.tag for key in of_level if not dimse_value(key).isascii()}
        if letters - names - self._universal_tags and not self._probes.finds_letters():
            names |= letters
        return frozenset(names)


def _uids_of(rows: Iterable[Attributes], query: SearchQuery) -> set[tuple[str, ...]]:
    """Of those that match."""
    matching = (row for row in rows if matches(row, query.matching_keys))
    return {tuple(uid_of(row, level) for level in LEVELS) for row in matching}


def _has_letters(text: str) -> bool:
    """Letters whose case can be told apart."""
    return text.swapcase() != text
