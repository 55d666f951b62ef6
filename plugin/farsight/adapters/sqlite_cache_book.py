"""The account of what is stored, in one SQLite file beside Orthanc's own.

Laws:
- Totals are kept by triggers in the transaction of what they count: they can't drift from it.
- Whatever has returned survives the end of the process. A power cut may take the last moments
  with it, always the latest first: what is lost so is data, or is booked again at the next start.
- The one loss that could do harm is that of a claim, where the disk still says that a PACS holds
  the instance. So a claim waits for the disk wherever it may say that.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from farsight.adapters import cache_book_schema as sql
from farsight.adapters.cache_book_runs import Run
from farsight.adapters.cache_book_touches import Touches
from farsight.errors import CacheBookError
from farsight.model import InstanceRef, SeriesRef
from farsight.ports.cache_book import BookedInstance, BookedSeries, BookTotals

LOG = logging.getLogger("farsight.cache")

_FLUSH_S = 5.0
#: For a process before this one that is still ending.
_WAIT_S = 5.0


class SqliteCacheBook:
    """The CacheBook port. One process at a time has the file. Thread-safe."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        """`clock`: seconds since the epoch. Raises: CacheBookError."""
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._touches = Touches(clock)
        #: Whether that could not be written down when it was last tried.
        self._is_stuck = False
        self.has_caught_up = False
        self._closing = threading.Event()
        with self._wrapped():
            self._database = sqlite3.connect(
                path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
            )
        try:
            with self._wrapped():
                sql.prepare(self._database)
                self._run = Run(self._database, path)
        except CacheBookError:
            self._database.close()
            raise
        #: Whether the disk may still show as held what is gone here already: the run before may
        #: have ended before it waited for that.
        self._gone_unsynced = not self._run.ended_well
        self._thread = threading.Thread(target=self._flush_often, name="farsight-book", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """See ports.CacheBook. A second time does nothing."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._thread.join(_FLUSH_S)
        try:
            with self._reading():  # the last accesses are written down
                if self.has_caught_up:
                    self._database.execute(sql.CLOSED)
        except CacheBookError as error:  # the next start looks at what was stored last
            LOG.error("%s", error)
        finally:
            self._database.close()

    # ---- what happens to instances

    def expect(self, ref: InstanceRef, size_bytes: int, pacs: str) -> None:
        """See ports.CacheBook."""
        with self._writing():
            if not self._insert(ref, size_bytes, pacs):
                self._database.execute(sql.DOUBT, sql.names(ref))

    def claim(self, refs: Collection[InstanceRef]) -> None:
        """See ports.CacheBook."""
        with self._writing():
            if len(refs) == 1 and not self._gone_unsynced and self._is_first(*refs):
                return
            if not (self._gone_unsynced or any(self._is_held(ref) for ref in refs)):
                with sql.transaction(self._database):
                    self._claim(refs)
                return
            with sql.on_the_disk(self._database), sql.transaction(self._database):
                self._claim(refs)
                # Also where nothing changes: there has to be something to wait for.
                self._database.execute(sql.MARK_CLAIM)
            self._gone_unsynced = False

    def _claim(self, refs: Collection[InstanceRef]) -> None:
        for ref in refs:
            if not self._insert(ref, 0, ""):
                self._database.execute(sql.CLAIM, sql.names(ref))

    def stored(self, ref: InstanceRef, resource_id: str, size_bytes: int) -> None:
        """See ports.CacheBook."""
        values = (resource_id, size_bytes, *sql.names(ref))
        with self._writing():
            # One statement where it can be: each is a turn of the interpreter's lock.
            if self._database.execute(sql.STORED, values).rowcount == 0:
                with sql.transaction(self._database):
                    self._insert(ref, size_bytes, "")
                    self._database.execute(sql.STORED, values)
        self.touch((ref.series,), self._clock())

    def gone(self, resource_ids: Collection[str]) -> None:
        """See ports.CacheBook."""
        with self._writing(), sql.transaction(self._database):
            self._gone_unsynced = self._gone_unsynced or bool(resource_ids)
            series: set[int] = set()
            for resource_id in resource_ids:
                found = self._database.execute(sql.OF_RESOURCE, (resource_id,)).fetchall()
                series.update(number for (number,) in found)
                self._database.execute(sql.GONE, (resource_id,))
            self._database.executemany(sql.DROP_EMPTY, [(number, number) for number in series])

    def confirmed(self, refs: Collection[InstanceRef], pacs: str) -> None:
        """See ports.CacheBook."""
        with self._writing(), sql.transaction(self._database):
            for ref in refs:
                self._database.execute(sql.CONFIRM, (pacs, *sql.names(ref)))

    def _is_first(self, ref: InstanceRef) -> bool:
        """Claims, in one statement, what was never booked, of a series that was."""
        study, series, sop = sql.names(ref)
        return self._database.execute(sql.INSERT, (sop, 0, "", study, series)).rowcount > 0

    def _insert(self, ref: InstanceRef, size_bytes: int, pacs: str) -> bool:
        """False where it was booked before, whatever as."""
        study, series, sop = sql.names(ref)
        values = (sop, size_bytes, pacs, study, series)
        if self._database.execute(sql.INSERT, values).rowcount > 0:
            return True
        if self._database.execute(sql.ADD_SERIES, (study, series, self._clock())).rowcount > 0:
            return self._database.execute(sql.INSERT, values).rowcount > 0
        return False

    def _is_held(self, ref: InstanceRef) -> bool:
        return self._database.execute(sql.IS_HELD, sql.names(ref)).fetchone() is not None

    # ---- when it was used

    def touch(self, series: Iterable[SeriesRef], used_at: float) -> None:
        """See ports.CacheBook. Written down some seconds later."""
        self._touches.note(series, used_at)

    def _flush_often(self) -> None:
        while not self._closing.wait(_FLUSH_S):
            try:
                with self._reading():
                    pass
            except CacheBookError as error:
                LOG.error("%s", error)

    def _flush(self) -> None:
        if touched := self._touches.take():
            now = self._clock()
            rows = [
                (used_at, now, one.study_instance_uid, one.series_instance_uid)
                for one, used_at in touched.items()
            ]
            try:
                self._run.begin()
                with sql.transaction(self._database):
                    self._database.executemany(sql.USED, rows)
            except (sqlite3.Error, OSError):
                for one, used_at in touched.items():
                    self.touch((one,), used_at)
                raise

    # ---- what is booked

    def one(self, series: SeriesRef) -> BookedSeries | None:
        """See ports.CacheBook."""
        names = (series.study_instance_uid, series.series_instance_uid)
        with self._reading():
            row = self._database.execute(sql.ONE, names).fetchone()
        return None if row is None else sql.series_of(row)

    def of_study(self, study_instance_uid: str) -> Sequence[BookedSeries]:
        """See ports.CacheBook."""
        with self._reading():
            rows = self._database.execute(sql.OF_STUDY, (study_instance_uid,)).fetchall()
        return [sql.series_of(row) for row in rows]

    def instance(self, ref: InstanceRef) -> BookedInstance | None:
        """See ports.CacheBook."""
        with self._wrapped(), self._lock:
            row = self._database.execute(sql.INSTANCE, sql.names(ref)).fetchone()
        return None if row is None else BookedInstance(ref, *row)

    def instances(self, series: SeriesRef) -> Sequence[BookedInstance]:
        """See ports.CacheBook."""
        names = (series.study_instance_uid, series.series_instance_uid)
        with self._reading():
            rows = self._database.execute(sql.INSTANCES, names).fetchall()
        return [
            BookedInstance(InstanceRef(*names, sop), resource_id, size_bytes, held_by)
            for sop, resource_id, size_bytes, held_by in rows
        ]

    def evictable(self, most: int, *, used_before: float | None = None) -> Sequence[BookedSeries]:
        """See ports.CacheBook."""
        before = float("inf") if used_before is None else used_before
        with self._reading():
            rows = self._database.execute(sql.EVICTABLE, (before, most)).fetchall()
        return [sql.series_of(row) for row in rows]

    def totals(self) -> BookTotals:
        """See ports.CacheBook."""
        with self._wrapped(), self._lock:
            return BookTotals(*self._database.execute(sql.TOTALS).fetchone())

    def resource_ids(self) -> frozenset[str]:
        """See ports.CacheBook."""
        with self._wrapped(), self._lock:
            return frozenset(found for (found,) in self._database.execute(sql.RESOURCE_IDS))

    def doubtful_ids(self) -> frozenset[str]:
        """See ports.CacheBook."""
        with self._wrapped(), self._lock:
            return frozenset(found for (found,) in self._database.execute(sql.DOUBTFUL))

    def left_claims(self) -> Sequence[InstanceRef]:
        """See ports.CacheBook."""
        with self._wrapped(), self._lock:
            rows = self._database.execute(sql.LEFT, (not self._run.has_begun,))
            return [InstanceRef(*row) for row in rows]

    def drop_left_claims(self) -> None:
        """See ports.CacheBook."""
        with self._writing():
            self._database.execute(sql.DROP_LEFT)

    def expects(self, ref: InstanceRef, size_bytes: int) -> bool:
        """See ports.CacheBook."""
        with self._wrapped(), self._lock:
            found = self._database.execute(sql.EXPECTS, (*sql.names(ref), size_bytes))
            return found.fetchone() is not None

    @property
    def is_new(self) -> bool:
        """See ports.CacheBook."""
        with self._wrapped(), self._lock:
            return self._database.execute(sql.CAUGHT_UP).fetchone() is None

    def caught_up(self) -> None:
        """See ports.CacheBook."""
        with self._writing():
            self._database.execute(sql.CATCH_UP)
            self.has_caught_up = True

    @property
    def ended_well(self) -> bool:
        """See ports.CacheBook."""
        return self._run.ended_well

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._wrapped(), self._lock:
            self._run.begin()
            yield

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What was touched is written down first: it counts from the moment it was told.

        Where it can't be, say because the disk is full, that is no reason not to read: who makes
        room has to. It is tried again.
        """
        with self._wrapped(), self._lock:
            try:
                self._flush()
                self._is_stuck = False
            except (sqlite3.Error, OSError) as error:
                if not self._is_stuck:
                    LOG.error("accesses are not written down: %s", sql.explained(self._path, error))
                self._is_stuck = True
            yield

    @contextmanager
    def _wrapped(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise sql.explained(self._path, error) from error
