"""What a PACS answered a moment ago, for whoever asks the same again.

A page is reloaded, a viewer asks for one study twice, twenty people open the same list: none of
that needs another C-FIND. A narrower question does: a PACS may answer a wide one with less than
all and call it success. Answers live for seconds; a client that doesn't want even
those says so (Cache-Control: no-cache).
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from farsight.errors import FarsightError
from farsight.model import Attributes, IdentifierKey, Level

_MOST_ROWS = 50_000
_WAIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Question:
    """One C-FIND. max_rows None: all there are."""

    level: Level
    keys: tuple[IdentifierKey, ...]
    max_rows: int | None = None


@dataclass(slots=True)
class _Answer:
    """rows None: on its way, or it failed."""

    until: float = 0.0
    rows: list[Attributes] | None = None
    error: FarsightError | None = None
    done: threading.Event = field(default_factory=threading.Event)


class RecentAnswers:
    """Of one source. Thread-safe.

    Laws: a question is on its way once at most; a failure is told to those who wait for it, and
    not kept; what is too old is let go by the next question.
    """

    def __init__(self, life_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`life_s`: how long an answer is good; 0 keeps none."""
        self._life_s = life_s
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[Question, _Answer] = OrderedDict()
        self._rows = 0

    def rows(
        self, question: Question, ask: Callable[[], list[Attributes]], *, fresh: bool = False
    ) -> list[Attributes]:
        """The rows. They are shared: nobody changes them.

        `fresh`: ask now, whatever is known. Raises: what `ask` raises.
        """
        if self._life_s <= 0:
            return ask()
        with self._lock:
            answer = None if fresh else self._find(question)
            mine = answer is None
            if answer is None:
                answer = self._begin(question)
        if mine:
            return self._fill(question, answer, ask)
        answer.done.wait(_WAIT_S)
        if answer.error is not None:
            raise answer.error
        return ask() if answer.rows is None else answer.rows

    def _find(self, question: Question) -> _Answer | None:
        """Called under the lock."""
        now = self._clock()
        while self._known:
            oldest, answer = next(iter(self._known.items()))
            if not answer.done.is_set() or answer.until > now:
                break
            self._forget(oldest)
        known = self._known.get(question)
        good = known is not None and (not known.done.is_set() or known.until > now)
        return known if good else None

    def _begin(self, question: Question) -> _Answer:
        self._forget(question)
        answer = self._known[question] = _Answer()
        return answer

    def _fill(
        self, question: Question, answer: _Answer, ask: Callable[[], list[Attributes]]
    ) -> list[Attributes]:
        try:
            rows = ask()
        except FarsightError as error:
            answer.error = error
            raise
        else:
            with self._lock:
                self._keep(question, answer, rows)
            return rows
        finally:
            with self._lock:
                if answer.rows is None and self._known.get(question) is answer:
                    del self._known[question]
            answer.done.set()

    def _keep(self, question: Question, answer: _Answer, rows: list[Attributes]) -> None:
        answer.until = self._clock() + self._life_s
        answer.rows = rows
        if self._known.get(question) is not answer:
            return  # a fresher one took its place
        self._known.move_to_end(question)
        self._rows += len(rows) + 1
        while self._rows > _MOST_ROWS and len(self._known) > 1:
            self._forget(next(iter(self._known)))

    def _forget(self, question: Question) -> None:
        dropped = self._known.pop(question, None)
        if dropped is not None and dropped.rows is not None:
            self._rows -= len(dropped.rows) + 1
