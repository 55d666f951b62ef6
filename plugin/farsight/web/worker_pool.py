"""Daemon threads of our own, for work that must not run on Orthanc's small stacks.

Not concurrent.futures: its threads keep an interpreter from ending, and Orthanc's shutdown
would hang on a handler that waits for a PACS.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from farsight.errors import FarsightError

T = TypeVar("T")


class Overloaded(FarsightError):
    """Every worker is busy and enough are waiting already."""

    status = 503


class _Task(Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        self.work = work
        self.done = threading.Event()
        self.result: T | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self.work()
        except BaseException as error:  # handed to whoever waits
            self.error = error
        finally:
            self.done.set()


class WorkerPool:
    """Runs calls on at most `threads` daemon threads, started as they are needed."""

    def __init__(self, threads: int, max_waiting: int = 256) -> None:
        self._threads = threads
        self._queue: queue.Queue[_Task[object] | None] = queue.Queue(max_waiting)
        self._lock = threading.Lock()
        self._started = 0
        self._idle = 0
        self._closed = False

    def run(self, work: Callable[[], T]) -> T:
        """The result of `work`, run on a worker; what it raises is raised here.

        Raises: Overloaded when too many wait already, or the pool is closed.
        """
        task: _Task[T] = _Task(work)
        with self._lock:
            if self._closed:
                raise Overloaded("the server is stopping")
            if self._idle == 0 and self._started < self._threads:
                self._started += 1
                name = f"farsight-worker-{self._started}"
                threading.Thread(target=self._work, name=name, daemon=True).start()
        try:
            self._queue.put_nowait(task)  # type: ignore[arg-type]
        except queue.Full as error:
            raise Overloaded("too many requests are waiting") from error
        while not task.done.wait(0.5):
            if self._closed:
                raise Overloaded("the server is stopping")
        if task.error is not None:
            raise task.error
        return task.result  # type: ignore[return-value]

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            task = self._queue.get()
            with self._lock:
                self._idle -= 1
            if task is None or self._closed:
                return
            task.run()

    def close(self) -> None:
        """Whoever waits gets Overloaded within half a second; busy threads die with the process."""
        self._closed = True
        with self._lock:
            for _ in range(self._started):
                try:
                    self._queue.put_nowait(None)
                except queue.Full:
                    break
