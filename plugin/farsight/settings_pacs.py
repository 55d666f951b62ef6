"""The PACS of the configuration: Orthanc's DicomModalities, and what Farsight.Pacs adds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from farsight.errors import SettingsError
from farsight.settings_section import Section

RETRIEVE_MODES = ("auto", "c-get", "c-move")
CONFIRM_MODES = ("auto", "commitment", "find")
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
    is_named: whether it stands in Farsight.Pacs, and not only among the modalities.
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
    confirm_by: str = "auto"
    is_named: bool = True


def read_all_pacs(configuration: Mapping[str, Any], section: Section) -> tuple[PacsSettings, ...]:
    modalities = configuration.get("DicomModalities", {})
    if configuration.get("DicomModalitiesInDatabase") is True and not modalities:
        why = "Farsight reads the PACS from DicomModalities in the configuration: put them there"
        raise SettingsError("DicomModalitiesInDatabase", True, why)
    if not isinstance(modalities, Mapping):
        raise SettingsError("DicomModalities", modalities, "must be an object")
    chosen = section.section("Pacs")
    names, are_named = chosen.keys(), bool(chosen.keys())
    for name in names:
        if name not in modalities:
            known = ", ".join(sorted(modalities)) or "none"
            raise SettingsError(
                f"Farsight.Pacs.{name}", name, f"must be a key of DicomModalities (there: {known})"
            )
    if not are_named:
        names = [name for name, entry in modalities.items() if _allows_find(entry)]
    tls = _read_tls(configuration)
    found = (_read_pacs(name, modalities[name], chosen.section(name), tls) for name in names)
    return tuple(replace(pacs, is_named=are_named) for pacs in found)


def read_modality(configuration: Mapping[str, Any], name: str) -> PacsSettings:
    """One of Orthanc's DicomModalities that needn't be a source: whatever Farsight.Pacs can say
    of it has its default. Raises: SettingsError."""
    entry = configuration["DicomModalities"][name]
    return _read_pacs(name, entry, Section(f"Farsight.Pacs.{name}", {}), _read_tls(configuration))


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
        ae_title=checked_ae_title(f"{where}.AET", ae_title),
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
        confirm_by=extra.choice("ConfirmBy", "auto", CONFIRM_MODES),
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


def checked_ae_title(key: str, value: Any) -> str:
    if not isinstance(value, str) or not _AE_TITLE.match(value) or not value.strip():
        raise SettingsError(key, value, "must be an AE title: 1 to 16 characters, no backslash")
    return value.strip()
