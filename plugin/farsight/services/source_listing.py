"""What the PACS say they have: the expected instances of a series, the series of a study.

All are asked at once. What several hold parts of is expected whole, each part from who has it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from farsight.dimse.status import refuses_identifier
from farsight.dimse.storage_classes import likely_classes
from farsight.errors import NotFound, PacsError, PacsFailure, PacsTimeout
from farsight.model import Attributes, IdentifierKey, InstanceRef, Level, SeriesRef
from farsight.ports.pacs import Pacs
from farsight.services.expected import Expected, listed
from farsight.services.parallel import Outcome, run_all

LOG = logging.getLogger("farsight.retrieve")

_STUDY, _SERIES, _INSTANCE, _CLASS = "0020000D", "0020000E", "00080018", "00080016"
_MOST_KEPT = 500
_WAIT_S = 60.0
_MODALITY, _COUNT = "00080060", "00201209"


@dataclass(frozen=True, slots=True)
class Listing:
    """What one PACS lists of a series.

    likely_classes: what to propose where it doesn't tell, by the modality of the series.
    certain: no other PACS failed that might have listed more.
    """

    pacs: Pacs
    expected: Expected
    likely_classes: tuple[str, ...] = ()
    certain: bool = True

    def classes_of(self, sop_instance_uids: Sequence[str], attempt: int) -> tuple[str, ...]:
        """What to propose for those instances; guesses only once, nothing: everything there is."""
        classes = {self.expected.instances.get(uid, "") for uid in sop_instance_uids}
        if classes and "" not in classes:
            return tuple(sorted(classes))
        return self.likely_classes if attempt == 0 else ()


#: Of every PACS that has something of a series, never none.
Listings = tuple[Listing, ...]
Answer = tuple[Pacs, list[Attributes]]


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
        try:
            found = self._list(series, IdentifierKey(_INSTANCE, "UI"))
        except PacsFailure as error:
            return self._counted(series, error)
        with self._lock:
            self._kept[series] = (time.monotonic() + self._keep_s, found)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return found

    def instance(self, ref: InstanceRef) -> Listings:
        """The same for one instance of it. Raises: as `series_instances`.

        A viewer that asks for an image has asked for its series before: no more questions then.
        """
        with self._lock:
            until, kept = self._kept.get(ref.series, (0.0, ()))
        if until > time.monotonic():
            uid = ref.sop_instance_uid
            having = [one for one in kept if uid in one.expected.instances]
            if having:
                return tuple(
                    replace(one, expected=listed({uid: one.expected.instances[uid]}))
                    for one in having
                )
        try:
            return self._list(ref.series, IdentifierKey(_INSTANCE, "UI", ref.sop_instance_uid))
        except PacsFailure as error:
            of_series = self._counted(ref.series, error)
            one = listed({ref.sop_instance_uid: ""})
            return tuple(replace(listing, expected=one) for listing in of_series)

    def _counted(self, series: SeriesRef, failure: PacsFailure) -> Listings:
        """By NumberOfSeriesRelatedInstances, where IMAGE level is refused.

        Raises: `failure` where it is another one, or the number isn't told either.
        """
        if not isinstance(failure, _Unnamed) and not refuses_identifier(failure.dimse_status):
            raise failure
        LOG.info("%s; asking for the number of instances", failure)
        keys = (
            *_unique_keys(series),
            IdentifierKey(_MODALITY, "CS"),
            IdentifierKey(_COUNT, "IS"),
        )
        answers, other_failure = self._having(Level.SERIES, keys)
        found: list[Listing] = []
        for pacs, rows in answers:
            count = _text(rows[0], _COUNT)
            if count.isdigit() and int(count):
                likely = likely_classes(_text(rows[0], _MODALITY))
                of_pacs = Expected({}, int(count))
                found.append(Listing(pacs, of_pacs, likely, other_failure is None))
        if not found:
            raise failure
        return _most_first(found)

    def study_series(self, study_instance_uid: str) -> tuple[Sequence[str], PacsError | None]:
        """SeriesInstanceUIDs of a study at all PACS together, and the failure of one of them.

        Raises: PacsError when a PACS failed and no other lists the study.
        """
        keys = (
            IdentifierKey(_STUDY, "UI", study_instance_uid),
            IdentifierKey(_SERIES, "UI"),
        )
        answers, failure = self._ask_all(Level.SERIES, keys)
        if not answers and failure is not None:
            raise failure
        found = {_text(row, _SERIES): None for _, rows in answers for row in rows}
        return [uid for uid in found if uid], failure

    def _list(self, series: SeriesRef, instance: IdentifierKey) -> Listings:
        keys = (*_unique_keys(series), instance, IdentifierKey(_CLASS, "UI"))
        answers, failure = self._having(Level.IMAGE, keys)
        found: list[Listing] = []
        unnamed: PacsFailure | None = None
        for pacs, rows in answers:
            instances = {_text(row, _INSTANCE): _text(row, _CLASS) for row in rows}
            if "" in instances:
                unnamed = _Unnamed(pacs.name, "lists instances without their SOPInstanceUID")
                continue
            likely: tuple[str, ...] = ()
            if "" in instances.values():
                likely = likely_classes(self._modality(pacs, series))
            found.append(Listing(pacs, listed(instances), likely, failure is None))
        if unnamed is not None and not found:
            raise unnamed
        if unnamed is not None:
            found = [replace(one, certain=False) for one in found]
        return _most_first(found)

    def _modality(self, pacs: Pacs, series: SeriesRef) -> str:
        keys = (*_unique_keys(series), IdentifierKey(_MODALITY, "CS"))
        rows = [row for row in pacs.find(Level.SERIES, keys) if _is_what_was_asked(row, keys)]
        return _text(rows[0], _MODALITY) if rows else ""

    def _having(
        self, level: Level, keys: Sequence[IdentifierKey]
    ) -> tuple[list[Answer], PacsError | None]:
        """Every PACS with rows, and the failure of another. Raises: NotFound, PacsError."""
        answers, failure = self._ask_all(level, keys)
        if answers:
            return answers, failure
        if failure is not None:
            raise failure
        narrowest = [key.value for key in keys if key.value][-1]
        raise NotFound(f"{narrowest} is unknown here and at every PACS")

    def _ask_all(
        self, level: Level, keys: Sequence[IdentifierKey]
    ) -> tuple[list[Answer], PacsError | None]:
        """Every PACS with rows, in their order, and the first failure."""
        failure: PacsError | None = None
        answers: list[Answer] = []
        for pacs, outcome in zip(self._sources, self._outcomes(level, keys), strict=True):
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
        return answers, failure

    def _outcomes(
        self, level: Level, keys: Sequence[IdentifierKey]
    ) -> list[Outcome[list[Attributes]]]:
        """Of each source; one alone is asked here, several at once."""

        def ask(pacs: Pacs) -> list[Attributes]:
            return [row for row in pacs.find(level, keys) if _is_what_was_asked(row, keys)]

        if len(self._sources) > 1:
            jobs = [partial(ask, pacs) for pacs in self._sources]
            return run_all(jobs, max_threads=len(jobs), timeout_s=_WAIT_S)
        outcomes: list[Outcome[list[Attributes]]] = []
        for pacs in self._sources:
            try:
                outcomes.append(Outcome(ask(pacs)))
            except PacsError as error:
                outcomes.append(Outcome(error=error))
        return outcomes


def union(listings: Listings) -> Expected:
    """All that the PACS have together; where they only count, what the first of them says."""
    instances: dict[str, str] = {}
    for listing in listings:
        for uid, sop_class_uid in listing.expected.instances.items():
            instances[uid] = instances.get(uid) or sop_class_uid
    return listed(instances) if instances else listings[0].expected


def _most_first(found: Sequence[Listing]) -> Listings:
    return tuple(sorted(found, key=lambda one: one.expected.count, reverse=True))


def _unique_keys(series: SeriesRef) -> tuple[IdentifierKey, IdentifierKey]:
    return (
        IdentifierKey(_STUDY, "UI", series.study_instance_uid),
        IdentifierKey(_SERIES, "UI", series.series_instance_uid),
    )


def _text(row: Attributes, tag: str) -> str:
    values = row.get(tag, {}).get("Value") or [""]
    return str(values[0] or "")


def _is_what_was_asked(row: Attributes, keys: Sequence[IdentifierKey]) -> bool:
    """A key absent from the row is unknown, not a mismatch."""
    return all(not key.value or _text(row, key.tag) in ("", key.value) for key in keys)
