"""The same work asked for by many: done once for all who ask before it begins."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from farsight.errors import FarsightError
from farsight.services.parallel import Outcome

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


class _Turn(Generic[R]):
    def __init__(self) -> None:
        self.done = threading.Event()
        self.outcome: Outcome[R] = Outcome()


class Turns(Generic[K, R]):
    """Work by its key. Thread-safe.

    Laws: of one key no two run at once, of all no more than `at_once`; whoever asks gets the
    outcome of a run that began after that.
    """

    def __init__(self, at_once: int) -> None:
        self._free = threading.BoundedSemaphore(at_once)
        self._changed = threading.Condition()
        self._running: set[K] = set()
        self._next: dict[K, _Turn[R]] = {}

    def is_busy(self, key: K) -> bool:
        """Whether it runs, or is about to."""
        with self._changed:
            return key in self._running or key in self._next

    def take(self, key: K, work: Callable[[], R], wait_s: float) -> Outcome[R]:
        """What became of `work`, done by this thread or by another that asked before.

        Timed out: it took others too long. Raises: whatever `work` raises that is no FarsightError.
        """
        with self._changed:
            turn = self._next.get(key)
            mine = turn is None
            if turn is None:
                turn = self._next[key] = _Turn()
        if mine:
            self._run(key, turn, work, wait_s)
        else:
            turn.done.wait(wait_s)
        return turn.outcome

    def _run(self, key: K, turn: _Turn[R], work: Callable[[], R], wait_s: float) -> None:
        free = self._free.acquire(timeout=wait_s)
        try:
            with self._changed:
                first = free and self._changed.wait_for(lambda: key not in self._running, wait_s)
                del self._next[key]  # who asks from now on wants another run
                if not first:
                    return
                self._running.add(key)
            try:
                turn.outcome = Outcome(work())
            except FarsightError as error:
                turn.outcome = Outcome(error=error)
            finally:
                with self._changed:
                    self._running.discard(key)
                    self._changed.notify_all()
        finally:
            if free:
                self._free.release()
            turn.done.set()
