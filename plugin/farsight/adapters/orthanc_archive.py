"""Orthanc's store as the archive: by its built-in REST API, from inside the process."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from farsight.adapters import orthanc_lookup
from farsight.adapters import orthanc_rest as rest
from farsight.adapters.archive_index import ArchiveIndex, StoredInstance
from farsight.adapters.archive_rows import ORTHANC_LEVELS, local_row, narrowing_query
from farsight.adapters.storage_area import (
    Attachment,
    StorageArea,
    StorageError,
    StoredBytes,
    StoredFile,
)
from farsight.adapters.store_events import Account, Listener, StoreEvents
from farsight.errors import ArchiveError, NotFound
from farsight.model import (
    Arrival,
    Attributes,
    Completeness,
    IdentifierKey,
    InstanceRef,
    Level,
    SeriesRef,
)
from farsight.ports.archive import Kept, StoredObject

LOG = logging.getLogger("farsight.archive")
T = TypeVar("T")


class OrthancArchive:
    """The Archive port. Thread-safe."""

    def __init__(self, storage: StorageArea, max_studies: int = 2000) -> None:
        """`storage`: where Orthanc's files are, if it keeps files."""
        self.changes = 0
        self._storage = storage
        self._index = ArchiveIndex(max_studies)
        self._loading = threading.Lock()
        self._events = StoreEvents(self._index, self._has_changed)

    def listen(self, *, stored: Listener, gone: Listener, account: Account | None = None) -> None:
        """Who wants to hear of instances stored by others, and of deleted or replaced ones;
        `account`: of all that comes and goes."""
        self._events.listen(stored=stored, gone=gone, account=account)

    def close(self, deadline_s: float) -> None:
        self._events.close(deadline_s)

    def followed(self, timeout_s: float) -> bool:
        """Waits until all that Orthanc has told up to now was followed; False: it took longer."""
        return self._events.followed(timeout_s)

    def _has_changed(self) -> None:
        """Told of an event, and again once the index has followed it: what was looked up between
        the two is of before."""
        self.changes += 1  # only ever another number: a lost one of two at once does no harm

    def instance_added(self, resource_id: str) -> None:
        """For the change callback; returns at once."""
        self._has_changed()
        self._events.put("added", resource_id)

    def instance_removed(self, resource_id: str) -> None:
        """For the change callback; returns at once."""
        self._has_changed()
        self._events.put("removed", resource_id)

    # ---- what is stored

    def study_instances(self, study_instance_uid: str) -> Mapping[str, Collection[str]]:
        """See ports.Archive."""
        self._make_known(study_instance_uid)
        return self._index.instances(study_instance_uid)

    def follows(self, study_instance_uid: str) -> bool:
        """See ports.Archive."""
        return self._index.has_study(study_instance_uid)

    def holds(self, ref: InstanceRef) -> bool:
        """See ports.Archive."""
        self._make_known(ref.study_instance_uid)
        return self._index.resource_id(ref) is not None

    def _make_known(self, study_instance_uid: str) -> None:
        if not self._index.has_study(study_instance_uid):
            with self._loading:
                if not self._index.has_study(study_instance_uid):
                    self._load(study_instance_uid)

    def reload(self, study_instance_uid: str) -> None:
        """See ports.Archive."""
        with self._loading:
            self._load(study_instance_uid)

    def _load(self, study_instance_uid: str) -> None:
        """One at a time, because changes meanwhile are collected per study."""
        self._index.begin_load(study_instance_uid)
        self._index.load(study_instance_uid, orthanc_lookup.rows_of(study_instance_uid))

    def series_version(self, series: SeriesRef) -> int:
        """See ports.Archive."""
        self._make_known(series.study_instance_uid)
        entry = self._index.entry(series)
        return 0 if entry is None else entry.version

    # ---- storing and reading

    def store(self, ref: InstanceRef, part10: bytes | memoryview) -> bool:
        """See ports.Archive."""
        with self._events.own.storing():
            answer = rest.store_instance(part10, ref.sop_instance_uid)
            resource_id = str(answer["ID"])
            is_new = bool(answer["Status"] == "Success")
            if is_new:
                self._events.own.note(resource_id)
        self._make_known(ref.study_instance_uid)
        self._index.add(StoredInstance(ref, resource_id, str(answer["ParentSeries"])))
        self._has_changed()  # the event comes later
        if is_new:
            self._events.arrived(Arrival(ref, resource_id, len(part10)))
        return is_new

    def delete(self, refs: Collection[InstanceRef]) -> None:
        """See ports.Archive."""
        for study in {ref.study_instance_uid for ref in refs}:
            self._make_known(study)
        known = [found for ref in refs if (found := self._index.resource_id(ref)) is not None]
        if known:
            rest.delete_resources(known)
            for resource_id in known:
                self._events.removed(resource_id)

    def named(self, sop_instance_uid: str) -> Sequence[InstanceRef]:
        """See ports.Archive."""
        return orthanc_lookup.named(sop_instance_uid)

    def patient_ids(self, study_instance_uid: str) -> frozenset[str]:
        """See ports.Archive."""
        self._make_known(study_instance_uid)
        known = self._index.series_ids(study_instance_uid)
        return orthanc_lookup.patient_ids(study_instance_uid, known)

    def free_bytes(self) -> int | None:
        """See ports.Archive."""
        return self._storage.free_bytes()

    def read(self, ref: InstanceRef) -> bytes:
        """See ports.Archive."""
        return self._from_file(ref, self._storage.read)

    def open(self, ref: InstanceRef) -> StoredObject:
        """See ports.Archive."""
        found = self._from_file(ref, self._storage.open)
        return StoredBytes(found) if isinstance(found, bytes) else found

    def open_at_hand(self, ref: InstanceRef) -> StoredFile | None:
        """See ports.Archive."""
        attachment = self._index.attachment_of(ref)
        return None if attachment is None else self._storage.open_at_hand(attachment)

    def identity_at_hand(self, ref: InstanceRef) -> str | None:
        """See ports.Archive."""
        attachment = self._index.attachment_of(ref)
        return None if attachment is None else attachment.uuid

    def _resource_id(self, ref: InstanceRef) -> str:
        """The index is behind by a moment: before something counts as gone, Orthanc is asked."""
        self._make_known(ref.study_instance_uid)
        resource_id = self._index.resource_id(ref)
        if resource_id is None and ref in orthanc_lookup.named(ref.sop_instance_uid):
            self.reload(ref.study_instance_uid)
            resource_id = self._index.resource_id(ref)
        if resource_id is None:
            raise NotFound(f"instance {ref.sop_instance_uid} is not stored")
        return resource_id

    def _from_file(self, ref: InstanceRef, take: Callable[[Attachment], T | None]) -> T | bytes:
        """What `take` has of the file; where that can't be had, Orthanc's answer.

        A file that isn't there any more was replaced or deleted: Orthanc is asked once again.
        """
        resource_id = self._resource_id(ref)
        known = self._index.attachment(resource_id)
        attachment = known or self._look_up(ref, resource_id)
        try:
            found = take(attachment)
            if found is None and known is not None and known.is_file:
                attachment = self._look_up(ref, resource_id)
                found = take(attachment)
            if found is not None:
                return found
            self._index.note_attachment(resource_id, replace(attachment, is_file=False))
        except StorageError as error:
            LOG.warning("instance %s: %s; Orthanc is asked for it", ref.sop_instance_uid, error)
        return self._read_by_rest(ref, resource_id)

    def _look_up(self, ref: InstanceRef, resource_id: str) -> Attachment:
        """The file as Orthanc knows it now. Raises: NotFound, ArchiveError."""
        try:
            found = rest.attachment_of(rest.get_json(f"/instances/{resource_id}"))
        except NotFound as error:
            raise self._gone(ref, resource_id) from error
        self._index.note_attachment(resource_id, found)
        return found

    def _read_by_rest(self, ref: InstanceRef, resource_id: str) -> bytes:
        try:
            return rest.get_bytes(f"/instances/{resource_id}/file")
        except NotFound as error:
            raise self._gone(ref, resource_id) from error
        except ArchiveError as error:
            raise ArchiveError(f"Orthanc can't read instance {ref.sop_instance_uid}") from error

    def _gone(self, ref: InstanceRef, resource_id: str) -> NotFound:
        self._events.removed(resource_id)
        return NotFound(f"instance {ref.sop_instance_uid} is not stored any more")

    # ---- what is kept with a series

    def completeness(self, series: SeriesRef) -> Completeness | None:
        """See ports.Archive."""
        self._make_known(series.study_instance_uid)
        if (entry := self._index.entry(series)) is None:
            return None
        if entry.record is None:
            entry.record = (rest.read_record(entry.resource_id),)
        return entry.record[0]

    def mark_complete(self, series: SeriesRef, record: Completeness) -> None:
        """See ports.Archive."""
        self._make_known(series.study_instance_uid)
        if (entry := self._index.entry(series)) is None:
            return
        uri = f"/series/{entry.resource_id}/metadata/{rest.COMPLETENESS_METADATA}"
        rest.put(uri, json.dumps(record.to_json()).encode())
        entry.record = (record,)
        self._has_changed()  # what was whole may be so no more

    def fingerprint(self, series: SeriesRef) -> str:
        """See ports.Archive."""
        self._make_known(series.study_instance_uid)
        entry = self._index.entry(series)
        files = self._index.attachments(series)
        if entry is not None and None in files.values():
            for found in rest.get_json(f"/series/{entry.resource_id}/instances"):
                self._index.note_attachment(str(found["ID"]), rest.attachment_of(found))
            files = self._index.attachments(series)
        if any(file is None or not file.uuid for file in files.values()):
            return ""
        lines = sorted(f"{uid} {file.uuid}\n" for uid, file in files.items() if file is not None)
        return hashlib.sha256("".join(lines).encode()).hexdigest() if lines else ""

    def kept(self, owner: SeriesRef | InstanceRef, what: Kept = Kept.INDEX) -> bytes | None:
        """See ports.Archive."""
        uri, number = self._attachments_uri(owner), rest.FARSIGHT_ATTACHMENT + what.value
        try:
            if uri is None or str(number) not in rest.get_json(uri):
                return None
            return rest.get_bytes(f"{uri}/{number}/data")
        except NotFound:
            return None
        except ArchiveError as error:
            LOG.warning("%s; it is made anew", error)
            return None

    def keep(self, owner: SeriesRef | InstanceRef, record: bytes, what: Kept = Kept.INDEX) -> None:
        """See ports.Archive."""
        uri = self._attachments_uri(owner)
        if uri is not None:
            rest.put(f"{uri}/{rest.FARSIGHT_ATTACHMENT + what.value}", record)

    def _attachments_uri(self, owner: SeriesRef | InstanceRef) -> str | None:
        self._make_known(owner.study_instance_uid)
        if isinstance(owner, InstanceRef):
            resource_id = self._index.resource_id(owner)
            return None if resource_id is None else f"/instances/{resource_id}/attachments"
        entry = self._index.entry(owner)
        return None if entry is None else f"/series/{entry.resource_id}/attachments"

    def find(
        self, level: Level, keys: Sequence[IdentifierKey], *, max_rows: int | None = None
    ) -> Sequence[Attributes]:
        """See ports.Archive."""
        query = narrowing_query(keys)
        found = rest.find(ORTHANC_LEVELS[level], query, limit=max_rows or rest.NO_LIMIT)
        return [local_row(level, resource, rest.get_json) for resource in found]
