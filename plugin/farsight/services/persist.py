"""Storing behind the answer: a few threads move instances from memory into the archive."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable

from farsight.dicom.elements import DicomObject
from farsight.errors import ArchiveError
from farsight.model import InstanceRef
from farsight.ports.archive import Archive
from farsight.services.memory_tier import MemoryTier

LOG = logging.getLogger("farsight.persist")

_NICE = 10

#: Called on a storing thread when an instance is durable (None) or could not be stored.
Stored = Callable[[InstanceRef, ArchiveError | None], None]


class Persister:
    """Stores what it is given, in order, with `threads` daemon threads.

    Back-pressure comes from the memory tier, which makes whoever adds to it wait.
    """

    def __init__(self, archive: Archive, tier: MemoryTier, threads: int = 2) -> None:
        self._archive = archive
        self._tier = tier
        self._queue: queue.SimpleQueue[tuple[InstanceRef, DicomObject, Stored] | None] = (
            queue.SimpleQueue()
        )
        self._threads = [
            threading.Thread(target=self._run, name=f"farsight-store-{n}", daemon=True)
            for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, ref: InstanceRef, instance: DicomObject, done: Stored) -> None:
        """The instance has to be in the memory tier already; it stays there until stored."""
        self._queue.put((ref, instance, done))

    def close(self, deadline_s: float) -> None:
        """Lets the threads finish what is queued, for at most that long each."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(deadline_s)

    def _run(self) -> None:
        # Who waits for an answer goes first where both want the processor.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while (item := self._queue.get()) is not None:
            ref, instance, done = item
            del item
            try:
                done(ref, self._store(ref, instance))
            except Exception:  # the edge of this thread: were it to end, all would wait
                LOG.exception("after storing instance %s", ref.sop_instance_uid)

    def _store(self, ref: InstanceRef, instance: DicomObject) -> ArchiveError | None:
        try:
            self._archive.store(ref, instance.data)
        except ArchiveError as error:
            LOG.error("storing instance %s failed: %s", ref.sop_instance_uid, error)
            failure = error
        except Exception as error:  # the edge of this thread: were it to end, all would wait
            LOG.exception("storing instance %s", ref.sop_instance_uid)
            failure = ArchiveError(f"instance {ref.sop_instance_uid}: {type(error).__name__}")
        else:
            self._tier.mark_stored(ref)
            return None
        self._tier.drop(ref)
        return failure
