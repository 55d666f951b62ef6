"""What stops Orthanc at start, in words an administrator can act on; and how it ends."""

from __future__ import annotations

import socket
import sysconfig
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from fakes.scripted_pacs import scripted_pacs, wait_until
from orthanc_process import (
    PLUGINS,
    OrthancProcess,
    gateway_configuration,
    requires_dicomweb_plugin,
    requires_orthanc,
)
from sample_files import ct_slice, study_uid

from .conftest import StartGateway

pytestmark = requires_orthanc
PACS = {"AET": "PACS", "Host": "127.0.0.1", "Port": 104}
Launch = Callable[..., OrthancProcess]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Starts Orthanc without waiting for it; what still runs afterwards is stopped."""
    started: list[OrthancProcess] = []

    def run(
        farsight: dict[str, Any] | None = None,
        modalities: dict[str, Any] | None = None,
        **orthanc: Any,
    ) -> OrthancProcess:
        configuration = gateway_configuration(modalities or {"pacs": PACS}, farsight, **orthanc)
        process = OrthancProcess(tmp_path / "gateway", configuration)
        started.append(process)
        process.start(wait=False)
        return process

    yield run
    for process in started:
        process.stop()


def _refusal(process: OrthancProcess) -> str:
    """The log of a start that ended by itself, with a failure."""
    assert process.wait() != 0, process.log()
    return process.log()


@pytest.mark.parametrize(
    ("farsight", "words"),
    [
        ({"Rot": "/dicom-web/"}, ("Farsight.Rot", "unknown key", "Root")),
        ({"Http": {"Prot": 8043}}, ("Farsight.Http.Prot", "unknown key", "Port")),
        ({"Pacs": {"pacs": {"retrieve": "c-get"}}}, ("Farsight.Pacs.pacs.retrieve", "Retrieve")),
        ({"Http": {"Port": "8043"}}, ("Farsight.Http.Port", "'8043'", "0 to 65535")),
        ({"Http": {"Enabled": "yes"}}, ("Farsight.Http.Enabled", "'yes'", "true or false")),
        ({"Http": []}, ("Farsight.Http", "[]", "object")),
        ({"Pacs": ["pacs"]}, ("Farsight.Pacs", "object")),
        ({"Http": {"Port": 65536}}, ("Farsight.Http.Port", "65536", "0 to 65535")),
        ({"Http": {"Bind": "localhost"}}, ("Farsight.Http.Bind", "'localhost'", "IP address")),
        ({"Http": {"Threads": 0}}, ("Farsight.Http.Threads", "0", "4 to 1024")),
        ({"Root": "dicom-web"}, ("Farsight.Root", "'dicom-web'", "slashes")),
        ({"Root": "/farsight/web/"}, ("Farsight.Root", "/farsight/")),
        ({"Pacs": {"pacs": {"Retrieve": "c-steal"}}}, ("Retrieve", "'c-steal'", "c-move")),
        ({"Pacs": {"pacs": {"DimseTimeout": 0}}}, ("DimseTimeout", "0.1 to 3600")),
        ({"Memory": {"MaxMegabytes": 1}}, ("Farsight.Memory.MaxMegabytes", "16")),
        ({"Pacs": {"nobody": {}}}, ("Farsight.Pacs.nobody", "DicomModalities", "there: pacs")),
        ({"Ohif": {"Directory": 7}}, ("Farsight.Ohif.Directory", "7", "string")),
    ],
    ids=lambda value: None if isinstance(value, tuple) else str(value),
)
def test_settings_that_cannot_be(
    launch: Launch, farsight: dict[str, Any], words: tuple[str, ...]
) -> None:
    log = _refusal(launch(farsight))
    for word in words:
        assert word in log


@pytest.mark.parametrize(
    ("modality", "words"),
    [
        ({**PACS, "Port": 0}, ("DicomModalities.pacs.Port", "1 to 65535")),
        ({"AET": "PACS", "Host": "127.0.0.1"}, ("DicomModalities.pacs.Port", "None")),
        (["PACS", "", 104], ("DicomModalities.pacs.Host", "host name")),
        ({**PACS, "AET": "A-TITLE-OF-17-CHA"}, ("DicomModalities.pacs.AET", "1 to 16")),
    ],
)
def test_modalities_that_cannot_be(
    launch: Launch, modality: dict[str, Any], words: tuple[str, ...]
) -> None:
    log = _refusal(launch({}, {"pacs": modality}))
    for word in words:
        assert word in log


def test_a_limit_that_only_refuses_may_stay(launch: Launch) -> None:
    process = launch({}, MaximumStorageSize=1000, MaximumStorageMode="Reject")
    if process.starts():
        version = process.json("/system")["Version"]
        assert tuple(map(int, version.split("."))) >= (1, 11, 2)
    else:
        assert "MaximumStorageSize" in _refusal(process)
        assert '"MaximumStorageMode": "Reject"' not in process.log(), "it doesn't know that"


def test_allow_threads_has_to_be_on(launch: Launch) -> None:
    process = launch({}, Python={"AllowThreads": False})
    if process.starts():
        version = process.json("/plugins/python")["Version"]
        assert int(version.split(".")[0]) < 5, "this plugin knows AllowThreads"
        wait_until(lambda: "holds the interpreter lock" in process.log(), what="the warning")
        pytest.skip(f"python plugin {version} doesn't know AllowThreads")
    assert process.wait() != 0
    assert '"Python.AllowThreads" is False' in process.log()
    assert '"Python": {"AllowThreads": true}' in process.log()


@requires_dicomweb_plugin
@pytest.mark.parametrize(
    ("official", "ours"),
    [("/dicom-web/", "/dicom-web/"), ("/dicom-web/", "/dicom-web/farsight/"), ("/a/", "/a/b/")],
)
def test_root_of_the_official_plugin(launch: Launch, official: str, ours: str) -> None:
    log = _refusal(
        launch(
            {"Root": ours},
            Plugins=[str(PLUGINS / f"libOrthanc{name}.so") for name in ("Python", "DicomWeb")],
            DicomWeb={"Root": official},
        )
    )
    assert "official DICOMweb plugin" in log
    assert repr(ours) in log
    assert repr(official) in log


@requires_dicomweb_plugin
@pytest.mark.parametrize("official", [{"Root": "/official/"}, {"Enable": False}])
def test_official_plugin_out_of_the_way(start_gateway: StartGateway, official: Any) -> None:
    with scripted_pacs([ct_slice(1)]) as pacs:
        gateway = start_gateway(
            pacs.port,
            Plugins=[str(PLUGINS / f"libOrthanc{name}.so") for name in ("Python", "DicomWeb")],
            DicomWeb=official,
        )
        rows = requests.get(f"{gateway.url}/dicom-web/studies", timeout=60).json()
        assert [row["0020000D"]["Value"] for row in rows] == [[study_uid()]]
        theirs = requests.get(f"{gateway.url}/official/studies", timeout=60)
        assert theirs.status_code == (200 if "Root" in official else 404)
        assert gateway.stop() == 0


def test_missing_package(launch: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    incomplete = tmp_path / "site-packages"
    incomplete.mkdir()
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if entry.name != "httptools":
            (incomplete / entry.name).symlink_to(entry)
    monkeypatch.setenv("FARSIGHT_SITE", str(incomplete))
    log = _refusal(launch())
    assert "finds no package 'httptools'" in log
    assert "pip install" in log
    assert "'httptools>=" in log


def test_no_package_at_all(launch: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARSIGHT_SITE", str(tmp_path))
    log = _refusal(launch())
    assert "'pynetdicom'" in log
    assert "pip install" in log
    assert "--target" in log


def test_port_of_the_full_door_is_taken(launch: Launch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        log = _refusal(launch({"Http": {"Port": port}}))
    assert f"Farsight.Http.Port is {port}" in log
    assert "in use" in log


def test_without_the_full_door(start_gateway: StartGateway) -> None:
    with scripted_pacs([ct_slice(1)]) as pacs:
        gateway = start_gateway(pacs.port, farsight={"Http": {"Enabled": False}})
        assert requests.get(f"{gateway.url}/dicom-web/studies", timeout=60).status_code == 200
        assert gateway.json("/farsight/status")["full_door"] == ""
        assert "full door" not in gateway.log()


def test_a_clean_end(start_gateway: StartGateway) -> None:
    with scripted_pacs([ct_slice(1)]) as pacs:
        gateway = start_gateway(pacs.port)
        requests.get(f"{gateway.full_door_url}/dicom-web/studies", timeout=60)
        assert gateway.stop() == 0
        assert pacs.wait_for_connections(0), "associations are released at the end"


@pytest.mark.parametrize("door", ["full", "orthanc"])
@pytest.mark.parametrize("service", ["C-FIND", "C-GET"])
def test_a_clean_end_while_a_request_waits_for_a_silent_pacs(
    start_gateway: StartGateway, door: str, service: str
) -> None:
    with scripted_pacs([ct_slice(1)], silent_in=frozenset({service})) as pacs:
        gateway = start_gateway(pacs.port, pacs={"DimseTimeout": 600})
        base = gateway.full_door_url if door == "full" else gateway.url
        statuses: list[int] = []

        def ask() -> None:
            try:
                url = f"{base}/dicom-web/studies/{study_uid()}/metadata"
                statuses.append(requests.get(url, timeout=60).status_code)
            except requests.ConnectionError:
                statuses.append(0)

        waiting = threading.Thread(target=ask, daemon=True)
        waiting.start()
        pacs.wait_until_asked(service)
        assert gateway.stop() == 0
        waiting.join(30)
        assert statuses in ([0], [503])
