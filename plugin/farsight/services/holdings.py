"""What there is of a series once it was asked for, and the limits of asking."""

from __future__ import annotations

from dataclasses import dataclass

from farsight.model import SeriesRef


@dataclass(frozen=True, slots=True)
class RetrieveLimits:
    """passes: how often what is missing is asked for. wait_s: how long a client may wait."""

    passes: int = 4
    backoff_s: float = 0.25
    wait_s: float = 600.0
    bulk_threads: int = 4
    associations_per_study: int = 2


@dataclass(frozen=True, slots=True)
class Holdings:
    """What there is of a series, and the warning to send along when that may not be all.

    version: of the series in the archive, not later than what is here was looked up.
    """

    series: SeriesRef
    sop_instance_uids: tuple[str, ...]
    version: int = 0
    warning: str | None = None
