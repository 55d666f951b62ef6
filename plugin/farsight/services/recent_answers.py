"""What a PACS answered a moment ago, for whoever asks the same again, or asks for less of it.

A page is reloaded, a viewer asks for one study twice, twenty people type into the same filter:
none of that needs another C-FIND. Answers live for seconds; a client that doesn't want even
those says so (Cache-Control: no-cache).
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from farsight.errors import FarsightError
from farsight.model import Attributes, IdentifierKey, Level
from farsight.ps318.matching import values_of

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
    """rows None: on its way, or it failed. is_all: nothing was cut off."""

    until: float = 0.0
    rows: list[Attributes] | None = None
    is_all: bool = False
    error: FarsightError | None = None
    done: threading.Event = field(default_factory=threading.Event)


class RecentAnswers:
    """Of one source. Thread-safe.

    Laws: a question is on its way once at most; a failure is told to those who wait for it, and
    not kept; what is cut off answers the very same question only.
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
        """The rows, perhaps more than match: whoever asks matches them again.

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
        return ask() if answer.rows is None else _of_those(answer.rows, question.keys)

    def _find(self, question: Question) -> _Answer | None:
        """Called under the lock."""
        now = self._clock()
        for known, answer in reversed(self._known.items()):
            if answer.done.is_set() and (answer.rows is None or answer.until <= now):
                continue
            if known == question or (answer.is_all and _covers(known, question)):
                return answer
        return None

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
            answer.is_all = question.max_rows is None or len(rows) < question.max_rows
            answer.until = self._clock() + self._life_s
            answer.rows = rows
            return rows
        finally:
            with self._lock:
                self._keep_or_drop(question, answer)
            answer.done.set()

    def _keep_or_drop(self, question: Question, answer: _Answer) -> None:
        if self._known.get(question) is not answer:
            return  # a fresher one took its place
        if answer.rows is None:
            del self._known[question]
            return
        self._rows += len(answer.rows) + 1
        while self._rows > _MOST_ROWS and len(self._known) > 1:
            self._forget(next(iter(self._known)))

    def _forget(self, question: Question) -> None:
        dropped = self._known.pop(question, None)
        if dropped is not None and dropped.rows is not None:
            self._rows -= len(dropped.rows) + 1


def _covers(known: Question, asked: Question) -> bool:
    """Whether all rows for `asked` are among those for `known`, with all that is to be returned."""
    if known.level is not asked.level:
        return False
    values = {key.tag: key.value for key in asked.keys}
    before = {key.tag: key.value for key in known.keys}
    return values.keys() <= before.keys() and all(
        not value or values.get(tag) == value for tag, value in before.items()
    )


def _of_those(rows: Sequence[Attributes], keys: Sequence[IdentifierKey]) -> list[Attributes]:
    """Without rows of other UIDs than asked for; what a row doesn't say is unknown."""
    lists = {key.tag: key.value.split("\\") for key in keys if key.vr == "UI" and key.value}
    return [
        row
        for row in rows
        if all(
            not (said := values_of(row.get(tag))) or any(uid in uids for uid in said)
            for tag, uids in lists.items()
        )
    ]
