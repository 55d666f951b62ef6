"""What the PACS say they have: the expected instances of a series, the series of a study.

All are asked at once. What several hold parts of is expected whole, each part from who has it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from farsight.dimse.status import refuses_identifier
from farsight.dimse.storage_classes import likely_classes
from farsight.errors import NotFound, PacsError, PacsFailure, PacsTimeout
from farsight.model import IdentifierKey, InstanceRef, Level, SeriesRef
from farsight.ports.pacs import Pacs
from farsight.services.expected import Expected, listed
from farsight.services.listing_rows import (
    INSTANCE,
    SERIES,
    SOP_CLASS,
    STUDY,
    rows_of,
    text_of,
    unique_keys,
)
from farsight.services.parallel import Outcome, run_all

LOG = logging.getLogger("farsight.retrieve")

_MOST_KEPT = 500
_WAIT_S = 60.0
T = TypeVar("T")
_MODALITY, _COUNT = "00080060", "00201209"


@dataclass(frozen=True, slots=True)
class Listing:
    """What one PACS has of a series. likely_classes: what to propose where it doesn't tell, by the
    modality of the series."""

    pacs: Pacs
    expected: Expected
    likely_classes: tuple[str, ...] = ()

    def classes_of(self, sop_instance_uids: Sequence[str], attempt: int) -> tuple[str, ...]:
        """What to propose for those instances; guesses only once, nothing: everything there is."""
        classes = {self.expected.instances.get(uid, "") for uid in sop_instance_uids}
        if classes and "" not in classes:
            return tuple(sorted(classes))
        return self.likely_classes if attempt == 0 else ()


#: Of every PACS that has something of a series, never none; and why one of the others may have
#: more, or "".
Listings = tuple[tuple[Listing, ...], str]


class _Unnamed(PacsFailure):
    """A PACS that answers at IMAGE level, but not with instances."""


class SourceListing:
    """Asks the sources by C-FIND; rows that don't match what was asked are dropped."""

    def __init__(self, sources: Sequence[Pacs], keep_s: float = 30.0) -> None:
        """`keep_s`: how long the listing of a series answers for single instances of it."""
        self._sources = tuple(sources)
        self._keep_s = keep_s
        self._lock = threading.Lock()
        self._kept: OrderedDict[SeriesRef, tuple[float, Listings]] = OrderedDict()

    @property
    def has_sources(self) -> bool:
        return bool(self._sources)

    @property
    def sources(self) -> frozenset[str]:
        """The names of those that are asked."""
        return frozenset(source.name for source in self._sources)

    def only(self, name: str) -> SourceListing:
        """The same of one source."""
        chosen = [source for source in self._sources if source.name == name]
        return SourceListing(chosen, self._keep_s)

    def series_instances(self, series: SeriesRef) -> Listings:
        """What each PACS has of the series, the one that lists most first: any may hold a part.

        PACS that don't answer at IMAGE level are asked for their number.

        Raises: NotFound when every PACS answered and none has it, else the first PacsError.
        """
        found = self._list(series, "")
        with self._lock:
            self._kept[series] = (time.monotonic() + self._keep_s, found)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return found

    def forget(self, series: SeriesRef) -> None:
        """What was listed isn't there any more."""
        with self._lock:
            self._kept.pop(series, None)

    def instance(self, ref: InstanceRef) -> tuple[Listing, ...]:
        """The same for one instance of it. Raises: as `series_instances`.

        A viewer that asks for an image has asked for its series before: no more questions then.
        """
        uid = ref.sop_instance_uid
        with self._lock:
            until, (kept, _) = self._kept.get(ref.series, (0.0, ((), "")))
        if until > time.monotonic():
            having = [one for one in kept if uid in one.expected.instances]
            if having:
                return tuple(_of_one(one, uid) for one in having)
        found, _ = self._list(ref.series, uid)
        sure_first = sorted(found, key=lambda one: uid not in one.expected.instances)
        return tuple(_of_one(one, uid) for one in sure_first)

    def _list(self, series: SeriesRef, sop_instance_uid: str) -> Listings:
        asked = sop_instance_uid or series.series_instance_uid
        outcomes = self._of_each(lambda pacs: self._listing_of(pacs, series, sop_instance_uid))
        found, failure = _sorted_out(outcomes, asked)
        listings = sorted(
            (one for _, some in found for one in some),
            key=lambda one: one.expected.count,
            reverse=True,
        )
        counted = [one for one in listings if not one.expected.listed and len(listings) > 1]
        doubts = [str(failure)] if failure is not None else []
        doubts += [f"PACS {one.pacs.name!r} doesn't tell which instances it has" for one in counted]
        return tuple(listings), "; ".join(f"{doubt}; it may have more" for doubt in doubts)

    def _listing_of(self, pacs: Pacs, series: SeriesRef, sop_instance_uid: str) -> list[Listing]:
        """What one PACS has: one listing, or none. Raises: PacsError."""
        instance = IdentifierKey(INSTANCE, "UI", sop_instance_uid)
        keys = (*unique_keys(series), instance, IdentifierKey(SOP_CLASS, "UI"))
        try:
            rows = rows_of(pacs, Level.IMAGE, keys)
            instances = {text_of(row, INSTANCE): text_of(row, SOP_CLASS) for row in rows}
            if "" in instances:
                raise _Unnamed(pacs.name, "lists instances without their SOPInstanceUID")
        except PacsFailure as error:
            return self._counted(pacs, series, error)
        if not instances:
            return []
        likely: tuple[str, ...] = ()
        if "" in instances.values():
            likely = likely_classes(self._modality(pacs, series))
        return [Listing(pacs, listed(instances), likely)]

    def _counted(self, pacs: Pacs, series: SeriesRef, failure: PacsFailure) -> list[Listing]:
        """By NumberOfSeriesRelatedInstances, where IMAGE level is refused.

        Raises: `failure` where it is another one, or the number isn't told either.
        """
        if not isinstance(failure, _Unnamed) and not refuses_identifier(failure.dimse_status):
            raise failure
        LOG.info("%s; asking for the number of instances", failure)
        asked = (IdentifierKey(_MODALITY, "CS"), IdentifierKey(_COUNT, "IS"))
        rows = rows_of(pacs, Level.SERIES, (*unique_keys(series), *asked))
        if not rows:
            return []
        count = text_of(rows[0], _COUNT)
        if not count.isdigit() or int(count) == 0:
            raise failure
        likely = likely_classes(text_of(rows[0], _MODALITY))
        return [Listing(pacs, Expected({}, int(count)), likely)]

    def study_series(self, study_instance_uid: str) -> tuple[Sequence[str], PacsError | None]:
        """SeriesInstanceUIDs of a study at all PACS together, and the failure of one of them.

        Raises: PacsError when a PACS failed and no other lists the study.
        """
        keys = (
            IdentifierKey(STUDY, "UI", study_instance_uid),
            IdentifierKey(SERIES, "UI"),
        )
        outcomes = self._of_each(lambda pacs: rows_of(pacs, Level.SERIES, keys))
        try:
            answers, failure = _sorted_out(outcomes, study_instance_uid)
        except NotFound:
            return [], None
        found = {text_of(row, SERIES): None for _, rows in answers for row in rows}
        return [uid for uid in found if uid], failure

    def _modality(self, pacs: Pacs, series: SeriesRef) -> str:
        keys = (*unique_keys(series), IdentifierKey(_MODALITY, "CS"))
        rows = rows_of(pacs, Level.SERIES, keys)
        return text_of(rows[0], _MODALITY) if rows else ""

    def _of_each(self, ask: Callable[[Pacs], list[T]]) -> list[tuple[Pacs, Outcome[list[T]]]]:
        """What each source answers; one alone is asked here, several at once."""
        if len(self._sources) > 1:
            jobs = [partial(ask, pacs) for pacs in self._sources]
            outcomes = run_all(jobs, max_threads=len(jobs), timeout_s=_WAIT_S)
            return list(zip(self._sources, outcomes, strict=True))
        answers: list[tuple[Pacs, Outcome[list[T]]]] = []
        for pacs in self._sources:
            try:
                answers.append((pacs, Outcome(ask(pacs))))
            except PacsError as error:
                answers.append((pacs, Outcome(error=error)))
        return answers


