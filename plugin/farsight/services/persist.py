"""Storing behind the answer: a few threads move instances from memory into the archive."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from farsight.dicom.elements import DicomObject
from farsight.errors import ArchiveError, ArchiveFull, CacheBookError
from farsight.model import InstanceRef
from farsight.ports.archive import Archive
from farsight.ports.cache_book import CacheBook
from farsight.services.memory_tier import MemoryTier
from farsight.services.names_taken import NamesTaken

LOG = logging.getLogger("farsight.persist")

_NICE = 10

#: Called on a storing thread when an instance is durable (None) or could not be stored.
Stored = Callable[[InstanceRef, ArchiveError | None], None]
#: Makes room for so many bytes; False where it can't.
Room = Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class _Order:
    ref: InstanceRef
    instance: DicomObject
    source: str
    done: Stored


class Persister:
    """Stores what it is given, in order, with `threads` daemon threads.

    Back-pressure comes from the memory tier, which makes whoever adds to it wait. The book knows
    of every instance where it came from before it is stored. What there is no room for is not:
    who evicts, and notes what happened, needs some to write.
    """

    def __init__(
        self,
        archive: Archive,
        tier: MemoryTier,
        book: CacheBook,
        room: Room = lambda _bytes: True,
        threads: int = 2,
        names: NamesTaken | None = None,
    ) -> None:
        """`names`: shared with whoever else stores."""
        self._names = names or NamesTaken()
        self._archive = archive
        self._tier = tier
        self._book = book
        self._room = room
        self._queue: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"farsight-store-{n}", daemon=True)
            for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, ref: InstanceRef, instance: DicomObject, source: str, done: Stored) -> None:
        """The instance has to be in the memory tier already; it stays there until stored.

        `source`: the PACS that sent it.
        """
        self._queue.put(_Order(ref, instance, source, done))

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
            try:
                item.done(item.ref, self._store(item))
            except Exception:  # the edge of this thread: were it to end, all would wait
                LOG.exception("after storing instance %s", item.ref.sop_instance_uid)
            del item

    def _store(self, order: _Order) -> ArchiveError | None:
        ref, data = order.ref, order.instance.data
        try:
            if not self._room(len(data)):
                raise ArchiveFull("there is no room left to store what a PACS sends")
            with self._names.holding((ref.sop_instance_uid,), {}):
                # What a client stored meanwhile stays, also where the archive overwrites.
                is_new = not self._archive.holds(ref)
                if is_new:
                    self._book.expect(ref, len(data), order.source)
                    is_new = self._archive.store(ref, data)
        except (ArchiveError, CacheBookError) as error:
            LOG.error("storing instance %s failed: %s", ref.sop_instance_uid, error)
            failure = error if isinstance(error, ArchiveError) else ArchiveError(str(error))
        except Exception as error:  # the edge of this thread: were it to end, all would wait
            LOG.exception("storing instance %s", ref.sop_instance_uid)
            failure = ArchiveError(f"instance {ref.sop_instance_uid}: {type(error).__name__}")
        else:
            if is_new:
                self._tier.mark_stored(ref)
            else:
                self._tier.drop(ref)  # what is stored may be another one of that name
            return None
        self._tier.drop(ref)
        return failure
