"""A client stores, and the process ends at any call: after the restart all goes to its end.

Storing, the account of what is stored, and sending on, together, started as a gateway does it:
what the PACS has is cache again, and nothing stays data for ever that need not.
"""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import FileDataset

from booked import resource
from fakes.cache_book import BookState, FakeCacheBook
from fakes.forwarding import LIMITS
from fakes.memory_archive import MemoryArchive
from fakes.outbox import MemoryOutbox
from fakes.receiving import Clock, Item, ReceivingPacs
from farsight.adapters.upload_spool import InMemory
from farsight.model import Arrival, InstanceRef
from farsight.ports.outbox import Parcel
from farsight.services.bookkeeping import Bookkeeping
from farsight.services.claiming_outbox import ClaimingOutbox
from farsight.services.forwarding import Forwarder
from farsight.services.offers import Offer, examine
from farsight.services.pacs_senders import PacsSenders
from farsight.services.series_locks import SeriesLocks
from farsight.services.storing import Duplicates, Kept, StoreHooks, StorePolicy, StoringService
from sample_files import ct_slice
from stowing import part10

MOST_CALLS = 200


class Crash(BaseException):
    """Nothing catches it, as nothing catches the end of a process."""


class Fragile:
    """A port of the process that is about to end: `tell` before and after each call."""

    def __init__(self, of: Any, tell: Any) -> None:
        self._of = of
        self._tell = tell

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._of, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            self._tell()
            result = found(*arguments, **named)
            self._tell()
            return result

        return call


class TellingArchive(MemoryArchive):
    """Books what it stored, as the one of Orthanc does."""

    account: Bookkeeping

    def store(self, ref: InstanceRef, part10: bytes) -> bool:
        is_new = super().store(ref, part10)
        if is_new:
            self.tell()
            self.account.arrived(Arrival(ref, resource(ref), len(part10)))
        return is_new

    def tell(self) -> None:
        """Between storing and telling."""


class Life:
    """One run of the process over what lasts."""

    def __init__(self, lasting: Lasting, fuse: int = 0) -> None:
        self._left = fuse
        self._calls = 0
        self.lasting = lasting
        self.book = FakeCacheBook(lasting.clock, lasting.book)
        book: Any = Fragile(self.book, self._burn)
        files: Any = Fragile(lasting.outbox, self._burn)
        self.outbox = ClaimingOutbox(files, book)
        locks = SeriesLocks()
        archive = lasting.archive
        archive.tell = self._burn  # type: ignore[method-assign]
        self.account = archive.account = Bookkeeping(book, locks, PacsSenders({}), lambda _: None)
        self.forwarder = Forwarder(
            self.outbox,
            {"pacs": lasting.pacs},  # type: ignore[dict-item]
            self._outgoing,
            limits=LIMITS,
            clock=lasting.clock,
        )
        fragile: Any = Fragile(archive, self._burn)
        hooks = StoreHooks(lambda _: None, lambda _: True)
        policy = StorePolicy(("pacs",), Duplicates.REJECT, threads=1)
        self.storing = StoringService(fragile, book, self.outbox, locks, policy, hooks)

    def _burn(self) -> None:
        self._calls += 1
        if 0 < self._left <= self._calls:  # its other threads come to nothing any more
            raise Crash

    def _outgoing(self, parcel: Parcel) -> Any:
        return Item(parcel.what.ref, self.lasting.archive.stored)

    def start(self) -> None:
        """As a gateway does it. What is reconciled comes late: the PACS is quicker."""
        archive = self.lasting.archive
        self.account.settle(self.forwarder.left_over, self._named, self._describe)
        self.forwarder.recover(archive)

    def reconcile(self) -> None:
        listing = [resource(ref) for ref in self.lasting.archive.stored]
        self.account.reconcile(listing, self._describe, listing)

    def _named(self, name: str) -> list[str]:
        stored = self.lasting.archive.stored
        return [resource(ref) for ref in stored if ref.sop_instance_uid == name]

    def _describe(self, resource_id: str) -> Arrival | None:
        stored = self.lasting.archive.stored
        ref = next((ref for ref in stored if resource(ref) == resource_id), None)
        return None if ref is None else Arrival(ref, resource_id, len(stored[ref]))

    def send(self) -> None:
        until = self.lasting.clock.now + 3600
        while self.lasting.clock.now < until:
            wait_s = self.forwarder.couriers["pacs"].work()
            self.lasting.clock.now += 3600 if wait_s is None else wait_s + 1e-6


class Lasting:
    """What a restart finds."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.book = BookState({}, {}, set(), is_new=False)
        self.outbox = MemoryOutbox()
        self.archive = TellingArchive()
        self.pacs = ReceivingPacs()


def _offer(image: FileDataset) -> Offer:
    found = examine(InMemory(part10(image)), None)
    assert isinstance(found, Offer)
    return found


@pytest.mark.parametrize("again", [False, True], ids=["new", "again"])
def test_what_its_pacs_has_is_cache_in_the_end(again: bool) -> None:
    offers = [_offer(ct_slice(number)) for number in (1, 2, 3)]
    for at in range(1, MOST_CALLS):
        lasting = Lasting()
        if again:
            life = Life(lasting)
            life.storing.store(offers[:2])
            life.send()
        acknowledged: set[InstanceRef] = set()
        ended = False
        try:
            dying = Life(lasting, at)
            fates = dying.storing.store(offers)
            acknowledged = {fate.offer.ref for fate in fates if isinstance(fate, Kept)}
            dying.send()
        except Crash:
            ended = True
        life = Life(lasting)
        life.start()
        life.send()
        life.reconcile()
        life.send()
        stored = set(lasting.archive.stored)
        assert acknowledged <= stored
        assert set(lasting.pacs.kept) == stored
        for one in offers:  # what was never stored here is fetched
            if one.ref not in stored:
                life.book.expect(one.ref, one.part.size, "pacs")
                lasting.archive.store(one.ref, one.part.whole())
        booked = {one.ref: one.held_by for one in life.book.instances(offers[0].ref.series)}
        assert booked == dict.fromkeys((one.ref for one in offers), "pacs"), f"ended at {at}"
        assert lasting.outbox.counts() == {}
        if not ended:
            assert acknowledged == {one.ref for one in offers}
            assert at > 30
            return
    raise AssertionError("more calls than expected")
