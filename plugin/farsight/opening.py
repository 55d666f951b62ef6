"""What happens besides when a study is opened, wired together: freshness, and prefetch by rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from farsight.adapters.dimse_pacs import DimsePacs
from farsight.adapters.dimse_worklist import DimseWorklist
from farsight.adapters.orthanc_archive import OrthancArchive
from farsight.keeping import Records
from farsight.pacs_wiring import address_of
from farsight.services.freshness import Freshness
from farsight.services.freshness_check import StudyCheck
from farsight.services.openings import Openings
from farsight.services.prefetch_schedule import PrefetchPeers, PrefetchSchedule
from farsight.services.retrieve import RetrieveService
from farsight.services.vanished import Vanished
from farsight.settings import Settings
from farsight.web.opening import StudyOpenings


class Opening:
    """Built while the script loads, started and stopped with the gateway."""

    def __init__(
        self,
        settings: Settings,
        records: Records,
        archive: OrthancArchive,
        sources: Sequence[DimsePacs],
        retrieve: RetrieveService,
        has_room: Callable[[], bool],
    ) -> None:
        """`has_room`: whether what is fetched before anyone asks for it may be kept."""
        prefetch = settings.prefetch
        worklists = [DimseWorklist(address_of(settings, one)) for one in prefetch.worklists]
        self.prefetch = PrefetchSchedule(
            prefetch.rules, PrefetchPeers(sources, archive, worklists), retrieve, has_room
        )
        vanished = Vanished(
            archive,
            records.book,
            settings.cache.vanished,
            records.locks,
            records.in_use.is_read,
            retrieve.has_shrunk,
            leaving=records.in_use.leaving,
        )
        check = StudyCheck(sources, archive, retrieve.fetch_ahead, vanished)
        self.freshness = Freshness(check, settings.cache.fresh_s)
        retrieve.when_complete(self.freshness.completed)
        self._openings = Openings()
        self._openings.listen(self.freshness.opened)
        if prefetch.rules.rules:
            self._openings.listen(self.prefetch.opened)
        #: For whoever hears of a study that is opened.
        self.studies = StudyOpenings(self._openings.opened, self.freshness.refresh)

    def start(self) -> None:
        self.prefetch.start()

    def close(self, deadline_s: float) -> None:
        self._openings.close(deadline_s)
        self.freshness.close(deadline_s)
        self.prefetch.close(deadline_s)
