"""What there is of the study or series that a path names, once it is here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from farsight.errors import NotFound, PacsError
from farsight.model import InstanceRef, Level
from farsight.ps318.resource_path import ResourcePath
from farsight.services.holdings import Holdings
from farsight.services.presence import Presence
from farsight.services.serve import ServeService
from farsight.web.messages import Response
from farsight.web.targets import series_of, study_of

#: SeriesInstanceUID -> SOPInstanceUIDs.
Stored = Mapping[str, Collection[str]]
#: How often an answer is begun of what others keep deleting from.
_ATTEMPTS = 3


def of_what_is_left(
    serve: ServeService, path: ResourcePath, answer: Callable[[], Response]
) -> Response:
    """The answer for many instances, of which others may delete some before they are read.

    Then what is left is the answer, never that there is nothing; if it is noticed before the answer
    has begun. Raises: what `answer` raises.
    """
    if path.level is Level.IMAGE:
        return answer()
    for _ in range(_ATTEMPTS - 1):
        stored = _asked_for(path, serve.stored(study_of(path)))
        try:
            return answer()
        except (NotFound, PacsError):  # a PACS is asked for what isn't here any more
            if not stored or not _has_lost(stored, serve.stored_now(study_of(path))):
                raise
    return answer()


def _asked_for(path: ResourcePath, stored: Stored) -> Stored:
    series = path.series_instance_uid
    if series is None:
        return stored
    return {series: stored[series]} if series in stored else {}


def _has_lost(stored: Stored, now: Stored) -> bool:
    """Growing is no reason to answer anew: a study that comes grows all the time."""
    return any(not set(uids) <= set(now.get(series, ())) for series, uids in stored.items())


def settled_series(
    serve: ServeService, path: ResourcePath, presence: Presence
) -> tuple[list[Holdings], tuple[str, ...]]:
    """Every series, and why that may not be all. Raises: as ServeService.study and series."""
    if path.level is Level.STUDY:
        return serve.study(study_of(path), presence)
    holdings = serve.series(series_of(path), presence)
    return [holdings], () if holdings.warning is None else (holdings.warning,)


def instances_of(settled: Iterable[Holdings]) -> list[InstanceRef]:
    """The instances of all of them, in order."""
    return [
        InstanceRef(one.series.study_instance_uid, one.series.series_instance_uid, uid)
        for one in settled
        for uid in one.sop_instance_uids
    ]
