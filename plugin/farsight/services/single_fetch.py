"""One instance out of turn: what a viewer waits for doesn't wait for its series."""

from __future__ import annotations

import copy
import logging
import threading
from collections import OrderedDict

from farsight.errors import (
    ArchiveError,
    FarsightError,
    PacsError,
    PacsRefusedContexts,
    PacsTimeout,
    RetrieveIncomplete,
)
from farsight.model import InstanceRef
from farsight.ports.archive import Archive
from farsight.services.intake import FlightsOf, Intake
from farsight.services.source_listing import Listing, SourceListing

LOG = logging.getLogger("farsight.retrieve")
_MOST_FAILED = 100
_ATTEMPTS = 4  # as many as there are ways to negotiate for an unknown class


class _Fetch:
    """One instance under way; others who want it wait for `done`."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.error: FarsightError | None = None
        self.storing_error: ArchiveError | None = None


class SingleFetches:
    """Single-flight per instance and the PACS asked. Thread-safe; calls block."""

    def __init__(
        self,
        listing: SourceListing,
        archive: Archive,
        intake: Intake,
        flights_of: FlightsOf,
        wait_s: float,
    ) -> None:
        self._listing = listing
        self._archive = archive
        self._intake = intake
        self._flights_of = flights_of
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._under_way: dict[tuple[InstanceRef, frozenset[str]], _Fetch] = {}
        self._failed: OrderedDict[InstanceRef, ArchiveError] = OrderedDict()

    def only(self, listing: SourceListing) -> SingleFetches:
        """The same, asked of fewer sources; what is under way is shared."""
        fewer = copy.copy(self)
        fewer._listing = listing
        return fewer

    def ensure(self, ref: InstanceRef) -> None:
        """Blocks until the instance is here. Raises: NotFound, PacsError, ArchiveError."""
        while not self._intake.is_here(ref):
            with self._lock:
                fetch = self._under_way.get((ref, self._listing.sources))
                mine = fetch is None
                if fetch is None:
                    fetch = self._under_way[ref, self._listing.sources] = _Fetch()
            if mine:
                self._run(ref, fetch)
            elif not fetch.done.wait(self._wait_s):
                raise PacsTimeout("", f"instance not retrieved in {self._wait_s:g} s")
            if fetch.error is not None:
                raise fetch.error

    def stored(self, ref: InstanceRef, failure: ArchiveError | None) -> None:
        """Tells that an instance was stored, or could not be: no fault of the PACS then."""
        with self._lock:
            fetches = [fetch for (one, _), fetch in self._under_way.items() if one == ref]
            self._failed.pop(ref, None)
            if failure is not None:
                # Afresh: the traceback of this one holds the instance.
                self._failed[ref] = type(failure)(*failure.args)
            while len(self._failed) > _MOST_FAILED:
                self._failed.popitem(last=False)
        if failure is not None:
            for fetch in fetches:
                fetch.storing_error = failure

    def why_not_stored(self, ref: InstanceRef) -> ArchiveError | None:
        """Why an instance that came isn't here: storing it failed behind the answer."""
        with self._lock:
            return self._failed.get(ref)

    def _run(self, ref: InstanceRef, fetch: _Fetch) -> None:
        try:
            self._fetch(ref, fetch)
        except FarsightError as error:
            fetch.error = error
        except BaseException:
            fetch.error = FarsightError("the retrieve ended by an internal error")
            raise
        finally:
            with self._lock:
                del self._under_way[ref, self._listing.sources]
            fetch.done.set()

    def _fetch(self, ref: InstanceRef, fetch: _Fetch) -> None:
        """From the first PACS that delivers it; the first failure counts."""
        failure: PacsError | None = None
        for listing in self._listing.instance(ref):
            try:
                return self._fetch_from(listing, ref, fetch)
            except PacsError as error:
                LOG.warning("instance %s: %s", ref.sop_instance_uid, error)
                failure = failure or error
        assert failure is not None
        raise failure

    def _fetch_from(self, listing: Listing, ref: InstanceRef, fetch: _Fetch) -> None:
        uids = (ref.sop_instance_uid,)
        for attempt in range(_ATTEMPTS):
            classes = listing.classes_of(uids, attempt)
            try:
                listing.pacs.retrieve(
                    ref.study_instance_uid,
                    ref.series_instance_uid,
                    uids,
                    classes,
                    self._intake.sink(ref.series, listing.pacs.name, self._flights_of),
                    urgent=True,
                    attempt=attempt,
                )
            except PacsRefusedContexts:
                if classes == listing.classes_of(uids, attempt + 1):
                    raise
                continue  # that was a guess: there is more to propose
            if not self._intake.is_here(ref):
                self._archive.reload(ref.study_instance_uid)
            if self._intake.is_here(ref):
                return
            if fetch.storing_error is not None:
                raise fetch.storing_error
        raise RetrieveIncomplete(listing.pacs.name, 0, 1)
