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


class Job(Generic[T]):
    """One blocking question on a thread of its own, waited for as long as one likes."""

    def __init__(self, work: Callable[[], T]) -> None:
        """`work` returns something that isn't None."""
        self._over = threading.Event()
        self._outcome: Outcome[T] = Outcome()
        self._error: BaseException | None = None
        threading.Thread(
            target=self._run, args=(work,), name="farsight-search", daemon=True
        ).start()

    def outcome(self, timeout_s: float | None = None) -> Outcome[T]:
        """Raises: whatever `work` raised that is no FarsightError."""
        self._over.wait(timeout_s)
        if self._error is not None:
            raise self._error
        return self._outcome

    def _run(self, work: Callable[[], T]) -> None:
        try:
            self._outcome = Outcome(work())
        except FarsightError as error:
            self._outcome = Outcome(error=error)
        except BaseException as error:  # raised again in the thread that waits
            self._error = error
        finally:
            self._over.set()


def run_all(
    jobs: Sequence[Callable[[], T]], *, max_threads: int, timeout_s: float | Sequence[float]
) -> list[Outcome[T]]:
    """The outcomes in the order of the jobs. A job returns something that isn't None.

    `timeout_s`: for all of them, or for each. Jobs that haven't ended at their deadline are left
    to themselves, those not begun never begin; what comes late while others are still waited for
    counts. Raises: whatever a job raised that is no FarsightError.
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
    now = time.monotonic()
    each = timeout_s if isinstance(timeout_s, Sequence) else [timeout_s] * len(jobs)
    deadlines = {index: now + seconds for index, seconds in enumerate(each)}
    try:
        while deadlines:
            last = max(deadlines.values())
            index, value, error = done.get(timeout=max(0.0, last - time.monotonic()))
            del deadlines[index]
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
