"""Reading again what a PACS has, and comparing it with what is stored here.

Laws:
- Only what was compared, and found to be the same, is confirmed; under the lock of its series, so
  that it is what is stored.
- Nothing is stored, replaced or deleted by this. A PACS that can't send but to the archive itself
  is not asked: it could overwrite what it is to be compared with.
- One instance at a time is in memory, and viewers go first.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from farsight.dicom.elements import DicomObject
from farsight.dicom.part10 import parse_object
from farsight.errors import (
    ArchiveError,
    Conflict,
    FarsightError,
    MalformedDicom,
    NotFound,
    PacsError,
)
from farsight.model import InstanceRef, ReceivedInstance, SeriesRef
from farsight.ports.archive import Archive
from farsight.ports.pacs import Pacs
from farsight.services.same_content import Verdict, compared
from farsight.services.series_locks import SeriesLocks
from farsight.services.source_listing import Listing, SourceListing
from farsight.services.verification_report import Finding, Job, JobReport, JobState, SeriesTally

LOG = logging.getLogger("farsight.verify")

_MOST_KEPT = 20
_MOST_WAITING = 10
_AT_ONCE = 20
_LONGEST_PAUSE_S = 30.0
_FINDINGS = {
    Verdict.SAME: Finding.SAME,
    Verdict.DIFFERS: Finding.DIFFERS,
    Verdict.OTHER_SYNTAX: Finding.OTHER_SYNTAX,
}


#: Whoever has to know that a PACS holds just what is stored here; with the lock of its series.
Confirm = Callable[[InstanceRef, str], object]


class _Stopped(FarsightError):
    """Farsight stops: nothing more is compared."""


class Verifier:
    """One daemon thread, job after job. Thread-safe."""

    def __init__(
        self,
        sources: Sequence[Pacs],
        archive: Archive,
        confirm: Confirm,
        locks: SeriesLocks,
        moves: Callable[[Pacs], bool],
        is_busy: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`confirm`: told what a PACS was found to hold. `moves`: whether a PACS sends by C-MOVE
        only. `is_busy`: whether somebody waits for a PACS now. `clock`: seconds since the epoch."""
        self._listing = SourceListing(sources)
        self._archive = archive
        self._confirm = confirm
        self._locks = locks
        self._moves = moves
        self._is_busy = is_busy
        self._clock = clock
        self._lock = threading.Lock()
        self._jobs: deque[Job] = deque()
        self._numbers = 0
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="farsight-verify", daemon=True)
        self._thread.start()

    def submit(self, study_instance_uids: Sequence[str]) -> JobReport:
        """Begins, and doesn't wait. Raises: Conflict where too many wait already."""
        with self._lock:
            waiting = [job for job in self._jobs if not job.is_over]
            if len(waiting) >= _MOST_WAITING:
                raise Conflict(f"{len(waiting)} verifications are waiting or running already")
            self._numbers += 1
            job = Job(self._numbers, list(dict.fromkeys(study_instance_uids)), self._clock())
            self._jobs.appendleft(job)
            over = [one for one in self._jobs if one.is_over]
            for oldest in over[max(0, _MOST_KEPT - len(waiting) - 1) :]:
                self._jobs.remove(oldest)
        self._queue.put(job)
        return job.report()

    def jobs(self) -> list[JobReport]:
        """Newest first."""
        with self._lock:
            jobs = list(self._jobs)
        return [job.report() for job in jobs]

    def close(self, deadline_s: float) -> None:
        """Stops with the instance it is at, waiting for that at most so long."""
        self._closing.set()
        self._queue.put(None)
        self._thread.join(deadline_s)

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            job.begun(self._clock())
            state = JobState.STOPPED
            try:
                for study in job.studies:
                    self._verify_study(study, job)
                state = JobState.DONE
            except _Stopped:
                LOG.info("verification %d stopped", job.number)
            except Exception:  # the edge of this thread: were it to end, no more would be verified
                LOG.exception("verification %d", job.number)
            job.ended(self._clock(), state)

    def _verify_study(self, study_instance_uid: str, job: Job) -> None:
        if self._closing.is_set():
            raise _Stopped("Farsight stops")
        try:
            stored = self._archive.study_instances(study_instance_uid)
            if not stored:
                raise NotFound("nothing of it is stored")
            job.will_do(len(stored))
            for uid, names in sorted(stored.items()):
                tally = SeriesTally(SeriesRef(study_instance_uid, uid))
                try:
                    self._verify_series(tally, frozenset(names), job)
                finally:
                    job.did(tally.report())
        except _Stopped:
            raise
        except FarsightError as error:
            LOG.warning("verification of study %s: %s", study_instance_uid, error)
            job.failed(study_instance_uid, str(error))

    def _verify_series(self, tally: SeriesTally, stored: frozenset[str], job: Job) -> None:
        try:
            listings, doubt = self._listing.series_instances(tally.series)
        except NotFound:
            for uid in stored:
                tally.found(uid, Finding.ONLY_HERE)
            return
        except PacsError as error:
            tally.warnings[str(error)] = None
            for uid in stored:
                tally.found(uid, Finding.NOT_LISTED)
            return
        if doubt:
            tally.warnings[doubt] = None
        is_sure = not doubt and all(listing.expected.listed for listing in listings)
        for uid in stored:
            tally.found(uid, Finding.ONLY_HERE if is_sure else Finding.NOT_LISTED)
        for listing in listings:
            tally.pacs.append(listing.pacs.name)
            for uid in listing.expected.instances.keys() - stored:
                tally.found(uid, Finding.ONLY_AT_PACS)
            try:
                self._beside(listing, stored, tally, job)
            except PacsError as error:
                tally.warnings[str(error)] = None

    def _beside(
        self, listing: Listing, stored: frozenset[str], tally: SeriesTally, job: Job
    ) -> None:
        """With one PACS what it has as well. Raises: PacsError, _Stopped."""
        names = listing.expected.instances
        both = [uid for uid in sorted(stored) if uid in names and tally.lacks(uid)]
        for uid in both:
            tally.found(uid, Finding.NOT_DELIVERED)
        if self._moves(listing.pacs):
            tally.warnings[f"PACS {listing.pacs.name!r} sends by C-MOVE only"] = None
            return
        if not listing.expected.listed:
            self._read(listing, (), stored, tally, job)
        asked = iter(both)
        while chunk := list(islice(asked, _AT_ONCE)):
            self._read(listing, chunk, stored, tally, job)
            if self._moves(listing.pacs):  # learned by this
                return

    def _read(
        self,
        listing: Listing,
        sop_instance_uids: Sequence[str],
        stored: frozenset[str],
        tally: SeriesTally,
        job: Job,
    ) -> None:
        self._let_others_go_first()
        pacs = listing.pacs.name

        def take(received: ReceivedInstance) -> None:
            if self._closing.is_set():
                raise _Stopped("Farsight stops")
            uid = received.sop_instance_uid
            if uid in stored and tally.lacks(uid):
                tally.found(uid, self._compare(received, tally.series, pacs))
                job.compared()

        listing.pacs.retrieve(
            tally.series.study_instance_uid,
            tally.series.series_instance_uid,
            sop_instance_uids,
            listing.classes_of(sop_instance_uids, 0),
            take,
        )

    def _let_others_go_first(self) -> None:
        until = time.monotonic() + _LONGEST_PAUSE_S
        while self._is_busy() and time.monotonic() < until and not self._closing.is_set():
            self._closing.wait(0.2)
        if self._closing.is_set():
            raise _Stopped("Farsight stops")

    def _compare(self, received: ReceivedInstance, series: SeriesRef, pacs: str) -> Finding:
        ref = InstanceRef(
            series.study_instance_uid, series.series_instance_uid, received.sop_instance_uid
        )
        try:
            sent = parse_object(received.part10)
        except MalformedDicom:
            return Finding.UNREADABLE_AT_PACS
        if _ref_of(sent) != ref:
            return Finding.DIFFERS
        with self._locks.of(series):
            try:
                stored = parse_object(self._archive.read(ref))
                finding = _FINDINGS[compared(stored, sent)]
            except NotFound:
                return Finding.GONE
            except (ArchiveError, MalformedDicom) as error:
                LOG.error("instance %s can't be compared: %s", ref.sop_instance_uid, error)
                return Finding.UNREADABLE_HERE
            if finding is Finding.SAME:
                self._confirm(ref, pacs)
            return finding


def _ref_of(instance: DicomObject) -> InstanceRef:
    return InstanceRef(
        instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid
    )
