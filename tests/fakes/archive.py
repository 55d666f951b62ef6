"""The archive's search in memory: rows may be wider than asked, UIDs are exact."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from fakes.catalog import UNIQUE, Study, as_json, flat_rows
from farsight.errors import FarsightError
from farsight.model import (
    Attributes,
    Completeness,
    IdentifierKey,
    InstanceRef,
    Level,
    SeriesRef,
)
from farsight.ports.archive import Kept, StoredObject


class FakeArchive:
    """The Archive port, as far as a search needs it; anything else fails the test."""

    def __init__(
        self,
        studies: Sequence[Study] = (),
        leaves_out: Collection[str] = (),
        fails: FarsightError | None = None,
    ) -> None:
        self.changes = 0
        self._studies = list(studies)
        self._leaves_out = frozenset(leaves_out)
        self._fails = fails

    def find(
        self, level: Level, keys: Sequence[IdentifierKey], *, max_rows: int | None = None
    ) -> Sequence[Attributes]:
        if self._fails:
            raise self._fails
        uids = {
            key.tag: key.value.split("\\")
            for key in keys
            if key.tag in UNIQUE.values() and key.value
        }
        tags = {key.tag for key in keys} - self._leaves_out
        rows = [
            as_json(row, tags)
            for row in flat_rows(self._studies, level)
            if all(row.get(tag) in wanted for tag, wanted in uids.items())
        ]
        return rows[:max_rows]

    def study_instances(self, study_instance_uid: str) -> Mapping[str, Collection[str]]:
        return {
            series.uid: [instance["00080018"] for instance in series.instances]
            for study in self._studies
            if study.uid == study_instance_uid
            for series in study.series
        }

    def follows(self, study_instance_uid: str) -> bool:
        return True

    def holds(self, ref: InstanceRef) -> bool:
        raise AssertionError("a search never asks for instances")

    def series_version(self, series: SeriesRef) -> int:
        raise AssertionError("a search never asks for versions")

    def reload(self, study_instance_uid: str) -> None:
        raise AssertionError("a search never doubts the archive")

    def store(self, ref: InstanceRef, part10: bytes | memoryview) -> bool:
        raise AssertionError("a search never stores")

    def named(self, sop_instance_uid: str) -> Sequence[InstanceRef]:
        raise AssertionError("a search never asks for names")

    def patient_ids(self, study_instance_uid: str) -> frozenset[str]:
        raise AssertionError("a search never asks for patients so")

    def delete(self, refs: Collection[InstanceRef]) -> None:
        raise AssertionError("a search never deletes")

    def free_bytes(self) -> int | None:
        raise AssertionError("a search never asks for room")

    def read(self, ref: InstanceRef) -> bytes:
        raise AssertionError("a search never reads")

    def open(self, ref: InstanceRef) -> StoredObject:
        raise AssertionError("a search never reads")

    def identity_at_hand(self, ref: InstanceRef) -> str | None:
        raise AssertionError("a search never reads")

    def open_at_hand(self, ref: InstanceRef) -> StoredObject | None:
        raise AssertionError("a search never reads")

    def fingerprint(self, series: SeriesRef) -> str:
        raise AssertionError("a search never asks for fingerprints")

    def kept(self, owner: SeriesRef | InstanceRef, what: Kept = Kept.INDEX) -> bytes | None:
        raise AssertionError("a search never reads")

    def keep(self, owner: SeriesRef | InstanceRef, record: bytes, what: Kept = Kept.INDEX) -> None:
        raise AssertionError("a search never stores")

    def completeness(self, series: SeriesRef) -> Completeness | None:
        raise AssertionError("a search never checks completeness")

    def mark_complete(self, series: SeriesRef, record: Completeness) -> None:
        raise AssertionError("a search never marks")
