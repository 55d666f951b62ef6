"""What became of each rule of prefetch: counts and UIDs, nothing of a patient."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_MOST_FAILURES = 50


@dataclass(slots=True)
class RuleCounts:
    """Since the start, except last_run (ISO 8601, UTC; "" for never), errors and failures.

    found: studies the rule meant, each time it did. queued: of those, how many began to wait.
    done: fetched. complete: were whole here when their turn came. failed: not
    fetched, or not whole. dropped: had to go for others in more haste, or found the list full.
    errors: of the sources, in the last run. failures: the last studies that failed, and why.
    """

    runs: int = 0
    last_run: str = ""
    found: int = 0
    queued: int = 0
    done: int = 0
    complete: int = 0
    failed: int = 0
    dropped: int = 0
    errors: tuple[str, ...] = ()
    failures: dict[str, str] = field(default_factory=dict)


class PrefetchProgress:
    """Thread-safe."""

    def __init__(self, rules: Iterable[str]) -> None:
        self._lock = threading.Lock()
        self._counts = {name: RuleCounts() for name in rules}

    def ran(
        self, rule: str, at: str, *, found: int = 0, queued: int = 0, errors: Sequence[str] = ()
    ) -> None:
        with self._lock:
            counts = self._counts[rule]
            counts.runs += 1
            counts.last_run = at
            counts.found += found
            counts.queued += queued
            counts.errors = tuple(errors)

    def done(self, rule: str) -> None:
        with self._lock:
            self._counts[rule].done += 1

    def was_complete(self, rule: str) -> None:
        with self._lock:
            self._counts[rule].complete += 1

    def dropped(self, rule: str, count: int = 1) -> None:
        with self._lock:
            self._counts[rule].dropped += count

    def failed(self, rule: str, study_instance_uid: str, why: str) -> None:
        with self._lock:
            counts = self._counts[rule]
            counts.failed += 1
            counts.failures.pop(study_instance_uid, None)
            counts.failures[study_instance_uid] = why
            while len(counts.failures) > _MOST_FAILURES:
                del counts.failures[next(iter(counts.failures))]

    def of(self, rule: str) -> RuleCounts:
        """As it is now; a copy."""
        with self._lock:
            now = self._counts[rule]
            copied = {name: getattr(now, name) for name in RuleCounts.__slots__}
            return RuleCounts(**{**copied, "failures": dict(now.failures)})
