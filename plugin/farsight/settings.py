"""The configuration, read once and checked whole: unknown keys and impossible values refuse.

Everything comes from Orthanc's own configuration; Farsight's part is the section "Farsight".
Every key is described in docs/configuration.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farsight.errors import SettingsError
from farsight.settings_section import Section

RETRIEVE_MODES = ("auto", "c-get", "c-move")
#: What the paths of Orthanc's own REST API begin with: a root of ours there would hide them.
_ORTHANCS_ROOTS = frozenset((
    "app", "changes", "exports", "images", "instances", "jobs", "modalities", "patients", "peers",
    "plugins", "queries", "series", "statistics", "storage-commitment", "studies", "system",
    "tools",
))  # fmt: skip
_IN_PATH = re.compile(r"(?!\.+\Z)[A-Za-z0-9._-]+\Z")
_AE_TITLE = re.compile(r"[ -\[\]-~]{1,16}\Z")  # PS3.5 6.2: default repertoire without backslash


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Orthanc's own DicomTls… files: whom we trust, and who we are where a PACS wants to know."""

    trusted_certificates: Path
    certificate: Path | None = None
    private_key: Path | None = None


@dataclass(frozen=True, slots=True)
class PacsSettings:
    """One remote PACS: Orthanc's DicomModalities entry plus Farsight.Pacs.<name>.

    root: of its own, "" where it has none. character_set: Specific Character Set for what it
    doesn't find in UTF-8, "" for none. match_here: tags of keys it matches too narrowly.
    """

    name: str
    ae_title: str
    host: str
    port: int
    retrieve: str = "auto"
    max_associations: int = 3
    uncompressed: bool = False
    connect_timeout_s: float = 5.0
    acse_timeout_s: float = 10.0
    dimse_timeout_s: float = 30.0
    idle_timeout_s: float = 10.0
    username: str = ""
    passcode: str = field(default="", repr=False)
    tls: TlsSettings | None = None
    root: str = ""
    search_timeout_s: float = 60.0
    character_set: str = ""
    match_here: frozenset[str] = frozenset()


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
    settings = Settings(
        calling_ae_title=_ae_title("DicomAet", configuration.get("DicomAet", "ORTHANC")),
        root=section.root("Root", "/dicom-web/"),
        http=HttpSettings(
            enabled=http.boolean("Enabled", default=True),
            bind=http.address("Bind", "127.0.0.1"),
            port=http.integer("Port", 8043, 0, 65535),
            threads=http.integer("Threads", 64, 4, 1024),
            public_url=http.url("PublicUrl"),
            trusted_proxies=http.addresses("TrustedProxies"),
        ),
        pacs=_read_all_pacs(configuration, section),
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
    )
    for part in (section, http, ohif, memory, search, wado, imaging):
        part.refuse_unknown()
    _check_roots(settings)
    _check_ports(configuration, settings.http)
    return settings


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


def _read_all_pacs(configuration: Mapping[str, Any], section: Section) -> tuple[PacsSettings, ...]:
    modalities = configuration.get("DicomModalities", {})
    if configuration.get("DicomModalitiesInDatabase") is True and not modalities:
        why = "Farsight reads the PACS from DicomModalities in the configuration: put them there"
        raise SettingsError("DicomModalitiesInDatabase", True, why)
    if not isinstance(modalities, Mapping):
        raise SettingsError("DicomModalities", modalities, "must be an object")
    chosen = section.section("Pacs")
    names = chosen.keys()
    for name in names:
        if name not in modalities:
            known = ", ".join(sorted(modalities)) or "none"
            raise SettingsError(
                f"Farsight.Pacs.{name}", name, f"must be a key of DicomModalities (there: {known})"
            )
    if not names:
        names = [name for name, entry in modalities.items() if _allows_find(entry)]
    tls = _read_tls(configuration)
    return tuple(_read_pacs(name, modalities[name], chosen.section(name), tls) for name in names)


