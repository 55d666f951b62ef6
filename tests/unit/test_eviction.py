"""What is evicted, in which order, and what never is."""

from __future__ import annotations

import threading
from collections.abc import Collection

import pytest

from booked import ONE, OTHER, TWO, ref
from eviction_site import Site
from fakes.cache_book import FakeCacheBook
from farsight.errors import Conflict, NotFound
from farsight.model import InstanceRef
from farsight.services.eviction_statistics import Evicted, EvictionLimits, Obstacle, Why


def test_within_the_limits_nothing_goes() -> None:
    site = Site(EvictionLimits(max_bytes=900, max_age_s=1000, min_free_bytes=100), 1000)
    site.evictor.keep_to_limits()
    assert site.left == {ONE, TWO, OTHER}
    assert site.evictor.statistics.totals().limits_kept


def test_without_limits_nothing_goes() -> None:
    site = Site(EvictionLimits(), 900)
    site.evictor.keep_to_limits()
    assert site.left == {ONE, TWO, OTHER}


def test_by_size_the_least_recently_used_goes_first() -> None:
    site = Site(EvictionLimits(max_bytes=600))
    site.book.touch([ONE], site.clock.now - 10)
    site.evictor.keep_to_limits()
    assert site.left == {ONE, OTHER}
    totals = site.evictor.statistics.totals()
    assert totals.by_reason[Why.SIZE] == Evicted(1, 3, 300)
    assert totals.limits_kept
    assert totals.last_run_at == site.clock.now


def test_by_age() -> None:
    site = Site(EvictionLimits(max_age_s=150))
    site.evictor.keep_to_limits()
    assert site.left == {OTHER}
    assert site.evictor.statistics.totals().by_reason[Why.AGE] == Evicted(2, 6, 600)


def test_by_room_on_the_disk_early() -> None:
    site = Site(EvictionLimits(min_free_bytes=350), 1000)
    site.evictor.keep_to_limits()
    assert site.left == {OTHER, TWO}
    site.evictor.keep_to_limits()
    assert site.left == {OTHER, TWO}


def test_room_that_comes_back_late_is_not_made_twice() -> None:
    """Not every storage gives room back at once."""
    site = Site(EvictionLimits(min_free_bytes=350), 1000)
    site.archive.free_bytes = lambda: 100  # type: ignore[method-assign]
    site.evictor.keep_to_limits()
    assert site.left == {OTHER, TWO}


def test_a_disk_of_which_nothing_is_known_makes_nothing_go() -> None:
    site = Site(EvictionLimits(min_free_bytes=1 << 40))
    site.evictor.keep_to_limits()
    assert site.left == {ONE, TWO, OTHER}
    assert site.evictor.make_room(1 << 40)


def test_data_and_what_is_used_stays_whatever_the_limits() -> None:
    site = Site(EvictionLimits(1, 1, 1 << 40, reserve_bytes=0), 1000)
    site.claim(ref(4, ONE))
    site.in_use.add(TWO)
    site.book.touch([OTHER], site.clock.now - 1)
    site.evictor.keep_to_limits()
    assert site.left == {ONE, TWO, OTHER}
    totals = site.evictor.statistics.totals()
    assert not totals.limits_kept
    assert totals.obstacles == {Obstacle.IN_USE: 1, Obstacle.JUST_USED: 1}
    assert not site.evictor.make_room(1000)
    site.clock.now += 10
    site.in_use.clear()
    site.book.confirmed([ref(4, ONE)], "pacs")
    assert site.evictor.make_room(900)
    assert site.left == set()


def test_room_for_what_is_to_be_stored() -> None:
    site = Site(EvictionLimits(reserve_bytes=50), 1000)
    assert site.evictor.make_room(50)
    assert site.left == {ONE, TWO, OTHER}
    assert site.evictor.make_room(51)
    assert site.left == {TWO, OTHER}
    assert not site.evictor.make_room(951), "more than there is at all"
    totals = site.evictor.statistics.totals()
    assert not totals.limits_kept
    assert totals.by_reason[Why.ROOM].series == 3


def test_nothing_goes_while_it_is_not_known_what_others_stored() -> None:
    site = Site(EvictionLimits(max_bytes=1))
    site.follows = False
    site.evictor.keep_to_limits()
    assert site.left == {ONE, TWO, OTHER}
    assert site.evictor.statistics.totals().obstacles == {Obstacle.BEHIND: 3}
    with pytest.raises(Conflict, match="not all booked yet"):
        site.evictor.evict_study("1.1")
    site.follows = True
    site.evictor.keep_to_limits()
    assert site.left == set()


