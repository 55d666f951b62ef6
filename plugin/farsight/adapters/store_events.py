"""What happens in Orthanc's store behind our back, followed on a thread of its own."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from farsight.adapters import orthanc_rest as rest
from farsight.adapters.archive_index import ArchiveIndex, StoredInstance
from farsight.adapters.orthanc_lookup import arrival_of, ref_of
from farsight.adapters.own_stores import OwnStores
from farsight.errors import ArchiveError, FarsightError, NotFound
from farsight.model import Arrival, InstanceRef

LOG = logging.getLogger("farsight.archive")
#: Events come a moment before the answer to who stores: then that needn't be asked for. And each
#: awakening is a wait for the interpreter, in the way of who stores: several are followed at once.
_PAUSE_S = 0.02

#: Called on the archive's own thread with instances that others stored, or that are gone.
Listener = Callable[[InstanceRef], None]


#: What happened to which resource; or somebody waits for all that happened before.
_Event = tuple[str, str] | threading.Event


class Account(Protocol):
    """Whoever keeps account of all that is stored; called on any thread."""

    def arrived(self, arrival: Arrival) -> None:
        """An instance is stored now, or has another file; maybe told twice."""
        ...

    def departed(self, resource_ids: Collection[str]) -> None: ...


class StoreEvents:
    """Keeps the index up to what Orthanc tells, and the account. Thread-safe.

    Law: the index doesn't wait for the account, which asks Orthanc more and writes to a disk: what
    was deleted or replaced is not served because much was stored before it.
    """

    def __init__(self, index: ArchiveIndex, followed: Callable[[], None]) -> None:
        """`followed`: called whenever the index has followed an event."""
        self._index = index
        self._followed = followed
        self._events: queue.SimpleQueue[_Event | None] = queue.SimpleQueue()
        self._on_stored: Listener | None = None
        self._on_gone: Listener | None = None
        self._account: Account | None = None
        self.own = OwnStores()
        self._bookings: queue.SimpleQueue[_Event | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._follow, args=(events, steps), name=name, daemon=True)
            for name, events, steps in (
                (
                    "farsight-archive",
                    self._events,
                    {"added": self._added, "removed": self._removed},
                ),
                (
                    "farsight-account",
                    self._bookings,
                    {"added": self._book_arrival, "removed": self._book_departure},
                ),
            )
        ]
        for thread in self._threads:
            thread.start()

    def listen(self, *, stored: Listener, gone: Listener, account: Account | None) -> None:
        """Who wants to hear of instances stored by others, and of deleted or replaced ones;
        `account`: of all that comes and goes."""
        self._on_stored, self._on_gone, self._account = stored, gone, account

    def arrived(self, arrival: Arrival) -> None:
        """We stored one ourselves."""
        if self._account is not None:
            self._account.arrived(arrival)

    def close(self, deadline_s: float) -> None:
        for events in (self._events, self._bookings):
            events.put(None)
        for thread in self._threads:
            thread.join(deadline_s)

    def put(self, kind: str, resource_id: str) -> None:
        """`kind`: "added" or "removed". Returns at once."""
        self._events.put((kind, resource_id))
        if self._account is not None:
            self._bookings.put((kind, resource_id))

    def followed(self, timeout_s: float) -> bool:
        """Waits until all events up to now were followed; False: it took longer."""
        markers = [threading.Event() for _ in range(2)]
        for events, marker in zip((self._events, self._bookings), markers, strict=True):
            events.put(marker)
        deadline = time.monotonic() + timeout_s
        return all(marker.wait(max(0.0, deadline - time.monotonic())) for marker in markers)

    def removed(self, resource_id: str) -> None:
        """An instance turned out to be gone. Who stores it from now on stores another."""
        self._lost_sight_of(resource_id)
        self._departed(resource_id)
        self._followed()

    def _departed(self, resource_id: str) -> None:
        self.own.forget(resource_id)
        if self._account is not None:
            self._account.departed((resource_id,))

    def _lost_sight_of(self, resource_id: str) -> None:
        ref = self._index.remove(resource_id)
        if ref is not None and self._on_gone is not None:
            self._on_gone(ref)

    def _follow(
        self, events: queue.SimpleQueue[_Event | None], steps: Mapping[str, Callable[[str], None]]
    ) -> None:
        at_hand = 0
        while (event := events.get()) is not None:
            if at_hand:
                at_hand -= 1
            elif self.own.is_storing:
                time.sleep(_PAUSE_S)
                at_hand = events.qsize()
            if isinstance(event, threading.Event):
                event.set()
                continue
            kind, resource_id = event
            try:
                steps[kind](resource_id)
            except FarsightError as error:
                LOG.info("event for instance %s: %s", resource_id, error)
            except Exception:  # the edge of this thread: were it to end, nobody would hear of any
                LOG.exception("event for instance %s", resource_id)
            self._followed()

    def _added(self, resource_id: str) -> None:
        if self._index.is_empty or self._index.knows(resource_id):
            return
        instance = rest.get_json(f"/instances/{resource_id}")
        ref, parent = ref_of(instance), str(instance["ParentSeries"])
        self._index.add(StoredInstance(ref, resource_id, parent, rest.attachment_of(instance)))
        if self._on_stored is not None:
            self._on_stored(ref)

    def _removed(self, resource_id: str) -> None:
        """Deleted, or replaced: then it is there again by now, and never was gone for a client."""
        if not self._index.knows(resource_id):
            return
        try:
            instance = rest.get_json(f"/instances/{resource_id}")
        except NotFound:
            self._lost_sight_of(resource_id)
            return
        except ArchiveError:
            self._lost_sight_of(resource_id)
            raise
        ref = self._index.replaced(resource_id, rest.attachment_of(instance))
        if ref is not None and self._on_gone is not None:
            self._on_gone(ref)

    def _book_arrival(self, resource_id: str) -> None:
        if self._account is not None and not self.own.settle(resource_id):
            arrival = arrival_of(resource_id)
            if arrival is not None:
                self._account.arrived(arrival)

    def _book_departure(self, resource_id: str) -> None:
        """Nothing to do where it is there again: that is told by an arrival."""
        try:
            rest.get_json(f"/instances/{resource_id}")
        except NotFound:
            self._departed(resource_id)
