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
    """

    pacs: Pacs
    expected: Expected
    likely_classes: tuple[str, ...] = ()

    def classes_of(self, sop_instance_uids: Sequence[str], attempt: int) -> tuple[str, ...]:
        """What to propose for those instances; guesses only once, nothing: everything there is."""
        classes = {self.expected.instances[uid] for uid in sop_instance_uids}
        if classes and "" not in classes:
            return tuple(sorted(classes))
        return self.likely_classes if attempt == 0 else ()


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
        """What the first PACS that lists the series has of it.

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
        if not refuses_identifier(failure.dimse_status):
            raise failure
        LOG.info("%s; asking for the number of instances", failure)
        keys = (
            *_unique_keys(series),
            IdentifierKey(_MODALITY, "CS"),
            IdentifierKey(_COUNT, "IS"),
        )
        pacs, rows = self._first_with_rows(Level.SERIES, keys)
        count = _text(rows[0], _COUNT)
        if not count.isdigit() or int(count) == 0:
            raise failure
        return Listing(pacs, Expected({}, int(count)), likely_classes(_text(rows[0], _MODALITY)))

    def study_series(self, study_instance_uid: str) -> Sequence[str]:
        """SeriesInstanceUIDs of a study at the first PACS that lists any; empty if none does.

        Raises: PacsError when a PACS failed and no other lists the study.
        """
        keys = (
            IdentifierKey(_STUDY, "UI", study_instance_uid),
            IdentifierKey(_SERIES, "UI"),
        )
        try:
            _, rows = self._first_with_rows(Level.SERIES, keys)
        except NotFound:
            return ()
        return [uid for row in rows if (uid := _text(row, _SERIES))]

    def _list(self, series: SeriesRef, instance: IdentifierKey) -> Listing:
        keys = (*_unique_keys(series), instance, IdentifierKey(_CLASS, "UI"))
        pacs, rows = self._first_with_rows(Level.IMAGE, keys)
        instances = {uid: _text(row, _CLASS) for row in rows if (uid := _text(row, _INSTANCE))}
        if "" not in instances.values():
            return Listing(pacs, listed(instances))
        return Listing(pacs, listed(instances), likely_classes(self._modality(pacs, series)))

    def _modality(self, pacs: Pacs, series: SeriesRef) -> str:
        keys = (*_unique_keys(series), IdentifierKey(_MODALITY, "CS"))
        rows = [row for row in pacs.find(Level.SERIES, keys) if _is_what_was_asked(row, keys)]
        return _text(rows[0], _MODALITY) if rows else ""

    def _first_with_rows(
        self, level: Level, keys: Sequence[IdentifierKey]
    ) -> tuple[Pacs, list[Attributes]]:
        failure: PacsError | None = None
        for pacs in self._sources:
            try:
                rows = [row for row in pacs.find(level, keys) if _is_what_was_asked(row, keys)]
            except PacsError as error:
                LOG.warning("%s", error)
                failure = failure or error
                continue
            if rows:
                return pacs, rows
        if failure is not None:
            raise failure
        narrowest = [key.value for key in keys if key.value][-1]
        raise NotFound(f"{narrowest} is unknown here and at every PACS")


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
