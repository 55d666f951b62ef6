"""Everything wired together: the one place that knows all layers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from farsight.adapters.dimse_pacs import DimsePacs
from farsight.adapters.imaging_workers import ImagingWorkers
from farsight.adapters.orthanc_archive import OrthancArchive
from farsight.adapters.orthanc_log import OrthancLog, log_to_orthanc
from farsight.adapters.orthanc_manners import OrthancManners
from farsight.adapters.pacs_address import PacsAddress
from farsight.adapters.storage_area import StorageArea
from farsight.keeping import Keeping, Records
from farsight.model import InstanceRef
from farsight.opening import Opening
from farsight.pacs_wiring import address_of, said_of_pacs
from farsight.services.holdings import RetrieveLimits
from farsight.services.memory_tier import MemoryTier
from farsight.services.modality_stores import OUT_OF_RESOURCES
from farsight.services.persist import Persister
from farsight.services.prefetch import PrefetchService
from farsight.services.retrieve import RetrieveService
from farsight.services.search import SearchLimits, SearchService
from farsight.services.search_newest import DescentLimits
from farsight.services.search_page import PageLimits
from farsight.services.search_source import SourceHabits
from farsight.services.serve import ServeService
from farsight.services.transcoding import TranscodeService
from farsight.settings import HttpSettings, Settings, read_settings
from farsight.settings_storing import check_orthancs_own
from farsight.startup_checks import (
    check_dicomweb_plugin,
    check_threads,
    loaded_python_plugins,
    official_wado_uri,
)
from farsight.web import orthanc_door
from farsight.web.base_url import BaseUrl
from farsight.web.credentials import check_bind, read_credentials
from farsight.web.full_door import FullDoor
from farsight.web.handlers_dicomweb import DicomWebHandler, Pictures
from farsight.web.handlers_prefetch import PrefetchHandler
from farsight.web.handlers_status import Others, StatusHandler
from farsight.web.handlers_wado_uri import WadoUriHandler
from farsight.web.ohif import OhifHandler
from farsight.web.routes import Handler, Router
from farsight.web.status_sections import freshness_section, prefetch_section
from farsight.web.worker_pool import Overloaded, WorkerPool

LOG = logging.getLogger("farsight")
_STOP_DEADLINE_S = 3.0
_INCOMING_THREADS = 4
_INCOMING_TIMEOUT_S = 10.0


class Gateway:
    """Farsight inside one Orthanc: built while the script loads, started and stopped by events."""

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        """Raises: SettingsError or StartRefused; either stops Orthanc's start."""
        settings = read_settings(configuration)
        check_orthancs_own(
            configuration, settings.stow, can_reject=orthanc_door.is_at_least(1, 11, 2)
        )
        maps = Path("/proc/self/maps").read_text()
        for root in (settings.root, *(pacs.root for pacs in settings.pacs if pacs.root)):
            check_dicomweb_plugin(configuration, root, _configuration_directory(), maps)
        self._releases_lock = check_threads(
            configuration, loaded_python_plugins(maps), can_stream=orthanc_door.can_stream()
        )
        credentials = read_credentials(configuration)
        if settings.http.enabled:
            check_bind(configuration, settings.http.bind)
        self._settings = settings
        self._log: OrthancLog = log_to_orthanc()
        self._manners = OrthancManners()
        self._sources = [self._source(address_of(settings, pacs)) for pacs in settings.pacs]
        self.archive = OrthancArchive(_storage_area(configuration))
        self._tier = MemoryTier(settings.memory_bytes)
        self._records = Records(
            settings, _configuration_directory() / settings.records, self.archive, self._sources
        )
        self._persister = Persister(
            self.archive,
            self._tier,
            self._records.book,
            lambda size_bytes: self._keeping.evictor.make_room(size_bytes),
            names=self._records.names,
        )
        self._retrieve = RetrieveService(
            self._sources,
            self.archive,
            self._tier,
            self._persister,
            _limits(len(self._sources)),
            self._records.in_use,
        )
        self.archive.listen(
            stored=self._retrieve.stored_elsewhere, gone=self._tier.drop, account=self._records
        )
        self._pool = WorkerPool(settings.http.threads)
        self._incoming = WorkerPool(_INCOMING_THREADS)
        serve = self._serve = ServeService(self._retrieve, self.archive)
        habits = {
            pacs.name: SourceHabits(pacs.search_timeout_s, pacs.match_here)
            for pacs in settings.pacs
        }
        search = SearchService(self._sources, self.archive, _search_limits(settings), habits=habits)
        self._imaging = ImagingWorkers(
            settings.imaging.workers, settings.imaging.max_bytes, settings.imaging.timeout_s
        )
        pictures = Pictures(self._imaging, self.archive)
        own = self._records, self.archive, self._sources, self._retrieve
        self._keeping = Keeping(settings, *own, TranscodeService(self._imaging))
        self._opening = Opening(settings, *own, self._keeping.keeps_to_limits)
        openings = self._opening.studies
        store = self._keeping.store_handler(self._was_stored)
        main = DicomWebHandler(search, serve, pictures, settings.root, store, openings)
        dicomweb = {settings.root: main}
        for pacs in settings.pacs:
            if pacs.root:
                of_pacs = search.only(pacs.name), serve.only(pacs.name)
                dicomweb[pacs.root] = DicomWebHandler(
                    *of_pacs, pictures, pacs.root, openings=openings
                )
        router = Router(
            {
                **dicomweb,
                **self._wado_uri(configuration, maps, main),
                **self._other_roots(settings),
            },
            {
                "/farsight/": StatusHandler.methods,
                **{root: handler.methods for root, handler in dicomweb.items()},
            },
            at_once={root: handler.at_once for root, handler in dicomweb.items()},
            options={root: handler.describe for root, handler in dicomweb.items()},
            streams=() if store is None else (settings.root,),
        )
        orthancs, ours = _base_urls(configuration, settings.http)
        orthanc_door.mount(router, self._pool, orthancs, configuration)
        self._full_door = FullDoor(
            router, self._pool, credentials, ours, max_stream_bytes=settings.stow.max_bytes
        )
        if settings.http.enabled:
            self._full_door.start(settings.http.bind, settings.http.port)

    def _wado_uri(
        self, configuration: Mapping[str, Any], maps: str, main: DicomWebHandler
    ) -> dict[str, Handler]:
        """Nothing where there is to be none, or where the official DICOMweb plugin has it."""
        root = self._settings.wado_uri_root
        if not root:
            return {}
        if official_wado_uri(configuration, _configuration_directory(), maps) == root:
            LOG.warning("WADO-URI at %s is the official DICOMweb plugin's", root)
            return {}
        return {root: WadoUriHandler(main.retrieve, main.rendered, root)}

    def _other_roots(self, settings: Settings) -> dict[str, Handler]:
        prefetch = PrefetchHandler(PrefetchService(self._retrieve), self._opening.prefetch.status)
        status = StatusHandler(
            self._sources,
            self._retrieve,
            self._tier,
            self.full_door_url,
            {pacs.name: pacs.root for pacs in settings.pacs},
            Others(
                prefetch,
                self._keeping.outbox_handler,
                self._keeping.cache_handler,
                (
                    *self._keeping.sections(),
                    prefetch_section(self._opening.prefetch),
                    freshness_section(self._opening.freshness),
                ),
            ),
        )
        build = settings.ohif_directory and _configuration_directory() / settings.ohif_directory
        ohif = OhifHandler(build, settings.ohif_root, settings.root, storing=settings.stow.enabled)
        ohif.check()
        return {"/farsight/": status, settings.ohif_root: ohif}

    def _source(self, address: PacsAddress) -> DimsePacs:
        return DimsePacs(address, lambda manners: self._manners.keep(str(address), manners))

    def status_for_incoming(self, remote_ae_title: str, data: bytes) -> int:
        """Of an instance that comes by C-STORE. On a thread of our own: Orthanc's are small.

        Nobody stores meanwhile, by Orthanc's doing: so it waits neither for a thread that clients
        who store may have, nor for ever for anything that they may hold.
        """
        try:
            return self._incoming.run(
                lambda: self._keeping.modalities.status_for(remote_ae_title, data),
                _INCOMING_TIMEOUT_S,
            )
        except Overloaded as error:
            LOG.error("an instance of %s is refused: %s", remote_ae_title, error)
            return OUT_OF_RESOURCES

    @property
    def may_look_at_incoming(self) -> bool:
        """Whether Orthanc may ask us for every C-STORE. It holds a lock then that storing from
        here needs: where that keeps the interpreter's lock, each would wait for the other."""
        return self._releases_lock

    def _was_stored(self, ref: InstanceRef) -> None:
        """By a client; whatever memory has under that name is of before."""
        self._tier.drop(ref)
        self._retrieve.stored_elsewhere(ref)

    def full_door_url(self) -> str:
        """Where the full door listens; "" where it doesn't."""
        if not self._settings.http.enabled:
            return ""
        return f"http://{self._settings.http.bind}:{self._full_door.port}"

    def started(self) -> None:
        """Orthanc answers now: what needs it can be found out."""
        if not self._releases_lock:
            LOG.warning(
                "this Python plugin holds the interpreter lock during calls into Orthanc: "
                "good for trying; use python plugin 5.0 or later in production"
            )
        orthanc_door.probe_query_decoding()
        for source in self._sources:
            if (known := self._manners.recall(str(source.address))) is not None:
                source.adopt(known)
                LOG.warning("PACS %r: %s (learned before)", source.name, known)
        LOG.warning(
            "DICOMweb at %s on Orthanc's port, %s",
            self._settings.root,
            said_of_pacs(self._settings.pacs),
        )
        if self._settings.http.enabled:
            LOG.warning("full door: %s%s", self.full_door_url(), self._settings.root)
        self._keeping.started()
        self._opening.start()
        self._pool.submit(self._imaging.warm_up, lambda: None)

    def stopped(self) -> None:
        """Orthanc stops: nothing of ours may call it after this, nor keep it waiting."""
        self._full_door.stop(_STOP_DEADLINE_S)
        self._pool.close()
        self._incoming.close()
        self._imaging.close()
        self._opening.close(_STOP_DEADLINE_S)
        self._retrieve.close()
        self._serve.close(_STOP_DEADLINE_S)
        self._persister.close(_STOP_DEADLINE_S)
        self._keeping.close(_STOP_DEADLINE_S)
        ended_well = self.archive.followed(_STOP_DEADLINE_S)
        self.archive.close(_STOP_DEADLINE_S)
        self._records.close(_STOP_DEADLINE_S, ended_well=ended_well)
        for source in self._sources:
            source.close()
        self._log.stopped = True


