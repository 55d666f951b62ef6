"""Fetching studies before anyone asks: behind everything that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from farsight.errors import FarsightError
from farsight.services.retrieve import RetrieveService


@dataclass(frozen=True, slots=True)
class PrefetchOutcome:
    """What became of one study: its series, those complete here already, those on their way.

    error: why nothing could be begun. warning: why these may not be all series.
    """

    series: int = 0
    complete: int = 0
    queued: int = 0
    error: str | None = None
    warning: str | None = None


class PrefetchService:
    """Idempotent: what is here is skipped, what is under way isn't begun again. Thread-safe."""

    def __init__(self, retrieve: RetrieveService) -> None:
        self._retrieve = retrieve

    def prefetch(self, study_instance_uids: Sequence[str]) -> dict[str, PrefetchOutcome]:
        """Begins; doesn't wait for the instances. A study that fails doesn't hinder the others."""
        return {uid: self._one(uid) for uid in dict.fromkeys(study_instance_uids)}

    def _one(self, study_instance_uid: str) -> PrefetchOutcome:
        try:
            series, warning = self._retrieve.study_series(study_instance_uid)
            queued = sum(self._retrieve.fetch_ahead(one) for one in series)
        except FarsightError as error:
            return PrefetchOutcome(error=str(error))
        return PrefetchOutcome(len(series), len(series) - queued, queued, warning=warning)
