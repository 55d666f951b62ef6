"""The studies that rules found, fetched one after another as the pace, the hours, the room and
their PACS allow.

Laws: one study at a time, behind everything a client waits for; nothing that is complete here is
fetched; what a PACS that doesn't answer would have brought waits until it may be tried again.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from farsight.errors import FarsightError, PacsError, PacsTimeout, PacsUnavailable
from farsight.model_prefetch import PrefetchRules, Rule
from farsight.services.prefetch_finding import FoundStudy
from farsight.services.prefetch_memory import Remembered
from farsight.services.prefetch_pace import (
    LocalTime,
    TokenBucket,
    is_open,
    seconds_until_open,
)
from farsight.services.prefetch_progress import PrefetchProgress
from farsight.services.prefetch_waiting import Haste, Waiting, WaitingList
from farsight.services.study_fetch import StudyFetch

LOG = logging.getLogger("farsight.prefetch")
_NO_ROOM_S = 30.0
_PAUSE_S, _LONGEST_PAUSE_S = 30.0, 600.0
_MOST_ATTEMPTS = 5
_STUDY_TIMEOUT_S = 3600.0
#: What was fetched isn't looked at again for so long, unless it has grown.
_DONE_LIVES_S, _MOST_DONE = 3600.0, 20_000
HasRoom = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class _Pause:
    """A PACS that did not answer. s: how long this time."""

    until: float
    s: float


class PrefetchQueue:
    """`step`, `add` are for one thread; what is read is thread-safe."""

    def __init__(
        self,
        rules: PrefetchRules,
        fetch: StudyFetch,
        progress: PrefetchProgress,
        has_room: HasRoom,
        clock: Callable[[], float],
        local_time: LocalTime,
    ) -> None:
        """`clock`: seconds that never go back."""
        self._rules: Mapping[str, Rule] = {rule.name: rule for rule in rules.rules}
        self._fetch = fetch
        self._progress = progress
        self._has_room = has_room
        self._clock = clock
        self._local_time = local_time
        self._lock = threading.Lock()
        self._waiting = WaitingList(rules.max_waiting)
        self._bucket = TokenBucket(rules.studies_per_minute, clock())
        self._done: Remembered[str, int] = Remembered(_DONE_LIVES_S, _MOST_DONE, clock)
        self._pauses: dict[str, _Pause] = {}
        self._under_way: Waiting | None = None
        self._began_at = 0.0
        self._held_up = ""

    # ---- what is read

    @property
    def length(self) -> int:
        with self._lock:
            return len(self._waiting)

    @property
    def under_way(self) -> str:
        """The study that is being fetched; "" for none."""
        current = self._under_way
        return "" if current is None else current.study_instance_uid

    @property
    def held_up(self) -> str:
        """Why nothing is begun though something waits; "" where nothing holds it up."""
        return self._held_up

    # ---- what is found

    def add(self, rule: Rule, haste: Haste, found: Iterable[FoundStudy]) -> int:
        """How many wait that didn't before."""
        added = 0
        for one in found:
            uid = one.study_instance_uid
            if uid == self.under_way or self._done.get(uid) == one.instances:
                continue
            entry = Waiting(uid, rule.name, haste, one.pacs, one.instances)
            with self._lock:
                known = uid in self._waiting
                is_new, gone = self._waiting.add(entry)
            added += is_new
            if not is_new and not known:
                self._progress.dropped(rule.name)
            if gone is not None:
                self._progress.dropped(gone.rule)
        return added

    # ---- one after another

    def step(self) -> float:
        """Does what can be done now; in how many seconds there may be more to do.

        math.inf: not before something is added, or what is under way has ended.
        """
        now = self._clock()
        current = self._under_way
        if current is not None:
            left_s = self._began_at + _STUDY_TIMEOUT_S - now
            if not self._fetch.is_over and left_s > 0:
                return left_s
            self._settle(current)
        local = self._local_time(0.0)
        closed = {name for name, rule in self._rules.items() if not is_open(rule.hours, local)}
        silent = {name for name, pause in self._pauses.items() if pause.until > now}
        with self._lock:
            entry = self._waiting.take(
                lambda one: one.rule not in closed and one.pacs not in silent
            )
        if entry is None:
            self._held_up = self._why_not(silent)
            return self._until_any_may(now)
        wait_s = self._allowed_in(now)
        if wait_s > 0:
            self._put_back(entry)
            return wait_s
        self._begin(entry)
        return 0.0

    def _allowed_in(self, now: float) -> float:
        """0.0: one more may be begun, and counts."""
        try:
            has_room = self._has_room()
        except FarsightError as error:
            LOG.warning("%s", error)
            has_room = False
        if not has_room:
            self._held_up = "no room in the cache"
            return _NO_ROOM_S
        wait_s = self._bucket.take(now)
        self._held_up = "StudiesPerMinute" if wait_s else ""
        return wait_s

    def _begin(self, entry: Waiting) -> None:
        self._under_way, self._began_at = entry, self._clock()
        try:
            begun = self._fetch.begin(entry.study_instance_uid)
        except FarsightError as error:
            self._under_way = None
            self._failed(entry, error)
            return
        if begun == 0:
            self._bucket.give_back()
            self._under_way = None
            if (doubt := self._fetch.error) is not None:
                self._failed(entry, doubt)
                return
            self._is_done(entry)
            self._progress.was_complete(entry.rule)

    def _settle(self, entry: Waiting) -> None:
        self._under_way = None
        if not self._fetch.is_over:
            self._fetch.leave()
            why = f"not fetched within {_STUDY_TIMEOUT_S:g} s"
            self._progress.failed(entry.rule, entry.study_instance_uid, why)
        elif (error := self._fetch.error) is not None:
            self._failed(entry, error)
        else:
            self._is_done(entry)
            self._progress.done(entry.rule)

    def _is_done(self, entry: Waiting) -> None:
        self._pauses.pop(entry.pacs, None)
        self._done.put(entry.study_instance_uid, entry.instances)

    def _failed(self, entry: Waiting, error: FarsightError) -> None:
        """Silence of a PACS isn't the study's fault: it waits, a few times."""
        LOG.info("study %s, fetched ahead: %s", entry.study_instance_uid, error)
        if isinstance(error, PacsUnavailable | PacsTimeout):
            self._pause(error)
            again = replace(entry, pacs=error.pacs, attempts=entry.attempts + 1)
            if again.attempts < _MOST_ATTEMPTS and self._put_back(again):
                return
        self._progress.failed(entry.rule, entry.study_instance_uid, str(error))

    def _pause(self, error: PacsError) -> None:
        before = self._pauses.get(error.pacs)
        pause_s = _PAUSE_S if before is None else min(before.s * 2, _LONGEST_PAUSE_S)
        self._pauses[error.pacs] = _Pause(self._clock() + pause_s, pause_s)

    def _put_back(self, entry: Waiting) -> bool:
        with self._lock:
            return self._waiting.put_back(entry)

    # ---- who may go

    def _why_not(self, silent: Collection[str]) -> str:
        if not self.length:
            return ""
        return f"no answer from {', '.join(sorted(silent))}" if silent else "outside of Hours"

    def _until_any_may(self, now: float) -> float:
        if not self.length:
            return math.inf
        waits = [pause.until - now for pause in self._pauses.values()]
        waits += [seconds_until_open(rule.hours, self._local_time) for rule in self._rules.values()]
        return min((wait for wait in waits if wait > 0), default=math.inf)
