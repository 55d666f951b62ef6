"""What the PACS say they have: the expected instances of a series, the series of a study."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from farsight.dimse.status import refuses_identifier
from farsight.dimse.storage_classes import likely_classes
from farsight.errors import NotFound, PacsError, PacsFailure
from farsight.model import Attributes, IdentifierKey, InstanceRef, Level, SeriesRef
from farsight.ports.pacs import Pacs
from farsight.services.expected import Expected, listed

LOG = logging.getLogger("farsight.retrieve")

_STUDY, _SERIES, _INSTANCE, _CLASS = "0020000D", "0020000E", "00080018", "00080016"
_MOST_KEPT = 500
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


class _Unnamed(PacsFailure):
    """A PACS that answers at IMAGE level, but not with instances."""


class SourceListing:
    """Asks the sources in turn by C-FIND; rows that don't match what was asked are dropped."""

    def __init__(self, sources: Sequence[Pacs], keep_s: float = 30.0) -> None:
        """`keep_s`: how long the listing of a series answers for single instances of it."""
        self._sources = tuple(sources)
        self._keep_s = keep_s
        self._lock = threading.Lock()
        self._kept: OrderedDict[SeriesRef, tuple[float, Listing]] = OrderedDict()

    @property
    def has_sources(self) -> bool:
        return bool(self._sources)

    def series_instances(self, series: SeriesRef) -> Listing:
        """What the PACS that lists most of the series has of it: a router may hold a part.

        A PACS that doesn't answer at IMAGE level is asked for their number.

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

    def instance(self, ref: InstanceRef) -> Listing:
        """The same for one instance of it. Raises: as `series_instances`.

        A viewer that asks for an image has asked for its series before: no more questions then.
        """
        with self._lock:
            until, kept = self._kept.get(ref.series, (0.0, None))
        if kept is not None and until > time.monotonic():
            sop_class_uid = kept.expected.instances.get(ref.sop_instance_uid)
            if sop_class_uid is not None:
                return replace(kept, expected=listed({ref.sop_instance_uid: sop_class_uid}))
        try:
            return self._list(ref.series, IdentifierKey(_INSTANCE, "UI", ref.sop_instance_uid))
        except PacsFailure as error:
            of_series = self._counted(ref.series, error)
            return replace(of_series, expected=listed({ref.sop_instance_uid: ""}))

    def _counted(self, series: SeriesRef, failure: PacsFailure) -> Listing:
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
        pacs, rows, certain = self._most_rows(Level.SERIES, keys)
        count = _text(rows[0], _COUNT)
        if not count.isdigit() or int(count) == 0:
            raise failure
        likely = likely_classes(_text(rows[0], _MODALITY))
        return Listing(pacs, Expected({}, int(count)), likely, certain)

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

    def _list(self, series: SeriesRef, instance: IdentifierKey) -> Listing:
        keys = (*_unique_keys(series), instance, IdentifierKey(_CLASS, "UI"))
        pacs, rows, certain = self._most_rows(Level.IMAGE, keys)
        instances = {_text(row, _INSTANCE): _text(row, _CLASS) for row in rows}
        if "" in instances:
            raise _Unnamed(pacs.name, "lists instances without their SOPInstanceUID")
        if "" not in instances.values():
            return Listing(pacs, listed(instances), certain=certain)
        return Listing(
            pacs, listed(instances), likely_classes(self._modality(pacs, series)), certain
        )

    def _modality(self, pacs: Pacs, series: SeriesRef) -> str:
        keys = (*_unique_keys(series), IdentifierKey(_MODALITY, "CS"))
        rows = [row for row in pacs.find(Level.SERIES, keys) if _is_what_was_asked(row, keys)]
        return _text(rows[0], _MODALITY) if rows else ""

    def _most_rows(
        self, level: Level, keys: Sequence[IdentifierKey]
    ) -> tuple[Pacs, list[Attributes], bool]:
        """Of the PACS that lists most; False where another failed."""
        answers, failure = self._ask_all(level, keys)
        if answers:
            pacs, rows = max(answers, key=lambda answer: len(answer[1]))
            return pacs, rows, failure is None
        if failure is not None:
            raise failure
        narrowest = [key.value for key in keys if key.value][-1]
        raise NotFound(f"{narrowest} is unknown here and at every PACS")

    def _ask_all(
        self, level: Level, keys: Sequence[IdentifierKey]
    ) -> tuple[list[tuple[Pacs, list[Attributes]]], PacsError | None]:
        """Every PACS with rows, in their order, and the first failure."""
        failure: PacsError | None = None
        answers = []
        for pacs in self._sources:
            try:
                rows = [row for row in pacs.find(level, keys) if _is_what_was_asked(row, keys)]
            except PacsError as error:
                LOG.warning("%s", error)
                failure = failure or error
                continue
            if rows:
                answers.append((pacs, rows))
        return answers, failure


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