def _limits(sources: int) -> RetrieveLimits:
    """As many bulk retrieves at once for each PACS: a slow one shouldn't hold up the others."""
    limits = RetrieveLimits()
    return replace(limits, bulk_threads=limits.bulk_threads * max(1, sources))


def _search_limits(settings: Settings) -> SearchLimits:
    most = settings.search_max_results
    return SearchLimits(
        answers_live_s=settings.search_answers_live_s,
        descent=DescentLimits(max_rows=most),
        page=PageLimits(max_results=most),
    )


def _configuration_directory() -> Path:
    """What relative paths in the configuration are relative to."""
    path = Path(str(orthanc_door.configuration_path()))
    return path if path.is_dir() else path.parent


def _storage_area(configuration: Mapping[str, Any]) -> StorageArea:
    directory = str(configuration.get("StorageDirectory", "OrthancStorage"))
    return StorageArea(_configuration_directory() / directory)


def _base_urls(configuration: Mapping[str, Any], http: HttpSettings) -> tuple[BaseUrl, BaseUrl]:
    """For Orthanc's port, which may be HTTPS, and for the full door, which is not."""
    scheme = "https" if configuration.get("SslEnabled") is True else "http"
    orthancs = f"{scheme}://localhost:{configuration.get('HttpPort', 8042)}"
    ours = f"http://localhost:{http.port}"
    return (
        BaseUrl(orthancs, http.public_url, http.trusted_proxies),
        BaseUrl(ours, http.public_url, http.trusted_proxies),
    )
