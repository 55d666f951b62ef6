"""Rows of a C-FIND as listings need them: those that are what was asked for, and their text."""

from __future__ import annotations

from collections.abc import Sequence

from farsight.model import Attributes, IdentifierKey, Level, SeriesRef
from farsight.ports.pacs import Pacs

STUDY, SERIES, INSTANCE, SOP_CLASS = "0020000D", "0020000E", "00080018", "00080016"


def rows_of(pacs: Pacs, level: Level, keys: Sequence[IdentifierKey]) -> list[Attributes]:
    """Without those that don't match what was asked. Raises: PacsError."""
    return [row for row in pacs.find(level, keys) if _is_what_was_asked(row, keys)]


def unique_keys(series: SeriesRef) -> tuple[IdentifierKey, IdentifierKey]:
    return (
        IdentifierKey(STUDY, "UI", series.study_instance_uid),
        IdentifierKey(SERIES, "UI", series.series_instance_uid),
    )


def text_of(row: Attributes, tag: str) -> str:
    """The first value, "" where there is none."""
    values = row.get(tag, {}).get("Value") or [""]
    return str(values[0] or "")


def _is_what_was_asked(row: Attributes, keys: Sequence[IdentifierKey]) -> bool:
    """A key absent from the row is unknown, not a mismatch."""
    return all(not key.value or text_of(row, key.tag) in ("", key.value) for key in keys)
