"""The rules of prefetch, followed on one thread: what is opened, what is due, what waits.

Laws: without rules there is no thread and no question to anybody; what is fetched ahead opens
nothing; outside of its hours a rule asks nobody. Nothing of it outlives the process: it is a
hint, found again after a start.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from farsight.errors import FarsightError
from farsight.model_prefetch import EveryRule, OpenedRule, PrefetchRules, Rule, WorklistRule
from farsight.ports.archive import Archive
from farsight.ports.pacs import Pacs
from farsight.ports.worklist import Worklist
from farsight.services.prefetch_finding import Findings, PrefetchFinder
from farsight.services.prefetch_memory import Remembered
from farsight.services.prefetch_pace import is_open, seconds_until_open
from farsight.services.prefetch_progress import PrefetchProgress, RuleCounts
from farsight.services.prefetch_queue import HasRoom, PrefetchQueue
from farsight.services.prefetch_waiting import Haste
from farsight.services.retrieve import RetrieveService
from farsight.services.study_fetch import StudyFetch

LOG = logging.getLogger("farsight.prefetch")
_MOST_OPENINGS = 200
#: A study that is opened again within that time has its priors on their way.
_OPENED_AGAIN_S = 600.0
_LONGEST_S = 3600.0
_AFTER_A_BUG_S = 60.0


def _local_time(ahead_s: float) -> datetime:
    return datetime.fromtimestamp(time.time() + ahead_s)


@dataclass(frozen=True, slots=True)
class Clock:
    """monotonic: seconds that never go back. local: the wall clock, so many seconds ahead."""

    monotonic: Callable[[], float] = time.monotonic
    local: Callable[[float], datetime] = _local_time


@dataclass(frozen=True, slots=True)
class PrefetchPeers:
    """Whom the rules ask."""

    pacs: Sequence[Pacs]
    archive: Archive
    worklists: Sequence[Worklist] = ()


@dataclass(frozen=True, slots=True)
class RuleStatus:
    """One rule as it stands. next_run_in_s: None where it waits for openings."""

    name: str
    when: str
    hours: tuple[str, ...]
    is_open: bool
    next_run_in_s: float | None
    counts: RuleCounts


@dataclass(frozen=True, slots=True)
class PrefetchStatus:
    """held_up: why nothing is begun though something waits. under_way: UID, or ""."""

    rules: tuple[RuleStatus, ...] = ()
    waiting: int = 0
    under_way: str = ""
    held_up: str = ""
    studies_per_minute: int = field(default=0)


class PrefetchSchedule:
    """Follows the rules between `start` and `close`. `opened` and `status` are thread-safe."""

    def __init__(
        self,
        rules: PrefetchRules,
        sources: PrefetchPeers,
        retrieve: RetrieveService,
        has_room: HasRoom = lambda: True,
        clock: Clock = Clock(),
    ) -> None:
        """`has_room`: whether the cache can take more; asked before each study."""
        self._rules = rules
        self._clock = clock
        self._progress = PrefetchProgress(rule.name for rule in rules.rules)
        self._finder = PrefetchFinder(
            sources.pacs, sources.archive, sources.worklists, clock.monotonic
        )
        self._queue = PrefetchQueue(
            rules,
            StudyFetch(retrieve, self._wake),
            self._progress,
            has_room,
            clock.monotonic,
            clock.local,
        )
        now = clock.monotonic()
        self._due = {rule.name: now for rule in rules.rules if not isinstance(rule, OpenedRule)}
        self._changed = threading.Condition()
        self._openings: dict[str, None] = {}
        self._looked_into: Remembered[str, bool] = Remembered(
            _OPENED_AGAIN_S, _MOST_OPENINGS * 10, clock.monotonic
        )
        self._woken = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Nothing to do where there are no rules."""
        if self._rules.rules:
            self._thread = threading.Thread(target=self._run, name="farsight-prefetch", daemon=True)
            self._thread.start()

    def close(self, deadline_s: float) -> None:
        """Begins nothing any more; a question under way is waited for that long at most."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(deadline_s)

    def opened(self, study_instance_uid: str) -> None:
        """A client opened it. Returns at once; of too many the latest are let go."""
        if not any(isinstance(rule, OpenedRule) for rule in self._rules.rules):
            return
        with self._changed:
            if len(self._openings) < _MOST_OPENINGS:
                self._openings[study_instance_uid] = None
        self._wake()

    def _wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def _run(self) -> None:
        while not self._closed:
            try:
                wait_s = self.step()
            except Exception:  # the edge of this thread: were it to end, no rule would be followed
                LOG.exception("prefetch")
                wait_s = _AFTER_A_BUG_S
            with self._changed:
                if not self._woken and not self._closed and wait_s > 0:
                    self._changed.wait(min(wait_s, _LONGEST_S))
                self._woken = False

    # ---- one thing at a time

    def step(self) -> float:
        """Does one thing that can be done now; in how many seconds there may be more, 0 for now."""
        if (opened := self._next_opening()) is not None:
            self._look_into(opened)
            return 0.0
        if (due := self._next_due()) is not None:
            self._follow(due)
            return 0.0
        return min(self._queue.step(), self._until_due())

    def _next_opening(self) -> str | None:
        with self._changed:
            for uid in self._openings:
                del self._openings[uid]
                return uid
        return None

    def _look_into(self, study_instance_uid: str) -> None:
        """Every rule for openings that is within its hours; what is opened outside of them goes."""
        local = self._clock.local(0.0)
        rules = [
            rule
            for rule in self._rules.rules
            if isinstance(rule, OpenedRule) and is_open(rule.hours, local)
        ]
        if not rules or self._looked_into.get(study_instance_uid):
            return
        opened = self._finder.identify(study_instance_uid)
        if not opened.failures:
            self._looked_into.put(study_instance_uid, True)
        for rule in rules:
            self._take(rule, Haste.OPENED, self._finder.priors(rule, opened))

    def _next_due(self) -> EveryRule | WorklistRule | None:
        now, local = self._clock.monotonic(), self._clock.local(0.0)
        for rule in self._rules.rules:
            if isinstance(rule, OpenedRule) or self._due[rule.name] > now:
                continue
            if is_open(rule.hours, local):
                return rule
        return None

    def _follow(self, rule: EveryRule | WorklistRule) -> None:
        self._due[rule.name] = self._clock.monotonic() + rule.every_s
        today = self._clock.local(0.0).date()
        try:
            if isinstance(rule, EveryRule):
                self._take(rule, Haste.RECENT, self._finder.recent(rule, today))
            else:
                self._take(rule, Haste.SCHEDULED, self._finder.scheduled(rule, today))
        except FarsightError as error:
            LOG.warning("prefetch rule %r: %s", rule.name, error)
            self._progress.ran(rule.name, _now(), errors=(str(error),))

    def _take(self, rule: Rule, haste: Haste, findings: Findings) -> None:
        found = len(findings.studies)
        queued = self._queue.add(rule, haste, findings.studies)
        LOG.info("prefetch rule %r: %d studies, %d begin to wait", rule.name, found, queued)
        self._progress.ran(rule.name, _now(), found=found, queued=queued, errors=findings.failures)

    def _until_due(self) -> float:
        return min(map(self._next_run_in, self._rules.rules), default=math.inf)

    def _next_run_in(self, rule: Rule) -> float:
        """Infinite for those that wait for openings."""
        if isinstance(rule, OpenedRule):
            return math.inf
        due_s = max(0.0, self._due[rule.name] - self._clock.monotonic())
        # As the wall clock will stand then: it may be due within hours that have ended.
        return due_s + seconds_until_open(
            rule.hours, lambda ahead_s: self._clock.local(due_s + ahead_s)
        )

    # ---- what is read

    def status(self) -> PrefetchStatus:
        return PrefetchStatus(
            tuple(self._status_of(rule) for rule in self._rules.rules),
            self._queue.length,
            self._queue.under_way,
            self._queue.held_up,
            self._rules.studies_per_minute,
        )

    def _status_of(self, rule: Rule) -> RuleStatus:
        next_run_s = self._next_run_in(rule)
        return RuleStatus(
            rule.name,
            _WHEN[type(rule)],
            tuple(map(str, rule.hours)),
            is_open(rule.hours, self._clock.local(0.0)),
            None if math.isinf(next_run_s) else next_run_s,
            self._progress.of(rule.name),
        )


_WHEN: dict[type, str] = {OpenedRule: "opened", EveryRule: "every", WorklistRule: "worklist"}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
