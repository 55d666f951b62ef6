"""Orthanc's store as the archive: by its built-in REST API, from inside the process."""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import orthanc

from farsight.adapters.archive_index import ArchiveIndex, StoredInstance
from farsight.adapters.archive_rows import local_row
from farsight.errors import ArchiveError, ArchiveFull, NotFound
from farsight.model import Attributes, Completeness, IdentifierKey, InstanceRef, Level, SeriesRef

LOG = logging.getLogger("farsight.archive")

#: Where the completeness record is kept with a series; Orthanc leaves 1024 to 65535 to users.
COMPLETENESS_METADATA = 10240
_ORTHANC_LEVELS = {Level.STUDY: "Study", Level.SERIES: "Series", Level.IMAGE: "Instance"}
_NO_LIMIT = 0
#: Keys on which Orthanc matches exactly as the standard says; the others are matched by the search.
_NARROWING = {
    "0020000D": "StudyInstanceUID",
    "0020000E": "SeriesInstanceUID",
    "00080018": "SOPInstanceUID",
    "00080020": "StudyDate",
}

#: Called on the archive's own thread with instances that others stored, or that are gone.
Listener = Callable[[InstanceRef], None]


class OrthancArchive:
    """The Archive port. Thread-safe."""

    def __init__(self, max_studies: int = 2000) -> None:
        self.changes = 0
        self._index = ArchiveIndex(max_studies)
        self._loading = threading.Lock()
        self._events: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._series_refs: dict[str, SeriesRef] = {}
        self._on_stored: Listener | None = None
        self._on_gone: Listener | None = None
        self._thread = threading.Thread(
            target=self._follow_events, name="farsight-archive", daemon=True
        )
        self._thread.start()

    def listen(self, *, stored: Listener, gone: Listener) -> None:
        """Who wants to hear of instances stored by others, and of deleted or replaced ones."""
        self._on_stored, self._on_gone = stored, gone

    def close(self, deadline_s: float) -> None:
        self._events.put(None)
        self._thread.join(deadline_s)

    # ---- events, from Orthanc's threads

    def instance_added(self, resource_id: str) -> None:
        """For the change callback; returns at once."""
        self.changes += 1  # only ever another number: a lost one of two at once does no harm
        self._events.put(("added", resource_id))

    def instance_removed(self, resource_id: str) -> None:
        """For the change callback; returns at once."""
        self.changes += 1
        self._events.put(("removed", resource_id))

    def _follow_events(self) -> None:
        while (event := self._events.get()) is not None:
            kind, resource_id = event
            try:
                if kind == "added":
                    self._note_added(resource_id)
                else:
                    self._note_removed(resource_id)
            except (ArchiveError, NotFound) as error:
                LOG.info("event for instance %s: %s", resource_id, error)

    def _note_added(self, resource_id: str) -> None:
        if self._index.is_empty or self._index.knows(resource_id):
            return
        instance = _get_json(f"/instances/{resource_id}")
        parent = str(instance["ParentSeries"])
        series = self._series_ref(parent)
        ref = InstanceRef(
            series.study_instance_uid,
            series.series_instance_uid,
            str(instance["MainDicomTags"]["SOPInstanceUID"]),
        )
        self._index.add(StoredInstance(ref, resource_id, parent))
        if self._on_stored is not None:
            self._on_stored(ref)

    def _note_removed(self, resource_id: str) -> None:
        ref = self._index.remove(resource_id)
        if ref is not None and self._on_gone is not None:
            self._on_gone(ref)

    def _series_ref(self, series_resource_id: str) -> SeriesRef:
        if series_resource_id not in self._series_refs:
            series = _get_json(f"/series/{series_resource_id}")
            study = _get_json(f"/studies/{series['ParentStudy']}")
            if len(self._series_refs) > 10_000:
                self._series_refs.clear()
            self._series_refs[series_resource_id] = SeriesRef(
                str(study["MainDicomTags"]["StudyInstanceUID"]),
                str(series["MainDicomTags"]["SeriesInstanceUID"]),
            )
        return self._series_refs[series_resource_id]

    # ---- what is stored

    def study_instances(self, study_instance_uid: str) -> Mapping[str, Collection[str]]:
        """See ports.Archive."""
        self._make_known(study_instance_uid)
        return self._index.instances(study_instance_uid)

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
        query = {"StudyInstanceUID": study_instance_uid}
        series_uids = {
            str(found["ID"]): str(found["MainDicomTags"]["SeriesInstanceUID"])
            for found in _find("Series", query)
        }
        rows = [
            StoredInstance(
                InstanceRef(
                    study_instance_uid,
                    series_uids[str(found["ParentSeries"])],
                    str(found["MainDicomTags"]["SOPInstanceUID"]),
                ),
                str(found["ID"]),
                str(found["ParentSeries"]),
            )
            for found in (_find("Instance", query) if series_uids else ())
            if str(found["ParentSeries"]) in series_uids
        ]
        self._index.load(study_instance_uid, rows)

    def series_version(self, series: SeriesRef) -> int:
        """See ports.Archive."""
        self._make_known(series.study_instance_uid)
        entry = self._index.entry(series)
        return 0 if entry is None else entry.version

    # ---- storing and reading

    def store(self, ref: InstanceRef, part10: bytes) -> None:
        """See ports.Archive."""
        try:
            answer = json.loads(orthanc.RestApiPost("/instances", part10))
        except orthanc.OrthancException as error:
            raise _storing_failed(ref, error) from error
        status = answer.get("Status")
        if status not in ("Success", "AlreadyStored"):
            raise ArchiveError(f"Orthanc did not store instance {ref.sop_instance_uid}: {status}")
        self._make_known(ref.study_instance_uid)
        self._index.add(StoredInstance(ref, str(answer["ID"]), str(answer["ParentSeries"])))

    def read(self, ref: InstanceRef) -> bytes:
        """See ports.Archive."""
        self._make_known(ref.study_instance_uid)
        resource_id = self._index.resource_id(ref)
        if resource_id is None:
            raise NotFound(f"instance {ref.sop_instance_uid} is not stored")
        try:
            return bytes(orthanc.RestApiGet(f"/instances/{resource_id}/file"))
        except orthanc.OrthancException as error:
            if _code(error) == orthanc.ErrorCode.UNKNOWN_RESOURCE:
                self._note_removed(resource_id)
                raise NotFound(f"instance {ref.sop_instance_uid} is not stored any more") from error
            raise ArchiveError(f"Orthanc can't read instance {ref.sop_instance_uid}") from error

    # ---- completeness records

    def completeness(self, series: SeriesRef) -> Completeness | None:
        """See ports.Archive."""
        self._make_known(series.study_instance_uid)
        entry = self._index.entry(series)
        if entry is None:
            return None
        if entry.record is None:
            entry.record = (_read_record(entry.resource_id),)
        return entry.record[0]

    def mark_complete(self, series: SeriesRef, record: Completeness) -> None:
        """See ports.Archive."""
        entry = self._index.entry(series)
        if entry is None:
            return
        uri = f"/series/{entry.resource_id}/metadata/{COMPLETENESS_METADATA}"
        try:
            orthanc.RestApiPut(uri, json.dumps(record.to_json()).encode())
        except orthanc.OrthancException as error:
            raise ArchiveError(f"completeness can't be recorded: {error}") from error
        entry.record = (record,)

    # ---- local search

    def find(
        self, level: Level, keys: Sequence[IdentifierKey], *, max_rows: int | None = None
    ) -> Sequence[Attributes]:
        """See ports.Archive."""
        query = {
            _NARROWING[key.tag]: key.value for key in keys if key.value and key.tag in _NARROWING
        }
        found = _find(_ORTHANC_LEVELS[level], query, limit=max_rows or _NO_LIMIT)
        return [local_row(level, resource, _get_json) for resource in found]


