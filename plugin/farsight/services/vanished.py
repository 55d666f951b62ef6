"""What a PACS held once and lists no more: kept, or deleted here too.

Laws: only what the cache book says a PACS holds can have vanished from it; what a client stored
and no PACS holds is data, and never touched. Nothing is deleted over an answer that may be wrong:
one that failed, one that is shorter than its own count, one of a PACS while another failed. Where
nothing but an absence tells it, it takes a second look after a while.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence

from farsight.errors import CacheBookError
from farsight.model import InstanceRef, SeriesRef
from farsight.ports.archive import Archive
from farsight.ports.cache_book import CacheBook
from farsight.services.comparison import Missing
from farsight.services.reading import Leaving, never_read
from farsight.services.series_locks import SeriesLocks

LOG = logging.getLogger("farsight.freshness")
_MOST_SUSPECTED = 1000


class Vanished:
    """One policy for all studies. Thread-safe as long as no study is looked at twice at once."""

    def __init__(
        self,
        archive: Archive,
        book: CacheBook,
        policy: str,
        locks: SeriesLocks,
        in_use: Callable[[SeriesRef], bool],
        shrunk: Callable[[SeriesRef], None],
        second_look_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        leaving: Leaving = never_read,
    ) -> None:
        """`policy`: "keep" or "delete". `in_use`: whether a series is being read or retrieved; it
        is left alone then. `shrunk`: told of a series that lost some. `second_look_s`: so long
        something has to stay away.
        """
        self._archive = archive
        self._book = book
        self.deletes = policy == "delete"
        self._locks = locks
        self._in_use = in_use
        self._leaving = leaving
        self._shrunk = shrunk
        self._second_look_s = second_look_s
        self._clock = clock
        #: By study, since when.
        self._suspected: dict[str, dict[InstanceRef, float]] = {}

    def held_by(self, series: Iterable[SeriesRef]) -> dict[InstanceRef, str]:
        """The instances here that are known to be held by a PACS, and by which."""
        try:
            booked = [one for of_it in series for one in self._book.instances(of_it)]
        except CacheBookError as error:
            LOG.warning("nothing can be known to have vanished: %s", error)
            return {}
        return {one.ref: one.held_by for one in booked if one.held_by}

    def settle(self, study_instance_uid: str, missing: Sequence[Missing]) -> frozenset[InstanceRef]:
        """Deletes of the missing what may be deleted by now; what was.

        `missing`: all there are of the study, by a check that no PACS failed. Raises: ArchiveError.
        """
        if not self.deletes:
            return frozenset()
        now = self._clock()
        before = self._suspected.pop(study_instance_uid, {})
        suspected = {one.ref: before.get(one.ref, now) for one in missing}
        due = [
            one for one in missing if one.is_sure or now - suspected[one.ref] >= self._second_look_s
        ]
        for series in {one.ref.series for one in due}:
            for ref in self._delete(series, [one for one in due if one.ref.series == series]):
                del suspected[ref]
        if suspected:
            self._suspected[study_instance_uid] = suspected
        if len(self._suspected) > _MOST_SUSPECTED:
            self._suspected.clear()  # they are looked at twice anew
        left = suspected.keys()
        return frozenset(one.ref for one in missing if one.ref not in left)

    def _delete(self, series: SeriesRef, chosen: Sequence[Missing]) -> set[InstanceRef]:
        """The book is read again: somebody may have stored one of them meanwhile."""
        with self._locks.of(series):
            if self._in_use(series):
                return set()
            held_by = self.held_by([series])
            refs = {one.ref for one in chosen if held_by.get(one.ref) == one.pacs}
            with self._leaving(series) as may_go:
                if not refs or not may_go:
                    return set()
                self._archive.delete(refs)
        self._shrunk(series)
        LOG.warning(
            "series %s: %d instances deleted that no PACS has any more",
            series.series_instance_uid,
            len(refs),
        )
        return refs
