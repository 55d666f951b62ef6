"""What Orthanc's Python callbacks can't do, and that our doors get along with it."""

from __future__ import annotations

import ast
import contextlib
import threading
from pathlib import Path

import pytest
import requests
from pydicom.dataset import Dataset

from fakes.scripted_pacs import scripted_pacs
from ohif_dist import ohif_dist, requires_ohif
from orthanc_process import REPOSITORY, requires_orthanc
from pacs_peers import requires_dcmtk
from sample_files import ct_slice, series_uid, study_uid, write_series

from .conftest import Site, StartGateway, StartSite

pytestmark = [requires_orthanc, requires_dcmtk]
PLUGIN = REPOSITORY / "plugin"
NESTED = 55


@pytest.fixture(scope="module")
def site(start_site: StartSite, tmp_path_factory: pytest.TempPathFactory) -> Site:
    directory = tmp_path_factory.mktemp("files")
    files = write_series(directory, 3)
    percent = ct_slice(1, study=2)
    percent.PatientID = "A%41"
    percent.save_as(directory / "percent.dcm", enforce_file_format=True)
    deep = ct_slice(1, study=3)
    inner = Dataset()
    inner.TextValue = "bottom"
    for _ in range(NESTED):
        outer = Dataset()
        outer.ContentSequence = [inner]
        inner = outer
    deep.ContentSequence = [inner]
    deep.save_as(directory / "deep.dcm", enforce_file_format=True)
    dist = tmp_path_factory.mktemp("ohif")
    return start_site(
        "dcmqrscp",  # Orthanc as PACS ends when the deep one is posted to its REST API
        [*files, directory / "percent.dcm", directory / "deep.dcm"],
        farsight={"Ohif": {"Directory": str(dist)}},
    )


def _studies(door: str, query: str) -> list[str]:
    answer = requests.get(f"{door}/dicom-web/studies?{query}", timeout=60)
    assert answer.status_code == 200, answer.text
    return [row["0020000D"]["Value"][0] for row in answer.json()]


def test_query_values_are_decoded_exactly_once(site: Site) -> None:
    for door in site.doors:
        assert _studies(door, "PatientID=A%2541") == [study_uid(2)]
        assert _studies(door, "PatientID=A%41") == []
        assert study_uid(1) in _studies(door, "includefield=00081030%2C00080060")
        assert _studies(door, "PatientName=Muster%5EJ%C3%BCrgen1") == [study_uid(1)]


def test_repeated_keys_are_kept_by_the_full_door_only(site: Site) -> None:
    query = "includefield=StudyDescription&includefield=PatientAge&PatientID=PAT1"
    full, orthanc = (
        requests.get(f"{door}/dicom-web/studies?{query}", timeout=60).json()[0]
        for door in site.doors
    )
    assert "00081030" in full
    assert "00081030" not in orthanc  # documented: of repeated keys the SDK keeps the last


def test_methods_that_never_reach_a_callback(site: Site) -> None:
    url = "/dicom-web/studies"
    full, orthanc = site.doors
    assert requests.head(orthanc + url, timeout=60).status_code == 404
    assert requests.options(orthanc + url, timeout=60).status_code == 404
    assert requests.head(full + url, timeout=60).status_code == 200
    assert requests.options(full + url, timeout=60).status_code == 204
    for door in site.doors:
        refused = requests.delete(door + url, timeout=60)
        assert refused.status_code == 405
        assert "GET" in refused.headers["Allow"]


def test_deep_nesting_does_not_end_the_server(site: Site) -> None:
    """Orthanc's threads have 100 kB of stack; ours do the parsing."""
    path = f"/dicom-web/studies/{study_uid(3)}/metadata"
    for door in site.doors:
        (row,) = requests.get(door + path, timeout=60).json()
        for _ in range(NESTED + 1):
            row = row["0040A730"]["Value"][0]
        assert row["0040A160"]["Value"] == ["bottom"]
        hostile = "ContentSequence." * 2000 + "TextValue"
        refused = requests.get(
            f"{door}/dicom-web/studies", params={"includefield": hostile}, timeout=60
        )
        assert refused.status_code == 400
        for media_type in ("application/dicom+json", "application/dicom+xml"):
            brackets = requests.post(
                f"{door}/dicom-web/studies",
                data="[" * 100_000 if media_type.endswith("json") else "<a>" * 100_000,
                headers={"Content-Type": media_type},
                timeout=60,
            )
            assert brackets.status_code == 400, brackets.text
        assert requests.get(f"{door}/farsight/status", timeout=60).status_code == 200


