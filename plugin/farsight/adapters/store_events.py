"""What happens in Orthanc's store behind our back, followed on a thread of its own."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from farsight.adapters import orthanc_rest as rest
from farsight.adapters.archive_index import ArchiveIndex, StoredInstance
from farsight.errors import ArchiveError, NotFound
from farsight.model import InstanceRef, SeriesRef

LOG = logging.getLogger("farsight.archive")
_MOST_SERIES = 10_000

#: Called on the archive's own thread with instances that others stored, or that are gone.
Listener = Callable[[InstanceRef], None]


class StoreEvents:
    """Keeps the index up to what Orthanc tells. Thread-safe."""

    def __init__(self, index: ArchiveIndex, followed: Callable[[], None]) -> None:
        """`followed`: called whenever the index has followed an event."""
        self._index = index
        self._followed = followed
        self._events: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._series_refs: dict[str, SeriesRef] = {}
        self._on_stored: Listener | None = None
        self._on_gone: Listener | None = None
        self._thread = threading.Thread(target=self._follow, name="farsight-archive", daemon=True)
        self._thread.start()

    def listen(self, *, stored: Listener, gone: Listener) -> None:
        """Who wants to hear of instances stored by others, and of deleted or replaced ones."""
        self._on_stored, self._on_gone = stored, gone

    def close(self, deadline_s: float) -> None:
        self._events.put(None)
        self._thread.join(deadline_s)

    def put(self, kind: str, resource_id: str) -> None:
        """`kind`: "added" or "removed". Returns at once."""
        self._events.put((kind, resource_id))

    def removed(self, resource_id: str) -> None:
        """An instance turned out to be gone."""
        ref = self._index.remove(resource_id)
        if ref is not None and self._on_gone is not None:
            self._on_gone(ref)
        self._followed()

    def _follow(self) -> None:
        while (event := self._events.get()) is not None:
            kind, resource_id = event
            try:
                if kind == "added":
                    self._added(resource_id)
                else:
                    self._removed(resource_id)
            except (ArchiveError, NotFound) as error:
                LOG.info("event for instance %s: %s", resource_id, error)
            self._followed()

    def _added(self, resource_id: str) -> None:
        if self._index.is_empty or self._index.knows(resource_id):
            return
        instance = rest.get_json(f"/instances/{resource_id}")
        parent = str(instance["ParentSeries"])
        series = self._series_ref(parent)
        ref = InstanceRef(
            series.study_instance_uid,
            series.series_instance_uid,
            str(instance["MainDicomTags"]["SOPInstanceUID"]),
        )
        self._index.add(StoredInstance(ref, resource_id, parent, rest.attachment_of(instance)))
        if self._on_stored is not None:
            self._on_stored(ref)

    def _removed(self, resource_id: str) -> None:
        """Deleted, or replaced: then it is there again by now, and never was gone for a client."""
        if not self._index.knows(resource_id):
            return
        try:
            instance = rest.get_json(f"/instances/{resource_id}")
        except (ArchiveError, NotFound):
            self.removed(resource_id)
            return
        ref = self._index.replaced(resource_id, rest.attachment_of(instance))
        if ref is not None and self._on_gone is not None:
            self._on_gone(ref)

    def _series_ref(self, series_resource_id: str) -> SeriesRef:
        if series_resource_id not in self._series_refs:
            series = rest.get_json(f"/series/{series_resource_id}")
            study = rest.get_json(f"/studies/{series['ParentStudy']}")
            if len(self._series_refs) > _MOST_SERIES:
                self._series_refs.clear()
            self._series_refs[series_resource_id] = SeriesRef(
                str(study["MainDicomTags"]["StudyInstanceUID"]),
                str(series["MainDicomTags"]["SeriesInstanceUID"]),
            )
        return self._series_refs[series_resource_id]
