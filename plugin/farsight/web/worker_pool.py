"""Daemon threads of our own, for work that must not run on Orthanc's small stacks.

Not concurrent.futures: its threads keep an interpreter from ending, and Orthanc's shutdown
would hang on a handler that waits for a PACS.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from farsight.errors import FarsightError

T = TypeVar("T")


class Overloaded(FarsightError):
    """Every worker is busy and enough are waiting already, or the server is stopping."""

    status = 503


class Task(Generic[T]):
    """One call under way. `done` is called on the worker's thread when it is over."""

    __slots__ = ("_done", "_work", "error", "result")

    def __init__(self, work: Callable[[], T], done: Callable[[], None]) -> None:
        self._work = work
        self._done = done
        self.result: T | None = None
        self.error: BaseException | None = None

    def outcome(self) -> T:
        """What the call returned; what it raised is raised here."""
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None  # its traceback leads here, and would keep all it passed alive
        return self.result  # type: ignore[return-value]

    def perform(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:  # handed to whoever waits, by outcome()
            self.error = error
        finally:
            self._done()


class WorkerPool:
    """Runs calls on at most `threads` daemon threads, started as they are needed.

    Law: no call waits while a thread is idle or may still be started.
    """

    def __init__(self, threads: int, max_waiting: int = 1024) -> None:
        self.threads = threads
        self._max_waiting = max_waiting
        self._changed = threading.Condition()
        self._waiting: deque[Task[Any]] = deque()
        self._started = 0
        self._idle = 0
        self._closed = threading.Event()

    def submit(self, work: Callable[[], T], done: Callable[[], None]) -> Task[T]:
        """Queues a call; `done` is called when it is over.

        Raises: Overloaded when too many wait already, or the pool is closed.
        """
        task: Task[T] = Task(work, done)
        with self._changed:
            if self._closed.is_set():
                raise Overloaded("the server is stopping")
            if len(self._waiting) >= self._max_waiting:
                raise Overloaded("too many requests are waiting")
            self._waiting.append(task)
            if len(self._waiting) > self._idle and self._started < self.threads:
                self._start_worker(task)
            else:
                self._changed.notify()
        return task

    def _start_worker(self, task: Task[Any]) -> None:
        name = f"farsight-worker-{self._started + 1}"
        try:
            threading.Thread(target=self._work, name=name, daemon=True).start()
        except RuntimeError as error:  # the system has no thread for us
            self._waiting.remove(task)
            raise Overloaded("no more threads can be had") from error
        self._started += 1

    def run(self, work: Callable[[], T], timeout_s: float = math.inf) -> T:
        """The result of `work`, run on a worker; what it raises is raised here.

        Raises: as submit, and Overloaded when the pool closes meanwhile, or after `timeout_s`;
        `work` goes on then.
        """
        over = threading.Event()
        task = self.submit(work, over.set)
        deadline = time.monotonic() + timeout_s
        while not over.wait(min(0.5, max(0.0, deadline - time.monotonic()))):
            if self._closed.is_set():
                raise Overloaded("the server is stopping")
            if time.monotonic() >= deadline:
                raise Overloaded(f"it took longer than {timeout_s:g} s")
        return task.outcome()

    def _work(self) -> None:
        while (task := self._next()) is not None:
            task.perform()
            del task  # with its result, which may be large: the next may be long in coming

    def _next(self) -> Task[Any] | None:
        """The next call; None when the pool is closed. Taking it ends being idle, in one step."""
        with self._changed:
            self._idle += 1
            try:
                while not self._waiting and not self._closed.is_set():
                    self._changed.wait()
                return None if self._closed.is_set() else self._waiting.popleft()
            finally:
                self._idle -= 1

    def close(self) -> None:
        """Whoever waits gets Overloaded within half a second; busy threads die with the process."""
        with self._changed:
            self._closed.set()
            self._changed.notify_all()
