"""What is kept here and what has to go elsewhere, wired together: book, outbox, storing, evicting,
sending on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from farsight.adapters import orthanc_lookup
from farsight.adapters.dimse_pacs import DimsePacs
from farsight.adapters.orthanc_archive import OrthancArchive
from farsight.adapters.orthanc_commitment import OrthancCommitments
from farsight.adapters.sqlite_cache_book import SqliteCacheBook
from farsight.adapters.sqlite_outbox import SqliteOutbox
from farsight.adapters.upload_spool import UploadSpools
from farsight.dimse.manners import C_MOVE
from farsight.errors import FarsightError, SettingsError
from farsight.model import Arrival, InstanceRef, SeriesRef
from farsight.ports.outbox import Consignment, Parcel
from farsight.ports.pacs import Outgoing
from farsight.ps318.multipart_reader import ReaderLimits
from farsight.services.bookkeeping import Bookkeeping
from farsight.services.claiming_outbox import ClaimingOutbox
from farsight.services.eviction import Evictor
from farsight.services.eviction_statistics import EvictionLimits
from farsight.services.forward_limits import ConfirmBy, ForwardLimits
from farsight.services.forwarding import Forwarder
from farsight.services.modality_stores import ModalityStores
from farsight.services.names_taken import NamesTaken
from farsight.services.outgoing import StoredOutgoing
from farsight.services.pacs_senders import PacsSenders
from farsight.services.reading import InUse
from farsight.services.retrieve import RetrieveService
from farsight.services.series_locks import SeriesLocks
from farsight.services.storing import Duplicates, StoreHooks, StorePolicy, StoringService
from farsight.services.transcoding import TranscodeService
from farsight.services.verification import Verifier
from farsight.settings import Settings
from farsight.web.handlers_cache import CacheHandler
from farsight.web.handlers_outbox import OutboxHandler
from farsight.web.handlers_store import StoreHandler
from farsight.web.status_sections import Section, cache_section, outbox_section, storing_section

LOG = logging.getLogger("farsight")
_PAUSE_S = 10.0


class Records:
    """Our own records on the disk, and what needs nothing but them and the archive."""

    def __init__(
        self,
        settings: Settings,
        directory: Path,
        archive: OrthancArchive,
        sources: Sequence[DimsePacs],
    ) -> None:
        """`directory`: of the records. Raises: CacheBookError, OutboxError, SettingsError."""
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            why = f"can't be made ({error.strerror}); choose another"
            raise SettingsError("Farsight.Directory", str(directory), why) from error
        self.directory = directory
        self.book = SqliteCacheBook(directory / "cache.sqlite")
        self._file = SqliteOutbox(directory / "outbox.sqlite")
        self.outbox = ClaimingOutbox(self._file, self.book)
        self.locks = SeriesLocks()
        self.names = NamesTaken()
        self.in_use = InUse(self.book)
        self._stow = settings.stow
        self._archive = archive
        named = {pacs.name for pacs in settings.pacs if pacs.is_named}
        self.senders = PacsSenders(
            {pacs.ae_title: pacs.name for pacs in sources if pacs.name in named},
            {p.ae_title: (p.name, p.was_asked_for) for p in sources if p.name not in named},
        )
        self._account = Bookkeeping(self.book, self.locks, self.senders, self.send_on)
        self._wake: Callable[[], None] = lambda: None

    def when_stored(self, tell: Callable[[], None]) -> None:
        """Called whenever something is stored. Must not block."""
        self._wake = tell

    def arrived(self, arrival: Arrival) -> None:
        """See adapters.store_events.Account."""
        self._account.arrived(arrival)
        self._wake()

    def departed(self, resource_ids: Collection[str]) -> None:
        """See adapters.store_events.Account."""
        self._account.departed(resource_ids)

    def send_on(self, arrival: Arrival) -> None:
        """What a modality sent goes where clients' instances go, unless it is known to be there."""
        if not self._stow.forward_dicom or not self._stow.forward_to:
            return
        booked = self.book.instance(arrival.ref)
        held_by = "" if booked is None else booked.held_by
        consignments = [
            Consignment(to, arrival.ref, arrival.sop_class_uid, arrival.transfer_syntax_uid)
            for to in self._stow.forward_to
            if to != held_by
        ]
        if consignments:
            self.outbox.promise(self.outbox.announce(consignments))

    def start(self, left_over: Iterable[InstanceRef]) -> None:
        """`left_over`: what the last run was about to store, or had stored, when it ended.

        Raises: CacheBookError, ArchiveError, OutboxError.
        """
        self._account.settle(left_over, orthanc_lookup.ids_named, orthanc_lookup.arrival_of)
        self._account.start(
            orthanc_lookup.resource_ids, orthanc_lookup.arrival_of, orthanc_lookup.latest_ids
        )

    def close(self, deadline_s: float, *, ended_well: bool) -> None:
        """`ended_well`: all that happened in the archive is booked; else the next start looks."""
        self._account.close(deadline_s)
        self._file.close()
        if ended_well:
            self.book.close()


