"""An archive to keep things in, in memory and strict."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Mapping, Sequence

from farsight.dicom.part10 import parse_object
from farsight.errors import ArchiveError, ArchiveFull, NotFound
from farsight.model import (
    Attributes,
    Completeness,
    IdentifierKey,
    InstanceRef,
    Level,
    SeriesRef,
)
from farsight.ports.archive import Kept


class CountedFile:
    """The StoredObject port over bytes; tells what was read of it."""

    def __init__(self, data: bytes, identity: str | None, read: list[tuple[int, int]]) -> None:
        self._data = data
        self._pieces = read
        self.identity = identity
        self.size = len(data)

    def read(self, start: int, length: int) -> bytes:
        assert 0 <= start <= start + length <= self.size, "read beyond the end"
        self._pieces.append((start, length))
        return self._data[start : start + length]

    def read_at_hand(self, start: int, length: int) -> bytes:
        return self.read(start, length)


class MemoryArchive:
    """The Archive port in a dictionary; `room` instances fit in, into `capacity_bytes` if that is
    set.

    in_pieces: whether objects can be read so; pieces: what was, as position and length.
    undeletable: deleting ends with an error at one of these.
    """

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.stored: dict[InstanceRef, bytes] = {}
        self.records: dict[SeriesRef, Completeness] = {}
        self.records_kept: dict[SeriesRef | InstanceRef, bytes] = {}
        self.in_pieces = True
        self.pieces: list[tuple[int, int]] = []
        self.refusals = 0
        self.slow: threading.Event | None = None
        self.capacity_bytes: int | None = None
        self.undeletable: set[InstanceRef] = set()
        self._version = 0
        self._lock = threading.Lock()

    @property
    def changes(self) -> int:
        return self._version

    def study_instances(self, study_instance_uid: str) -> Mapping[str, Collection[str]]:
        with self._lock:
            found: dict[str, set[str]] = {}
            for ref in self.stored:
                if ref.study_instance_uid == study_instance_uid:
                    found.setdefault(ref.series_instance_uid, set()).add(ref.sop_instance_uid)
            return found

    def follows(self, study_instance_uid: str) -> bool:
        return True

    def holds(self, ref: InstanceRef) -> bool:
        series = self.study_instances(ref.study_instance_uid).get(ref.series_instance_uid, ())
        return ref.sop_instance_uid in series

    def series_version(self, series: SeriesRef) -> int:
        return self._version

    def reload(self, study_instance_uid: str) -> None:
        """Everything is known at once here."""

    def store(self, ref: InstanceRef, part10: bytes) -> bool:
        if self.slow is not None:
            assert self.slow.wait(10)
        parsed = parse_object(part10)
        assert parsed.sop_instance_uid == ref.sop_instance_uid
        assert parsed.series_instance_uid == ref.series_instance_uid
        with self._lock:
            if ref in self.stored:
                return False
            too_large = self.capacity_bytes is not None and len(part10) > self._free()
            if len(self.stored) >= self.room or too_large:
                self.refusals += 1
                raise ArchiveFull("no room left")
            self.stored[ref] = bytes(part10)
            self._version += 1
            return True

    def free_bytes(self) -> int | None:
        with self._lock:
            return None if self.capacity_bytes is None else self._free()

    def _free(self) -> int:
        return (self.capacity_bytes or 0) - sum(map(len, self.stored.values()))

    def named(self, sop_instance_uid: str) -> Sequence[InstanceRef]:
        with self._lock:
            return [ref for ref in self.stored if ref.sop_instance_uid == sop_instance_uid]

    def patient_ids(self, study_instance_uid: str) -> frozenset[str]:
        with self._lock:
            of_study = [
                data
                for ref, data in self.stored.items()
                if ref.study_instance_uid == study_instance_uid
            ]
        return frozenset(parse_object(data).text(0x00100020) or "" for data in of_study)

    def read(self, ref: InstanceRef) -> bytes:
        with self._lock:
            if ref not in self.stored:
                raise NotFound("not stored")
            return self.stored[ref]

    def open(self, ref: InstanceRef) -> CountedFile:
        part10 = self.read(ref)
        identity = hashlib.sha256(part10).hexdigest() if self.in_pieces else None
        return CountedFile(part10, identity, self.pieces)

    def identity_at_hand(self, ref: InstanceRef) -> str | None:
        return self.open(ref).identity if ref in self.stored else None

    def open_at_hand(self, ref: InstanceRef) -> CountedFile | None:
        return self.open(ref) if ref in self.stored else None

    def fingerprint(self, series: SeriesRef) -> str:
        with self._lock:
            of_it = sorted((ref.sop_instance_uid, data) for ref, data in self.stored.items())
        return hashlib.sha256(repr(of_it).encode()).hexdigest() if of_it else ""

    def kept(self, owner: SeriesRef | InstanceRef, what: Kept = Kept.INDEX) -> bytes | None:
        return self.records_kept.get(owner) if what is Kept.INDEX else None

    def keep(self, owner: SeriesRef | InstanceRef, record: bytes, what: Kept = Kept.INDEX) -> None:
        assert what is Kept.INDEX
        self.records_kept[owner] = record

    def replace(self, ref: InstanceRef, part10: bytes) -> None:
        """Other bytes under the same UIDs, as others may store them."""
        with self._lock:
            assert ref in self.stored
            self.stored[ref] = part10
            self._version += 1

    def delete(self, refs: Collection[InstanceRef]) -> None:
        for ref in refs:
            if ref in self.undeletable:
                raise ArchiveError("can't be deleted")
            with self._lock:
                if self.stored.pop(ref, None) is not None:
                    self.records.pop(ref.series, None)
                    self._version += 1

    def completeness(self, series: SeriesRef) -> Completeness | None:
        return self.records.get(series)

    def mark_complete(self, series: SeriesRef, record: Completeness) -> None:
        stored = self.study_instances(series.study_instance_uid)
        assert len(stored[series.series_instance_uid]) >= record.stored
        self.records[series] = record
        self._version += 1

    def find(
        self, level: Level, keys: Sequence[IdentifierKey], *, max_rows: int | None = None
    ) -> Sequence[Attributes]:
        raise AssertionError("a retrieve never searches the archive")
