"""Storing over fakes: every decision, and what is left wherever it is interrupted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydicom.dataset import FileDataset

from fakes.cache_book import FakeCacheBook
from fakes.memory_archive import MemoryArchive
from fakes.outbox import MemoryOutbox
from farsight.adapters.upload_spool import InMemory
from farsight.errors import ArchiveError, CacheBookError, FarsightError, OutboxError
from farsight.model import InstanceRef
from farsight.ports.outbox import Stage
from farsight.ps318.store_reasons import FailureReason, WarningReason
from farsight.services.offers import Offer, Refusal, examine
from farsight.services.series_locks import SeriesLocks
from farsight.services.storing import Duplicates, Kept, StoreHooks, StorePolicy, StoringService
from sample_files import ct_slice
from stowing import part10

PACS = ("pacs", "backup")


class OverwritingArchive(MemoryArchive):
    """As Orthanc with OverwriteInstances."""

    def store(self, ref: InstanceRef, part10: bytes | memoryview) -> bool:
        self.delete((ref,))
        return super().store(ref, bytes(part10))


class Site:
    """The service over fakes; `told`: whom the hooks told of."""

    def __init__(
        self,
        duplicates: Duplicates = Duplicates.REJECT,
        archive: Any = None,
        book: Any = None,
        outbox: Any = None,
        to: tuple[str, ...] = PACS,
    ) -> None:
        self.archive = archive or MemoryArchive()
        self.book = book or FakeCacheBook(lambda: 0.0)
        self.outbox = outbox or MemoryOutbox()
        self.told: list[InstanceRef] = []
        self.has_room = True
        hooks = StoreHooks(self.told.append, lambda size: self.has_room)
        self.service = StoringService(
            self.archive,
            self.book,
            self.outbox,
            SeriesLocks(),
            StorePolicy(to, duplicates),
            hooks,
        )

    def store(self, *offers: Offer) -> list[Kept | Refusal]:
        return self.service.store(offers)

    def promised(self, *stages: Stage) -> set[tuple[str, InstanceRef]]:
        """Parcels in these stages; in any but ANNOUNCED if none is named."""
        wanted = stages or (Stage.WAITING, Stage.SENT, Stage.DEAD)
        found = [one for stage in wanted for one in self.outbox.parcels(stage)]
        return {(one.what.destination, one.what.ref) for one in found}


def offer(image: FileDataset) -> Offer:
    found = examine(InMemory(part10(image)), None)
    assert isinstance(found, Offer), found
    return found


def changed(image: FileDataset) -> FileDataset:
    image.InstanceNumber = 99
    return image


def to_all(*offers: Offer) -> set[tuple[str, InstanceRef]]:
    return {(pacs, one.ref) for pacs in PACS for one in offers}


def reasons(fates: Collection[Kept | Refusal]) -> list[FailureReason | None]:
    return [fate.reason if isinstance(fate, Refusal) else None for fate in fates]


def test_new_ones_are_stored_claimed_and_promised() -> None:
    site, offers = Site(), [offer(ct_slice(number)) for number in (1, 2, 3)]
    site.book.expect(offers[0].ref, 10, "pacs")
    fates = site.store(*offers)
    assert [fate.offer for fate in fates if isinstance(fate, Kept)] == offers
    assert {one.ref for one in offers} == set(site.archive.stored) == set(site.told)
    assert site.promised() == to_all(*offers)
    assert site.promised(Stage.ANNOUNCED) == set()
    assert site.book.state.instances[offers[0].ref].held_by == "", "it is data now"
    site.service.count(stored=3, refused=1)
    assert site.service.counts() == {"stored": 3, "refused": 1}


def test_the_same_again_is_promised_again() -> None:
    """Whether what was promised before ever arrived isn't known here."""
    site, one = Site(), offer(ct_slice(1))
    site.store(one)
    site.told.clear()
    assert reasons(site.store(one)) == [None]
    assert site.told == []
    assert site.promised() == to_all(one)


def test_what_a_pacs_holds_is_not_sent_there_again() -> None:
    site, one = Site(), offer(ct_slice(1))
    site.archive.store(one.ref, bytes(one.part.whole()))
    site.book.stored(one.ref, "id", one.part.size)
    site.book.confirmed([one.ref], "pacs")
    assert reasons(site.store(one)) == [None]
    assert site.promised() == {("backup", one.ref)}


@pytest.mark.parametrize(
    ("duplicates", "archive", "reason", "warning", "is_new"),
    [
        (Duplicates.REJECT, MemoryArchive, FailureReason.DUPLICATE_INSTANCE, None, False),
        (Duplicates.KEEP, MemoryArchive, None, WarningReason.ELEMENTS_DISCARDED, False),
        (Duplicates.REPLACE, OverwritingArchive, None, None, True),
        # What the archive does not replace was not replaced, whatever the policy.
        (Duplicates.REPLACE, MemoryArchive, FailureReason.DUPLICATE_INSTANCE, None, False),
    ],
)
def test_another_content(
    duplicates: Duplicates,
    archive: Callable[[], MemoryArchive],
    reason: FailureReason | None,
    warning: WarningReason | None,
    is_new: bool,
) -> None:
    site, old = Site(duplicates, archive()), offer(ct_slice(1))
    site.archive.store(old.ref, bytes(old.part.whole()))
    new = offer(changed(ct_slice(1)))
    for fate in site.store(new, new):
        assert reasons([fate]) == [reason]
        assert getattr(fate, "warning", None) == warning
    assert site.archive.stored[old.ref] == (new if is_new else old).part.whole()
    assert site.promised() == (to_all(new) if is_new else set())
    assert site.promised(Stage.ANNOUNCED) == set()


