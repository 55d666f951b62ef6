"""What arrives and leaves is booked as what it is, whenever it is heard of."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

import pytest

from booked import ONE, Clock, keep, ref, resource
from fakes.cache_book import FakeCacheBook
from farsight.errors import ArchiveError, NotFound
from farsight.model import Arrival, InstanceRef, Origin
from farsight.ports.cache_book import BookTotals
from farsight.services import bookkeeping
from farsight.services.bookkeeping import Bookkeeping
from farsight.services.pacs_senders import PacsSenders
from farsight.services.series_locks import SeriesLocks

PACS, MODALITY = Origin("dicom", "PACS_AE"), Origin("dicom", "CT_SCANNER")
CLIENT, PLUGIN = Origin("rest"), Origin("plugin")


def arrival(of: InstanceRef, origin: Origin | None, size: int = 10) -> Arrival:
    return Arrival(of, resource(of), size, origin=origin)


class Site:
    """An archive that only knows what is in it, and the bookkeeping beside it."""

    def __init__(self, *, new: bool = False) -> None:
        self.archive: dict[str, Arrival] = {}
        self.book = FakeCacheBook(Clock())
        if not new:
            self.book.caught_up()
        self.sent_on: list[Arrival] = []
        self.kept = Bookkeeping(
            self.book, SeriesLocks(), PacsSenders({"PACS_AE ": "pacs"}), self.sent_on.append
        )
        self.described: list[str] = []
        self.before = self.after = lambda _: None

    def put(self, of: InstanceRef, origin: Origin | None, size: int = 10) -> Arrival:
        """Into the archive; nobody was told yet."""
        return self.archive.setdefault(resource(of), arrival(of, origin, size))

    def describe(self, resource_id: str) -> Arrival | None:
        self.described.append(resource_id)
        self.before(resource_id)
        found = self.archive.get(resource_id)
        self.after(resource_id)
        return found

    def reconcile(self, latest: Collection[str] = ()) -> None:
        self.kept.reconcile(list(self.archive), self.describe, latest)

    @property
    def held(self) -> dict[str, str]:
        """SOPInstanceUID -> the PACS that is known to hold it."""
        return {one.ref.sop_instance_uid: one.held_by for one in self.book.instances(ONE)}


@pytest.mark.parametrize(
    ("origin", "held_by", "is_sent_on"),
    [(PACS, "pacs", False), (MODALITY, "", True), (CLIENT, "", False), (PLUGIN, "", False)],
)
def test_who_sent_it_says_what_it_is(origin: Origin, held_by: str, is_sent_on: bool) -> None:
    site = Site()
    site.kept.arrived(arrival(ref(1), origin))
    assert site.held == {ref(1).sop_instance_uid: held_by}
    assert [one.ref for one in site.sent_on] == [ref(1)] * is_sent_on
    site.kept.departed([resource(ref(1))])
    assert not site.held


def test_what_we_stored_is_what_we_said_before() -> None:
    site = Site()
    site.book.expect(ref(1), 10, "second")
    site.book.claim([ref(2)])
    for number in (1, 2, 3):
        site.kept.arrived(arrival(ref(number), None))
    site.kept.arrived(arrival(ref(2), PACS))
    assert list(site.held.values()) == ["second", "", ""]
    assert not site.sent_on


def test_ours_by_its_size_where_we_did_not_get_to_say_so() -> None:
    """The process ended between storing and booking, or the archive's event came first."""
    site = Site()
    for number, size in ((1, 10), (2, 99)):
        site.book.expect(ref(number), size, "pacs")
        site.kept.arrived(arrival(ref(number), PLUGIN))
    assert list(site.held.values()) == ["pacs", ""]
    site.kept.arrived(arrival(ref(1), PLUGIN))
    assert list(site.held.values()) == ["", ""], "stored once more, and not by us"


def test_reconciling_books_what_is_there_and_strikes_off_what_is_not() -> None:
    site = Site()
    keep(site.book, ref(1))
    keep(site.book, ref(2))
    site.put(ref(2), PACS)
    for number, origin in ((3, MODALITY), (4, CLIENT), (5, PACS)):
        site.put(ref(number), origin)
    site.reconcile()
    names = [ref(number).sop_instance_uid for number in (2, 3, 4, 5)]
    assert dict(sorted(site.held.items())) == dict(
        zip(names, ["pacs", "", "", "pacs"], strict=True)
    )
    assert [one.ref for one in site.sent_on] == [ref(3)], "nobody had sent it on before"
    assert resource(ref(2)) not in site.described, "what is booked isn't asked for"


def test_a_new_book_sends_no_history_on() -> None:
    site = Site(new=True)
    site.put(ref(1), MODALITY)
    site.reconcile()
    assert site.book.totals() == BookTotals(1, 1, 10, 1, 10)
    assert not site.sent_on
    assert not site.book.is_new
    site.kept.arrived(site.put(ref(2), MODALITY))
    assert [one.ref for one in site.sent_on] == [ref(2)]


def test_a_first_run_that_ends_early_leaves_a_new_book() -> None:
    site = Site(new=True)
    for number in (1, 2, 3):
        site.put(ref(number), MODALITY)
    site.after = lambda _: site.kept.close(0)
    site.reconcile()
    assert site.book.totals().instances == 1
    assert site.book.is_new, "the others are history too"


