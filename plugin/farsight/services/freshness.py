"""Whether what is here is still what the PACS have, found out when a study is opened.

Laws: an answer doesn't wait for a check, unless its client insists; one that fails costs it
nothing, and the next opening brings another. Of one study one check runs at a time.

Other content under the same UIDs can't be seen by this.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from farsight.model import SeriesRef
from farsight.services.freshness_check import Finding, Known, StudyCheck
from farsight.services.openings import Openings
from farsight.services.turns import Turns

_MOST_STUDIES = 10_000
_MOST_FINDINGS = 100
_AT_ONCE = 4
_RETRY_S = 10.0


@dataclass(frozen=True, slots=True)
class FreshnessTotals:
    """Since the start. failed: of the checks, those for which a PACS didn't answer."""

    checks: int = 0
    failed: int = 0
    grown_series: int = 0
    new_series: int = 0
    vanished_instances: int = 0
    deleted_instances: int = 0

    def with_one(self, finding: Finding) -> FreshnessTotals:
        return FreshnessTotals(
            self.checks + 1,
            self.failed + bool(finding.failures),
            self.grown_series + finding.grown_series,
            self.new_series + finding.new_series,
            self.vanished_instances + finding.vanished_instances,
            self.deleted_instances + finding.deleted_instances,
        )


@dataclass(slots=True)
class _Study:
    """due_at: of the next check. known: what each PACS said at the last."""

    due_at: float = 0.0
    known: Known = field(default_factory=dict)


class Freshness:
    """Checks studies when they are due. Thread-safe."""

    def __init__(
        self,
        check: StudyCheck,
        fresh_s: float,
        wait_s: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fresh_s`: so long a check is good. `wait_s`: how long whoever insists waits for one."""
        self._do = check
        self._fresh_s = fresh_s
        self._wait_s = wait_s
        self._clock = clock
        self._turns: Turns[str, Finding] = Turns(_AT_ONCE)
        self._lock = threading.Lock()
        self._studies: OrderedDict[str, _Study] = OrderedDict()
        self._findings: deque[Finding] = deque(maxlen=_MOST_FINDINGS)
        self._totals = FreshnessTotals()
        self._completions = Openings()
        self._completions.listen(self.opened)

    def close(self, deadline_s: float) -> None:
        self._completions.close(deadline_s)

    def opened(self, study_instance_uid: str) -> None:
        """Checks a study if that is due. Blocks: to be given to Openings.listen.

        Raises: ArchiveError.
        """
        with self._lock:
            known = self._studies.get(study_instance_uid)
            due = known is None or known.due_at <= self._clock()
        if due and not self._turns.is_busy(study_instance_uid):
            self._take_turn(study_instance_uid, thorough=False)

    def completed(self, series: SeriesRef) -> None:
        """A series was fetched whole: later checks compare with what its study is by now.

        Returns at once: to be given to RetrieveService.when_complete.
        """
        with self._lock:
            known = series.study_instance_uid in self._studies
        if not known:
            self._completions.opened(series.study_instance_uid)

    def refresh(self, study_instance_uid: str) -> tuple[str, ...]:
        """Checks a study now, by the names of its instances; why that may not have seen all.

        Raises: ArchiveError.
        """
        finding = self._take_turn(study_instance_uid, thorough=True)
        if finding is None:
            return (f"not compared with the PACS within {self._wait_s:g} s",)
        return tuple(f"{why}; it may have changed there" for why in finding.failures)

    def findings(self) -> list[Finding]:
        """The last checks that found something or failed, newest first."""
        with self._lock:
            return list(self._findings)

    def totals(self) -> FreshnessTotals:
        with self._lock:
            return self._totals

    def _take_turn(self, study_instance_uid: str, *, thorough: bool) -> Finding | None:
        """None: it took too long. Raises: ArchiveError."""
        outcome = self._turns.take(
            study_instance_uid,
            lambda: self._check(study_instance_uid, thorough=thorough),
            self._wait_s,
        )
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    def _check(self, study_instance_uid: str, *, thorough: bool) -> Finding:
        with self._lock:
            before = self._studies.get(study_instance_uid, _Study())
        finding, known = self._do(study_instance_uid, before.known, thorough=thorough)
        good_s = min(self._fresh_s, _RETRY_S) if finding.failures else self._fresh_s
        with self._lock:
            self._totals = self._totals.with_one(finding)
            if finding.is_news:
                self._findings.appendleft(finding)
            self._studies.pop(study_instance_uid, None)
            if known:  # else nothing of it was whole here
                self._studies[study_instance_uid] = _Study(self._clock() + good_s, known)
            while len(self._studies) > _MOST_STUDIES:
                self._studies.popitem(last=False)
        return finding