def _read_tls(configuration: Mapping[str, Any]) -> TlsSettings | None:
    """None where Orthanc has no certificates to trust."""
    paths: dict[str, Path | None] = {}
    for key in ("DicomTlsTrustedCertificates", "DicomTlsCertificate", "DicomTlsPrivateKey"):
        value = configuration.get(key, "")
        if not isinstance(value, str) or (value and not Path(value).is_file()):
            raise SettingsError(key, value, "must be the path of a readable file")
        paths[key] = Path(value) if value else None
    trusted, certificate, private_key = paths.values()
    if (certificate is None) != (private_key is None):
        raise SettingsError(
            "DicomTlsPrivateKey", str(private_key or ""), "goes together with DicomTlsCertificate"
        )
    return None if trusted is None else TlsSettings(trusted, certificate, private_key)


def _tls_of(where: str, entry: Any, tls: TlsSettings | None) -> TlsSettings | None:
    wanted = entry.get("UseDicomTls", False) if isinstance(entry, Mapping) else False
    if not isinstance(wanted, bool):
        raise SettingsError(f"{where}.UseDicomTls", wanted, "must be true or false")
    if wanted and tls is None:
        why = "needs DicomTlsTrustedCertificates: whom to believe that it is the PACS"
        raise SettingsError(f"{where}.UseDicomTls", wanted, why)
    return tls if wanted else None


def _allows_find(entry: Any) -> bool:
    return not isinstance(entry, Mapping) or bool(entry.get("AllowFind", True))


def _read_pacs(name: str, entry: Any, extra: Section, tls: TlsSettings | None) -> PacsSettings:
    where = f"DicomModalities.{name}"
    if isinstance(entry, Mapping):
        ae_title, host, port = entry.get("AET"), entry.get("Host"), entry.get("Port")
    elif isinstance(entry, Sequence) and not isinstance(entry, str) and len(entry) >= 3:
        ae_title, host, port = entry[:3]
    else:
        raise SettingsError(where, entry, "must be an object with AET, Host and Port, or a list")
    if not isinstance(host, str) or not host:
        raise SettingsError(f"{where}.Host", host, "must be a host name or address")
    if isinstance(port, str) and port.isascii() and port.isdigit():
        port = int(port)
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
        raise SettingsError(f"{where}.Port", port, "must be a port number from 1 to 65535")
    identity = extra.section("UserIdentity", secret=True)
    settings = PacsSettings(
        name=name,
        ae_title=_ae_title(f"{where}.AET", ae_title),
        host=host,
        port=port,
        retrieve=extra.choice("Retrieve", "auto", RETRIEVE_MODES),
        max_associations=extra.integer("MaxAssociations", 3, 1, 100),
        uncompressed=extra.boolean("Uncompressed", default=False),
        connect_timeout_s=extra.seconds("ConnectTimeout", 5.0),
        acse_timeout_s=extra.seconds("AcseTimeout", 10.0),
        dimse_timeout_s=extra.seconds("DimseTimeout", 30.0),
        idle_timeout_s=extra.seconds("IdleTimeout", 10.0),
        username=identity.text("Username", ""),
        passcode=identity.text("Passcode", ""),
        tls=_tls_of(where, entry, tls),
        root=extra.root("Root", _default_root(name), empty=True),
        search_timeout_s=extra.seconds("SearchTimeout", 60.0),
        character_set=extra.character_set("CharacterSet"),
        match_here=extra.attributes("MatchHere"),
    )
    if settings.passcode and not settings.username:
        key = f"Farsight.Pacs.{name}.UserIdentity.Username"
        raise SettingsError(key, "", "goes together with Passcode")
    identity.refuse_unknown()
    extra.refuse_unknown()
    return settings


def _default_root(name: str) -> str:
    """None for a name that doesn't go into a path."""
    return f"/pacs/{name}/dicom-web/" if _IN_PATH.match(name) else ""


def _ae_title(key: str, value: Any) -> str:
    if not isinstance(value, str) or not _AE_TITLE.match(value) or not value.strip():
        raise SettingsError(key, value, "must be an AE title: 1 to 16 characters, no backslash")
    return value.strip()
