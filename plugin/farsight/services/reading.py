"""Which series are being read, and that they were."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from farsight.model import SeriesRef
from farsight.ports.cache_book import CacheBook

#: Longer than it takes to delete the largest series.
_LONGEST_WAIT_S = 60.0

#: Keeps readers off a series that is deleted; False: somebody reads it already.
Leaving = Callable[[SeriesRef], AbstractContextManager[bool]]


def never_read(_series: SeriesRef) -> AbstractContextManager[bool]:
    """For a cache that nobody reads meanwhile."""
    return nullcontext(True)


class InUse:
    """Counts the readers of each series. Thread-safe; costs next to nothing.

    Law: a series has readers, or it is leaving, never both: what a reader finds of a series is not
    what is left of it just then.
    """

    def __init__(self, book: CacheBook, clock: Callable[[], float] = time.time) -> None:
        """`clock`: seconds since the epoch."""
        self._book = book
        self._clock = clock
        self._lock = threading.Condition()
        self._readers: Counter[SeriesRef] = Counter()
        self._leaving: set[SeriesRef] = set()

    @contextmanager
    def reading(self, series: SeriesRef) -> Iterator[None]:
        """To be entered before it is looked whether something is stored: it isn't evicted then.

        Waits for a while where it is being evicted.

        An access counts when it begins and, as it may take long, when it ends. Raises:
        CacheBookError never: an access that can't be written down is no reason not to answer.
        """
        with self._lock:
            self._lock.wait_for(lambda: series not in self._leaving, _LONGEST_WAIT_S)
            self._readers[series] += 1
        self._book.touch((series,), self._clock())
        try:
            yield
        finally:
            with self._lock:
                self._readers[series] -= 1
                if not self._readers[series]:
                    del self._readers[series]
            self._book.touch((series,), self._clock())

    @contextmanager
    def leaving(self, series: SeriesRef) -> Iterator[bool]:
        """Around deleting of it. False: somebody reads it, and it has to stay."""
        with self._lock:
            may_go = series not in self._readers and series not in self._leaving
            if may_go:
                self._leaving.add(series)
        try:
            yield may_go
        finally:
            if may_go:
                with self._lock:
                    self._leaving.discard(series)
                    self._lock.notify_all()

    def used(self, series: SeriesRef) -> None:
        """It was read, from what is in memory."""
        self._book.touch((series,), self._clock())

    def is_read(self, series: SeriesRef) -> bool:
        """Whether anybody reads it now."""
        with self._lock:
            return series in self._readers

    def __len__(self) -> int:
        """How many series are being read."""
        with self._lock:
            return len(self._readers)
