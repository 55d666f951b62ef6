"""One place to search, a PACS or the archive, with its habits levelled out.

What is learned of a PACS: whether it takes lists of UIDs, whether it tells capital letters in
names apart (PS3.4 leaves that open), whether it finds letters outside ASCII. Each is found out
once, when a search first needs it.
"""

from __future__ import annotations

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
from farsight.ps318.attribute_levels import LEVELS, PATIENT_NAME, STUDY_INSTANCE_UID, holds
from farsight.ps318.matching import matches, person_name_form, values_of
from farsight.ps318.search_query import SearchQuery
from farsight.services.recent_answers import RecentAnswers
from farsight.services.refining import Question, Refining
from farsight.services.search_rows import uid_of

_PROBED_ROWS = 20
_PROBED_LETTERS, _PROBED_NAMES = 200, 10


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
        """Rows at `level` that may match; at most `max_rows`."""
        ...

    def rows(self, level: Level, values: Mapping[str, str]) -> list[Attributes]:
        """All rows at `level` for these tags and values, "" for what is only to be returned."""
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

    def rows(self, level: Level, values: Mapping[str, str]) -> list[Attributes]:
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
        self._takes_uid_lists = True
        self._case_sensitive: bool | None = None
        self._finds_letters: bool | None = None

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
        universal = self._universal_tags | self._names_to_widen(query, level)
        universal |= self._letters_to_widen(query, level, universal)
        keys = search_identifier(query, level, upper_uids, universal)
        lists = [key for key in keys if key.vr == "UI" and "\\" in key.value]
        if not lists and not query.fresh:
            return self._found(query, Question(level, keys, max_rows))
        if not lists:
            return self._find(level, keys, max_rows, fresh=query.fresh)
        if self._takes_uid_lists:
            try:
                return self._find(level, keys, max_rows, fresh=query.fresh)
            except PacsRefusedService:
                raise
            except PacsFailure:
                rows = self._one_by_one(level, keys, lists[0], max_rows)
                self._takes_uid_lists = False
                return rows
        return self._one_by_one(level, keys, lists[0], max_rows)

    def rows(self, level: Level, values: Mapping[str, str]) -> list[Attributes]:
        return self._find(level, identifier_keys(values), None, fresh=False)

    def _found(self, query: SearchQuery, question: Question) -> list[Attributes]:
        """From a wider answer of a moment ago, where that is proven to do."""
        wide = None
        if not self._recent.knows(question):
            wide = self._refining.wider(question, self._recent.good())
        if wide is not None and self._refining.is_proven():
            return wide
        rows = self._find(question.level, question.keys, question.max_rows, fresh=False)
        if wide is not None and question.is_complete(rows):
            self._refining.proof(_uids_of(wide, query), _uids_of(rows, query))
        return rows

    def _find(
        self, level: Level, keys: tuple[IdentifierKey, ...], max_rows: int | None, *, fresh: bool
    ) -> list[Attributes]:
        question = Question(level, keys, max_rows)

        def ask() -> list[Attributes]:
            rows = list(self._pacs.find(level, keys, max_rows=max_rows))
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

    def _names_to_widen(self, query: SearchQuery, level: Level) -> frozenset[str]:
        """PN keys with letters that a case-sensitive PACS would match too narrowly."""
        names = {
            key.tag
            for key in query.matching_keys
            if key.vr == "PN" and holds(level, key.tag) and any(map(_has_letters, key.values))
        }
        if not names:
            return frozenset()
        if self._case_sensitive is None:
            self._case_sensitive = self._probe_case()
        return frozenset(names) if self._case_sensitive is not False else frozenset()

    def _letters_to_widen(
        self, query: SearchQuery, level: Level, universal: frozenset[str]
    ) -> frozenset[str]:
        """Keys of letters outside ASCII, where the PACS doesn't find them in any set it's asked in.

        What has letters of ASCII as well is asked for by these.
        """
        tags = frozenset(
            key.tag
            for key in query.matching_keys
            if holds(level, key.tag) and not dimse_value(key).isascii()
        )
        if not tags - universal:
            return frozenset()
        if self._finds_letters is None:
            self._finds_letters = self._probe_letters()
        return tags if self._finds_letters is False else frozenset()

    def _probe_letters(self) -> bool | None:
        """Ask for names in other letters that the PACS has. None: no name to try.

        For several: what was stored in UTF-8 may be found, and the rest not.
        """
        asked = identifier_keys({PATIENT_NAME: "", STUDY_INSTANCE_UID: ""})
        rows = self._pacs.find(Level.STUDY, asked, max_rows=_PROBED_LETTERS)
        groups = dict.fromkeys(
            group
            for row in rows
            for group in _groups(row)
            if not group.isascii() and "\ufffd" not in group
        )
        tried = list(groups)[:: max(1, len(groups) // _PROBED_NAMES)]
        return all(map(self._finds_group, tried)) if tried else None

    def _finds_group(self, group: str) -> bool:
        keys = identifier_keys({PATIENT_NAME: f"*{group}*", STUDY_INSTANCE_UID: ""})
        found = self._pacs.find(Level.STUDY, keys, max_rows=_PROBED_ROWS)
        return any(group in _groups(row) for row in found)

    def _probe_case(self) -> bool | None:
        """Ask for a name the PACS has, with its capitals turned round. None: no name to try."""
        asked = identifier_keys({PATIENT_NAME: "", STUDY_INSTANCE_UID: ""})
        rows = self._pacs.find(Level.STUDY, asked, max_rows=_PROBED_ROWS)
        name = next(filter(_turns_round, map(_alphabetic, rows)), None)
        if name is None:
            return None
        return not all(self._finds(name, name.swapcase() + end) for end in ("", "*"))

    def _finds(self, name: str, asked: str) -> bool:
        keys = identifier_keys({PATIENT_NAME: asked, STUDY_INSTANCE_UID: ""})
        wanted = person_name_form(name)
        rows = self._pacs.find(Level.STUDY, keys, max_rows=_PROBED_ROWS)
        return any(person_name_form(_alphabetic(row)).startswith(wanted) for row in rows)


def _uids_of(rows: Iterable[Attributes], query: SearchQuery) -> set[tuple[str, ...]]:
    """Of those that match."""
    matching = (row for row in rows if matches(row, query.matching_keys))
    return {tuple(uid_of(row, level) for level in LEVELS) for row in matching}


def _groups(row: Attributes) -> list[str]:
    """The component groups of the patient's name."""
    names = [value for value in values_of(row.get(PATIENT_NAME)) if isinstance(value, dict)]
    return [str(group) for name in names for group in name.values()]


def _alphabetic(row: Attributes) -> str:
    for value in values_of(row.get(PATIENT_NAME)):
        return str(value.get("Alphabetic", "") if isinstance(value, dict) else value)
    return ""


def _has_letters(text: str) -> bool:
    """Letters whose case can be told apart."""
    return text.swapcase() != text


def _turns_round(name: str) -> bool:
    """A name that becomes another and itself again when its capitals are swapped."""
    return name.swapcase() != name and name.swapcase().swapcase() == name and name.isascii()
