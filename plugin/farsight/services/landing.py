"""The end of a flight: whether its series is whole now, and whom to tell."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from farsight.errors import ArchiveError
from farsight.model import Completeness, SeriesRef
from farsight.ports.archive import Archive
from farsight.services.expected import Expected
from farsight.services.flights import Flights
from farsight.services.intake import Intake
from farsight.services.series_flight import SeriesFlight

LOG = logging.getLogger("farsight.retrieve")


class Landing:
    """Thread-safe."""

    def __init__(
        self, archive: Archive, intake: Intake, flights: Flights, sources: frozenset[str]
    ) -> None:
        """`sources`: the names of all PACS there are."""
        self._archive = archive
        self._intake = intake
        self._flights = flights
        self._sources = sources
        self._completed: list[Callable[[SeriesRef], None]] = []

    def when_complete(self, tell: Callable[[SeriesRef], None]) -> None:
        """See RetrieveService.when_complete."""
        self._completed.append(tell)

    def land(self, flight: SeriesFlight) -> None:
        """Ends a flight when it is over; leaves the record if the series is whole."""
        if not flight.may_land():
            return
        expected = flight.expected
        try:
            if flight.error is None and expected is not None and self._is_sure(flight):
                self._record(flight, expected)
        except ArchiveError as error:
            LOG.error("series %s: %s", flight.series.series_instance_uid, error)
        finally:
            self._flights.landed(flight)

    def _is_sure(self, flight: SeriesFlight) -> bool:
        """Whether no PACS may have more of it: every one was asked, and told what it has."""
        return not flight.doubt and flight.sources >= self._sources

    def _record(self, flight: SeriesFlight, expected: Expected) -> None:
        """Raises: ArchiveError."""
        stored = len(expected.among(self._intake.held(flight.series)))
        if stored < expected.count:
            return
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = Completeness(expected.count, stored, flight.source, now)
        try:
            self._archive.mark_complete(flight.series, record)
        finally:
            for tell in self._completed:
                tell(flight.series)
