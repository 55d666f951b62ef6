"""Making room: what a PACS holds as well leaves the archive, least recently used first.

Laws:
- Whole series only, and of a series just the instances that were looked at under its lock: every
  one of them is held by a PACS. What arrives meanwhile stays.
- Never a series with an instance that no PACS is known to hold, one that is in use, nor, unless
  somebody asked for it, one that was used a moment ago.
- First the series isn't called whole any more, then the archive deletes, then the book strikes
  off what is really gone. Whatever ends in between leaves a series that is fetched again when
  asked for, however many instances are stored into it meanwhile.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from farsight.errors import ArchiveError, Conflict, FarsightError, NotFound
from farsight.model import Completeness, SeriesRef
from farsight.ports.archive import Archive
from farsight.ports.cache_book import BookedInstance, BookedSeries, CacheBook
from farsight.services.eviction_room import Room, Wanted
from farsight.services.eviction_statistics import (
    Evicted,
    EvictionLimits,
    EvictionStatistics,
    Obstacle,
    Why,
)
from farsight.services.reading import Leaving, never_read
from farsight.services.series_locks import SeriesLocks

LOG = logging.getLogger("farsight.cache")

_SETTLED_S = 5.0
_PAUSE_S = 0.5
_BATCH = 50
_BEHIND_S = 5.0
#: More instances than any series ever has.
_NEVER_WHOLE = 1 << 31
InUse = Callable[[SeriesRef], bool]
#: Waits, for at most so many seconds, until all that the archive has told up to now is booked.
Followed = Callable[[float], bool]


def always_followed(_timeout_s: float) -> bool:
    """For an archive into which nobody else stores."""
    return True


class Evictor:
    """A daemon thread that keeps to the limits, and room on demand. Thread-safe."""

    def __init__(
        self,
        book: CacheBook,
        archive: Archive,
        in_use: InUse,
        limits: EvictionLimits,
        locks: SeriesLocks,
        followed: Followed = always_followed,
        clock: Callable[[], float] = time.time,
        every_s: float = 5.0,
        leaving: Leaving = never_read,
    ) -> None:
        """`in_use`: whether a series is being read or retrieved. `leaving`: entered around deleting
        one, whose readers wait then. `followed`: asked before each
        series, so that what others stored is known to be data. `clock`: seconds since the epoch.
        `every_s`: how often the limits are looked at when nobody wakes it."""
        self._book = book
        self._archive = archive
        self._room = Room(archive)
        self._in_use = in_use
        self._limits = limits
        self._locks = locks
        self._followed = followed
        self._clock = clock
        self._every_s = every_s
        self._leaving = leaving
        self._one_at_a_time = threading.Lock()
        self._woken = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="farsight-evict", daemon=True)
        self.statistics = EvictionStatistics()

    @property
    def limits(self) -> EvictionLimits:
        return self._limits

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Something was stored: the limits are looked at soon. Returns at once."""
        self._woken.set()

    def close(self, deadline_s: float) -> None:
        """Lets it finish the series it is at, for at most that long."""
        self._closing.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(deadline_s)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self.keep_to_limits()
            except FarsightError as error:
                LOG.error("eviction: %s", error)
                self.statistics.failed(str(error))
            except Exception:  # the edge of this thread: were it to end, the disk would fill
                LOG.exception("eviction")
            self._closing.wait(_PAUSE_S)
            self._woken.wait(self._every_s)
            self._woken.clear()

    # ---- what is evicted

    def keep_to_limits(self) -> None:
        """Evicts until every limit is kept or nothing more may go. Raises: ArchiveError,
        CacheBookError."""
        limits = self._limits
        obstacles: dict[SeriesRef, Obstacle] = {}
        if limits.max_age_s:
            used_before = self._clock() - limits.max_age_s
            self._evict_while(lambda _freed_bytes: True, Why.AGE, obstacles, used_before)
        if limits.max_bytes:
            self._evict_while(lambda _freed_bytes: self._is_above_size(), Why.SIZE, obstacles)
        if limits.min_free_bytes:
            self._evict_while(self._room.short_of(limits.min_free_bytes), Why.ROOM, obstacles)
        kept = not (self._is_above_size() or self._room.lacking(limits.min_free_bytes) > 0)
        self.statistics.ran(self._clock(), obstacles.values(), kept=kept)

    def make_room(self, needed_bytes: int) -> bool:
        """Before so much is stored: evicts until it fits and the reserve is left beside it.

        False: it doesn't, because nothing more may go or the storage gives room back late; storing
        is to be refused with ArchiveFull.
        Raises: ArchiveError, CacheBookError.
        """
        wanted = needed_bytes + self._limits.reserve_bytes
        if self._room.lacking(wanted) <= 0:
            return True
        obstacles: dict[SeriesRef, Obstacle] = {}
        self._evict_while(self._room.short_of(wanted), Why.ROOM, obstacles)
        enough = self._room.lacking(wanted) <= 0
        self.statistics.ran(self._clock(), obstacles.values(), kept=enough)
        if not enough:
            LOG.error("no room for %d bytes now, after all that may go for it", needed_bytes)
        return enough

    def evict_study(self, study_instance_uid: str) -> Evicted:
        """All of a study, whenever it was used.

        Raises: NotFound where nothing of it is stored, Conflict where some of it is data or in
        use, ArchiveError, CacheBookError.
        """
        booked = self._book.of_study(study_instance_uid)
        self._check_study(study_instance_uid, booked)
        evicted = Evicted()
        for one in booked:
            outcome = self._evict(one.series, Why.ASKED)
            if isinstance(outcome, Obstacle) and outcome is not Obstacle.GONE:
                raise Conflict(
                    f"series {one.series.series_instance_uid} can't be evicted: {outcome}"
                    f" ({evicted.series} series of the study were)"
                )
            if isinstance(outcome, Evicted):
                evicted += outcome
        return evicted

    def _check_study(self, study_instance_uid: str, booked: Sequence[BookedSeries]) -> None:
        stored = self._archive.study_instances(study_instance_uid)
        if not booked and not stored:
            raise NotFound(f"nothing of study {study_instance_uid} is stored")
        known = [one for series in booked for one in self._book.instances(series.series)]
        names = {instance.ref.sop_instance_uid for instance in known}
        unbooked = sum(uid not in names for uids in stored.values() for uid in uids)
        unconfirmed = unbooked + sum(one.unconfirmed for one in booked)
        if unconfirmed:
            raise Conflict(
                f"of {unconfirmed} instances of the study no PACS is known to have a copy"
            )
        busy = sum(self._in_use(one.series) for one in booked)
        if busy:
            raise Conflict(f"{busy} series of the study are being read or retrieved")

    # ---- the limits

    def _is_above_size(self) -> bool:
        most = self._limits.max_bytes
        return bool(most) and self._book.totals().size_bytes > most

    # ---- one after the other

    def _evict_while(
        self,
        wanted: Wanted,
        why: Why,
        obstacles: dict[SeriesRef, Obstacle],
        used_before: float | None = None,
    ) -> None:
        """`obstacles`: the series that may not go in this run; more are added.

        Several runs at once take turns, so that whoever stores waits for one series at most.
        """
        freed_bytes = 0
        candidates = self._candidates(obstacles, used_before)
        while not self._closing.is_set():
            with self._one_at_a_time:
                series = next(candidates, None) if wanted(freed_bytes) else None
                if series is None:
                    return
                outcome = self._evict(series, why)
            if isinstance(outcome, Obstacle):
                obstacles[series] = outcome
            else:
                freed_bytes += outcome.size_bytes

    def _candidates(
        self, obstacles: dict[SeriesRef, Obstacle], used_before: float | None
    ) -> Iterator[SeriesRef]:
        while True:
            found = self._book.evictable(len(obstacles) + _BATCH, used_before=used_before)
            fresh = [one.series for one in found if one.series not in obstacles]
            if not fresh:
                return
            yield from fresh

    def _evict(self, series: SeriesRef, why: Why) -> Evicted | Obstacle:
        if not self._followed(_BEHIND_S):  # before the lock: what follows may need it
            return Obstacle.BEHIND
        with self._locks.of(series):
            booked = self._book.one(series)
            obstacle = self._obstacle(booked, why)
            if obstacle is not None:
                return obstacle
            chosen = self._book.instances(series)
            if not all(instance.held_by for instance in chosen):
                return Obstacle.UNCONFIRMED
            with self._leaving(series) as may_go:
                if not may_go or self._in_use(series):
                    return Obstacle.IN_USE
                return self._delete(series, chosen, why)

    def _obstacle(self, booked: BookedSeries | None, why: Why) -> Obstacle | None:
        if booked is None:
            return Obstacle.GONE
        if booked.unconfirmed:
            return Obstacle.UNCONFIRMED
        if self._in_use(booked.series):
            return Obstacle.IN_USE
        if why is not Why.ASKED and 0 <= self._clock() - booked.used_at < _SETTLED_S:
            return Obstacle.JUST_USED
        return None

    def _delete(
        self, series: SeriesRef, chosen: Sequence[BookedInstance], why: Why
    ) -> Evicted | Obstacle:
        """The series' lock is held."""
        failure: ArchiveError | None = None
        record: Completeness | None = None
        try:
            record = self._archive.completeness(series)
            if record is not None:
                self._archive.mark_complete(series, replace(record, expected=_NEVER_WHOLE))
            self._archive.delete([instance.ref for instance in chosen])
        except ArchiveError as error:
            LOG.error("series %s: evicting it failed: %s", series.series_instance_uid, error)
            self.statistics.failed(str(error))
            failure = error
            self._archive.reload(series.study_instance_uid)
        gone = [instance for instance in chosen if not self._archive.holds(instance.ref)]
        if failure is not None and record is not None and not gone:
            self._put_back(series, record)
        self._book.gone([instance.resource_id for instance in gone])
        evicted = Evicted(
            int(len(gone) == len(chosen)), len(gone), sum(instance.size_bytes for instance in gone)
        )
        self.statistics.evicted(why, evicted)
        if len(gone) < len(chosen):
            if failure is None:
                self.statistics.failed("the archive did not delete all it was told to")
            return Obstacle.FAILED
        LOG.info(
            "series %s evicted (%s): %d instances, %d bytes",
            series.series_instance_uid, why, evicted.instances, evicted.size_bytes,
        )  # fmt: skip
        return evicted

    def _put_back(self, series: SeriesRef, record: Completeness) -> None:
        """All of it is still there. The series' lock is held."""
        try:
            self._archive.mark_complete(series, record)
        except ArchiveError as error:  # it is fetched again when asked for
            LOG.error("series %s is not called whole: %s", series.series_instance_uid, error)