def test_two_contents_in_one_message() -> None:
    site, one, other = Site(), offer(ct_slice(1)), offer(changed(ct_slice(1)))
    fates = site.store(one, other, one)
    assert reasons(fates) == [None, FailureReason.DUPLICATE_INSTANCE, None]
    assert site.archive.stored == {one.ref: one.part.whole()}


def test_the_same_name_elsewhere() -> None:
    site, one = Site(), offer(ct_slice(1))
    site.store(one)
    for keyword in ("SeriesInstanceUID", "StudyInstanceUID"):
        image = ct_slice(1)
        setattr(image, keyword, "1.2.3")
        assert reasons(site.store(offer(image))) == [FailureReason.DUPLICATE_INSTANCE]
    assert set(site.archive.stored) == {one.ref}


def test_another_patient() -> None:
    site, one, image = Site(), offer(ct_slice(1)), ct_slice(2)
    image.PatientID = "ANOTHER"
    for _ in range(2):
        fates = site.store(one, offer(image))
        assert reasons(fates) == [None, FailureReason.PROCESSING_FAILURE]


def test_no_room() -> None:
    site, one = Site(), offer(ct_slice(1))
    site.has_room = False
    assert reasons(site.store(one)) == [FailureReason.OUT_OF_RESOURCES]
    assert site.outbox.counts() == {}
    site.has_room, site.archive.room = True, 1
    two = offer(ct_slice(2))
    assert sorted(map(str, reasons(site.store(one, two)))) == ["42752", "None"]
    assert len(site.promised()) == len(PACS)
    assert site.promised(Stage.ANNOUNCED) == set()


def test_two_messages_with_the_same_names_wait_for_each_other() -> None:
    """Both clients are told the truth: exactly one content is stored."""
    for _ in range(20):
        site = Site()
        offers = []
        for number in range(4):
            image = ct_slice(1)
            image.InstanceNumber = number
            offers.append(offer(image))
        with ThreadPoolExecutor(4) as pool:
            fates = [fate for (fate,) in pool.map(site.store, offers)]
        (kept,) = [fate for fate in fates if isinstance(fate, Kept)]
        assert site.archive.stored == {kept.offer.ref: kept.offer.part.whole()}


class Interrupted(BaseException):
    """The process ends here."""


class Watched:
    """A port that ends, before or after doing it, with what `strike` says at each call."""

    def __init__(self, port: Any, strike: Callable[[str], None]) -> None:
        self._port = port
        self._strike = strike

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._strike(name)
            result = found(*args, **kwargs)
            self._strike(name)
            return result

        return call


class Countdown:
    """Raises at the so-many-th step."""

    def __init__(self, at: int, error: Callable[[str], BaseException]) -> None:
        self._left = at
        self._error = error
        self._lock = threading.Lock()
        self.struck = False

    def disarm(self) -> None:
        self._left = -1

    def __call__(self, name: str) -> None:
        with self._lock:
            self._left -= 1
            if self._left != 0:
                return
            self.struck = True
        raise self._error(name)


@pytest.mark.parametrize("which", ["archive", "book", "outbox"])
@pytest.mark.parametrize("kills", [True, False], ids=["killed", "failing"])
def test_wherever_it_ends_nothing_acknowledged_is_lost(which: str, kills: bool) -> None:
    """Killed, or failing, before and after every call of a port.

    What is acknowledged is stored and promised. What is stored is data, and to be sent: promised,
    or announced, which is settled at the next start.
    """
    errors = {"archive": ArchiveError, "book": CacheBookError, "outbox": OutboxError}
    at = 0
    while True:
        at += 1
        error: Callable[[str], BaseException] = Interrupted if kills else errors[which]
        strike = Countdown(at, error)
        site = Site(Duplicates.REPLACE, OverwritingArchive())
        there, new = offer(ct_slice(1)), offer(changed(ct_slice(1)))
        site.archive.store(there.ref, bytes(there.part.whole()))
        site.book.stored(there.ref, "id", there.part.size)
        site.book.confirmed([there.ref], "pacs")
        setattr(site, which, Watched(getattr(site, which), strike))
        struck = Site(Duplicates.REPLACE, site.archive, site.book, site.outbox)
        offers = [new, offer(ct_slice(2)), offer(ct_slice(3, series=2))]
        try:
            fates = struck.store(*offers)
        except (Interrupted, FarsightError):
            fates = []
        strike.disarm()
        _is_sound(struck, offers, fates)
        if not strike.struck:
            assert reasons(fates) == [None] * 3
            assert at > 4, "it was interrupted"
            return


def _is_sound(site: Site, offers: list[Offer], fates: list[Kept | Refusal]) -> None:
    stored = {one.ref for one in offers if _content(site, one.ref) == one.part.whole()}
    kept = [fate.offer for fate in fates if isinstance(fate, Kept)]
    assert {one.ref for one in kept} <= stored
    assert to_all(*kept) <= site.promised()
    refused = {fate.sop_instance_uid for fate in fates if isinstance(fate, Refusal)}
    concerned = [one for one in offers if one.ref in stored]
    # One that is there although the archive failed is sent on when the client comes again.
    to_send = [one for one in concerned if one.ref.sop_instance_uid not in refused]
    assert to_all(*to_send) <= site.promised(*Stage)
    for one in concerned:
        booked = site.book.state.instances.get(one.ref)
        assert booked is None or booked.held_by == "", "never taken for cache"


def _content(site: Site, ref: InstanceRef) -> object:
    return getattr(site.archive, "_port", site.archive).stored.get(ref)
