"""One lock per series, for those who store, evict or confirm: what one of them looked at stays so
until it has acted on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from farsight.model import SeriesRef


class SeriesLocks:
    """Locks that exist while somebody holds or wants them. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: dict[SeriesRef, tuple[threading.RLock, int]] = {}

    @contextmanager
    def of(self, series: SeriesRef) -> Iterator[None]:
        """Blocks while another thread has it; the same thread may enter again."""
        with self._lock:
            lock, users = self._wanted.get(series) or (threading.RLock(), 0)
            self._wanted[series] = lock, users + 1
        try:
            with lock:
                yield
        finally:
            with self._lock:
                lock, users = self._wanted[series]
                if users == 1:
                    del self._wanted[series]
                else:
                    self._wanted[series] = lock, users - 1

    def __len__(self) -> int:
        """How many exist now."""
        with self._lock:
            return len(self._wanted)
