"""Which instance stands for a series, and which series for a study: found by searching, so that
nothing has to be fetched for it.
"""

from __future__ import annotations

from farsight.errors import NotFound
from farsight.model import Attributes, InstanceRef, Level, SeriesRef
from farsight.ps318.matching import values_of
from farsight.ps318.resource_path import Action, ResourcePath
from farsight.ps318.search_query import SearchQuery
from farsight.services.search import SearchService

_MODALITY, _SERIES_UID, _INSTANCE_UID = "00080060", "0020000E", "00080018"
_SERIES_NUMBER, _INSTANCE_NUMBER = "00200011", "00200013"
#: Shown only where a study has nothing else: they say something about images, or have none.
_LAST = frozenset(("SR", "PR", "KO", "DOC", "SEG", "RTSTRUCT", "RTPLAN", "RTRECORD", "REG", "PLAN",
                   "AU", "FID", "RWV", "ANN", "M3D", "SMR", "TEXTUREMAP", "OT"))  # fmt: skip


class Representatives:
    """The middle slice, and the first series with images. Calls block, and raise what a search
    raises: NotFound, PacsError, ArchiveError."""

    def __init__(self, search: SearchService) -> None:
        self._search = search

    def of_series(self, series: SeriesRef) -> InstanceRef:
        """The instance in the middle, by instance number."""
        scope = ResourcePath(
            Action.SEARCH, Level.IMAGE, series.study_instance_uid, series.series_instance_uid
        )
        query = SearchQuery(Level.IMAGE, include_fields=frozenset((_INSTANCE_NUMBER,)))
        rows = [row for row in self._search.search(query, scope, "").rows if _uid(row)]
        if not rows:
            raise NotFound(f"series {series.series_instance_uid} is unknown here and at every PACS")
        rows.sort(key=lambda row: (_number(row, _INSTANCE_NUMBER), _uid(row)))
        middle = rows[len(rows) // 2]
        return InstanceRef(series.study_instance_uid, series.series_instance_uid, _uid(middle))

    def series_of(self, study_instance_uid: str) -> SeriesRef:
        """The first by series number that has images."""
        scope = ResourcePath(Action.SEARCH, Level.SERIES, study_instance_uid)
        rows = self._search.search(SearchQuery(Level.SERIES), scope, "").rows
        found = [row for row in rows if _text(row, _SERIES_UID)]
        if not found:
            raise NotFound(f"study {study_instance_uid} is unknown here and at every PACS")
        best = min(
            found,
            key=lambda row: (
                _text(row, _MODALITY) in _LAST,
                _number(row, _SERIES_NUMBER),
                _text(row, _SERIES_UID),
            ),
        )
        return SeriesRef(study_instance_uid, _text(best, _SERIES_UID))


def _uid(row: Attributes) -> str:
    return _text(row, _INSTANCE_UID)


def _text(row: Attributes, tag: str) -> str:
    values = values_of(row.get(tag))
    return str(values[0]) if values else ""


def _number(row: Attributes, tag: str) -> float:
    try:
        return float(_text(row, tag))
    except ValueError:
        return float("inf")
