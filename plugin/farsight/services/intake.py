"""What becomes of an instance that comes from a PACS: checked, into memory, on to storing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from farsight.dicom.elements import DicomObject
from farsight.dicom.part10 import parse_object
from farsight.errors import ArchiveError, FarsightError, MalformedDicom
from farsight.model import InstanceRef, ReceivedInstance, SeriesRef, SubOperations
from farsight.ports.archive import Archive
from farsight.ports.pacs import Arrivals
from farsight.services.memory_tier import MemoryTier
from farsight.services.persist import Persister, Stored
from farsight.services.retrieve_statistics import RetrieveStatistics
from farsight.services.series_flight import SeriesFlight

LOG = logging.getLogger("farsight.retrieve")


#: The flights under way for a series.
FlightsOf = Callable[[SeriesRef], Iterable[SeriesFlight]]


class Intake:
    """Takes instances under the UIDs they carry themselves. Thread-safe."""

    def __init__(
        self,
        archive: Archive,
        tier: MemoryTier,
        persister: Persister,
        stored: Stored,
        statistics: RetrieveStatistics,
    ) -> None:
        """`stored` is told of every instance that became durable, or could not."""
        self._statistics = statistics
        self._archive = archive
        self._tier = tier
        self._persister = persister
        self._stored = stored

    def held(self, series: SeriesRef) -> frozenset[str]:
        """SOPInstanceUIDs of the series in the archive."""
        stored = self._archive.study_instances(series.study_instance_uid)
        return frozenset(stored.get(series.series_instance_uid, ()))

    def is_here(self, ref: InstanceRef) -> bool:
        """In memory or in the archive."""
        return ref in self._tier or self._archive.holds(ref)

    def sink(
        self,
        wanted: SeriesRef,
        source: str,
        flights_of: FlightsOf,
        mine: SeriesFlight | None = None,
    ) -> Callable[[ReceivedInstance], None]:
        """What to give to Pacs.retrieve; `flights_of` finds the flights to tell of arrivals.

        `source`: the name of the PACS. `mine`: the flight it is for; None for an instance out of
        turn, which others' leaving doesn't concern. The sink raises that flight's error once
        storing failed, because more would be lost too, or once nobody waits for it any more.
        """

        def take(received: ReceivedInstance) -> None:
            stop = _why_to_stop(mine, flights_of(wanted))
            if stop is not None:
                raise stop
            self._statistics.received(source, len(received.part10))
            instance = _read(received, wanted)
            if instance is None:
                return
            ref = _ref_of(instance)
            # Those of now: only they are told what becomes of it.
            flights = set(flights_of(ref.series))
            if mine is not None and ref.series == wanted:
                flights.add(mine)
            is_stored = self._archive.holds(ref)
            is_new = not is_stored and self._tier.add_unstored(ref, instance)
            if is_stored:
                self._tier.add_stored(ref, instance)
            for flight in flights:
                if is_stored:
                    flight.stored(frozenset((ref.sop_instance_uid,)))
                flight.arrived(ref.sop_instance_uid, len(received.part10))
            if is_new:
                self._persister.submit(ref, instance, source, self._stored)

        return take

    def ended(self, source: str, outcome: SubOperations) -> None:
        """Counts what a PACS says it did for a request."""
        self._statistics.ended(source, outcome)


def _read(received: ReceivedInstance, wanted: SeriesRef) -> DicomObject | None:
    """None if it can't be taken.

    Of a PACS that knows retrieves of whole studies only, every series is taken.
    """
    try:
        instance = parse_object(received.part10)
        ref = _ref_of(instance)
    except MalformedDicom as error:
        LOG.error("instance %s is not readable: %s", received.sop_instance_uid, error)
        return None
    asked_for = ref.series == wanted or (
        received.of_study and ref.study_instance_uid == wanted.study_instance_uid
    )
    if asked_for and ref.sop_instance_uid == received.sop_instance_uid:
        return instance
    LOG.error(
        "instance %s came with series %s, asked was %s: ignored",
        received.sop_instance_uid,
        ref.series_instance_uid,
        wanted.series_instance_uid,
    )
    return None


def arrivals_of(flight: SeriesFlight) -> Arrivals:
    """What to give to Pacs.retrieve for a flight's instances that arrive by another way."""

    def count() -> int:
        if flight.stop_error is not None:
            raise flight.stop_error
        return flight.stored_count()

    return count


def _why_to_stop(
    mine: SeriesFlight | None, current: Iterable[SeriesFlight]
) -> FarsightError | None:
    if mine is not None:
        return mine.stop_error
    errors = (flight.stop_error for flight in current)
    return next((error for error in errors if isinstance(error, ArchiveError)), None)


def _ref_of(instance: DicomObject) -> InstanceRef:
    uids = (
        instance.study_instance_uid,
        instance.series_instance_uid,
        instance.sop_instance_uid,
    )
    if not all(uids):
        raise MalformedDicom("study, series or instance UID is missing")
    return InstanceRef(*uids)
