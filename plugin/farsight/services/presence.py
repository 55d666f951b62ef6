"""Whether whoever asked still waits for the answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from farsight.errors import FarsightError


class ClientGone(FarsightError):
    """Nobody waits for this answer any more; it is never sent."""

    status = 499


class Presence:
    """One client's: it leaves once, or never. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gone = False
        self._callbacks: list[Callable[[], None]] = []
        self._held: ExitStack | None = None
        self._over = False

    @property
    def gone(self) -> bool:
        return self._gone

    def leave(self) -> None:
        """The connection was closed from the other side."""
        with self._lock:
            self._gone = True
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def hold(self, context: AbstractContextManager[None]) -> None:
        """Enters a context that is left when the answer is over, however it ends. Entering may
        block: whoever tells that it is over doesn't wait for that."""
        with ExitStack() as entered:
            entered.enter_context(context)
            with self._lock:
                if not self._over:
                    if self._held is None:
                        self._held = ExitStack()
                    self._held.push(entered.pop_all())

    def over(self) -> None:
        """Told by the door: the answer is sent, or never will be."""
        with self._lock:
            self._over = True
            held = self._held
        if held is not None:
            held.close()

    def when_gone(self, callback: Callable[[], None]) -> None:
        """Called once when the client leaves; at once if it has left. Must not block."""
        with self._lock:
            if not self._gone:
                self._callbacks.append(callback)
                return
        callback()
