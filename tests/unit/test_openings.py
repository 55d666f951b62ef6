"""Studies that are opened: each told once, to everybody, and nobody waits for it."""

from __future__ import annotations

import queue
import threading

from farsight.errors import ArchiveError
from farsight.services.openings import Openings

WAIT_S = 20


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def told(heard: queue.Queue[str], number: int) -> list[str]:
    return [heard.get(timeout=WAIT_S) for _ in range(number)]


def test_one_opening_is_many_requests() -> None:
    clock, heard = Clock(), queue.Queue[str]()
    openings = Openings(3.0, clock)
    openings.listen(heard.put)
    for _ in range(5):
        openings.opened("1.2")
    openings.opened("1.3")
    clock.now += 2.9
    openings.opened("1.2")
    openings.opened("1.4")
    clock.now += 0.2
    openings.opened("1.2")
    openings.opened("1.5")
    assert told(heard, 5) == ["1.2", "1.3", "1.4", "1.2", "1.5"]
    openings.close(WAIT_S)
    assert heard.empty()


def test_threads_at_once_are_one_opening() -> None:
    heard = queue.Queue[str]()
    openings = Openings(60.0)
    openings.listen(heard.put)
    barrier = threading.Barrier(8)

    def ask() -> None:
        barrier.wait(WAIT_S)
        openings.opened("1.2")

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    openings.opened("1.3")
    assert told(heard, 2) == ["1.2", "1.3"]
    openings.close(WAIT_S)


def test_a_slow_listener_holds_up_nobody() -> None:
    heard, go_on = queue.Queue[str](), threading.Event()
    openings = Openings()

    def slow(_study: str) -> None:
        go_on.wait(WAIT_S)

    openings.listen(slow)
    openings.listen(heard.put)
    openings.opened("1.2")
    openings.opened("1.3")
    assert told(heard, 2) == ["1.2", "1.3"]
    openings.close(0.0)  # doesn't wait for the slow one
    go_on.set()


def test_a_listener_that_fails_hears_the_next() -> None:
    heard = queue.Queue[str]()

    def tell(study: str) -> None:
        heard.put(study)
        raise ArchiveError("no") if study == "1.2" else ValueError("a bug")

    openings = Openings()
    openings.listen(tell)
    for study in ("1.2", "1.3", "1.4"):
        openings.opened(study)
    assert told(heard, 3) == ["1.2", "1.3", "1.4"]
    openings.close(WAIT_S)


def test_after_the_end_nobody_is_told() -> None:
    heard = queue.Queue[str]()
    openings = Openings()
    openings.listen(heard.put)
    openings.close(WAIT_S)
    openings.opened("1.2")
    assert heard.empty()
