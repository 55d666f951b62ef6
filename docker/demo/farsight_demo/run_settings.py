"""What `make run` is told by environment variables, checked before anything starts."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RETRIEVE_MODES = ("auto", "c-get", "c-move")
DEMO_NAME, DEMO_AE_TITLE = "pacs", "PACS"
_PACS = re.compile(
    r"(?P<aet>[^@\\,]{1,16})@(?P<host>\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):(?P<port>\d+)"
)


class SettingRefused(Exception):
    """A variable has a value that can't be used. The message names both and what is allowed."""

    def __init__(self, variable: str, value: str, allowed: str) -> None:
        super().__init__(f"{variable} is {value!r}: {allowed}")


@dataclass(frozen=True)
class RemotePacs:
    """`name` is its key in DicomModalities."""

    name: str
    ae_title: str
    host: str
    port: int


@dataclass(frozen=True)
class RunSettings:
    """pacs: empty for the demo's own. forward_to: names of those that what is stored is sent on to.
    user: empty where nobody is asked for a password."""

    http_port: int
    web_port: int
    dicom_port: int
    demo_pacs_port: int
    state_directory: Path
    bind: str
    retrieve: str
    pacs: tuple[RemotePacs, ...]
    forward_to: tuple[str, ...]
    user: str
    password: str

    @property
    def loopback(self) -> bool:
        return ipaddress.ip_address(self.bind).is_loopback

    @property
    def ports(self) -> dict[str, int]:
        """The ports this run listens on, by the variable that sets them."""
        ports = {
            "HTTP_PORT": self.http_port,
            "WEB_PORT": self.web_port,
            "DICOM_PORT": self.dicom_port,
        }
        return ports if self.pacs else {**ports, "DEMO_PACS_PORT": self.demo_pacs_port}


def read_run_settings(environment: Mapping[str, str]) -> RunSettings:
    """An empty variable counts as unset.

    Raises: SettingRefused.
    """
    pacs = _all_pacs(environment.get("PACS", ""))
    settings = RunSettings(
        http_port=_port(environment, "HTTP_PORT", 8042),
        web_port=_port(environment, "WEB_PORT", 8043),
        dicom_port=_port(environment, "DICOM_PORT", 4242),
        demo_pacs_port=_port(environment, "DEMO_PACS_PORT", 11112),
        state_directory=Path(environment.get("STATE_DIR") or ".state").resolve(),
        bind=_bind(environment),
        retrieve=_retrieve(environment),
        pacs=pacs,
        forward_to=_forward_to(environment.get("FORWARD_TO", ""), pacs),
        user=environment.get("FARSIGHT_USER", ""),
        password=environment.get("FARSIGHT_PASSWORD", ""),
    )
    _refuse_shared_ports(settings)
    if bool(settings.user) != bool(settings.password):
        raise SettingRefused("FARSIGHT_USER", settings.user, "goes together with FARSIGHT_PASSWORD")
    if not settings.loopback and not settings.user:
        raise SettingRefused(
            "BIND",
            settings.bind,
            "others can reach this address: set FARSIGHT_USER and FARSIGHT_PASSWORD too",
        )
    return settings


def _port(environment: Mapping[str, str], variable: str, default: int) -> int:
    value = environment.get(variable) or str(default)
    if not re.fullmatch(r"[0-9]{1,5}", value) or not 1 <= int(value) <= 65535:
        raise SettingRefused(variable, value, "must be a port number from 1 to 65535")
    return int(value)


def _bind(environment: Mapping[str, str]) -> str:
    value = environment.get("BIND") or "127.0.0.1"
    try:
        return str(ipaddress.ip_address(value))
    except ValueError as error:
        raise SettingRefused("BIND", value, "must be an IP address, 0.0.0.0 for all") from error


def _retrieve(environment: Mapping[str, str]) -> str:
    value = environment.get("RETRIEVE") or "auto"
    if value not in RETRIEVE_MODES:
        raise SettingRefused("RETRIEVE", value, "must be one of " + ", ".join(RETRIEVE_MODES))
    return value


def _all_pacs(value: str) -> tuple[RemotePacs, ...]:
    found: list[RemotePacs] = []
    for entry in filter(None, (part.strip() for part in value.split(","))):
        match = _PACS.fullmatch(entry)
        if match is None or not 1 <= int(match["port"]) <= 65535:
            raise SettingRefused("PACS", entry, 'must be "AET@host:port[,AET2@host2:port2]"')
        name = re.sub(r"[^a-z0-9]+", "-", match["aet"].lower()).strip("-") or "pacs"
        if any(name == other.name for other in found):
            name = f"{name}-{len(found) + 1}"
        host = match["host"].strip("[]")
        found.append(RemotePacs(name, match["aet"].strip(), host, int(match["port"])))
    return tuple(found)


def _forward_to(value: str, pacs: Sequence[RemotePacs]) -> tuple[str, ...]:
    known = [one.name for one in pacs] or [DEMO_NAME]
    names = tuple(filter(None, (part.strip() for part in value.split(","))))
    for name in names:
        if name not in known:
            raise SettingRefused("FORWARD_TO", name, "must be of " + ", ".join(known))
    return names


def _refuse_shared_ports(settings: RunSettings) -> None:
    seen: dict[int, str] = {}
    for variable, port in settings.ports.items():
        if port in seen:
            raise SettingRefused(variable, str(port), f"{seen[port]} has the same port")
        seen[port] = variable
