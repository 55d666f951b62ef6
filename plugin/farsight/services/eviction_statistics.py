"""What evictions did so far, and what kept them from doing more: for metrics and status."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Why(StrEnum):
    """What a series was evicted for; values as the metrics spell them."""

    SIZE = "size"
    AGE = "age"
    ROOM = "room"
    ASKED = "asked"


class Obstacle(StrEnum):
    """Why a series was not evicted; values as the status shows them."""

    UNCONFIRMED = "an instance is not known to be held by a PACS"
    IN_USE = "it is being read or retrieved"
    JUST_USED = "it was used a moment ago"
    BEHIND = "what the archive told is not all booked yet"
    FAILED = "the archive did not delete it"
    GONE = "it is not stored any more"


@dataclass(frozen=True, slots=True)
class EvictionLimits:
    """How much is kept. max_bytes, max_age_s: 0 is no limit.

    min_free_bytes: below so much room on the disk the least recently used goes. reserve_bytes:
    what has to be left on the disk by whatever is stored; below it storing is refused.
    """

    max_bytes: int = 0
    max_age_s: float = 0.0
    min_free_bytes: int = 0
    reserve_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True)
class Evicted:
    """What went. series: those of which nothing is left."""

    series: int = 0
    instances: int = 0
    size_bytes: int = 0

    def __add__(self, other: Evicted) -> Evicted:
        return Evicted(
            self.series + other.series,
            self.instances + other.instances,
            self.size_bytes + other.size_bytes,
        )


@dataclass(frozen=True, slots=True)
class EvictionTotals:
    """A snapshot. by_reason: since the start. The others are of the last run: when it was, whether
    the limits are kept, how many series could not go and why; error: the last, of any run."""

    by_reason: Mapping[Why, Evicted] = field(default_factory=dict)
    last_run_at: float | None = None
    limits_kept: bool = True
    obstacles: Mapping[Obstacle, int] = field(default_factory=dict)
    error: str = ""


class EvictionStatistics:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_reason: dict[Why, Evicted] = {why: Evicted() for why in Why}
        self._last_run_at: float | None = None
        self._kept = True
        self._obstacles: Counter[Obstacle] = Counter()
        self._error = ""

    def evicted(self, why: Why, what: Evicted) -> None:
        with self._lock:
            self._by_reason[why] += what

    def ran(self, at: float, obstacles: Iterable[Obstacle], *, kept: bool) -> None:
        """A run is over; `kept`: the limits are."""
        with self._lock:
            self._last_run_at, self._kept = at, kept
            self._obstacles = Counter(obstacles)

    def failed(self, error: str) -> None:
        with self._lock:
            self._error = error

    def totals(self) -> EvictionTotals:
        with self._lock:
            return EvictionTotals(
                dict(self._by_reason),
                self._last_run_at,
                self._kept,
                dict(self._obstacles),
                self._error,
            )
