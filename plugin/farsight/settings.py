"""The configuration, read once and checked whole: unknown keys and impossible values refuse.

Everything comes from Orthanc's own configuration; Farsight's part is the section "Farsight".
Every key is described in docs/configuration.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farsight.errors import SettingsError
from farsight.settings_pacs import PacsSettings, checked_ae_title, read_all_pacs
from farsight.settings_prefetch import PrefetchSettings, read_prefetch
from farsight.settings_section import Section
from farsight.settings_storing import (
    CacheSettings,
    OutboxSettings,
    StowSettings,
    read_cache,
    read_outbox,
    read_stow,
)

#: What the paths of Orthanc's own REST API begin with: a root of ours there would hide them.
_ORTHANCS_ROOTS = frozenset((
    "app", "changes", "exports", "images", "instances", "jobs", "modalities", "patients", "peers",
    "plugins", "queries", "series", "statistics", "storage-commitment", "studies", "system",
    "tools",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """The full door. port 0: the system picks one. public_url overrules what requests say."""

    enabled: bool = True
    bind: str = "127.0.0.1"
    port: int = 8043
    threads: int = 64
    public_url: str = ""
    trusted_proxies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImagingSettings:
    """The worker processes that decode and draw. max_bytes: of address space, each."""

    workers: int = 2
    max_bytes: int = 2048 << 20
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Settings:
    """All Farsight needs to know to start."""

    calling_ae_title: str
    root: str = "/dicom-web/"
    http: HttpSettings = HttpSettings()
    pacs: tuple[PacsSettings, ...] = ()
    ohif_root: str = "/ohif/"
    ohif_directory: Path | None = None
    memory_bytes: int = 512 << 20
    search_answers_live_s: int = 5
    search_max_results: int = 20_000
    wado_uri_root: str = "/wado/"
    imaging: ImagingSettings = ImagingSettings()
    #: Where our own records are kept.
    records: Path = Path("OrthancStorage/farsight")
    stow: StowSettings = field(default_factory=StowSettings)
    outbox: OutboxSettings = field(default_factory=OutboxSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    prefetch: PrefetchSettings = field(default_factory=PrefetchSettings)


def read_settings(configuration: Mapping[str, Any]) -> Settings:
    """Orthanc's whole configuration as Farsight's settings.

    Raises: SettingsError, naming the JSON key, its value and what is allowed.
    """
    section = Section("Farsight", configuration.get("Farsight", {}))
    http = section.section("Http")
    ohif = section.section("Ohif")
    memory = section.section("Memory")
    search = section.section("Search")
    wado = section.section("WadoUri")
    imaging = section.section("Imaging")
    directory = ohif.text("Directory", "")
    pacs = read_all_pacs(configuration, section)
    settings = Settings(
        calling_ae_title=checked_ae_title("DicomAet", configuration.get("DicomAet", "ORTHANC")),
        root=section.root("Root", "/dicom-web/"),
        http=HttpSettings(
            enabled=http.boolean("Enabled", default=True),
            bind=http.address("Bind", "127.0.0.1"),
            port=http.integer("Port", 8043, 0, 65535),
            threads=http.integer("Threads", 64, 4, 1024),
            public_url=http.url("PublicUrl"),
            trusted_proxies=http.addresses("TrustedProxies"),
        ),
        pacs=pacs,
        ohif_root=ohif.root("Root", "/ohif/"),
        ohif_directory=Path(directory) if directory else None,
        memory_bytes=memory.integer("MaxMegabytes", 512, 16, 1 << 20) << 20,
        search_answers_live_s=search.integer("CacheSeconds", 5, 0, 60),
        search_max_results=search.integer("MaxResults", 20_000, 100, 1_000_000),
        wado_uri_root=wado.root("Root", "/wado/", empty=True),
        imaging=ImagingSettings(
            workers=imaging.integer("Workers", 2, 1, 64),
            max_bytes=imaging.integer("MaxMegabytes", 2048, 512, 1 << 20) << 20,
            timeout_s=imaging.seconds("Timeout", 30.0),
        ),
        records=_records(configuration, section),
        stow=read_stow(section.section("Stow"), [one.name for one in pacs]),
        outbox=read_outbox(section.section("Outbox")),
        cache=read_cache(section.section("Cache")),
        prefetch=read_prefetch(section.section("Prefetch"), configuration, pacs),
    )
    for part in (section, http, ohif, memory, search, wado, imaging):
        part.refuse_unknown()
    _check_roots(settings)
    _check_ports(configuration, settings.http)
    return settings


def _records(configuration: Mapping[str, Any], section: Section) -> Path:
    """Relative ones are relative to Orthanc's configuration, as its own are."""
    storage = str(configuration.get("StorageDirectory", "OrthancStorage"))
    return Path(section.text("Directory", "") or Path(storage) / "farsight")


def _check_roots(settings: Settings) -> None:
    roots = {
        "Farsight.Root": settings.root,
        "Farsight.Ohif.Root": settings.ohif_root,
        "/farsight/": "/farsight/",
        **({"Farsight.WadoUri.Root": settings.wado_uri_root} if settings.wado_uri_root else {}),
        **{f"Farsight.Pacs.{pacs.name}.Root": pacs.root for pacs in settings.pacs if pacs.root},
    }
    for key, root in roots.items():
        if root.split("/")[1] in _ORTHANCS_ROOTS:
            raise SettingsError(key, root, "belongs to Orthanc's own REST API; choose another")
        for other, other_root in roots.items():
            if key != other and root.startswith(other_root):
                raise SettingsError(key, root, f"must not lie below {other} ({other_root})")


def _check_ports(configuration: Mapping[str, Any], http: HttpSettings) -> None:
    """Two listeners on one port: Orthanc, which comes later, would only say that it's taken."""
    for server, default in (("Http", 8042), ("Dicom", 4242)):
        key = f"{server}Port"
        listens = configuration.get(f"{server}ServerEnabled", True) is not False
        if http.enabled and listens and http.port == configuration.get(key, default) != 0:
            raise SettingsError("Farsight.Http.Port", http.port, f"is Orthanc's own {key}")
