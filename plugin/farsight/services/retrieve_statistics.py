"""What retrieves brought so far, for the metrics: counters that only grow, by PACS."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

from farsight.model import SubOperations


@dataclass(frozen=True, slots=True)
class Totals:
    """A snapshot. series: (PACS, "complete" | "short" | "failed" | "abandoned") -> how many;
    sub_operations: (PACS, "completed" | "failed" | "warning") -> how many."""

    instances: dict[str, int] = field(default_factory=dict)
    received_bytes: dict[str, int] = field(default_factory=dict)
    series: dict[tuple[str, str], int] = field(default_factory=dict)
    sub_operations: dict[tuple[str, str], int] = field(default_factory=dict)
    stored: int = 0
    storing_failures: int = 0


class RetrieveStatistics:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._instances: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._series: Counter[tuple[str, str]] = Counter()
        self._sub_operations: Counter[tuple[str, str]] = Counter()
        self._stored = 0
        self._storing_failures = 0

    def received(self, pacs: str, size: int) -> None:
        with self._lock:
            self._instances[pacs] += 1
            self._bytes[pacs] += size

    def ended(self, pacs: str, outcome: SubOperations) -> None:
        """A request for a series is over, and the PACS has told how it went."""
        with self._lock:
            self._sub_operations[pacs, "completed"] += outcome.completed
            self._sub_operations[pacs, "failed"] += outcome.failed
            self._sub_operations[pacs, "warning"] += outcome.warning

    def stored(self, *, well: bool) -> None:
        with self._lock:
            self._stored += well
            self._storing_failures += not well

    def series_ended(self, pacs: str, outcome: str) -> None:
        with self._lock:
            self._series[pacs, outcome] += 1

    def totals(self) -> Totals:
        with self._lock:
            return Totals(
                dict(self._instances),
                dict(self._bytes),
                dict(self._series),
                dict(self._sub_operations),
                self._stored,
                self._storing_failures,
            )
