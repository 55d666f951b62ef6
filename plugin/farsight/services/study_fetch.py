"""One study fetched ahead of need, followed until all of its series have ended."""

from __future__ import annotations

import threading
from collections.abc import Callable

from farsight.errors import FarsightError
from farsight.model import SeriesRef
from farsight.services.retrieve import RetrieveService


class StudyFetch:
    """Follows one study at a time. `begin` is for one thread; the rest is thread-safe."""

    def __init__(self, retrieve: RetrieveService, ended: Callable[[], None]) -> None:
        """`ended` is called when the last series has ended; it must not block."""
        self._retrieve = retrieve
        self._tell = ended
        self._lock = threading.Lock()
        self._awaited: set[SeriesRef] = set()
        self._error: FarsightError | None = None
        retrieve.when_ended(self._ended)

    def begin(self, study_instance_uid: str) -> int:
        """How many of its series weren't complete here, and are on their way or have been.

        What is under way already isn't begun again. Raises: NotFound, PacsError, ArchiveError.
        """
        series, warning = self._retrieve.study_series(study_instance_uid)
        with self._lock:
            self._awaited = set(series)  # before any of them can end
            self._error = None if warning is None else FarsightError(warning)
        begun = 0
        try:
            for one in series:
                if self._retrieve.fetch_ahead(one):
                    begun += 1
                else:
                    self._no_more(one)
        except FarsightError:
            self.leave()
            raise
        return begun

    @property
    def is_over(self) -> bool:
        with self._lock:
            return not self._awaited

    @property
    def error(self) -> FarsightError | None:
        """The first: why the study isn't whole here, or why that isn't sure."""
        with self._lock:
            return self._error

    def leave(self) -> None:
        """It isn't followed any further; what is on its way goes on."""
        with self._lock:
            self._awaited = set()

    def _ended(self, series: SeriesRef, error: FarsightError | None) -> None:
        with self._lock:
            if series not in self._awaited:
                return
            self._error = self._error or error
        self._no_more(series)

    def _no_more(self, series: SeriesRef) -> None:
        with self._lock:
            self._awaited.discard(series)
            is_over = not self._awaited
        if is_over:
            self._tell()
