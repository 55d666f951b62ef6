"""Where in the archive the objects with given DICOM UIDs are: look-ups without a database query.

A study is loaded at its first use and kept up by events; the least recently used go first.
Orthanc's resource identifiers are opaque here.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from farsight.adapters.storage_area import Attachment
from farsight.model import Completeness, InstanceRef, SeriesRef


@dataclass(slots=True)
class SeriesEntry:
    """One stored series. record: None when not read yet; (None,) when read and absent.

    is_mixed: whether there were several of its UID, of one patient each.
    """

    resource_id: str = ""
    is_mixed: bool = False
    version: int = 0
    instances: dict[str, str] = field(default_factory=dict)  # SOPInstanceUID -> resource id
    record: tuple[Completeness | None] | None = None


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """One row of what is stored: its reference and the archive's ids of it, its series, its file.

    attachment: None where that wasn't told yet.
    """

    ref: InstanceRef
    resource_id: str
    series_resource_id: str
    attachment: Attachment | None = None


class ArchiveIndex:
    """Studies by UID, within `max_studies`. Thread-safe."""

    def __init__(self, max_studies: int = 2000) -> None:
        self._max_studies = max_studies
        self._lock = threading.Lock()
        self._studies: OrderedDict[str, dict[str, SeriesEntry]] = OrderedDict()
        self._by_id: dict[str, InstanceRef] = {}
        self._attachments: dict[str, Attachment] = {}
        #: What happened to a study since it began to be loaded: stored, or the id of what is gone.
        self._meanwhile: dict[str, list[StoredInstance | str]] = {}
        self._version = 0

    def has_study(self, study_instance_uid: str) -> bool:
        """Counts as a use."""
        with self._lock:
            known = study_instance_uid in self._studies
            if known:
                self._studies.move_to_end(study_instance_uid)
            return known

    @property
    def is_empty(self) -> bool:
        with self._lock:
            return not self._studies and not self._meanwhile

    def knows(self, resource_id: str) -> bool:
        with self._lock:
            return resource_id in self._by_id

    def begin_load(self, study_instance_uid: str) -> None:
        """To be called before the archive is asked for what `load` is then given."""
        with self._lock:
            self._meanwhile[study_instance_uid] = []

    def load(self, study_instance_uid: str, rows: Iterable[StoredInstance]) -> None:
        """Replaces what is known of a study; versions change only where something differs.

        What was added or removed since `begin_load` counts more than `rows`.
        """
        with self._lock:
            files_before = {
                resource_id: self._attachments.get(resource_id)
                for entry in self._studies.get(study_instance_uid, {}).values()
                for resource_id in entry.instances.values()
            }
            before = self._forget(study_instance_uid)
            loaded: dict[str, SeriesEntry] = {}
            replaced: set[str] = set()
            current = {row.resource_id: row for row in rows}
            for change in self._meanwhile.pop(study_instance_uid, []):
                if isinstance(change, str):
                    current.pop(change, None)
                else:
                    current[change.resource_id] = change
            for row in current.values():
                uid = row.ref.series_instance_uid
                entry = loaded.setdefault(uid, SeriesEntry(row.series_resource_id))
                entry.is_mixed |= entry.resource_id != row.series_resource_id
                entry.instances[row.ref.sop_instance_uid] = row.resource_id
                self._by_id[row.resource_id] = row.ref
                self._note(row.resource_id, row.attachment)
                if _differ(files_before.get(row.resource_id), row.attachment):
                    replaced.add(uid)
            for uid, entry in loaded.items():
                old = before.get(uid)
                same = old is not None and old.instances == entry.instances
                if old is not None and same and uid not in replaced:
                    entry.version, entry.record = old.version, old.record
                else:
                    entry.version = self._next_version()
            self._studies[study_instance_uid] = loaded
            while len(self._studies) > self._max_studies:
                self._forget(next(iter(self._studies)))

    def _next_version(self) -> int:
        self._version += 1
        return self._version

    def _forget(self, study_instance_uid: str) -> Mapping[str, SeriesEntry]:
        forgotten = self._studies.pop(study_instance_uid, {})
        for entry in forgotten.values():
            for resource_id in entry.instances.values():
                self._by_id.pop(resource_id, None)
                self._attachments.pop(resource_id, None)
        if any(entry.is_mixed for entry in forgotten.values()):  # some have lost their name there
            left = [
                one
                for one, ref in self._by_id.items()
                if ref.study_instance_uid == study_instance_uid
            ]
            for resource_id in left:
                del self._by_id[resource_id]
        return forgotten

    def _note(self, resource_id: str, attachment: Attachment | None) -> None:
        if attachment is not None:
            self._attachments[resource_id] = attachment

    def add(self, stored: StoredInstance) -> None:
        """Notes one stored instance, if its study is loaded."""
        ref = stored.ref
        with self._lock:
            if ref.study_instance_uid in self._meanwhile:
                self._meanwhile[ref.study_instance_uid].append(stored)
            study = self._studies.get(ref.study_instance_uid)
            if study is None:
                return
            entry = study.setdefault(ref.series_instance_uid, SeriesEntry())
            entry.is_mixed |= entry.resource_id not in ("", stored.series_resource_id)
            entry.resource_id = stored.series_resource_id
            known = self._attachments.get(stored.resource_id)
            replaced = _differ(known, stored.attachment)
            if replaced or ref.sop_instance_uid not in entry.instances:
                entry.version = self._next_version()
            entry.instances[ref.sop_instance_uid] = stored.resource_id
            self._by_id[stored.resource_id] = ref
            self._note(stored.resource_id, stored.attachment)

    def remove(self, resource_id: str) -> InstanceRef | None:
        """Notes that an instance is gone; its reference if it was known."""
        with self._lock:
            for changes in self._meanwhile.values():
                changes.append(resource_id)
            ref = self._by_id.pop(resource_id, None)
            self._attachments.pop(resource_id, None)
            if ref is None:
                return None
            study = self._studies.get(ref.study_instance_uid, {})
            entry = study.get(ref.series_instance_uid)
            if entry is not None and entry.is_mixed:
                self._forget(ref.study_instance_uid)  # there may be another of its name
            elif entry is not None:
                entry.instances.pop(ref.sop_instance_uid, None)
                entry.version = self._next_version()
                entry.record = (None,)
                if not entry.instances:
                    del study[ref.series_instance_uid]
            return ref

    def resource_id(self, ref: InstanceRef) -> str | None:
        with self._lock:
            study = self._studies.get(ref.study_instance_uid, {})
            entry = study.get(ref.series_instance_uid)
            return None if entry is None else entry.instances.get(ref.sop_instance_uid)

    def attachment_of(self, ref: InstanceRef) -> Attachment | None:
        """Of an instance by name: None where it isn't known, or its file wasn't told yet."""
        resource_id = self.resource_id(ref)
        return None if resource_id is None else self.attachment(resource_id)

    def series_ids(self, study_instance_uid: str) -> Collection[str] | None:
        """Resource ids of a study's series; None where one UID stands for several of them, or the
        study isn't loaded."""
        with self._lock:
            if study_instance_uid not in self._studies:
                return None
            entries = self._studies[study_instance_uid].values()
            if any(entry.is_mixed for entry in entries):
                return None
            return [entry.resource_id for entry in entries]

    def replaced(self, resource_id: str, attachment: Attachment) -> InstanceRef | None:
        """Notes that an instance has another file now; its reference if it was known."""
        with self._lock:
            ref = self._by_id.get(resource_id)
            if ref is not None:
                self._attachments[resource_id] = attachment
                entry = self._studies[ref.study_instance_uid][ref.series_instance_uid]
                entry.version = self._next_version()
                entry.record = None  # it went if the series did meanwhile
            return ref

    def attachment(self, resource_id: str) -> Attachment | None:
        """Its file, if that was told."""
        with self._lock:
            return self._attachments.get(resource_id)

    def note_attachment(self, resource_id: str, attachment: Attachment) -> None:
        """Its file as it is now; another one than before means that it was replaced."""
        with self._lock:
            ref = self._by_id.get(resource_id)
            if ref is None:
                return
            known = self._attachments.get(resource_id)
            self._attachments[resource_id] = attachment
            entry = self._studies[ref.study_instance_uid][ref.series_instance_uid]
            if _differ(known, attachment):
                entry.version = self._next_version()

    def attachments(self, series: SeriesRef) -> Mapping[str, Attachment | None]:
        """SOPInstanceUID -> its file, None where that wasn't told yet; a snapshot."""
        with self._lock:
            study = self._studies.get(series.study_instance_uid, {})
            entry = study.get(series.series_instance_uid)
            if entry is None:
                return {}
            return {uid: self._attachments.get(id_) for uid, id_ in entry.instances.items()}

    def instances(self, study_instance_uid: str) -> Mapping[str, Collection[str]]:
        """SeriesInstanceUID -> SOPInstanceUIDs; a snapshot."""
        with self._lock:
            study = self._studies.get(study_instance_uid, {})
            return {uid: frozenset(entry.instances) for uid, entry in study.items()}

    def entry(self, series: SeriesRef) -> SeriesEntry | None:
        with self._lock:
            return self._studies.get(series.study_instance_uid, {}).get(series.series_instance_uid)


def _differ(known: Attachment | None, told: Attachment | None) -> bool:
    return known is not None and told is not None and known.uuid != told.uuid
