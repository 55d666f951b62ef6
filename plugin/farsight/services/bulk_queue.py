"""Bulk work in turn: a few daemon threads, at most so many at once for one study."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable

LOG = logging.getLogger("farsight.retrieve")


class BulkQueue:
    """Runs jobs first come, first served, but never more than `per_study` of one study at once.

    Jobs report through their own means; one that raises is a bug, and is logged as such.
    """

    def __init__(self, threads: int, per_study: int) -> None:
        self._per_study = per_study
        self._changed = threading.Condition()
        self._waiting: list[tuple[str, Callable[[], None]]] = []
        self._active: Counter[str] = Counter()
        self._closed = False
        for number in range(threads):
            threading.Thread(target=self._run, name=f"farsight-bulk-{number}", daemon=True).start()

    def submit(self, study_instance_uid: str, job: Callable[[], None]) -> None:
        """Queues one job of a study."""
        with self._changed:
            self._waiting.append((study_instance_uid, job))
            self._changed.notify()

    def close(self) -> None:
        """Starts nothing any more; what runs ends by itself."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (position := self._next()) is None:
                    self._changed.wait()
                if self._closed:
                    return
                assert position is not None
                study_instance_uid, job = self._waiting.pop(position)
                self._active[study_instance_uid] += 1
            try:
                job()
            except Exception:  # the edge of this thread: nothing above could report it
                LOG.exception("retrieve job of study %s", study_instance_uid)
            finally:
                with self._changed:
                    self._active[study_instance_uid] -= 1
                    if not self._active[study_instance_uid]:
                        del self._active[study_instance_uid]
                    self._changed.notify_all()

    def _next(self) -> int | None:
        for position, (study_instance_uid, _) in enumerate(self._waiting):
            if self._active[study_instance_uid] < self._per_study:
                return position
        return None
