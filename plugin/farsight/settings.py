"""The configuration, read once and checked whole: unknown keys and impossible values refuse.

Everything comes from Orthanc's own configuration; Farsight's part is the section "Farsight".
Every key is described in docs/configuration.md.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farsight.errors import SettingsError

RETRIEVE_MODES = ("auto", "c-get", "c-move")
_AE_TITLE = re.compile(r"[ -\[\]-~]{1,16}\Z")  # PS3.5 6.2: default repertoire without backslash
_ROOT = re.compile(r"(/[A-Za-z0-9._-]+)+/\Z")


@dataclass(frozen=True, slots=True)
class PacsSettings:
    """One remote PACS: Orthanc's DicomModalities entry plus Farsight.Pacs.<name>."""

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
class Settings:
    """All Farsight needs to know to start."""

    calling_ae_title: str
    root: str = "/dicom-web/"
    http: HttpSettings = HttpSettings()
    pacs: tuple[PacsSettings, ...] = ()
    ohif_root: str = "/ohif/"
    ohif_directory: Path | None = None
    memory_bytes: int = 512 << 20


def read_settings(configuration: Mapping[str, Any]) -> Settings:
    """Orthanc's whole configuration as Farsight's settings.

    Raises: SettingsError, naming the JSON key, its value and what is allowed.
    """
    section = _Section("Farsight", configuration.get("Farsight", {}))
    http = section.section("Http")
    ohif = section.section("Ohif")
    memory = section.section("Memory")
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
    )
    for part in (section, http, ohif, memory):
        part.refuse_unknown()
    _check_roots(settings)
    return settings


def _check_roots(settings: Settings) -> None:
    roots = {
        "Farsight.Root": settings.root,
        "Farsight.Ohif.Root": settings.ohif_root,
        "/farsight/": "/farsight/",
    }
    for key, root in roots.items():
        for other, other_root in roots.items():
            if key != other and root.startswith(other_root):
                raise SettingsError(key, root, f"must not lie below {other} ({other_root})")


def _read_all_pacs(configuration: Mapping[str, Any], section: _Section) -> tuple[PacsSettings, ...]:
    modalities = configuration.get("DicomModalities", {})
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
    return tuple(_read_pacs(name, modalities[name], chosen.section(name)) for name in names)


def _allows_find(entry: Any) -> bool:
    return not isinstance(entry, Mapping) or bool(entry.get("AllowFind", True))


def _read_pacs(name: str, entry: Any, extra: _Section) -> PacsSettings:
    where = f"DicomModalities.{name}"
    if isinstance(entry, Mapping):
        ae_title, host, port = entry.get("AET"), entry.get("Host"), entry.get("Port")
    elif isinstance(entry, Sequence) and not isinstance(entry, str) and len(entry) >= 3:
        ae_title, host, port = entry[:3]
    else:
        raise SettingsError(where, entry, "must be an object with AET, Host and Port, or a list")
    if not isinstance(host, str) or not host:
        raise SettingsError(f"{where}.Host", host, "must be a host name or address")
    if isinstance(port, str) and port.isdigit():
        port = int(port)
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
        raise SettingsError(f"{where}.Port", port, "must be a port number from 1 to 65535")
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
    )
    extra.refuse_unknown()
    return settings


def _ae_title(key: str, value: Any) -> str:
    if not isinstance(value, str) or not _AE_TITLE.match(value) or not value.strip():
        raise SettingsError(key, value, "must be an AE title: 1 to 16 characters, no backslash")
    return value.strip()


class _Section:
    """One JSON object of the configuration: typed reading, and what nobody read is refused."""

    def __init__(self, key: str, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise SettingsError(key, value, "must be an object")
        self._key = key
        self._value = value
        self._known: set[str] = set()

    def keys(self) -> list[str]:
        return list(self._value)

    def section(self, name: str) -> _Section:
        return _Section(f"{self._key}.{name}", self._get(name, {}))

    def refuse_unknown(self) -> None:
        for name in self._value:
            if name not in self._known:
                allowed = ", ".join(sorted(self._known))
                raise SettingsError(
                    f"{self._key}.{name}", self._value[name], f"unknown key; allowed: {allowed}"
                )

    def _get(self, name: str, default: Any) -> Any:
        self._known.add(name)
        return self._value.get(name, default)

    def _refuse(self, name: str, value: Any, allowed: str) -> SettingsError:
        return SettingsError(f"{self._key}.{name}", value, allowed)

    def text(self, name: str, default: str) -> str:
        value = self._get(name, default)
        if not isinstance(value, str):
            raise self._refuse(name, value, "must be a string")
        return value

    def boolean(self, name: str, *, default: bool) -> bool:
        value = self._get(name, default)
        if not isinstance(value, bool):
            raise self._refuse(name, value, "must be true or false")
        return value

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        value = self._get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self._refuse(name, value, f"must be a whole number from {least} to {most}")
        return value

    def seconds(self, name: str, default: float) -> float:
        value = self._get(name, default)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0.1 <= value <= 3600:
            raise self._refuse(name, value, "must be a number of seconds from 0.1 to 3600")
        return float(value)

    def choice(self, name: str, default: str, allowed: Sequence[str]) -> str:
        value = self._get(name, default)
        if value not in allowed:
            raise self._refuse(name, value, "must be one of " + ", ".join(allowed))
        return str(value)

    def root(self, name: str, default: str) -> str:
        value = self.text(name, default)
        if not _ROOT.match(value) or "/../" in value or "/./" in value:
            raise self._refuse(
                name, value, 'must be a path such as "/dicom-web/", with both slashes'
            )
        return value

    def address(self, name: str, default: str) -> str:
        value = self.text(name, default)
        try:
            ipaddress.ip_address(value)
        except ValueError as error:
            raise self._refuse(name, value, "must be an IP address, 0.0.0.0 for all") from error
        return value

    def addresses(self, name: str) -> tuple[str, ...]:
        value = self._get(name, [])
        if not isinstance(value, list):
            raise self._refuse(name, value, "must be a list of IP addresses or networks")
        for network in value:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise self._refuse(name, network, "must be an IP address or network") from error
        return tuple(value)

    def url(self, name: str) -> str:
        value = self.text(name, "")
        if value and not re.fullmatch(r"https?://[A-Za-z0-9.\[\]:_-]+(/[A-Za-z0-9._~/-]*)?", value):
            raise self._refuse(name, value, "must be a URL such as https://pacs.example.org")
        return value.rstrip("/")
