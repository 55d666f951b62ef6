"""Who comes in: the same as Orthanc lets in with the same configuration."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from farsight.errors import SettingsError, Unauthorized
from farsight.web.credentials import check_bind, read_credentials

USERS = {"RegisteredUsers": {"alice": "secret"}}


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def comes_in(configuration: dict[str, Any], authorization: str | None) -> bool:
    try:
        read_credentials(configuration).check(authorization)
    except Unauthorized:
        return False
    return True


@pytest.mark.parametrize(
    ("configuration", "stranger", "default_user", "alice"),
    [
        ({}, True, True, True),
        ({"AuthenticationEnabled": False, "RemoteAccessAllowed": True}, True, True, True),
        ({"RemoteAccessAllowed": True}, False, True, False),
        ({"AuthenticationEnabled": True, "RemoteAccessAllowed": True}, False, True, False),
        ({"AuthenticationEnabled": True}, False, False, False),
        ({"AuthenticationEnabled": True, **USERS}, False, False, True),
        ({"RemoteAccessAllowed": True, **USERS}, False, False, True),
    ],
)
def test_the_same_users_as_orthanc(
    configuration: dict[str, Any], stranger: bool, default_user: bool, alice: bool
) -> None:
    assert comes_in(configuration, None) is stranger
    assert comes_in(configuration, basic("orthanc", "orthanc")) is default_user
    assert comes_in(configuration, basic("alice", "secret")) is alice


@pytest.mark.parametrize(
    "authorization",
    [
        None, "", "Basic", "Basic !", "Basic =", "Bearer x", basic("alice", ""), basic("", ""),
        basic("", "secret"), basic("alice", "secret2"), basic("Alice", "secret"),
        "Basic " + base64.b64encode(b"\xff\xfe").decode(),
        "Basic " + base64.b64encode(b"alice").decode(),
    ],
)  # fmt: skip
def test_who_stays_out(authorization: str | None) -> None:
    assert not comes_in({"AuthenticationEnabled": True, **USERS}, authorization)


@pytest.mark.parametrize(
    ("configuration", "words"),
    [
        ({"AuthenticationEnabled": "yes"}, "AuthenticationEnabled is 'yes'"),
        ({"RemoteAccessAllowed": 1}, "RemoteAccessAllowed is 1"),
        ({"RegisteredUsers": ["alice"]}, "RegisteredUsers is '…'"),
        ({"RegisteredUsers": {"alice": 5}}, "RegisteredUsers is '…'"),
        ({"AuthenticationEnabled": True, "RegisteredUsers": {"alice": ""}}, "needs a password"),
    ],
)
def test_what_cannot_be(configuration: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read_credentials(configuration)


@pytest.mark.parametrize(
    ("configuration", "bind", "allowed"),
    [
        ({}, "127.0.0.1", True),
        ({}, "::1", True),
        ({}, "0.0.0.0", False),
        ({}, "10.0.0.1", False),
        ({}, "::", False),
        ({"AuthenticationEnabled": False}, "0.0.0.0", False),
        ({"AuthenticationEnabled": False, "RemoteAccessAllowed": True}, "0.0.0.0", True),
        (
            {
                "AuthenticationEnabled": False,
                "RemoteAccessAllowed": True,
                "SslEnabled": True,
                "SslVerifyPeers": True,
            },
            "0.0.0.0",
            False,
        ),
        ({"AuthenticationEnabled": True}, "0.0.0.0", True),
        ({"RemoteAccessAllowed": True}, "0.0.0.0", True),
    ],
)
def test_nobody_comes_in_by_the_full_door_whom_orthanc_refuses(
    configuration: dict[str, Any], bind: str, allowed: bool
) -> None:
    if allowed:
        check_bind(configuration, bind)
    else:
        with pytest.raises(SettingsError, match=r"Farsight\.Http\.Bind"):
            check_bind(configuration, bind)
