"""What a flight lacks, fetched pass by pass from its source, over a far line in parts at once."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence

from farsight.dimse.status import PENDING
from farsight.errors import FarsightError, PacsError, RetrieveIncomplete, RetrieveInterrupted
from farsight.model import SubOperations
from farsight.ports.archive import Archive
from farsight.services.bulk_queue import BulkQueue, Urgency
from farsight.services.holdings import RetrieveLimits
from farsight.services.intake import FlightsOf, Intake, arrivals_of
from farsight.services.series_flight import SeriesFlight
from farsight.services.source_listing import Listing

#: Instances per request when a series is split: a request costs a round trip, each of them too.
_PART = 40


class SeriesFetch:
    """Runs on the flight's thread; helpers for parts come from the same queue. Thread-safe."""

    def __init__(
        self,
        archive: Archive,
        intake: Intake,
        bulk: BulkQueue,
        limits: RetrieveLimits,
        flights_of: FlightsOf,
    ) -> None:
        self._archive = archive
        self._intake = intake
        self._bulk = bulk
        self._limits = limits
        self._flights_of = flights_of

    def fetch(self, listings: Sequence[Listing], flight: SeriesFlight) -> None:
        """From each PACS what it has and is still missing, the next where one falls short.

        Raises: RetrieveIncomplete, a PacsError, ArchiveError, ClientGone.
        """
        first: tuple[Listing, PacsError | None] | None = None
        for position, listing in enumerate(listings):
            if not _lacking(listing, flight):
                continue
            flight.source = listing.pacs.name
            failure = self._from_one(listing, flight, is_last=position == len(listings) - 1)
            if first is None and _lacking(listing, flight):
                first = listing, failure
        if first is None or not (lacking := flight.lacks()):
            return
        listing, failure = first
        expected = listing.expected.count
        came = expected - min(expected, _lacking(listing, flight) or lacking)
        if failure is None or (came and failure.dimse_status is not None):
            why = "" if failure is None else failure.what
            raise RetrieveIncomplete(listing.pacs.name, came, expected, why)
        raise failure

    def _from_one(
        self, listing: Listing, flight: SeriesFlight, *, is_last: bool
    ) -> PacsError | None:
        """Asks again for what is missing, with a growing pause, until all is here or time is over.

        Returns the last failure. One that can't be reached isn't waited for while another may
        have the same. Raises: ArchiveError, ClientGone.
        """
        failure: PacsError | None = None
        for attempt in range(self._limits.passes):
            if attempt and _lacking(listing, flight):
                time.sleep(self._limits.backoff_s * 2 ** (attempt - 1))
            interrupted = True
            while interrupted:
                if not _lacking(listing, flight):
                    return None
                if flight.stop_error is not None:
                    raise flight.stop_error
                missing = sorted(_missing(listing, flight))
                failure = self._one_pass(listing, flight, missing, attempt)
                interrupted = isinstance(failure, RetrieveInterrupted)
            if failure is not None and failure.dimse_status is None and not is_last:
                break
        return failure

    def _one_pass(
        self, listing: Listing, flight: SeriesFlight, missing: Sequence[str], attempt: int
    ) -> PacsError | None:
        """Asks once; a failure is returned, because another pass may mend it."""
        at_once = listing.pacs.requests_at_once if attempt == 0 else 1
        try:
            if at_once > 1 and len(missing) > _PART:
                self._in_parts(listing, flight, missing, at_once)
            else:
                self._ask(listing, flight, missing, attempt)
        except PacsError as error:
            return error
        finally:
            self._note_stored(flight)
        return None

    def _ask(
        self, listing: Listing, flight: SeriesFlight, uids: Sequence[str], attempt: int
    ) -> None:
        series = flight.series

        def told(said: SubOperations) -> None:
            flight.told(said)
            if said.dimse_status not in PENDING:  # also where it failed, and nothing is returned
                self._intake.ended(listing.pacs.name, said)

        listing.pacs.retrieve(
            series.study_instance_uid,
            series.series_instance_uid,
            () if len(uids) == len(listing.expected.instances) else uids,
            listing.classes_of(uids, attempt),
            self._intake.sink(series, listing.pacs.name, self._flights_of, flight),
            arrivals=arrivals_of(flight),
            told=told,
            attempt=attempt,
        )

    def _in_parts(
        self, listing: Listing, flight: SeriesFlight, missing: Sequence[str], at_once: int
    ) -> None:
        """Parts in order, whoever is free takes the next; the first error ends all.

        Helpers that the queue doesn't start in time find nothing left to do.
        """
        parts = deque(missing[at : at + _PART] for at in range(0, len(missing), _PART))
        over = threading.Condition()
        busy = 0
        errors: list[FarsightError] = []

        def work() -> None:
            nonlocal busy
            while True:
                with over:
                    if not parts or errors:
                        return
                    part = parts.popleft()
                    busy += 1
                try:
                    self._ask(listing, flight, part, 0)
                except FarsightError as error:
                    with over:
                        errors.append(error)
                finally:
                    with over:
                        busy -= 1
                        over.notify_all()

        for _ in range(at_once - 1):
            urgency = Urgency.ASKED if flight.is_waited_for else Urgency.AHEAD
            self._bulk.submit(flight.series.study_instance_uid, work, urgency)
        work()
        with over:
            over.wait_for(lambda: busy == 0)
        if errors:
            raise errors[0]

    def _note_stored(self, flight: SeriesFlight) -> None:
        """Counts what reached the archive by other ways, C-MOVE above all."""
        if flight.lacks():
            self._archive.reload(flight.series.study_instance_uid)
            flight.stored(self._intake.held(flight.series))


def _missing(listing: Listing, flight: SeriesFlight) -> frozenset[str]:
    """By name, of what this PACS lists."""
    return flight.absent(listing.expected.instances.keys())


def _lacking(listing: Listing, flight: SeriesFlight) -> int:
    """How many; a PACS that only counts may have any of them."""
    return len(_missing(listing, flight)) if listing.expected.listed else flight.lacks()
