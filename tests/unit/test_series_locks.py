"""One lock per series while somebody wants it; readers are counted and leave their time."""

from __future__ import annotations

import threading

from booked import ONE, TWO, Clock, keep, ref
from fakes.cache_book import FakeCacheBook
from farsight.services.reading import InUse
from farsight.services.series_locks import SeriesLocks


def test_one_at_a_time_per_series_and_none_is_left() -> None:
    locks = SeriesLocks()
    inside, most, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(300):
            with locks.of(ONE), locks.of(ONE):
                with lock:
                    inside += 1
                    most = max(most, inside)
                with lock:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert most == 1
    assert len(locks) == 0


def test_another_series_does_not_wait() -> None:
    locks = SeriesLocks()
    entered = threading.Event()

    def enter() -> None:
        with locks.of(TWO):
            entered.set()

    with locks.of(ONE):
        thread = threading.Thread(target=enter)
        thread.start()
        assert entered.wait(10)
        thread.join(10)


def test_a_failure_inside_gives_the_lock_back() -> None:
    locks = SeriesLocks()
    try:
        with locks.of(ONE):
            raise ValueError
    except ValueError:
        assert len(locks) == 0
    with locks.of(ONE):
        assert len(locks) == 1


def test_readers_are_counted_and_touch_when_they_begin_and_end() -> None:
    clock = Clock()
    book = FakeCacheBook(clock)
    keep(book, ref(1))
    in_use = InUse(book, clock)
    assert not in_use.is_read(ONE)
    clock.now = 2000.0
    with in_use.reading(ONE):
        found = book.one(ONE)
        assert found is not None
        assert found.used_at == 2000.0
        with in_use.reading(ONE):
            assert in_use.is_read(ONE)
        assert in_use.is_read(ONE), "one of two is left"
        clock.now = 3000.0
    assert not in_use.is_read(ONE)
    assert len(in_use) == 0
    found = book.one(ONE)
    assert found is not None
    assert found.used_at == 3000.0
