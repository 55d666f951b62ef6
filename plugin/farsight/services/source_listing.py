"""What the PACS say they have: the expected instances of a series, the series of a study."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from farsight.errors import NotFound, PacsError
from farsight.model import Attributes, IdentifierKey, InstanceRef, Level, SeriesRef
from farsight.ports.pacs import Pacs

LOG = logging.getLogger("farsight.retrieve")

_STUDY, _SERIES, _INSTANCE, _CLASS = "0020000D", "0020000E", "00080018", "00080016"


class SourceListing:
    """Asks the sources in turn by C-FIND; rows that don't match what was asked are dropped."""

    def __init__(self, sources: Sequence[Pacs]) -> None:
        self._sources = tuple(sources)

    def instances(self, series: SeriesRef) -> tuple[Pacs, Mapping[str, str]]:
        """The first PACS that lists the series, and its SOPInstanceUID -> SOPClassUID ("" unknown).

        Raises: NotFound when every PACS answered and none has it, else the first PacsError.
        """
        keys = (
            IdentifierKey(_STUDY, "UI", series.study_instance_uid),
            IdentifierKey(_SERIES, "UI", series.series_instance_uid),
            IdentifierKey(_INSTANCE, "UI"),
            IdentifierKey(_CLASS, "UI"),
        )
        pacs, rows = self._first_with_rows(Level.IMAGE, keys)
        return pacs, {uid: _uid(row, _CLASS) for row in rows if (uid := _uid(row, _INSTANCE))}

    def instance(self, ref: InstanceRef) -> tuple[Pacs, str]:
        """The first PACS that lists the instance, and its SOP class ("" unknown).

        Raises: as `instances`.
        """
        keys = (
            IdentifierKey(_STUDY, "UI", ref.study_instance_uid),
            IdentifierKey(_SERIES, "UI", ref.series_instance_uid),
            IdentifierKey(_INSTANCE, "UI", ref.sop_instance_uid),
            IdentifierKey(_CLASS, "UI"),
        )
        pacs, rows = self._first_with_rows(Level.IMAGE, keys)
        return pacs, _uid(rows[0], _CLASS)

    def series(self, study_instance_uid: str) -> Sequence[str]:
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
        return [uid for row in rows if (uid := _uid(row, _SERIES))]

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


def _uid(row: Attributes, tag: str) -> str:
    values = row.get(tag, {}).get("Value") or [""]
    return str(values[0] or "")


def _is_what_was_asked(row: Attributes, keys: Sequence[IdentifierKey]) -> bool:
    """A key absent from the row is unknown, not a mismatch."""
    return all(not key.value or _uid(row, key.tag) in ("", key.value) for key in keys)
