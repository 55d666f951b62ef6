"""Getting what isn't here: one flight per series, instances out of turn, nothing called complete
that isn't.

Laws:
- A series is complete only when every instance a PACS lists for it is stored; that is recorded
  with the series, and only then is it served without asking the PACS.
- A short retrieve is repeated for what is missing, at IMAGE level, before it is called short.
- What a PACS sends is taken only under the UIDs it carries itself: an instance of another
  series never counts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from farsight.dicom.elements import DicomObject
from farsight.dicom.part10 import parse_object
from farsight.errors import (
    ArchiveError,
    FarsightError,
    MalformedDicom,
    NotFound,
    PacsError,
    PacsTimeout,
    RetrieveIncomplete,
)
from farsight.model import Completeness, InstanceRef, ReceivedInstance, SeriesRef
from farsight.ports.archive import Archive
from farsight.ports.pacs import Pacs
from farsight.services.bulk_queue import BulkQueue
from farsight.services.memory_tier import MemoryTier
from farsight.services.persist import Persister
from farsight.services.series_flight import SeriesFlight
from farsight.services.source_listing import SourceListing

LOG = logging.getLogger("farsight.retrieve")


@dataclass(frozen=True, slots=True)
class RetrieveLimits:
    """passes: how often what is missing is asked for. wait_s: how long a client may wait."""

    passes: int = 3
    backoff_s: float = 0.25
    wait_s: float = 600.0
    bulk_threads: int = 4
    associations_per_study: int = 2


@dataclass(frozen=True, slots=True)
class Holdings:
    """What there is of a series, and the warning to send along when that may not be all."""

    series: SeriesRef
    sop_instance_uids: tuple[str, ...]
    warning: str | None = None


class RetrieveService:
    """Makes series and instances present in memory or archive. Thread-safe; calls block."""

    def __init__(
        self,
        sources: Sequence[Pacs],
        archive: Archive,
        tier: MemoryTier,
        persister: Persister,
        limits: RetrieveLimits,
    ) -> None:
        self._sources = {pacs.name: pacs for pacs in sources}
        self._listing = SourceListing(sources)
        self._archive = archive
        self._tier = tier
        self._persister = persister
        self._limits = limits
        self._bulk = BulkQueue(limits.bulk_threads, limits.associations_per_study)
        self._lock = threading.Lock()
        self._flights: dict[SeriesRef, SeriesFlight] = {}
        self._single: dict[InstanceRef, _SingleFetch] = {}

    def close(self) -> None:
        self._bulk.close()

    # ---- series

    def ensure_series(self, series: SeriesRef) -> Holdings:
        """Blocks until the series is here.

        Raises: NotFound, PacsError (nothing here and the PACS failed, or it failed in the
        middle), ArchiveError. A series the PACS can't deliver whole comes with a warning.
        """
        started = self.start_series(series)
        return self.settle_series(series, started)

    def start_series(self, series: SeriesRef) -> SeriesFlight | None:
        """Begins to fetch a series unless it is complete here; None if it is."""
        flight = self._flight_of(series)
        if flight is not None and flight.error is None:
            return flight
        if self._is_complete(series):
            return None
        with self._lock:
            flight = self._flights.get(series)
            if flight is not None and flight.error is None:
                return flight
            flight = started = SeriesFlight(series)
            self._flights[series] = started
        self._bulk.submit(series.study_instance_uid, lambda: self._fly(started))
        return started

    def _flight_of(self, series: SeriesRef) -> SeriesFlight | None:
        with self._lock:
            return self._flights.get(series)

    def settle_series(self, series: SeriesRef, flight: SeriesFlight | None) -> Holdings:
        """Waits for what start_series began."""
        if flight is None:
            return Holdings(series, tuple(sorted(self._stored(series))))
        if not flight.wait_all_here(self._limits.wait_s):
            raise PacsTimeout(flight.source, f"series not retrieved in {self._limits.wait_s:g} s")
        in_memory = self._tier.instances(series)  # first: what is stored next may leave memory
        here = in_memory | self._stored(series)
        error = flight.error
        if error is None:
            return Holdings(series, tuple(sorted(here)))
        if isinstance(error, NotFound) and here:
            return Holdings(series, tuple(sorted(here)))
        may_be_short = isinstance(error, RetrieveIncomplete) or flight.expected is None
        if isinstance(error, PacsError) and may_be_short and here:
            return Holdings(series, tuple(sorted(here)), warning=str(error))
        raise error

    def _is_complete(self, series: SeriesRef) -> bool:
        record = self._archive.completeness(series)
        return record is not None and len(self._stored(series)) >= record.expected

    def _stored(self, series: SeriesRef) -> frozenset[str]:
        held = self._archive.study_instances(series.study_instance_uid)
        return frozenset(held.get(series.series_instance_uid, ()))

    def _fly(self, flight: SeriesFlight) -> None:
        """The fetching thread of one flight."""
        try:
            pacs, expected = self._listing.instances(flight.series)
            flight.expect(pacs.name, expected, self._stored(flight.series) & expected.keys())
            self._fetch_missing(pacs, flight)
        except FarsightError as error:
            LOG.warning("series %s: %s", flight.series.series_instance_uid, error)
            flight.fail(error)
        except BaseException:
            flight.fail(FarsightError("the retrieve ended by an internal error"))
            raise
        finally:
            flight.fetched()
            self._land(flight)

    def _fetch_missing(self, pacs: Pacs, flight: SeriesFlight) -> None:
        expected = flight.expected or {}
        failure: PacsError | None = None
        for attempt in range(self._limits.passes):
            missing = flight.missing()
            if not missing:
                return
            if attempt:
                time.sleep(self._limits.backoff_s * 2 ** (attempt - 1))
            failure = self._one_pass(pacs, flight, missing, whole=len(missing) == len(expected))
        if missing := flight.missing():
            received = len(expected) - len(missing)
            raise failure or RetrieveIncomplete(pacs.name, received, len(expected))

    def _one_pass(
        self, pacs: Pacs, flight: SeriesFlight, missing: Collection[str], *, whole: bool
    ) -> PacsError | None:
        """Asks once; a failure is returned, because another pass may mend it."""
        series = flight.series
        expected = flight.expected or {}
        classes = sorted({expected[uid] for uid in missing} - {""})
        try:
            pacs.retrieve(
                series.study_instance_uid,
                series.series_instance_uid,
                () if whole else sorted(missing),
                classes if all(expected[uid] for uid in missing) else (),
                lambda received: self._take(received, series, flight),
            )
        except PacsError as error:
            return error
        finally:
            self._note_stored(flight)
        return None

    def _note_stored(self, flight: SeriesFlight) -> None:
        """Counts what reached the archive by other ways, C-MOVE above all."""
        if flight.missing():
            self._archive.reload(flight.series.study_instance_uid)
            flight.stored(self._stored(flight.series))

    def stored_elsewhere(self, ref: InstanceRef) -> None:
        """Tells that the archive took an instance that didn't come through here."""
        flight = self._flight_of(ref.series)
        if flight is not None:
            flight.stored(frozenset((ref.sop_instance_uid,)))
            self._land(flight)

    def _take(
        self, received: ReceivedInstance, wanted: SeriesRef, flight: SeriesFlight | None
    ) -> None:
        """One instance from the wire: into memory, on to storing, and told to whoever waits."""
        try:
            instance = parse_object(received.part10)
            ref = _ref_of(instance)
        except MalformedDicom as error:
            LOG.error("instance %s is not readable: %s", received.sop_instance_uid, error)
            return
        if ref.series != wanted or ref.sop_instance_uid != received.sop_instance_uid:
            LOG.error(
                "instance %s came with series %s, asked was %s: ignored",
                received.sop_instance_uid,
                ref.series_instance_uid,
                wanted.series_instance_uid,
            )
            return
        if flight is not None and isinstance(flight.error, ArchiveError):
            raise flight.error
        if ref.sop_instance_uid in self._stored(ref.series):
            self._tier.add_stored(ref, instance)
        elif self._tier.add_unstored(ref, instance):
            self._persister.submit(ref, instance, self._stored_one)
        if flight is not None:
            flight.arrived(ref.sop_instance_uid, len(received.part10))

    def _stored_one(self, ref: InstanceRef, failure: ArchiveError | None) -> None:
        flight = self._flight_of(ref.series)
        if flight is None:
            return
        if failure is not None:
            flight.fail(failure)
        else:
            flight.stored(frozenset((ref.sop_instance_uid,)))
        self._land(flight)

    def _land(self, flight: SeriesFlight) -> None:
        """Ends a flight when it is over; leaves the record if the series is whole."""
        if not flight.may_land():
            return
        expected = flight.expected
        if flight.error is None and expected is not None:
            stored = len(self._stored(flight.series) & expected.keys())
            if stored == len(expected):
                now = datetime.now(UTC).isoformat(timespec="seconds")
                record = Completeness(len(expected), stored, flight.source, now)
                try:
                    self._archive.mark_complete(flight.series, record)
                except ArchiveError as error:
                    LOG.error("series %s: %s", flight.series.series_instance_uid, error)
        with self._lock:
            if self._flights.get(flight.series) is flight:
                del self._flights[flight.series]

    # ---- single instances

    def ensure_instance(self, ref: InstanceRef) -> None:
        """Blocks until one instance is here; it doesn't wait for its series.

        Raises: NotFound, PacsError, ArchiveError.
        """
        while not self._is_here(ref):
            with self._lock:
                fetch = self._single.get(ref)
                mine = fetch is None
                if fetch is None:
                    fetch = self._single[ref] = _SingleFetch()
            if mine:
                self._fetch_single(ref, fetch)
            elif not fetch.done.wait(self._limits.wait_s):
                raise PacsTimeout("", f"instance not retrieved in {self._limits.wait_s:g} s")
            if fetch.error is not None:
                raise fetch.error

    def _is_here(self, ref: InstanceRef) -> bool:
        return ref in self._tier or ref.sop_instance_uid in self._stored(ref.series)

    def _fetch_single(self, ref: InstanceRef, fetch: _SingleFetch) -> None:
        try:
            pacs, sop_class_uid = self._listing.instance(ref)
            pacs.retrieve(
                ref.study_instance_uid,
                ref.series_instance_uid,
                (ref.sop_instance_uid,),
                (sop_class_uid,) if sop_class_uid else (),
                lambda received: self._take(received, ref.series, self._flight_of(ref.series)),
                urgent=True,
            )
            if not self._is_here(ref):
                self._archive.reload(ref.study_instance_uid)
            if not self._is_here(ref):
                raise RetrieveIncomplete(pacs.name, 0, 1)
        except FarsightError as error:
            fetch.error = error
        finally:
            with self._lock:
                del self._single[ref]
            fetch.done.set()

    # ---- studies

    def study_series(self, study_instance_uid: str) -> tuple[tuple[SeriesRef, ...], str | None]:
        """The series of a study, at the PACS and here, and a warning if a PACS didn't answer.

        Raises: NotFound, PacsError when nothing is here either.
        """
        here = set(self._archive.study_instances(study_instance_uid))
        warning = None
        try:
            here |= set(self._listing.series(study_instance_uid))
        except PacsError as error:
            if not here:
                raise
            warning = str(error)
        if not here:
            raise NotFound(f"study {study_instance_uid} is unknown here and at every PACS")
        return tuple(SeriesRef(study_instance_uid, uid) for uid in sorted(here)), warning

    def progress(self) -> list[dict[str, object]]:
        """The flights under way, oldest first."""
        with self._lock:
            flights = sorted(self._flights.values(), key=lambda flight: flight.started_at)
        return [flight.progress() for flight in flights]

    def instance(self, ref: InstanceRef) -> DicomObject:
        """The parsed instance: from memory, from the archive, or fetched.

        Raises: as ensure_instance, MalformedDicom.
        """
        for _ in range(2):
            self.ensure_instance(ref)
            found = self._tier.get(ref)
            if found is not None:
                return found
            try:
                found = parse_object(self._archive.read(ref))
            except NotFound:
                continue  # deleted behind our back; the archive has noticed by now
            self._tier.add_stored(ref, found)
            return found
        raise NotFound(f"instance {ref.sop_instance_uid} was deleted while it was read")


class _SingleFetch:
    """One instance being fetched out of turn; others who want it wait for `done`."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.error: FarsightError | None = None


def _ref_of(instance: DicomObject) -> InstanceRef:
    uids = (
        instance.study_instance_uid,
        instance.series_instance_uid,
        instance.sop_instance_uid,
    )
    if not all(uids):
        raise MalformedDicom("study, series or instance UID is missing")
    return InstanceRef(*uids)