def _code(error: Exception) -> Any:
    return error.args[0] if error.args else None


def _storing_failed(ref: InstanceRef, error: Exception) -> ArchiveError:
    what = f"Orthanc did not store instance {ref.sop_instance_uid}: {error}"
    if _code(error) == orthanc.ErrorCode.FULL_STORAGE:
        return ArchiveFull(what)
    return ArchiveError(what)


def _get_json(uri: str) -> Any:
    try:
        return json.loads(orthanc.RestApiGet(uri))
    except orthanc.OrthancException as error:
        if _code(error) == orthanc.ErrorCode.UNKNOWN_RESOURCE:
            raise NotFound(f"{uri} is not stored any more") from error
        raise ArchiveError(f"Orthanc can't answer {uri}: {error}") from error


def _find(level: str, query: Mapping[str, str], *, limit: int = _NO_LIMIT) -> list[dict[str, Any]]:
    body = {"Level": level, "Query": dict(query), "Expand": True, "CaseSensitive": True}
    if limit:
        body["Limit"] = limit
    try:
        found = json.loads(orthanc.RestApiPost("/tools/find", json.dumps(body).encode()))
    except orthanc.OrthancException as error:
        raise ArchiveError(f"Orthanc's search failed: {error}") from error
    return [dict(resource) for resource in found]


def _read_record(series_resource_id: str) -> Completeness | None:
    uri = f"/series/{series_resource_id}/metadata/{COMPLETENESS_METADATA}"
    try:
        raw = json.loads(orthanc.RestApiGet(uri))
        return Completeness(
            expected=int(raw["expected"]),
            stored=int(raw["stored"]),
            source=str(raw["source"]),
            checked_at=str(raw["checked_at"]),
        )
    except orthanc.OrthancException as error:
        if _code(error) in (
            orthanc.ErrorCode.UNKNOWN_RESOURCE,
            orthanc.ErrorCode.INEXISTENT_ITEM,
        ):
            return None
        raise ArchiveError(f"completeness can't be read: {error}") from error
    except (ValueError, KeyError, TypeError):
        LOG.warning("series %s has an unreadable completeness record", series_resource_id)
        return None
