"""Keeping what was made of whole series, when nobody is in a hurry for anything else."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable

from farsight.errors import FarsightError
from farsight.model import SeriesRef

LOG = logging.getLogger("farsight.metadata")
_NICE = 19


class MetadataKeeper:
    """A daemon thread that does series after series while it is quiet. Thread-safe."""

    def __init__(
        self,
        keep: Callable[[SeriesRef], None],
        is_busy: Callable[[], bool],
        quiet_s: float = 1.0,
    ) -> None:
        """`keep`: does one. `quiet_s`: so long nothing has to come before any is done."""
        self._keep = keep
        self._is_busy = is_busy
        self._quiet_s = quiet_s
        self._queue: queue.SimpleQueue[SeriesRef | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="farsight-metadata", daemon=True)
        self._thread.start()

    def submit(self, series: SeriesRef) -> None:
        """Returns at once."""
        self._queue.put(series)

    def close(self, deadline_s: float) -> None:
        """Lets it finish the one it is at, for at most that long; the others are made later."""
        self._queue.put(None)
        self._thread.join(deadline_s)

    def _run(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        wanted: dict[SeriesRef, None] = {}
        wait_s = self._quiet_s
        while True:
            try:
                series = self._queue.get(timeout=wait_s if wanted else None)
            except queue.Empty:
                wait_s = self._quiet_s
                if not self._is_busy():
                    first = next(iter(wanted))
                    del wanted[first]
                    self._do(first)
                    wait_s /= 20  # as long as it stays quiet
                continue
            if series is None:
                return
            wanted[series] = None
            wait_s = self._quiet_s

    def _do(self, series: SeriesRef) -> None:
        try:
            self._keep(series)
        except FarsightError as error:
            LOG.info("metadata of series %s not kept: %s", series.series_instance_uid, error)
        except Exception:  # the edge of this thread: were it to end, nothing more would be kept
            LOG.exception("metadata of series %s", series.series_instance_uid)
