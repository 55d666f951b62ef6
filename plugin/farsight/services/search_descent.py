"""All rows of one source for a search, down the hierarchy (PS3.4 C.4.1.2.1, PS3.18 10.6).

C-FIND without relational queries wants the UIDs of all levels above. Where the search doesn't
give them (`/instances`), or wants to match or return attributes of a level above, that level is
asked first and its rows are gone through one by one, newest study first, within a bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from farsight.model import Attributes, Level
from farsight.ps318.attribute_levels import (
    LEVELS,
    MODALITIES_IN_STUDY,
    UNIQUE_KEY,
    level_of,
    parent_of,
)
from farsight.ps318.matching import matches, values_of
from farsight.ps318.search_query import SearchQuery
from farsight.services.parallel import run_all
from farsight.services.search_by_date import Spans
from farsight.services.search_newest import DescentLimits, StudySearch
from farsight.services.search_rows import distinct, in_order, is_uid, uid_of
from farsight.services.search_source import SearchSource
from farsight.services.study_contents import Counter


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
                joined = {**row, **inherited, **said}
                if not values_of(joined.get(MODALITIES_IN_STUDY)):
                    joined.pop(MODALITIES_IN_STUDY, None)  # no study is without: it isn't told
                found.append(joined)
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
                partial(self.counter.complete, self.source, row, tags, fresh=self.query.fresh)
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
        if level is self.query.level is Level.STUDY:
            studies = StudySearch(self.source, self.query, asked, self.limits, self.spans)
            rows = studies.rows()
            self.is_cut = self.is_cut or studies.is_cut
        else:
            rows = self.source.search(self.query, level, asked, most + 1)
        if len(rows) > most:
            self.is_cut = True
            self.notes.append(
                f"{self.source.name}: more than {most} matches, the rest was not read"
            )
        kept = [row for row in rows[:most] if is_uid(uid_of(row, level))]
        if len(kept) < len(rows[:most]):
            self.notes.append(f"{self.source.name}: rows without a valid UID were left out")
        return distinct([row for row in kept if _belongs(row, upper)], level)

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
