"""The queue of bulk work: who goes first, and how many at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from farsight.services.bulk_queue import BulkQueue, Urgency


class Jobs:
    """Jobs that note their start and wait to be let go."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self._changed = threading.Condition()
        self._let_go: set[str] = set()

    def job(self, name: str) -> Callable[[], None]:
        def run() -> None:
            with self._changed:
                self.started.append(name)
                self._changed.notify_all()
                assert self._changed.wait_for(lambda: name in self._let_go, 10)

        return run

    def let_go(self, *names: str) -> None:
        with self._changed:
            self._let_go |= set(names)
            self._changed.notify_all()

    def wait_started(self, *names: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: set(names) <= set(self.started), 10), self.started


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def queue(jobs: Jobs) -> Iterator[BulkQueue]:
    made = BulkQueue(threads=3, per_study=2)
    yield made
    made.close()
    jobs.let_go(*"abcdefgh")


def test_so_many_of_a_study_at_once(queue: BulkQueue, jobs: Jobs) -> None:
    for name in "abc":
        queue.submit("1", jobs.job(name))
    queue.submit("2", jobs.job("d"))
    jobs.wait_started("a", "b", "d")
    assert "c" not in jobs.started
    jobs.let_go("a")
    jobs.wait_started("c")


def test_asked_goes_before_ahead(queue: BulkQueue, jobs: Jobs) -> None:
    for name in "abc":
        queue.submit(name, jobs.job(name))
    jobs.wait_started("a", "b", "c")
    queue.submit("4", jobs.job("d"), Urgency.AHEAD)
    queue.submit("5", jobs.job("e"))
    jobs.let_go("a")
    jobs.wait_started("e")
    assert "d" not in jobs.started
    jobs.let_go("b")
    jobs.wait_started("d")


def test_one_ahead_at_a_time_and_it_leaves_room(queue: BulkQueue, jobs: Jobs) -> None:
    queue.submit("1", jobs.job("a"), Urgency.AHEAD)
    queue.submit("2", jobs.job("b"), Urgency.AHEAD)
    jobs.wait_started("a")
    queue.submit("3", jobs.job("c"))
    queue.submit("4", jobs.job("d"))
    jobs.wait_started("c", "d")
    assert "b" not in jobs.started
    jobs.let_go("a", "c", "d")
    jobs.wait_started("b")


def test_what_a_client_waits_for_then_moves_up(queue: BulkQueue, jobs: Jobs) -> None:
    queue.submit("1", jobs.job("a"), Urgency.AHEAD)
    jobs.wait_started("a")
    waiting = queue.submit("2", jobs.job("b"), Urgency.AHEAD)
    queue.raise_urgency(waiting)
    jobs.wait_started("b")


def test_a_job_that_raises_counts_no_more(queue: BulkQueue, jobs: Jobs) -> None:
    def broken() -> None:
        raise KeyError("bug")

    for _ in range(5):
        queue.submit("1", broken, Urgency.AHEAD)
    queue.submit("1", jobs.job("a"), Urgency.AHEAD)
    jobs.wait_started("a")