def test_what_was_claimed_just_before_it_was_to_go_stays() -> None:
    """Between choosing and deleting: the series' lock is what both wait for."""
    site = Site(EvictionLimits(max_bytes=600))
    chosen = threading.Event()

    def evictable(most: int, *, used_before: float | None = None) -> object:
        found = FakeCacheBook.evictable(site.book, most, used_before=used_before)
        chosen.set()
        return found

    site.book.evictable = evictable  # type: ignore[method-assign, assignment]
    with site.locks.of(ONE):
        thread = threading.Thread(target=site.evictor.keep_to_limits)
        thread.start()
        assert chosen.wait(10)
        site.book.claim([ref(2, ONE)])
    thread.join(10)
    assert site.left == {ONE, OTHER}
    assert len(site.book.instances(ONE)) == 3


def test_what_arrives_meanwhile_stays() -> None:
    site = Site(EvictionLimits(max_bytes=600))
    delete = site.archive.delete

    def slow(refs: Collection[InstanceRef]) -> None:
        site.fetch(ref(9, ONE))
        delete(refs)

    site.archive.delete = slow  # type: ignore[method-assign]
    site.evictor.keep_to_limits()
    assert ref(9, ONE) in site.archive.stored
    assert site.book.totals().instances == len(site.archive.stored)


def test_what_the_archive_does_not_delete_stays_booked() -> None:
    site = Site(EvictionLimits(max_bytes=600))
    site.archive.undeletable.add(ref(2, ONE))
    site.evictor.keep_to_limits()
    assert site.left == {ONE, OTHER}
    assert len(site.book.instances(ONE)) == 2
    totals = site.evictor.statistics.totals()
    assert totals.obstacles == {Obstacle.FAILED: 1}
    assert totals.by_reason[Why.SIZE] == Evicted(1, 4, 400)
    assert totals.error == "can't be deleted"
    site.archive.undeletable.clear()
    assert site.evictor.evict_study("1.1") == Evicted(1, 2, 200)
    assert site.left == {OTHER}


def test_a_study_on_demand() -> None:
    site = Site(EvictionLimits())
    site.book.touch([ONE, TWO], site.clock.now)
    assert site.evictor.evict_study("1.1") == Evicted(2, 6, 600)
    assert site.left == {OTHER}
    assert site.evictor.statistics.totals().by_reason[Why.ASKED] == Evicted(2, 6, 600)
    with pytest.raises(NotFound):
        site.evictor.evict_study("1.1")


def test_a_study_with_data_or_in_use_is_not_evicted_at_all() -> None:
    site = Site(EvictionLimits())
    site.claim(ref(4, TWO))
    site.claim(ref(5, TWO))
    with pytest.raises(Conflict, match="of 2 instances"):
        site.evictor.evict_study("1.1")
    site.in_use.add(OTHER)
    with pytest.raises(Conflict, match="1 series of the study are being read"):
        site.evictor.evict_study("1.2")
    assert site.left == {ONE, TWO, OTHER}


def test_a_study_with_what_the_book_does_not_know_is_not_evicted() -> None:
    """Not reconciled yet: for all one knows it is data."""
    site = Site(EvictionLimits())
    site.archive.put(ref(9, TWO))
    site.archive.put(InstanceRef("1.9", "1.9.1", "1.9.1.1"))
    with pytest.raises(Conflict, match="of 1 instances"):
        site.evictor.evict_study("1.1")
    with pytest.raises(Conflict, match="of 1 instances"):
        site.evictor.evict_study("1.9")


def test_the_thread_looks_when_woken_and_ends_when_closed() -> None:
    site = Site(EvictionLimits(max_bytes=600))
    evicted = threading.Event()
    delete = site.archive.delete

    def told(refs: Collection[InstanceRef]) -> None:
        delete(refs)
        evicted.set()

    site.archive.delete = told  # type: ignore[method-assign]
    site.evictor.start()
    site.evictor.wake()
    assert evicted.wait(10)
    site.evictor.close(10)
    assert site.left == {TWO, OTHER}


def test_the_thread_survives_what_goes_wrong() -> None:
    site = Site(EvictionLimits(max_bytes=600))
    again = threading.Event()
    totals, failures = site.book.totals, [ValueError("a bug"), NotFound("a foreseen one")]

    def fails() -> object:
        if failures:
            raise failures.pop()
        again.set()
        return totals()

    site.book.totals = fails  # type: ignore[method-assign, assignment]
    site.evictor.start()
    assert again.wait(10)
    site.evictor.close(10)
    assert site.evictor.statistics.totals().error == "a foreseen one"