class Keeping:
    """Built while the script loads, started and stopped with the gateway."""

    def __init__(
        self,
        settings: Settings,
        records: Records,
        archive: OrthancArchive,
        sources: Sequence[DimsePacs],
        retrieve: RetrieveService,
        transcoder: TranscodeService,
    ) -> None:
        """Raises: OutboxError."""
        self._closing = threading.Event()
        self._beginning: threading.Thread | None = None
        self._settings = settings
        self._records = records
        self._archive = archive
        self._retrieve = retrieve
        self._transcoder = transcoder
        book, locks = records.book, records.locks
        self.evictor = Evictor(
            book,
            archive,
            self._is_in_use,
            _limits(settings),
            locks,
            archive.followed,
            leaving=records.in_use.leaving,
        )
        records.when_stored(self.evictor.wake)
        outbox = settings.outbox
        self.forwarder = Forwarder(
            records.outbox,
            {pacs.name: pacs for pacs in sources},
            self._outgoing,
            commitments=OrthancCommitments(),
            confirm_by=_confirm_by(settings),
            limits=ForwardLimits(
                outbox.retry_s, outbox.longest_retry_s, outbox.attempts, outbox.confirm_after_s
            ),
        )
        self._verifier = Verifier(
            sources,
            archive,
            records.outbox.found_held,
            locks,
            _moves,
            lambda: bool(retrieve.progress()),
        )
        self.outbox_handler = OutboxHandler(self.forwarder, records.outbox)
        self.cache_handler = CacheHandler(
            book, archive, self.evictor, self._verifier, self._is_in_use
        )
        self._storing: StoringService | None = None
        self.modalities = ModalityStores(
            archive,
            book,
            records.senders,
            Duplicates(settings.stow.duplicates),
            self.evictor.make_room,
            records.send_on,
        )

    def store_handler(self, stored: Callable[[InstanceRef], None]) -> StoreHandler | None:
        """`stored`: told of every instance that is new here. None: nothing is to be stored."""
        stow, records = self._settings.stow, self._records
        if not stow.enabled:
            return None
        self._storing = service = StoringService(
            self._archive,
            records.book,
            records.outbox,
            records.locks,
            StorePolicy(stow.forward_to, Duplicates(stow.duplicates)),
            StoreHooks(stored, self.evictor.make_room),
            records.names,
        )
        limits = ReaderLimits(stow.max_parts, stow.max_part_bytes, stow.max_part_header_bytes)
        spools = UploadSpools(records.directory, stow.memory_bytes, self.evictor.make_room)
        return StoreHandler(
            service, spools, limits, stow.max_bytes, stow.memory_bytes, self._settings.root
        )

    def started(self) -> None:
        """Orthanc answers now. Returns at once: what the last run left is looked at meanwhile."""
        self.evictor.start()
        self._beginning = threading.Thread(target=self._begin, name="farsight-begin", daemon=True)
        self._beginning.start()

    def _begin(self) -> None:
        """Again and again until it goes well: a full disk must not end sending on for good."""
        steps = [
            lambda: self._records.start(self.forwarder.left_over),
            lambda: self.forwarder.recover(self._archive),
            self.forwarder.start,
        ]
        while steps and not self._closing.is_set():
            try:
                steps[0]()
                del steps[0]
            except FarsightError as error:
                LOG.error("what the last run left can't be looked at yet: %s", error)
                self._closing.wait(_PAUSE_S)

    def close(self, deadline_s: float) -> None:
        """The records stay open: others still write into them."""
        self._closing.set()
        if self._beginning is not None:
            self._beginning.join(deadline_s)
        self.evictor.close(deadline_s)
        self.forwarder.close(deadline_s)
        self._verifier.close(deadline_s)

    def keeps_to_limits(self) -> bool:
        """Whether more may be kept than is asked for."""
        return self.evictor.statistics.totals().limits_kept

    def sections(self) -> Sequence[Section]:
        """What the status page and the metrics tell of all this."""
        return (
            outbox_section(self.outbox_handler, self.forwarder),
            cache_section(self.cache_handler, self._records.book, self.evictor),
            storing_section(self._storing),
        )

    def _is_in_use(self, series: SeriesRef) -> bool:
        return self._records.in_use.is_read(series) or self._retrieve.is_under_way(series)

    def _outgoing(self, parcel: Parcel) -> Outgoing:
        what = parcel.what
        return StoredOutgoing(
            what.ref,
            what.sop_class_uid,
            what.transfer_syntax_uid,
            self._archive.read,
            self._transcoder,
        )


def _limits(settings: Settings) -> EvictionLimits:
    cache = settings.cache
    return EvictionLimits(cache.max_bytes, cache.max_age_s, cache.min_free_bytes)


def _confirm_by(settings: Settings) -> Mapping[str, ConfirmBy]:
    return {pacs.name: ConfirmBy(pacs.confirm_by) for pacs in settings.pacs}


def _moves(pacs: object) -> bool:
    return isinstance(pacs, DimsePacs) and pacs.engine == C_MOVE
