"""What a PACS was asked to send."""

from __future__ import annotations

from farsight.model import SeriesRef

_MOST = 20_000


class AskedFor:
    """The series of this process's retrieves, up to a number. Thread-safe."""

    def __init__(self) -> None:
        self._series: set[SeriesRef] = set()

    def note(self, study_instance_uid: str, series_instance_uid: str | None) -> None:
        """None: the whole study, whose series aren't known."""
        if series_instance_uid is None:
            return
        if len(self._series) >= _MOST:
            self._series.clear()
        self._series.add(SeriesRef(study_instance_uid, series_instance_uid))

    def __contains__(self, series: SeriesRef) -> bool:
        return series in self._series
