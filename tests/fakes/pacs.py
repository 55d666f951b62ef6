"""A PACS in memory that keeps strictly to hierarchical C-FIND, with the bad habits of real ones.

Anything a strict SCP would refuse is refused: keys of other levels, missing upper UIDs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fakes.catalog import (
    COUNTS,
    IMAGE,
    MODALITIES,
    ORDER,
    SERIES,
    STUDY,
    UNIQUE,
    Study,
    as_json,
    flat_rows,
    key_matches,
)
from fakes.taking import Taking
from farsight.errors import PacsError, PacsFailure
from farsight.model import Attributes, IdentifierKey, Level, SubOperations
from farsight.ports.pacs import (
    Arrivals,
    Delivered,
    Outgoing,
    Sink,
    Told,
    not_told,
    unknown_arrivals,
)

_SERIES_KEYS = {
    "00080060", "0008103E", "00180015", "00200011", "00201209", "00400244", "00400245", "00400275",
}  # fmt: skip
_IMAGE_KEYS = {"00080016", "00080018", "00200013", "00280008", "00280010", "00280011", "00280100"}
_ANY = {"00080056", "00080201"}


@dataclass(frozen=True)
class Quirks:
    """What this PACS does wrong."""

    ignores_modalities: bool = False  # neither matches nor returns ModalitiesInStudy
    no_counts: bool = False  # knows no NumberOf… attribute
    zero_counts: bool = False  # sends zeros for those it doesn't know
    case_sensitive_names: bool = False
    only_finds_ascii: bool = False  # compares the bytes it stored with those it is sent
    ignores_keys: bool = False  # returns everything below the UIDs given
    refuses_uid_lists: bool = False
    repeats_rows: bool = False  # one answer per instance, whatever the level
    leaves_out: frozenset[str] = frozenset()  # attributes it doesn't support
    fails: PacsError | None = None
    fails_at: frozenset[Level] = frozenset(ORDER)
    fails_after_rows: int = 0
    hangs_until: threading.Event | None = None
    availability: str | None = None


class FakePacs:
    """The Pacs port. `asked` records every C-FIND: level and keys with a value.

    `taking`: what it does with what it is sent, and what it took.
    """

    def __init__(self, studies: Sequence[Study], name: str = "pacs", **quirks: object) -> None:
        self._studies = list(studies)
        self._name = name
        self.quirks = Quirks(**quirks)  # type: ignore[arg-type]
        self.asked: list[tuple[Level, dict[str, str]]] = []
        self.rows_sent = 0
        self.rows_per_query: list[int] = []
        self.taking = Taking()

    @property
    def name(self) -> str:
        return self._name

    @property
    def requests_at_once(self) -> int:
        return 1

    @property
    def ae_title(self) -> str:
        return self._name.upper()

    def find(
        self, level: Level, identifier: Sequence[IdentifierKey], *, max_rows: int | None = None
    ) -> Iterator[Attributes]:
        self.asked.append((level, {key.tag: key.value for key in identifier if key.value}))
        self._check_identifier(level, identifier)
        sent = 0
        self.rows_per_query.append(0)
        number = len(self.rows_per_query) - 1
        if self.quirks.hangs_until is not None:
            self.quirks.hangs_until.wait(30)
        for row in self._rows(level):
            self._fail(level, sent)
            if max_rows is not None and sent >= max_rows:
                return
            if all(self._matches(key, row.get(key.tag)) for key in identifier):
                for _ in range(3 if self.quirks.repeats_rows else 1):
                    sent += 1
                    self.rows_sent += 1
                    self.rows_per_query[number] = sent
                    yield as_json(row, [key.tag for key in identifier])
        self._fail(level, sent)

    @property
    def sends_headers(self) -> bool:
        return False

    def headers(
        self, sop_instance_uids: Sequence[str], sop_class_uids: Sequence[str], sink: Sink
    ) -> None:
        raise AssertionError("not offered")

    def retrieve(
        self,
        study_instance_uid: str,
        series_instance_uid: str | None,
        sop_instance_uids: Sequence[str],
        sop_class_uids: Sequence[str],
        sink: Sink,
        *,
        arrivals: Arrivals = unknown_arrivals,
        told: Told = not_told,
        urgent: bool = False,
    ) -> SubOperations:
        raise AssertionError("a search never retrieves")

    def store(self, instances: Sequence[Outgoing], delivered: Delivered) -> None:
        self.taking.store(instances, delivered)

    def echo(self) -> None:
        raise AssertionError("a search never echoes")

    def _check_identifier(self, level: Level, identifier: Sequence[IdentifierKey]) -> None:
        tags = [key.tag for key in identifier]
        assert tags == sorted(set(tags)), "an identifier's elements ascend, each once"
        values = {key.tag: key.value for key in identifier}
        for above in ORDER[: ORDER.index(level)]:
            if not values.get(UNIQUE[above]):
                raise PacsFailure(self._name, "relational queries are refused", 0xA900)
        for key in identifier:
            if not self._may_hold(level, key.tag):
                raise PacsFailure(self._name, f"key {key.tag} is not of level {level}", 0xA900)
            if self.quirks.refuses_uid_lists and key.vr == "UI" and "\\" in key.value:
                raise PacsFailure(self._name, "cannot process a list", 0xC320)

    def _may_hold(self, level: Level, tag: str) -> bool:
        if tag in _ANY or tag in [UNIQUE[at] for at in ORDER[: ORDER.index(level) + 1]]:
            return True
        if level is STUDY:
            return tag not in _SERIES_KEYS | _IMAGE_KEYS and tag not in UNIQUE.values()
        if level is SERIES:
            return tag in _SERIES_KEYS
        return tag in _IMAGE_KEYS

    def _rows(self, level: Level) -> Iterator[dict[str, str]]:
        quirks = self.quirks
        for row in flat_rows(self._studies, level):
            for tag in COUNTS:
                if tag in row and quirks.zero_counts:
                    row[tag] = "0"
                if tag in row and quirks.no_counts:
                    del row[tag]
            if quirks.ignores_modalities:
                row.pop(MODALITIES, None)
            if quirks.availability:
                row["00080056"] = quirks.availability
            yield {tag: text for tag, text in row.items() if tag not in quirks.leaves_out}

    def _matches(self, key: IdentifierKey, stored: str | None) -> bool:
        if stored is None:  # an unsupported key is ignored (PS3.4 C.2.2.1.3)
            return True
        if self.quirks.only_finds_ascii and not key.value.isascii():
            return False
        if self.quirks.ignores_keys and key.tag not in UNIQUE.values():
            return True
        return key_matches(key, stored, fold_names=not self.quirks.case_sensitive_names)

    def _fail(self, level: Level, sent: int) -> None:
        quirks = self.quirks
        if quirks.fails and level in quirks.fails_at and sent >= quirks.fails_after_rows:
            raise quirks.fails


__all__ = ["IMAGE", "SERIES", "STUDY", "FakePacs", "Quirks"]
