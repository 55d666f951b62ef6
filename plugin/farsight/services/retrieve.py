"""Getting what isn't here: each series once, instances out of turn, nothing called complete that
isn't.

Laws:
- A series is complete only when every instance a PACS lists for it is stored; that is recorded
  with the series, and only then is it served without asking the PACS.
- A short retrieve is repeated for what is missing, at IMAGE level, before it is called short.
- What a PACS sends is taken only under the UIDs it carries itself: an instance of another
  series never counts.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence

from farsight.dicom.elements import DicomObject
from farsight.errors import (
    ArchiveError,
    FarsightError,
    NotFound,
    PacsError,
    PacsTimeout,
    RetrieveIncomplete,
)
from farsight.model import InstanceRef, SeriesRef
from farsight.ports.archive import Archive
from farsight.ports.pacs import Pacs
from farsight.services.bulk_queue import BulkQueue, Urgency
from farsight.services.flights import Ended, Flights
from farsight.services.headers_first import HeadersFirst
from farsight.services.holdings import Holdings, RetrieveLimits
from farsight.services.instance_reader import InstanceReader
from farsight.services.intake import Intake
from farsight.services.landing import Landing
from farsight.services.memory_tier import MemoryTier
from farsight.services.persist import Persister
from farsight.services.presence import ClientGone, Presence
from farsight.services.reading import InUse
from farsight.services.retrieve_statistics import RetrieveStatistics
from farsight.services.series_fetch import SeriesFetch
from farsight.services.series_flight import SeriesFlight
from farsight.services.single_fetch import SingleFetches
from farsight.services.source_listing import SourceListing, union

LOG = logging.getLogger("farsight.retrieve")


class RetrieveService:
    """Makes series and instances present in memory or archive. Thread-safe; calls block."""

    def __init__(
        self,
        sources: Sequence[Pacs],
        archive: Archive,
        tier: MemoryTier,
        persister: Persister,
        limits: RetrieveLimits,
        in_use: InUse,
    ) -> None:
        self._in_use = in_use
        self._listing = SourceListing(sources)
        self._archive = archive
        self._tier = tier
        self._limits = limits
        self._headers = HeadersFirst(sources, limits.wait_s)
        self._bulk = BulkQueue(limits.bulk_threads, limits.associations_per_study)
        self.statistics = RetrieveStatistics()
        self._flights = Flights(self._bulk, self.statistics)
        self._intake = Intake(archive, tier, persister, self._stored_one, self.statistics)
        self._landing = Landing(archive, self._intake, self._flights, self._listing.sources)
        self._fetch = SeriesFetch(archive, self._intake, self._bulk, limits, self._flights.of)
        self._single = SingleFetches(
            self._listing, archive, self._intake, self._flights.of, limits.wait_s
        )
        #: Single instances; what isn't here is fetched ahead of its series.
        self.reader = InstanceReader(archive, tier, self._single, in_use)

    def only(self, source: str) -> RetrieveService:
        """The same service with one PACS to fetch from; all it holds and does is shared."""
        fewer = copy.copy(self)
        fewer._listing = self._listing.only(source)
        fewer.reader = self.reader.only(self._single.only(fewer._listing))
        return fewer

    def close(self) -> None:
        self._bulk.close()

    def when_complete(self, tell: Callable[[SeriesRef], None]) -> None:
        """Called, on a storing thread, with every series of which all is stored. Must not block."""
        self._landing.when_complete(tell)

    def when_ended(self, tell: Ended) -> None:
        """Called, on a fetching or storing thread, with every series that is under way no longer:
        it is here, or the error says why not. Must not block."""
        self._flights.listen(tell)

    def ensure_series(self, series: SeriesRef, presence: Presence) -> Holdings:
        """Blocks until the series is here. One the PACS can't deliver whole comes with a warning.

        Raises: NotFound, PacsError (nothing here and the PACS failed, or it failed in the
        middle), ArchiveError, ClientGone.
        """
        return self.ensure_all((series,), presence)[0]

    def ensure_all(self, wanted: Sequence[SeriesRef], presence: Presence) -> list[Holdings]:
        """The same for several at once. Raises: as ensure_series, for the first that fails."""
        for series in wanted:
            presence.hold(self._in_use.reading(series))
        started: list[tuple[SeriesRef, SeriesFlight | None]] = []
        try:
            for series in wanted:
                started.append((series, self._start(series)))
            return [self._settle(series, flight, presence) for series, flight in started]
        finally:
            for _, flight in started:
                if flight is not None:
                    flight.leave()

    def headers(self, series: SeriesRef, presence: Presence) -> list[DicomObject] | None:
        """The headers of a series that isn't here yet, where its PACS sends them before pixels.

        The series itself follows, whether or not the client stays. None: it has to be waited for,
        or is here. Raises: ClientGone, ArchiveError.
        """
        presence.hold(self._in_use.reading(series))
        flight = self._start(series) if self._headers.may_help else None
        if flight is None:
            return None
        try:
            found = self._headers.of(flight, presence)
            flight.join(Urgency.AHEAD)
            return found
        finally:
            flight.leave()

    def fetch_ahead(self, series: SeriesRef) -> bool:
        """Begins to fetch what nobody waits for yet. False: it is complete here already.

        Raises: NotFound where it is not, and no PACS is there to bring it.
        """
        with self._in_use.reading(series):
            flight = self._start(series, Urgency.AHEAD)
        if flight is not None:
            return True
        if not self._listing.has_sources and not self._is_complete(series):
            raise NotFound("no PACS is configured")
        return False

    def _start(self, series: SeriesRef, urgency: Urgency = Urgency.ASKED) -> SeriesFlight | None:
        """Joins the flight of a series, or begins one; None where it is complete here."""
        flight = self._flights.join(series, urgency, self._listing.sources)
        if flight is not None:
            return flight
        if self._is_complete(series) or not self._listing.has_sources:
            return None
        return self._flights.begin(series, urgency, self._listing.sources, self._fly)

    def _settle(
        self, series: SeriesRef, flight: SeriesFlight | None, presence: Presence
    ) -> Holdings:
        version = self._archive.series_version(series)  # before what it counts for
        if flight is None:
            held = self._intake.held(series)
            if not held:
                raise NotFound(f"series {series.series_instance_uid} is not stored")
            return Holdings(series, tuple(sorted(held)), version)
        if not flight.wait_all_here(self._limits.wait_s, presence):
            raise PacsTimeout(flight.source, f"series not retrieved in {self._limits.wait_s:g} s")
        version = self._archive.series_version(series)
        in_memory = self._tier.instances(series)  # first: what is stored next may leave memory
        here = in_memory | self._intake.held(series)
        error = flight.error
        expected = flight.expected
        if error is None and expected is not None and (lacking := expected.lacks(here)):
            # Deleted meanwhile, or lost sight of: never a success with less than expected.
            error = RetrieveIncomplete(flight.source, expected.count - lacking, expected.count)
        if error is None or (isinstance(error, NotFound) and here):
            return Holdings(series, tuple(sorted(here)), version, flight.doubt or None)
        may_be_short = isinstance(error, RetrieveIncomplete) or flight.expected is None
        if isinstance(error, PacsError) and may_be_short and here:
            return Holdings(series, tuple(sorted(here)), version, str(error))
        raise error

    def has_shrunk(self, series: SeriesRef) -> None:
        """Instances of it were deleted here because no PACS has them any more."""
        self._listing.forget(series)

    def is_settled(self, series: SeriesRef) -> bool:
        """Whether a series is served without asking a PACS: it is whole, or there is nobody to
        ask."""
        return not self._listing.has_sources or self._is_complete(series)

    def _is_complete(self, series: SeriesRef) -> bool:
        record = self._archive.completeness(series)
        if record is None or not record.was_whole:
            return False
        return len(self._intake.held(series)) >= record.expected

    def _fly(self, flight: SeriesFlight) -> None:
        """The fetching thread of one flight."""
        try:
            if flight.stop_error is not None:
                raise flight.stop_error
            listings, doubt = self._listing.series_instances(flight.series)
            expected = union(listings)
            # In this order: what is stored meanwhile is announced.
            in_memory = expected.among(self._tier.unstored(flight.series))
            held = expected.among(self._intake.held(flight.series))
            flight.expect(listings[0].pacs.name, expected, held, in_memory, doubt)
            self._fetch.fetch(listings, flight)
        except FarsightError as error:
            level = logging.INFO if isinstance(error, ClientGone) else logging.WARNING
            LOG.log(level, "series %s: %s", flight.series.series_instance_uid, error)
            flight.fail(error)
        except BaseException:
            flight.fail(FarsightError("the retrieve ended by an internal error"))
            raise
        finally:
            flight.fetched()
            try:  # what single fetches stored meanwhile was not announced to this flight
                flight.stored(self._intake.held(flight.series))
            except ArchiveError as error:
                flight.fail(error)
            self._landing.land(flight)

    def stored_elsewhere(self, ref: InstanceRef) -> None:
        """Tells that the archive took an instance that didn't come through here."""
        for flight in self._flights.of(ref.series):
            flight.stored(frozenset((ref.sop_instance_uid,)))
            self._landing.land(flight)

    def _stored_one(self, ref: InstanceRef, failure: ArchiveError | None) -> None:
        self.statistics.stored(well=failure is None)
        self._single.stored(ref, failure)
        flights = self._flights.of(ref.series)
        for flight in flights:
            if failure is not None:
                flight.not_stored(ref.sop_instance_uid, failure)
            else:
                flight.stored(frozenset((ref.sop_instance_uid,)))
        for flight in flights:
            self._landing.land(flight)

    def study_series(self, study_instance_uid: str) -> tuple[tuple[SeriesRef, ...], str | None]:
        """The series of a study, at the PACS and here, and a warning if a PACS didn't answer.

        Raises: NotFound, PacsError when nothing is here either.
        """
        here = set(self._archive.study_instances(study_instance_uid))
        warning = None
        try:
            listed, failure = self._listing.study_series(study_instance_uid)
            here |= set(listed)
            warning = None if failure is None else str(failure)
        except PacsError as error:
            if not here:
                raise
            warning = str(error)
        if not here:
            raise NotFound(f"study {study_instance_uid} is unknown here and at every PACS")
        return tuple(SeriesRef(study_instance_uid, uid) for uid in sorted(here)), warning

    def is_under_way(self, series: SeriesRef) -> bool:
        """Whether it is being retrieved."""
        return bool(self._flights.of(series))

    def progress(self) -> list[dict[str, object]]:
        """The series under way, oldest first."""
        return self._flights.progress()

    def ended(self) -> list[dict[str, object]]:
        """The last series that were under way, newest first."""
        return self._flights.ended()