def test_what_was_to_be_replaced_when_the_process_ended_is_looked_at() -> None:
    site = Site()
    for number in (1, 2):
        keep(site.book, ref(number))
        site.book.claim([ref(number)])
    site.put(ref(1), PLUGIN, size=77)
    site.reconcile()
    assert site.book.totals() == BookTotals(1, 1, 77, 1, 77)
    site.book.claim([ref(1)])
    site.book.confirmed([ref(1)], "pacs")
    site.reconcile()
    assert site.held == {ref(1).sop_instance_uid: "pacs"}, "it was compared since"


@pytest.mark.parametrize(
    ("origin", "size", "held_by"),
    [
        (PLUGIN, 10, "pacs"),
        (PLUGIN, 11, ""),
        (None, 10, "pacs"),
        (None, 11, ""),
        (PACS, 10, "pacs"),
        (MODALITY, 10, ""),
        (CLIENT, 10, ""),
    ],
)
def test_what_came_last_before_a_crash_is_looked_at(
    origin: Origin | None, size: int, held_by: str
) -> None:
    """Others may have deleted what is booked and stored something else, and we never heard."""
    site = Site()
    keep(site.book, ref(1))
    site.put(ref(1), origin, size)
    site.reconcile()
    assert site.held == {ref(1).sop_instance_uid: "pacs"}
    site.reconcile([resource(ref(1)), "unknown"])
    assert site.held == {ref(1).sop_instance_uid: held_by}
    assert [one.ref for one in site.sent_on] == [ref(1)] * (origin is MODALITY)


def test_it_is_told_what_to_send_on_before_it_is_booked() -> None:
    site = Site()
    site.kept = Bookkeeping(site.book, SeriesLocks(), PacsSenders({}), lambda _: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        site.kept.arrived(site.put(ref(1), MODALITY))
    assert not site.held, "so that it is found, and told of, at the next start"


def test_data_that_was_sent_on_before_a_crash_is_not_sent_on_again() -> None:
    site = Site()
    site.kept.arrived(site.put(ref(1), MODALITY))
    site.sent_on.clear()
    site.reconcile([resource(ref(1))])
    assert not site.sent_on


def test_nothing_is_struck_off_by_a_listing_alone() -> None:
    site = Site()
    keep(site.book, ref(1))
    keep(site.book, ref(2))
    site.put(ref(1), PACS)
    site.kept.reconcile([], site.describe)
    assert list(site.held) == [ref(1).sop_instance_uid]


def test_what_is_gone_before_it_is_described_is_not_booked() -> None:
    site = Site()

    def describe(resource_id: str) -> Arrival | None:
        if resource_id.endswith("1"):
            raise NotFound("gone")
        return None

    site.kept.reconcile([resource(ref(1)), resource(ref(2))], describe)
    assert site.book.totals() == BookTotals()


MOMENTS = ["before", "at the listing", "before it is described", "after it is described", "after"]


def at(site: Site, moment: str, event: Callable[[], None]) -> None:
    """Reconciles, and has the event happen at that moment; once."""
    waiting = [event]

    def happen(_: str = "") -> None:
        while waiting:
            waiting.pop()()

    if moment == "before":
        happen()
    elif moment == "before it is described":
        site.before = happen
    elif moment == "after it is described":
        site.after = happen
    site.put(ref(90), CLIENT)  # there is something to describe
    listing = list(site.archive)
    if moment == "at the listing":
        happen()
    site.kept.reconcile(listing, site.describe)
    happen()


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("origin", [PACS, MODALITY, CLIENT, None])
def test_when_an_arrival_is_told_does_not_matter(
    moment: str, seen: bool, origin: Origin | None
) -> None:
    """seen: it was in the archive before the reconciliation began."""
    site = Site()

    def store() -> Arrival:
        if origin is None:
            site.book.expect(ref(1), 10, "pacs")
        return site.put(ref(1), origin or PLUGIN)

    def event() -> None:
        made = store() if not seen else site.archive[resource(ref(1))]
        site.kept.arrived(arrival(made.ref, origin))

    if seen:
        store()
    at(site, moment, event)
    site.reconcile()
    held_by = "pacs" if origin in (PACS, None) else ""
    assert site.held == {ref(1).sop_instance_uid: held_by, ref(90).sop_instance_uid: ""}
    assert {one.ref for one in site.sent_on} == ({ref(1)} if origin is MODALITY else set())


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("booked", [True, False])
@pytest.mark.parametrize("returns", [True, False])
def test_when_a_departure_is_told_does_not_matter(moment: str, booked: bool, returns: bool) -> None:
    """returns: stored again by a client at once."""
    site = Site()
    site.put(ref(1), PACS)
    if booked:
        keep(site.book, ref(1))

    def event() -> None:
        del site.archive[resource(ref(1))]
        site.kept.departed([resource(ref(1))])
        if returns:
            site.kept.arrived(site.put(ref(1), CLIENT))

    at(site, moment, event)
    there = [ref(90), ref(1)] if returns else [ref(90)]
    assert site.held == {of.sop_instance_uid: "" for of in there}


def test_in_the_background_and_again_where_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bookkeeping, "_PAUSE_S", 0.01)
    site = Site()
    site.put(ref(1), PACS)
    failures: list[BaseException] = [ArchiveError("down"), ValueError("a bug")]
    done = threading.Event()

    def listing() -> list[str]:
        if failures:
            raise failures.pop()
        return list(site.archive)

    def describe(resource_id: str) -> Arrival | None:
        done.set()
        return site.describe(resource_id)

    site.kept.start(listing, describe)
    assert done.wait(10)
    site.kept.close(10)
    assert site.book.totals().instances == 1
