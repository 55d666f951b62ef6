"""A PACS that doesn't answer costs one waiting client at a time, not every client its time-out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from farsight.errors import PacsError, PacsTimeout


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """threshold: time-outs in a row that open it. open_s: at first; doubled up to longest_s."""

    threshold: int = 2
    open_s: float = 2.0
    longest_s: float = 60.0


class CircuitBreaker:
    """Closed, open, or half open: then one caller tries for everyone. Thread-safe.

    Law: only silence counts. A refused connection or association is an answer, and costs nothing.
    """

    def __init__(
        self,
        name: str,
        limits: BreakerLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._limits = limits or BreakerLimits()
        self._clock = clock
        self._lock = threading.Lock()
        self._silences = 0
        self._closed_again_at = 0.0
        self._trial = False
        self._why = ""

    @property
    def is_open(self) -> bool:
        with self._lock:
            return self._silences >= self._limits.threshold

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Around whatever finds out whether the PACS answers.

        Raises: PacsTimeout at once while it is open; whatever the body raises.
        """
        mine = self._enter()
        try:
            yield
        except PacsTimeout as error:
            self._was_silent(error)
            raise
        except PacsError:
            self._answered()
            raise
        else:
            self._answered()
        finally:
            if mine:
                with self._lock:
                    self._trial = False

    def _enter(self) -> bool:
        """True if this caller is the trial of a half-open breaker."""
        with self._lock:
            if self._silences < self._limits.threshold:
                return False
            remaining_s = self._closed_again_at - self._clock()
            if remaining_s > 0 or self._trial:
                again = f"tried again in {max(remaining_s, 0):.0f} s" if remaining_s > 0 else "now"
                raise PacsTimeout(
                    self._name,
                    f"did not answer {self._silences} times in a row ({self._why}); {again}",
                )
            self._trial = True
            return True

    def _was_silent(self, error: PacsTimeout) -> None:
        with self._lock:
            self._silences += 1
            self._why = error.what
            beyond = self._silences - self._limits.threshold
            if beyond >= 0:
                wait_s = min(self._limits.open_s * 2 ** min(beyond, 10), self._limits.longest_s)
                self._closed_again_at = self._clock() + wait_s

    def _answered(self) -> None:
        with self._lock:
            self._silences = 0