def test_many_requests_at_once(site: Site) -> None:
    codes: list[int] = []

    def ask(door: str) -> None:
        url = f"{door}/dicom-web/studies/{study_uid()}/series/{series_uid()}/metadata"
        codes.append(requests.get(url, timeout=60).status_code)

    threads = [threading.Thread(target=ask, args=(door,)) for door in site.doors for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert codes == [200] * 32


def test_a_client_that_waits_holds_up_nobody(start_gateway: StartGateway) -> None:
    """The PACS says nothing until it is let go: others are answered before, at both doors.

    Plugin 4.0 has one lock for all its callbacks; there this holds for the full door only.
    """
    with scripted_pacs([ct_slice(1)], silent_in=frozenset({"C-GET"})) as pacs:
        gateway = start_gateway(pacs.port, pacs={"DimseTimeout": 600})
        frees = int(gateway.json("/plugins/python")["Version"].split(".")[0]) >= 5
        doors = [gateway.full_door_url, *([gateway.url] if frees else [])]
        answered = threading.Event()

        def wait(door: str) -> None:
            with contextlib.suppress(requests.ConnectionError):
                requests.get(f"{door}/dicom-web/studies/{study_uid()}/metadata", timeout=60)
            answered.set()

        for door in doors:
            threading.Thread(target=wait, args=(door,), daemon=True).start()
        pacs.wait_until_asked("C-GET")
        for door in doors:
            for path in ("/farsight/status", "/dicom-web/studies"):
                assert requests.get(door + path, timeout=60).status_code == 200
        assert not answered.is_set(), "the one who waits was still waiting"
        gateway.stop()


@requires_ohif
def test_an_unchanged_file_is_304_on_both_doors(start_site: StartSite) -> None:
    site = start_site("dcmqrscp", [], farsight={"Ohif": {"Directory": str(ohif_dist())}})
    for door in site.doors:
        whole = requests.get(f"{door}/ohif/app-config.js", timeout=60)
        assert whole.status_code == 200
        again = requests.get(
            f"{door}/ohif/app-config.js",
            headers={"If-None-Match": whole.headers["ETag"]},
            timeout=60,
        )
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == whole.headers["ETag"]


def test_roots_without_their_slash(site: Site) -> None:
    for door in site.doors:
        for path in ("/farsight", "/farsight/"):
            assert requests.get(door + path, timeout=60).status_code == 200
        missing = requests.get(f"{door}/ohif/", timeout=60)
        assert missing.status_code == 404
        assert "@ohif/app" in missing.text


def _trees() -> list[tuple[Path, ast.Module]]:
    return [(path, ast.parse(path.read_text())) for path in sorted(PLUGIN.rglob("*.py"))]


def _calls(tree: ast.Module, name: str) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr.startswith(name)
    ]


def test_callbacks_are_module_level_functions() -> None:
    """A lambda or bound method as callback crashes Orthanc when it stops."""
    registered = 0
    for path, tree in _trees():
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        for call in _calls(tree, "Register"):
            callback = call.args[-1]
            assert isinstance(callback, ast.Name), path
            assert callback.id in functions, path
            registered += 1
    assert registered >= 3


def test_every_thread_is_a_daemon() -> None:
    """Another kind would hang Orthanc's shutdown."""
    found = 0
    for path, tree in _trees():
        for call in _calls(tree, "Thread"):
            if not (isinstance(call.func, ast.Attribute) and call.func.attr == "Thread"):
                continue
            daemon = [word.value for word in call.keywords if word.arg == "daemon"]
            assert daemon, path
            assert isinstance(daemon[0], ast.Constant), path
            assert daemon[0].value is True, path
            found += 1
        assert "ThreadPoolExecutor" not in path.read_text(), path
    assert found >= 4


def test_no_http_filter_is_registered() -> None:
    """It would nearly halve the rate of every request Orthanc answers."""
    assert not [path for path, tree in _trees() if _calls(tree, "RegisterIncomingHttpRequest")]


def test_the_entry_sets_tcp_nodelay_before_orthanc_opens_a_socket() -> None:
    entry = (PLUGIN / "farsight_plugin.py").read_text()
    assert entry.index('"TCP_NODELAY"') < entry.index("import orthanc")
    assert (PLUGIN / "farsight_plugin.py").stem != "farsight"


def test_a_long_series_is_sent_without_holding_it(
    start_site: StartSite, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """200 MB through both doors, with 32 MB of memory for instances."""
    files = write_series(tmp_path_factory.mktemp("long"), 100, size=1024)
    site = start_site(
        "dcmqrscp",
        files,
        farsight={"Memory": {"MaxMegabytes": 32}},
        MaximumStorageCacheSize=1,
    )
    path = f"/dicom-web/studies/{study_uid()}/series/{series_uid()}"
    accept = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
    before = _resident_megabytes(site)
    for door in site.doors:
        size = 0
        with requests.get(door + path, headers=accept, stream=True, timeout=120) as answer:
            assert answer.status_code == 200
            for chunk in answer.iter_content(1 << 20):
                size += len(chunk)
        assert size > 200 * 1024 * 1024
    assert _resident_megabytes(site) - before < 200


def _resident_megabytes(site: Site) -> float:
    status = Path(f"/proc/{site.gateway.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
