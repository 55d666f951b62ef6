"""What was answered a moment ago, for whoever asks the same again.

A page is reloaded, a viewer asks for one study twice, twenty people open the same list: none of
that needs another C-FIND. Answers live for seconds; a client that doesn't want even those says so
(Cache-Control: no-cache).
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from farsight.errors import FarsightError

_MOST_WEIGHT = 25_000
_WAIT_S = 120.0
Q = TypeVar("Q", bound=Hashable)
A = TypeVar("A")


@dataclass(slots=True)
class _Kept(Generic[A]):
    """answer None: on its way, or it failed, or it isn't one to keep."""

    until: float = 0.0
    answer: A | None = None
    weight: int = 0
    error: FarsightError | None = None
    done: threading.Event = field(default_factory=threading.Event)


class RecentAnswers(Generic[Q, A]):
    """Answers by their questions. Thread-safe.

    Laws: a question is on its way once at most; a failure is told to those who wait for it, and
    not kept; what is too old is let go, and so are the oldest where all are too much.
    """

    def __init__(
        self,
        life_s: float,
        weigh: Callable[[A], int | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`life_s`: how long an answer is good; 0 keeps none. `weigh`: rows of an answer, of
        which so many are kept in all; None for one that is good for those who wait only."""
        self._life_s = life_s
        self._weigh = weigh
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[Q, _Kept[A]] = OrderedDict()
        self._weight = 0
        self._sweeper: threading.Timer | None = None

    def answer(self, question: Q, ask: Callable[[], A], *, fresh: bool = False) -> A:
        """The answer. It is shared: nobody changes it.

        `fresh`: ask now, whatever is known. Raises: what `ask` raises.
        """
        if self._life_s <= 0:
            return ask()
        with self._lock:
            kept = None if fresh else self._find(question)
            mine = kept is None
            if kept is None:
                kept = self._begin(question)
        if mine:
            return self._fill(question, kept, ask)
        kept.done.wait(_WAIT_S)
        if kept.error is not None:
            raise kept.error
        return ask() if kept.answer is None else kept.answer

    def knows(self, question: Q) -> bool:
        """Whether it is answered already, or about to be."""
        with self._lock:
            return self._find(question) is not None

    def good(self) -> list[tuple[Q, A]]:
        """Every answer kept that is still good, the latest first."""
        with self._lock:
            now = self._clock()
            return [
                (question, kept.answer)
                for question, kept in reversed(self._known.items())
                if kept.answer is not None and kept.until > now
            ]

    def _find(self, question: Q) -> _Kept[A] | None:
        """Called under the lock."""
        known = self._known.get(question)
        good = known is not None and (not known.done.is_set() or known.until > self._clock())
        return known if good else None

    def _begin(self, question: Q) -> _Kept[A]:
        self._forget(question)
        kept = self._known[question] = _Kept()
        return kept

    def _fill(self, question: Q, kept: _Kept[A], ask: Callable[[], A]) -> A:
        try:
            answer = ask()
        except FarsightError as error:
            kept.error = error
            raise
        else:
            kept.answer = answer
            with self._lock:
                self._keep(question, kept, answer)
            return answer
        finally:
            with self._lock:
                if not kept.until and self._known.get(question) is kept:
                    del self._known[question]
            kept.done.set()

    def _keep(self, question: Q, kept: _Kept[A], answer: A) -> None:
        weight = self._weigh(answer)
        too_much = weight is None or weight > _MOST_WEIGHT
        if too_much or self._known.get(question) is not kept:
            return  # or a fresher one took its place
        kept.until = self._clock() + self._life_s
        kept.weight = (weight or 0) + 1
        self._weight += kept.weight
        self._known.move_to_end(question)
        for other in [one for one, of_it in self._known.items() if of_it.until]:
            if self._weight <= _MOST_WEIGHT:
                break
            self._forget(other)
        if self._sweeper is None:
            self._sweep_later()

    def _sweep_later(self) -> None:
        """Whoever asks no more shouldn't keep what is too old in memory either."""
        self._sweeper = threading.Timer(self._life_s + 0.1, self.sweep)
        self._sweeper.daemon = True
        self._sweeper.start()

    def sweep(self) -> None:
        """Lets go what is too old."""
        with self._lock:
            now = self._clock()
            for question, kept in list(self._known.items()):
                if kept.done.is_set() and kept.until <= now:
                    self._forget(question)
            self._sweeper = None
            if any(kept.until for kept in self._known.values()):
                self._sweep_later()

    def _forget(self, question: Q) -> None:
        dropped = self._known.pop(question, None)
        if dropped is not None:
            self._weight -= dropped.weight
