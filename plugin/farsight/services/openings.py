"""Studies that are being opened, told to whoever wants to hear of it.

Laws: telling of an opening costs an answer no more than a look-up; a study that is read on and on
counts as opened once every few seconds; a listener that takes long holds up nobody but itself.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

from farsight.errors import FarsightError

LOG = logging.getLogger("farsight.openings")

_MOST_REMEMBERED = 10_000
_MOST_WAITING = 1000


class Openings:
    """Hears of every request that opens a study. Thread-safe."""

    def __init__(
        self, again_after_s: float = 3.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`again_after_s`: so long further requests for a study belong to the same opening."""
        self._again_after_s = again_after_s
        self._clock = clock
        self._lock = threading.Lock()
        self._opened_at: dict[str, float] = {}  # the earliest first
        self._listeners: tuple[_Listener, ...] = ()

    def listen(self, tell: Callable[[str], None]) -> None:
        """`tell` is called with the StudyInstanceUID of every opening, one at a time, on a thread
        of its own; it may block. Of too many that wait for it the latest are let go."""
        with self._lock:
            self._listeners = (*self._listeners, _Listener(tell))

    def opened(self, study_instance_uid: str) -> None:
        """A client asks for something of the study. Returns at once."""
        now = self._clock()
        if (
            now - self._opened_at.get(study_instance_uid, -self._again_after_s)
            < self._again_after_s
        ):
            return
        with self._lock:
            before = self._opened_at.pop(study_instance_uid, -self._again_after_s)
            self._opened_at[study_instance_uid] = now
            if len(self._opened_at) > _MOST_REMEMBERED:
                del self._opened_at[next(iter(self._opened_at))]
            listeners = self._listeners
        if now - before < self._again_after_s:
            return  # another thread was faster
        for listener in listeners:
            listener.put(study_instance_uid)

    def close(self, deadline_s: float) -> None:
        """Nobody is told any more; waits at most that long for those who are being told."""
        with self._lock:
            listeners, self._listeners = self._listeners, ()
        until = time.monotonic() + deadline_s
        for listener in listeners:
            listener.stop()
        for listener in listeners:
            listener.join(max(0.0, until - time.monotonic()))


class _Listener:
    """One who wants to hear, with a queue and a daemon thread."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._stopped = False
        self._queue: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="farsight-openings", daemon=True)
        self._thread.start()

    def put(self, study_instance_uid: str) -> None:
        if self._queue.qsize() < _MOST_WAITING:
            self._queue.put(study_instance_uid)
        else:
            LOG.warning("opening of study %s not told: too many wait", study_instance_uid)

    def stop(self) -> None:
        self._stopped = True
        self._queue.put("")

    def join(self, deadline_s: float) -> None:
        self._thread.join(deadline_s)

    def _run(self) -> None:
        while True:
            study_instance_uid = self._queue.get()
            if self._stopped:
                return
            try:
                self._tell(study_instance_uid)
            except FarsightError as error:
                LOG.warning("study %s: %s", study_instance_uid, error)
            except Exception:  # the edge of this thread: were it to end, nothing more would be told
                LOG.exception("opening of study %s", study_instance_uid)
