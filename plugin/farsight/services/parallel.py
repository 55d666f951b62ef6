"""Several blocking questions at once, on daemon threads, with one deadline.

An executor's threads would hold up Orthanc's shutdown; these don't. An error of any kind reaches
the caller: it is carried over from the thread, never lost there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from farsight.errors import FarsightError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What became of one job: its value, the FarsightError it raised, or neither: out of time."""

    value: T | None = None
    error: FarsightError | None = None

    @property
    def timed_out(self) -> bool:
        return self.value is None and self.error is None


def run_all(
    jobs: Sequence[Callable[[], T]], *, max_threads: int, timeout_s: float
) -> list[Outcome[T]]:
    """The outcomes in the order of the jobs. A job returns something that isn't None.

    Jobs that haven't ended at the deadline are left to themselves; those not begun never begin.
    Raises: whatever a job raised that is no FarsightError.
    """
    waiting: SimpleQueue[int] = SimpleQueue()
    for index in range(len(jobs)):
        waiting.put(index)
    done: SimpleQueue[tuple[int, T | None, BaseException | None]] = SimpleQueue()
    closed = threading.Event()
    for _ in range(min(max_threads, len(jobs))):
        target = _worker(jobs, waiting, done, closed)
        threading.Thread(target=target, name="farsight-search", daemon=True).start()
    outcomes: list[Outcome[T]] = [Outcome()] * len(jobs)
    deadline = time.monotonic() + timeout_s
    try:
        for _ in jobs:
            index, value, error = done.get(timeout=max(0.0, deadline - time.monotonic()))
            if error is not None and not isinstance(error, FarsightError):
                raise error
            outcomes[index] = Outcome(value, error)
    except Empty:
        pass  # the outcomes that are missing say so themselves
    finally:
        closed.set()
    return outcomes


def _worker(
    jobs: Sequence[Callable[[], T]],
    waiting: SimpleQueue[int],
    done: SimpleQueue[tuple[int, T | None, BaseException | None]],
    closed: threading.Event,
) -> Callable[[], None]:
    def work() -> None:
        while not closed.is_set():
            try:
                index = waiting.get_nowait()
            except Empty:
                return
            try:
                done.put((index, jobs[index](), None))
            except BaseException as error:  # raised again in the caller's thread
                done.put((index, None, error))

    return work
