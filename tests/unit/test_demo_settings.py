"""What `make run` takes from the environment, and what it refuses."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest
from farsight_demo.listeners import refuses_port
from farsight_demo.orthanc_configuration import gateway_configuration
from farsight_demo.run_settings import RemotePacs, SettingRefused, read_run_settings

from farsight.settings import read_settings


def test_defaults() -> None:
    settings = read_run_settings({"STATE_DIR": "", "PACS": ""})
    assert settings.ports == {
        "HTTP_PORT": 8042,
        "WEB_PORT": 8043,
        "DICOM_PORT": 4242,
        "DEMO_PACS_PORT": 11112,
    }
    assert settings.bind == "127.0.0.1"
    assert settings.retrieve == "auto"


def test_several_pacs_get_names_of_their_own() -> None:
    settings = read_run_settings(
        {"PACS": "MAIN@pacs.example.org:104, OLD PACS@[::1]:11112,MAIN@b:1"}
    )
    assert settings.pacs == (
        RemotePacs("main", "MAIN", "pacs.example.org", 104),
        RemotePacs("old-pacs", "OLD PACS", "::1", 11112),
        RemotePacs("main-3", "MAIN", "b", 1),
    )
    assert "DEMO_PACS_PORT" not in settings.ports


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HTTP_PORT", "0"),
        ("HTTP_PORT", "65536"),
        ("WEB_PORT", "8O43"),
        ("WEB_PORT", "8042"),
        ("DICOM_PORT", "-1"),
        ("BIND", "localhost"),
        ("RETRIEVE", "C-GET"),
        ("PACS", "pacs.example.org:104"),
        ("PACS", "A@b:99999"),
        ("PACS", "SEVENTEEN_LETTERS@b:104"),
        ("PACS", "A@b:104;C@d:104"),
    ],
)
def test_a_value_that_cant_be_used_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingRefused) as refused:
        read_run_settings({variable: value})
    assert str(refused.value).startswith(f"{variable} is {value.strip()!r}"[:20])


def test_an_address_that_others_reach_needs_credentials() -> None:
    with pytest.raises(SettingRefused, match="FARSIGHT_PASSWORD"):
        read_run_settings({"BIND": "0.0.0.0"})
    settings = read_run_settings(
        {"BIND": "0.0.0.0", "FARSIGHT_USER": "u", "FARSIGHT_PASSWORD": "p"}
    )
    assert not settings.loopback


def test_credentials_come_in_pairs() -> None:
    with pytest.raises(SettingRefused, match="FARSIGHT_USER"):
        read_run_settings({"FARSIGHT_USER": "u"})


def test_the_configuration_is_one_that_farsight_accepts(tmp_path) -> None:
    run = read_run_settings(
        {
            "BIND": "0.0.0.0",
            "FARSIGHT_USER": "u",
            "FARSIGHT_PASSWORD": "p",
            "PACS": "MAIN@pacs.example.org:104",
            "RETRIEVE": "c-move",
            "FORWARD_TO": "main",
            "WEB_PORT": "9043",
        }
    )
    configuration = gateway_configuration(run, tmp_path / "plugin", tmp_path / "dist")
    assert configuration["RemoteAccessAllowed"] is True
    assert configuration["AuthenticationEnabled"] is True
    assert configuration["RegisteredUsers"] == {"u": "p"}
    settings = read_settings(configuration)
    assert [(one.ae_title, one.host, one.port, one.retrieve) for one in settings.pacs] == [
        ("MAIN", "pacs.example.org", 104, "c-move")
    ]
    assert (settings.http.bind, settings.http.port) == ("0.0.0.0", 9043)
    assert settings.ohif_directory == tmp_path / "dist"
    assert settings.stow.forward_to == ("main",)


def test_nobody_is_sent_anything_unasked() -> None:
    assert read_run_settings({}).forward_to == ()
    assert read_run_settings({"FORWARD_TO": " pacs,"}).forward_to == ("pacs",)
    with pytest.raises(SettingRefused, match="must be of main, other"):
        read_run_settings({"PACS": "MAIN@a:104,OTHER@b:104", "FORWARD_TO": "pacs"})


def test_a_taken_port_names_who_has_it() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        assert "process" in refuses_port("127.0.0.1", port)
    assert refuses_port("127.0.0.1", port) == ""
