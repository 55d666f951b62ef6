"""What is evicted, and what still counts as whole, where something goes wrong."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from booked import ONE, OTHER, TWO, ref
from eviction_site import Site, Store
from farsight.model import Completeness, InstanceRef, SeriesRef
from farsight.services.eviction_statistics import EvictionLimits


def test_room_for_one_that_comes_back_late_is_not_made_twice() -> None:
    """It is refused, but nothing else goes for it."""
    site = Site(EvictionLimits(reserve_bytes=50), 1000)
    site.archive.free_bytes = lambda: 100  # type: ignore[method-assign]
    assert not site.evictor.make_room(150)
    assert site.left == {TWO, OTHER}


def test_what_others_take_meanwhile_is_made_room_for() -> None:
    site = Site(EvictionLimits(reserve_bytes=0), 1000)
    site.in_use.add(ONE)
    before = iter([50, 50])  # asked twice: once it begins to look for what may go, others store
    free = site.archive.free_bytes

    def free_bytes() -> int | None:
        return next(before, None) or (free() or 0) - 350

    site.archive.free_bytes = free_bytes  # type: ignore[method-assign]
    assert site.evictor.make_room(100)
    assert site.left == {ONE}


def test_a_clock_that_was_ahead_keeps_nothing() -> None:
    site = Site(EvictionLimits(max_bytes=1))
    site.clock.now -= 10_000
    site.evictor.keep_to_limits()
    assert site.left == set()


class Crash(BaseException):
    """Nothing catches it, as nothing catches the end of a process."""


class OnDisk(Store):
    """What a restart finds: a record stays until the last instance of its series goes.

    ends_after: so many instances are deleted, then the process ends.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lasting: dict[SeriesRef, Completeness] = {}
        self.ends_after = 0

    def mark_complete(self, series: SeriesRef, record: Completeness) -> None:
        super().mark_complete(series, record)
        self.lasting[series] = record

    def delete(self, refs: Collection[InstanceRef]) -> None:
        for number, of in enumerate(refs):
            if number == self.ends_after:
                raise Crash
            super().delete([of])
            if of.series not in {one.series for one in self.stored}:
                self.lasting.pop(of.series, None)


@pytest.mark.parametrize("ends_after", range(4))
def test_what_is_left_of_a_series_never_counts_as_whole(ends_after: int) -> None:
    """Also when as many new ones are stored into it as were deleted."""
    site = Site(EvictionLimits(max_bytes=600), archive=OnDisk())
    assert isinstance(site.archive, OnDisk)
    site.archive.mark_complete(ONE, Completeness(3, 3, "pacs", "2020-01-01T00:00:00+00:00"))
    site.archive.ends_after = ends_after
    if ends_after < 3:
        with pytest.raises(Crash):
            site.evictor.keep_to_limits()
        assert site.archive.lasting[ONE].expected > 1_000_000
    else:
        site.evictor.keep_to_limits()
        assert ONE not in site.archive.lasting


def test_a_series_of_which_nothing_could_be_deleted_is_still_whole() -> None:
    site = Site(EvictionLimits(max_bytes=600))
    record = Completeness(3, 3, "pacs", "2020-01-01T00:00:00+00:00")
    site.archive.mark_complete(ONE, record)
    site.archive.undeletable.update(ref(number, ONE) for number in (1, 2, 3))
    site.evictor.keep_to_limits()
    assert site.left == {ONE, OTHER}
    assert site.archive.completeness(ONE) == record


def test_a_series_of_which_one_was_deleted_is_not() -> None:
    site = Site(EvictionLimits(max_bytes=600), archive=OnDisk())
    assert isinstance(site.archive, OnDisk)
    site.archive.ends_after = 9
    site.archive.mark_complete(ONE, Completeness(3, 3, "pacs", "2020-01-01T00:00:00+00:00"))
    site.archive.undeletable.add(ref(2, ONE))
    site.evictor.keep_to_limits()
    assert len(site.book.instances(ONE)) == 2
    assert site.archive.lasting[ONE].expected > 1_000_000
