"""What arrives in the archive and what leaves it, entered into the account of what is stored.

Laws:
- Only what we fetched from a PACS ourselves, or a PACS sent, is cache; anything else is data.
- An event counts more than a listing: whatever arrived or departed since a reconciliation began
  is left alone by it. So it doesn't matter whether an event comes before, during or after it.
- What is to be sent on is told before it is booked as stored: a crash between the two tells twice.
- Nothing is struck off because a listing lacks it, before the archive said so when asked for it.
- After a run that did not end well, what the archive took last is looked at even if it is booked:
  the event that told of another instance under the same UIDs may be lost.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from farsight.errors import FarsightError, NotFound
from farsight.model import Arrival, InstanceRef, Origin
from farsight.ports.cache_book import CacheBook
from farsight.services.pacs_senders import PacsSenders
from farsight.services.series_locks import SeriesLocks

LOG = logging.getLogger("farsight.cache")

#: What the archive says of an instance by its resource id; None where it hasn't got it.
Describe = Callable[[str], Arrival | None]
Listing = Callable[[], Iterable[str]]
#: Resource ids of what the archive has under a SOPInstanceUID.
Find = Callable[[str], Iterable[str]]
OnData = Callable[[Arrival], None]
#: Until what failed is tried again.
_PAUSE_S = 60.0


class Bookkeeping:
    """Thread-safe. Not to be called on Orthanc's own threads: it writes to a disk."""

    def __init__(
        self,
        book: CacheBook,
        locks: SeriesLocks,
        senders: PacsSenders,
        on_data: OnData,
    ) -> None:
        """`on_data`: told of what modalities sent, to be sent on, with the lock of its series;
        returns when that can't be lost."""
        self._book = book
        self._locks = locks
        self._senders = senders
        self._on_data = on_data
        self._lock = threading.Lock()
        #: Resource ids of which an event told since a reconciliation began; None: none is on.
        self._told: set[str] | None = None
        #: Resource ids of which an event told that could not be booked.
        self._missed: set[str] = set()
        self._behind = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    # ---- events

    def arrived(self, arrival: Arrival) -> None:
        """An instance is stored now, or again. Raises: CacheBookError; as `on_data`."""
        with self._made_up_for((arrival.resource_id,)), self._locks.of(arrival.ref.series):
            with self._lock:
                if self._told is not None:
                    self._told.add(arrival.resource_id)
            self._enter(arrival, sends_on=True)

    def departed(self, resource_ids: Collection[str]) -> None:
        """They are not stored any more. Raises: CacheBookError."""
        with self._made_up_for(resource_ids), self._lock:
            if self._told is not None:
                self._told.update(resource_ids)
            self._book.gone(resource_ids)

    @contextmanager
    def _made_up_for(self, resource_ids: Collection[str]) -> Iterator[None]:
        """What can't be booked now, say because the disk is full, is looked at again."""
        try:
            yield
        except FarsightError:
            with self._lock:
                self._missed.update(resource_ids)
            self._behind.set()
            raise

    def _enter(self, arrival: Arrival, *, sends_on: bool) -> None:
        """The series' lock is held."""
        ref, origin = arrival.ref, arrival.origin
        if origin is not None:
            pacs = ""
            if origin.kind == "dicom":
                pacs = self._senders.name_of(origin.remote_ae_title, ref.series)
            if pacs:
                self._book.expect(ref, arrival.size_bytes, pacs)
            elif origin.kind != "plugin" or not self._book.expects(ref, arrival.size_bytes):
                # else: ours, stored just before a crash or before we were told that it is stored.
                self._book.claim((ref,))
                if sends_on and origin.kind == "dicom":
                    self._on_data(arrival)
        self._book.stored(ref, arrival.resource_id, arrival.size_bytes)

    # ---- reconciliation

    def settle(self, left_over: Iterable[InstanceRef], find: Find, describe: Describe) -> None:
        """Books what the last run claimed and stored but didn't come to book, and what is doubtful,
        before anything of this run is sent on: what a PACS confirms has to be booked by then, and
        isn't claimed again later. `left_over`: what else may have been stored so.

        Raises: CacheBookError, ArchiveError; as `on_data`.
        """
        doubtful = self._book.doubtful_ids()
        refs = {*self._book.left_claims(), *left_over}
        for resource_id in doubtful.union(*(find(ref.sop_instance_uid) for ref in refs)):
            arrival = _described(resource_id, describe)
            if arrival is not None:
                with self._locks.of(arrival.ref.series):
                    self._enter(arrival, sends_on=True)
        self._book.drop_left_claims()

    def start(self, listing: Listing, describe: Describe, latest: Listing = tuple) -> None:
        """Reconciles on a thread of its own, again after a while where that or an event failed.

        `listing`: makes a new list of what is stored; `latest`: of what was stored last, at least
        all that was told of within a minute.
        """
        self._thread = threading.Thread(
            target=self._run, args=(listing, describe, latest), name="farsight-books", daemon=True
        )
        self._thread.start()

    def close(self, deadline_s: float) -> None:
        self._closing.set()
        self._behind.set()
        if self._thread is not None:
            self._thread.join(deadline_s)

    def _run(self, listing: Listing, describe: Describe, latest: Listing) -> None:
        seems_whole = self._book.ended_well
        while True:
            self._behind.clear()
            if self._closing.is_set():
                return
            with self._lock:
                missed, self._missed = self._missed, set()
            is_done = False
            try:
                self.reconcile(listing(), describe, missed.union(() if seems_whole else latest()))
                is_done = seems_whole = True
            except FarsightError as error:
                LOG.error("the account of what is stored can't be checked: %s", error)
            except Exception:  # the edge of this thread: it is tried again
                LOG.exception("checking the account of what is stored")
            if not is_done:
                with self._lock:
                    self._missed |= missed
                self._behind.set()
            self._behind.wait()
            self._closing.wait(_PAUSE_S)

    def reconcile(
        self, listing: Iterable[str], describe: Describe, latest: Iterable[str] = ()
    ) -> None:
        """Makes the book say what the archive says. `listing`: resource ids of all that is stored;
        `latest`: of those to be looked at although they are booked.

        What a new book finds is not sent on: it was there before. Ends early, with nothing wrong,
        when closed. Raises: CacheBookError, ArchiveError; as `on_data`.
        """
        sends_on = not self._book.is_new
        with self._lock:
            self._told = set()
            left = set(self._book.resource_ids())
            doubtful = self._book.doubtful_ids()
        try:
            again = doubtful.union(latest)
            found = 0
            for resource_id in listing:
                if self._closing.is_set():
                    return
                is_booked = resource_id in left
                left.discard(resource_id)
                if is_booked and resource_id not in again:
                    continue
                is_believed = is_booked and resource_id not in doubtful
                found += self._found(resource_id, describe, is_believed, sends_on=sends_on)
            struck = self._strike_off(left, describe)
            if self._closing.is_set():
                return
            self._book.caught_up()
            LOG.info("%d instances booked anew, %d struck off", found, struck)
        finally:
            with self._lock:
                self._told = None

    def _found(
        self, resource_id: str, describe: Describe, is_believed: bool, *, sends_on: bool
    ) -> bool:
        """Books one; False where an event tells of it, it is gone again, or is as it was booked.

        `is_believed`: nothing was to be stored in its place.
        """
        arrival = _described(resource_id, describe)
        if arrival is None:
            return False
        with self._locks.of(arrival.ref.series), self._lock:
            if self._told is None or resource_id in self._told:
                return False
            if self._is_as_booked(arrival, is_believed):
                return False
            self._enter(arrival, sends_on=sends_on)
        return True

    def _is_as_booked(self, arrival: Arrival, is_believed: bool) -> bool:
        """Whether it is what was booked: ours, and of the same size, or data as before."""
        one = self._book.instance(arrival.ref)
        if one is None or one.size_bytes != arrival.size_bytes:
            return False
        is_ours = arrival.origin is not None and arrival.origin.kind == "plugin"
        return is_ours or (is_believed and not one.held_by)

    def _strike_off(self, resource_ids: Iterable[str], describe: Describe) -> int:
        struck = 0
        for resource_id in resource_ids:
            if self._closing.is_set():
                break
            if _described(resource_id, describe) is not None:
                continue
            with self._lock:
                if self._told is not None and resource_id not in self._told:
                    self._book.gone((resource_id,))
                    struck += 1
        return struck


def _described(resource_id: str, describe: Describe) -> Arrival | None:
    """What was stored by a plugin was by us at best: in a listing nobody tells for sure."""
    try:
        arrival = describe(resource_id)
    except NotFound:
        return None
    if arrival is None or arrival.origin is not None:
        return arrival
    return replace(arrival, origin=Origin("plugin"))
