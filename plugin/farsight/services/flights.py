"""The series on their way, and what became of the last ones."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from farsight.errors import FarsightError, NotFound, PacsError, RetrieveIncomplete
from farsight.model import SeriesRef
from farsight.services.bulk_queue import BulkQueue, Urgency
from farsight.services.presence import ClientGone
from farsight.services.retrieve_statistics import RetrieveStatistics
from farsight.services.series_flight import SeriesFlight

_MOST_REMEMBERED = 100
#: Hears of a series that is under way no longer, and why it isn't whole here.
Ended = Callable[[SeriesRef, FarsightError | None], None]


class Flights:
    """Thread-safe."""

    def __init__(self, bulk: BulkQueue, statistics: RetrieveStatistics) -> None:
        self._bulk = bulk
        self._statistics = statistics
        self._lock = threading.Lock()
        self._under_way: dict[SeriesRef, list[SeriesFlight]] = {}
        self._ended: deque[dict[str, object]] = deque(maxlen=_MOST_REMEMBERED)
        self._listeners: tuple[Ended, ...] = ()

    def listen(self, tell: Ended) -> None:
        """`tell` is called with every flight that is over, unless another that asks all of its
        PACS goes on well by then: that one counts."""
        self._listeners = (*self._listeners, tell)

    def of(self, series: SeriesRef) -> tuple[SeriesFlight, ...]:
        """Those of a series: one, one more for each set of PACS that was asked for, and any that
        failed while what came with them is being stored."""
        with self._lock:
            return tuple(self._under_way.get(series, ()))

    def join(
        self, series: SeriesRef, urgency: Urgency, sources: frozenset[str]
    ) -> SeriesFlight | None:
        """A flight of a series that goes well so far, with one more who wants it.

        One that asks all of those PACS: what fewer of them have is not the whole.
        """
        for flight in self.of(series):
            if sources <= flight.sources and flight.join(urgency):
                if urgency is Urgency.ASKED and flight.ticket is not None:
                    self._bulk.raise_urgency(flight.ticket)
                return flight
        return None

    def begin(
        self,
        series: SeriesRef,
        urgency: Urgency,
        sources: frozenset[str],
        fly: Callable[[SeriesFlight], None],
    ) -> SeriesFlight:
        """A flight, unless another thread was faster: then that one, joined.

        `sources`: the names of the PACS that `fly` asks.
        """
        with self._lock:
            flights = self._under_way.setdefault(series, [])
            for flight in flights:
                if flight.sources == sources and flight.join(urgency):
                    return flight
            begun = SeriesFlight(series, urgency, sources)
            flights.append(begun)
        begun.ticket = self._bulk.submit(series.study_instance_uid, lambda: fly(begun), urgency)
        if begun.is_waited_for:  # joined before the ticket could be seen
            self._bulk.raise_urgency(begun.ticket)
        return begun

    def landed(self, flight: SeriesFlight) -> None:
        """It is over."""
        error = flight.error
        outcome = "failed"
        if error is None:
            outcome = "complete"
        elif isinstance(error, RetrieveIncomplete):
            outcome = "short"
        elif isinstance(error, ClientGone):
            outcome = "abandoned"
        elif isinstance(error, NotFound):
            outcome = "unlisted"
        source = flight.source
        if not source and isinstance(error, PacsError):  # it failed before it listed the series
            source = error.pacs
        self._statistics.series_ended(source, outcome)
        with self._lock:
            flights = self._under_way[flight.series]
            flights.remove(flight)
            others = tuple(flights)
            if not flights:
                del self._under_way[flight.series]
            self._ended.appendleft({**flight.progress(), "state": outcome})
        if any(one.sources >= flight.sources and one.error is None for one in others):
            return
        for tell in self._listeners:
            tell(flight.series, error)

    def progress(self) -> list[dict[str, object]]:
        """Those under way, oldest first."""
        with self._lock:
            under_way = [flight for flights in self._under_way.values() for flight in flights]
            flights = sorted(under_way, key=lambda flight: flight.started_at)
        return [flight.progress() for flight in flights]

    def ended(self) -> list[dict[str, object]]:
        """The last that ended, newest first."""
        with self._lock:
            return list(self._ended)