def _sorted_out(
    outcomes: Sequence[tuple[Pacs, Outcome[list[T]]]], asked: str
) -> tuple[list[tuple[Pacs, list[T]]], PacsError | None]:
    """The answers that aren't empty, and the failure of another PACS.

    Raises: the first PacsError where there are none; NotFound where none failed either.
    """
    failure: PacsError | None = None
    answers: list[tuple[Pacs, list[T]]] = []
    for pacs, outcome in outcomes:
        error = outcome.error
        if outcome.timed_out:
            error = PacsTimeout(pacs.name, f"no complete answer within {_WAIT_S:g} s")
        if isinstance(error, PacsError):
            LOG.warning("%s", error)
            failure = failure or error
        elif error is not None:
            raise error
        elif outcome.value:
            answers.append((pacs, outcome.value))
    if answers:
        return answers, failure
    if failure is not None:
        raise failure
    raise NotFound(f"{asked} is unknown here and at every PACS")


def _of_one(listing: Listing, sop_instance_uid: str) -> Listing:
    sop_class_uid = listing.expected.instances.get(sop_instance_uid, "")
    return replace(listing, expected=listed({sop_instance_uid: sop_class_uid}))


def union(listings: Sequence[Listing]) -> Expected:
    """All that the PACS have together; where the first of them only counts, so many."""
    if not listings[0].expected.listed:
        return listings[0].expected
    instances: dict[str, str] = {}
    for listing in listings:
        for uid, sop_class_uid in listing.expected.instances.items():
            instances[uid] = instances.get(uid) or sop_class_uid
    return listed(instances)
