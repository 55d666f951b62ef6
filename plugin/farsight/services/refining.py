"""A narrower search answered from a wider one of a moment ago, once a PACS has shown itself fit.

Somebody types "smi", "smit", "smith": each search is part of the one before. But a PACS may
answer a wide search with less than all and call it success; the narrower one would then silently
lack rows. So an answer is refined only if it is shorter than one this PACS gave before, which no
limit of so many rows had cut, and only after the PACS was asked all the same for some of them and
each time answered what the wider answer had promised. Now and then that is done again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Set
from dataclasses import dataclass

from farsight.dimse.refinement import added_tags, refines
from farsight.model import Attributes, IdentifierKey, Level

LOG = logging.getLogger("farsight.search")
_DISTRUST_S = 600.0
#: So often it must have kept its promise; and every so many refined searches it is put to proof.
_PROOFS, _EVERY = 3, 20


@dataclass(frozen=True, slots=True)
class Question:
    """One C-FIND. max_rows None: all there are."""

    level: Level
    keys: tuple[IdentifierKey, ...]
    max_rows: int | None = None

    def is_complete(self, rows: Collection[Attributes]) -> bool:
        return self.max_rows is None or len(rows) < self.max_rows


class Refining:
    """Of one PACS. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._most_rows: dict[Level, int] = {}
        self._proofs = 0
        self._refined = 0
        self._distrusted_until = 0.0

    def note(self, question: Question, rows: Collection[Attributes]) -> None:
        """What the PACS answered by itself."""
        with self._lock:
            most = self._most_rows.get(question.level, 0)
            self._most_rows[question.level] = max(most, len(rows))

    def wider(
        self, question: Question, known: Iterable[tuple[Question, list[Attributes]]]
    ) -> list[Attributes] | None:
        """Rows among which all are that the question asks for; None where there are none such."""
        with self._lock:
            if self._clock() < self._distrusted_until:
                return None
            most = self._most_rows.get(question.level, 0)
        for wide, rows in known:
            fit = wide.level is question.level and wide.is_complete(rows) and len(rows) < most
            if fit and refines(question.keys, wide.keys) and _tell(rows, question, wide):
                return rows
        return None

    @property
    def is_proven(self) -> bool:
        with self._lock:
            return self._proofs >= _PROOFS

    def may_answer(self) -> bool:
        """Whether this time the wider answer will do; else ask, and tell `proof`."""
        with self._lock:
            self._refined += 1
            return self._proofs >= _PROOFS and self._refined % _EVERY != 0

    def proof(self, promised: Set[object], answered: Set[object]) -> None:
        """What matched in the wider answer, and in the PACS's own. Nothing proves nothing.

        One that answers more than it had promised is not trusted for a while: a study that came in
        between looks the same.
        """
        with self._lock:
            if not answered <= promised:
                LOG.info("a narrower search found more than the wider one before it")
                self._proofs = 0
                self._distrusted_until = self._clock() + _DISTRUST_S
            elif answered and promised == answered:
                self._proofs += 1


def _tell(rows: Iterable[Attributes], narrow: Question, wide: Question) -> bool:
    """Whether every row has what it is to be chosen by now."""
    tags = added_tags(narrow.keys, wide.keys)
    return all(tag in row for row in rows for tag in tags)
