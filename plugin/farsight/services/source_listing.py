"""What the PACS say they have: the expected instances of a series, the series of a study."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from farsight.dimse.storage_classes import likely_classes
from farsight.errors import NotFound, PacsError
from farsight.model import Attributes, IdentifierKey, InstanceRef, Level, SeriesRef
from farsight.ports.pacs import Pacs

LOG = logging.getLogger("farsight.retrieve")

_STUDY, _SERIES, _INSTANCE, _CLASS = "0020000D", "0020000E", "00080018", "00080016"
_MODALITY = "00080060"


@dataclass(frozen=True, slots=True)
class Listing:
    """What one PACS lists of a series: SOPInstanceUID -> SOPClassUID, "" where it doesn't tell.

    likely_classes: what to propose for those it doesn't tell, by the modality of the series.
    """

    pacs: Pacs
    instances: Mapping[str, str]
    likely_classes: tuple[str, ...] = ()

    def classes_of(self, sop_instance_uids: Sequence[str], attempt: int) -> tuple[str, ...]:
        """What to propose for those instances; guesses only once, nothing: everything there is."""
        classes = {self.instances[uid] for uid in sop_instance_uids}
        if "" not in classes:
            return tuple(sorted(classes))
        return self.likely_classes if attempt == 0 else ()


class SourceListing:
    """Asks the sources in turn by C-FIND; rows that don't match what was asked are dropped."""

    def __init__(self, sources: Sequence[Pacs]) -> None:
        self._sources = tuple(sources)

    @property
    def has_sources(self) -> bool:
        return bool(self._sources)

    def series_instances(self, series: SeriesRef) -> Listing:
        """What the first PACS that lists the series has of it.

        Raises: NotFound when every PACS answered and none has it, else the first PacsError.
        """
        return self._list(
            series,
            (
                IdentifierKey(_STUDY, "UI", series.study_instance_uid),
                IdentifierKey(_SERIES, "UI", series.series_instance_uid),
                IdentifierKey(_INSTANCE, "UI"),
                IdentifierKey(_CLASS, "UI"),
            ),
        )

    def instance(self, ref: InstanceRef) -> Listing:
        """The same for one instance of it. Raises: as `series_instances`."""
        return self._list(
            ref.series,
            (
                IdentifierKey(_STUDY, "UI", ref.study_instance_uid),
                IdentifierKey(_SERIES, "UI", ref.series_instance_uid),
                IdentifierKey(_INSTANCE, "UI", ref.sop_instance_uid),
                IdentifierKey(_CLASS, "UI"),
            ),
        )

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

    def _list(self, series: SeriesRef, keys: Sequence[IdentifierKey]) -> Listing:
        pacs, rows = self._first_with_rows(Level.IMAGE, keys)
        instances = {uid: _text(row, _CLASS) for row in rows if (uid := _text(row, _INSTANCE))}
        if "" not in instances.values():
            return Listing(pacs, instances)
        return Listing(pacs, instances, likely_classes(self._modality(pacs, series)))

    def _modality(self, pacs: Pacs, series: SeriesRef) -> str:
        keys = (
            IdentifierKey(_STUDY, "UI", series.study_instance_uid),
            IdentifierKey(_SERIES, "UI", series.series_instance_uid),
            IdentifierKey(_MODALITY, "CS"),
        )
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


def _text(row: Attributes, tag: str) -> str:
    values = row.get(tag, {}).get("Value") or [""]
    return str(values[0] or "")


def _is_what_was_asked(row: Attributes, keys: Sequence[IdentifierKey]) -> bool:
    """A key absent from the row is unknown, not a mismatch."""
    return all(not key.value or _text(row, key.tag) in ("", key.value) for key in keys)
