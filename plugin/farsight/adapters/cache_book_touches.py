"""When series were used, until that is written down."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

from farsight.model import SeriesRef


class Touches:
    """The latest of each. Thread-safe; holds up nobody who waits for a disk."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: seconds since the epoch."""
        self._clock = clock
        self._lock = threading.Lock()
        self._used_at: dict[SeriesRef, float] = {}

    def note(self, series: Iterable[SeriesRef], used_at: float) -> None:
        """A time that lies ahead was said by a clock that was: the next one counts instead."""
        now = self._clock()
        with self._lock:
            for one in series:
                known = self._used_at.get(one, 0.0)
                if used_at > known or known > now >= used_at:
                    self._used_at[one] = used_at

    def take(self) -> Mapping[SeriesRef, float]:
        """All of them; whoever can't write them down notes them again."""
        with self._lock:
            taken, self._used_at = self._used_at, {}
        return taken
