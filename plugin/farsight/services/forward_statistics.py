"""What sending on has come to so far, for the metrics: counters that only grow, by PACS."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ForwardTotals:
    """A snapshot, by name of the PACS. sent: that it took; confirmed: that it is known to keep.

    failures: (PACS, what) -> how many attempts; what: a DIMSE status such as "0xA700", or the
    kind of error, such as "PacsTimeout". dead: given up.
    """

    sent: dict[str, int] = field(default_factory=dict)
    confirmed: dict[str, int] = field(default_factory=dict)
    failures: dict[tuple[str, str], int] = field(default_factory=dict)
    dead: dict[str, int] = field(default_factory=dict)


class ForwardStatistics:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent: Counter[str] = Counter()
        self._confirmed: Counter[str] = Counter()
        self._failures: Counter[tuple[str, str]] = Counter()
        self._dead: Counter[str] = Counter()

    def sent(self, pacs: str, instances: int) -> None:
        with self._lock:
            self._sent[pacs] += instances

    def confirmed(self, pacs: str, instances: int) -> None:
        with self._lock:
            self._confirmed[pacs] += instances

    def failed(self, pacs: str, what: str) -> None:
        with self._lock:
            self._failures[pacs, what] += 1

    def died(self, pacs: str, instances: int = 1) -> None:
        with self._lock:
            self._dead[pacs] += instances

    def totals(self) -> ForwardTotals:
        with self._lock:
            return ForwardTotals(
                dict(self._sent), dict(self._confirmed), dict(self._failures), dict(self._dead)
            )
