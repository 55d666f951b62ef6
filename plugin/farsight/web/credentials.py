"""Who may come in: the same users as Orthanc's, derived from the same configuration."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from farsight.errors import SettingsError, Unauthorized

#: What Orthanc itself asks with.
CHALLENGE = 'Basic realm="Orthanc Secure Area"'


@dataclass(frozen=True, slots=True)
class Credentials:
    """users: name -> password. Nobody is asked where `enabled` is False."""

    enabled: bool = False
    users: Mapping[str, str] = field(default_factory=dict, repr=False)

    def check(self, authorization: str | None) -> None:
        """`authorization`: the request's header. Raises: Unauthorized."""
        if not self.enabled:
            return
        name, password = _decode(authorization or "")
        expected = self.users.get(name)
        given = password.encode("utf-8")
        matches = hmac.compare_digest(given, (expected or "").encode("utf-8"))
        if expected is None or not matches:
            raise Unauthorized("user name and password of Orthanc are needed")


def _decode(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    name, _, password = text.partition(":")
    return name, password


def read_credentials(configuration: Mapping[str, Any]) -> Credentials:
    """As Orthanc reads it: on when AuthenticationEnabled, or by default when remote access is
    allowed; then, with no user registered, it makes the user "orthanc", password "orthanc".

    Raises: SettingsError, also for a user without a password: Orthanc would let anyone in.
    """
    remote = _boolean(configuration, "RemoteAccessAllowed", default=False)
    enabled = _boolean(configuration, "AuthenticationEnabled", default=remote)
    users = configuration.get("RegisteredUsers", {})
    if not isinstance(users, Mapping) or not all(isinstance(p, str) for p in users.values()):
        raise SettingsError("RegisteredUsers", "…", "must map user names to passwords")
    if enabled and "" in users.values():
        why = "a user needs a password while AuthenticationEnabled is true"
        raise SettingsError("RegisteredUsers", "…", why)
    default = {"orthanc": "orthanc"} if remote else {}
    return Credentials(enabled, dict(users) or default)


def check_bind(configuration: Mapping[str, Any], bind: str) -> None:
    """The full door answers nobody unasked whom Orthanc, with the same configuration, wouldn't.

    `bind`: where it is to listen. Raises: SettingsError.
    """
    if read_credentials(configuration).enabled or ipaddress.ip_address(bind).is_loopback:
        return
    if _boolean(configuration, "SslVerifyPeers", default=False):
        why = "Orthanc asks for certificates (SslVerifyPeers), which the full door can't do"
        raise SettingsError("Farsight.Http.Bind", bind, why)
    if _boolean(configuration, "RemoteAccessAllowed", default=False):
        return
    raise SettingsError(
        "Farsight.Http.Bind",
        bind,
        "others than this machine would come in without being asked who they are. Set "
        "AuthenticationEnabled to true and register users; or, where the network itself keeps "
        "strangers out, RemoteAccessAllowed to true and AuthenticationEnabled to false",
    )


def _boolean(configuration: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = configuration.get(key, default)
    if not isinstance(value, bool):
        raise SettingsError(key, value, "must be true or false")
    return value
