"""When a PACS fails: said in plain words, never taken for an empty or a complete answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
from pydicom.dataset import Dataset

from fakes.scripted_pacs import (
    ALWAYS,
    Asked,
    ScriptedPacs,
    mute_listener,
    scripted_pacs,
    wait_until,
)
from free_ports import free_port
from orthanc_process import OrthancProcess, requires_orthanc
from pacs_peers import dcmqrscp, requires_dcmtk
from sample_files import ct_slice, instance_uid, series_uid, study_uid, write_series

from .conftest import StartGateway, StartSite

pytestmark = requires_orthanc
STUDIES = "/dicom-web/studies"
STUDY = f"{STUDIES}/{study_uid()}"
SERIES = f"{STUDY}/series/{series_uid()}"
SLICES = 6
ALL = frozenset(instance_uid(number) for number in range(1, SLICES + 1))
COMPLETENESS = "10240"


def _get(url: str, **more: Any) -> requests.Response:
    return requests.get(url, timeout=120, **more)


def _doors(gateway: OrthancProcess) -> tuple[str, str]:
    return gateway.full_door_url, gateway.url


def _uids(answer: requests.Response) -> list[str]:
    return [row["00080018"]["Value"][0] for row in answer.json()]


def _recorded_complete(gateway: OrthancProcess) -> bool:
    """Whether any series in the store carries the record of completeness."""
    return any(
        COMPLETENESS in gateway.json(f"/series/{series}/metadata")
        for series in gateway.json("/series")
    )


def _wait_until_landed(gateway: OrthancProcess) -> None:
    wait_until(lambda: gateway.json("/farsight/retrieves") == [], what="the end of the retrieve")


def _stored(gateway: OrthancProcess) -> int:
    return int(gateway.json("/statistics")["CountInstances"])


def _part10(data_set: Dataset) -> bytes:
    written = BytesIO()
    data_set.save_as(written, enforce_file_format=True)
    return written.getvalue()


@pytest.fixture
def objects() -> list[Dataset]:
    return [ct_slice(number) for number in range(1, SLICES + 1)]


@pytest.fixture
def pacs(objects: list[Dataset]) -> Iterator[ScriptedPacs]:
    with scripted_pacs(objects) as running:
        yield running


# ---- a PACS that is down


@pytest.mark.parametrize(
    "path",
    [
        STUDIES,
        f"{STUDY}/series",
        f"{SERIES}/instances",
        f"{STUDY}/metadata",
        f"{SERIES}/metadata",
        f"{SERIES}/instances/{instance_uid(1)}/metadata",
        f"{SERIES}/instances/{instance_uid(1)}/frames/1",
        f"{SERIES}/instances/{instance_uid(1)}",
        SERIES,
        STUDY,
    ],
)
def test_down(nobody: OrthancProcess, path: str) -> None:
    for door in _doors(nobody):
        answer = _get(door + path)
        assert answer.status_code == 503, answer.text
        assert "'pacs'" in answer.json()["error"]
        assert "no connection to 127.0.0.1" in answer.json()["error"]


@pytest.fixture(scope="module")
def nobody(start_gateway_for_module: StartGateway) -> OrthancProcess:
    """A gateway whose PACS doesn't listen."""
    return start_gateway_for_module(free_port())


def test_down_with_local_hits(start_gateway: StartGateway, objects: list[Dataset]) -> None:
    gateway = start_gateway(free_port())
    gateway.store(_part10(objects[0]))
    for door, short in zip(_doors(gateway), (206, 200), strict=True):
        for path in (STUDIES, f"{STUDY}/series", f"{SERIES}/instances"):
            answer = _get(door + path)
            assert answer.status_code == 200, answer.text
            assert len(answer.json()) == 1
            assert re.match(r"299 .*'pacs'", answer.headers["Warning"])
        for path in (f"{SERIES}/metadata", f"{STUDY}/metadata"):
            answer = _get(door + path)
            assert answer.status_code == short, answer.text
            assert _uids(answer) == [instance_uid(1)]
            assert "'pacs'" in answer.headers["Warning"]
        frame = _get(f"{door}{SERIES}/instances/{instance_uid(1)}/frames/1")
        assert frame.status_code == 200
        assert objects[0].PixelData in frame.content
        missing = _get(f"{door}{SERIES}/instances/{instance_uid(2)}/frames/1")
        assert missing.status_code == 503
    assert not _recorded_complete(gateway)


def test_one_of_two_down(start_gateway: StartGateway, pacs: ScriptedPacs) -> None:
    gateway = start_gateway(free_port(), other_pacs_port=pacs.port)
    for door in _doors(gateway):
        listed = _get(door + STUDIES)
        assert listed.status_code == 200
        assert [row["0020000D"]["Value"] for row in listed.json()] == [[study_uid()]]
        assert "'pacs'" in listed.headers["Warning"]
        metadata = _get(f"{door}{SERIES}/metadata")
        assert metadata.status_code in (200, 206)  # Orthanc's port has no 206
        assert "'pacs'" in metadata.headers["Warning"], "it may have more of the series"
        assert frozenset(_uids(metadata)) == ALL


@requires_dcmtk
def test_restarted_between_requests(
    start_site: StartSite, tmp_path: Path, start_gateway: StartGateway
) -> None:
    """The associations kept from before are dead; nobody notices."""
    files = write_series(tmp_path / "files", 2)
    port = free_port()
    with dcmqrscp(tmp_path / "one", files, port=port) as first:
        gateway = start_gateway(port)
        assert len(_get(gateway.url + STUDIES).json()) == 1
        first.kill()
    with dcmqrscp(tmp_path / "two", files, port=port):
        for door in _doors(gateway):
            answer = _get(door + STUDIES)
            assert answer.status_code == 200, answer.text
            assert len(answer.json()) == 1
        assert _get(f"{gateway.url}{SERIES}/metadata").status_code == 200


# ---- a PACS that dies in the middle


@requires_dcmtk
def test_killed_in_the_middle_of_a_series(tmp_path: Path, start_gateway: StartGateway) -> None:
    slices = 300
    files = write_series(tmp_path / "files", slices, size=512)
    port = free_port()
    with dcmqrscp(tmp_path / "one", files, port=port) as first, ThreadPoolExecutor() as threads:
        # little memory, so that what arrives waits for what is stored
        gateway = start_gateway(port, farsight={"Memory": {"MaxMegabytes": 16}})
        door = gateway.full_door_url
        waiting = threads.submit(_get, f"{door}{SERIES}/metadata")

        def under_way() -> bool:
            flights = _get(f"{door}/farsight/retrieves").json()
            return any(0 < flight["received"] < flight["expected"] for flight in flights)

        wait_until(under_way, what="the arrival of some instances")
        first.kill()
        answer = waiting.result(120)
    assert answer.status_code in (502, 503, 504), answer.text
    assert "'pacs'" in answer.json()["error"]
    _wait_until_landed(gateway)
    assert 0 < _stored(gateway) < slices
    assert not _recorded_complete(gateway)
    with dcmqrscp(tmp_path / "two", files, port=port):
        again = _get(f"{door}{SERIES}/metadata")
        assert again.status_code == 200, again.text
        assert "Warning" not in again.headers
        assert _uids(again) == [instance_uid(number) for number in range(1, slices + 1)]
        wait_until(lambda: _recorded_complete(gateway), what="the record of completeness")
        assert _stored(gateway) == slices


@pytest.mark.parametrize("door", [0, 1], ids=["full", "orthanc"])
def test_resets_in_the_middle_then_only_the_rest_is_asked_for(
    start_gateway: StartGateway, pacs: ScriptedPacs, door: int
) -> None:
    pacs.script.resets_after = 0
    gateway = start_gateway(pacs.port, pacs={"IdleTimeout": 0.5})
    url = f"{_doors(gateway)[door]}{SERIES}/metadata"
    assert _get(url).status_code in (502, 503)
    assert _stored(gateway) == 0
    pacs.script.resets_after = 1
    failed = _get(url)
    assert failed.status_code in (502, 503, 504), failed.text
    assert "'pacs'" in failed.json()["error"]
    _wait_until_landed(gateway)
    have = {instance["MainDicomTags"]["SOPInstanceUID"] for instance in _instances(gateway)}
    assert 0 < len(have) < SLICES
    assert not _recorded_complete(gateway)
    asked_before = len(pacs.gets())
    pacs.script.resets_after = None
    again = _get(url)
    assert again.status_code == 200, again.text
    assert frozenset(_uids(again)) == ALL
    assert pacs.gets()[asked_before:] == [Asked("C-GET", "IMAGE", ALL - have)]
    assert pacs.wait_for_connections(0), "no association is left open"


def _instances(gateway: OrthancProcess) -> list[dict[str, Any]]:
    return list(gateway.json("/instances?expand"))


# ---- a PACS that doesn't want us


@requires_dcmtk
def test_wrong_called_ae_title(start_site: StartSite, tmp_path: Path) -> None:
    site = start_site("dcmqrscp", write_series(tmp_path / "files", 1), ae_title="NOBODY")
    for door in site.doors:
        for path in (STUDIES, f"{SERIES}/metadata"):
            answer = _get(door + path)
            assert answer.status_code == 503, answer.text
            assert "'pacs'" in answer.json()["error"]
            assert "called AE title not recognized" in answer.json()["error"]
    status = site.gateway.json("/farsight/status")["pacs"][0]
    assert not status["ok"]
    assert "called AE title" in status["error"]


@requires_dcmtk
def test_c_get_refused_then_c_move_is_remembered(start_site: StartSite, tmp_path: Path) -> None:
    files = write_series(tmp_path / "files", 4) + write_series(tmp_path / "files", 3, series=2)
    site = start_site("dcmqrscp", files, peer_options={"options": ["--disable-get"]})
    for number, slices in ((1, 4), (2, 3)):
        answer = _get(f"{site.doors[0]}{STUDY}/series/{series_uid(number)}/metadata")
        assert answer.status_code == 200, answer.text
        assert "Warning" not in answer.headers
        assert len(answer.json()) == slices
    assert site.gateway.log().count("from now on: retrieves by C-MOVE") == 1
    wait_until(lambda: _stored(site.gateway) == 7, what="storing")
    site.gateway.stop()
    site.gateway.start()
    learned = "retrieves by C-MOVE (learned before)"
    wait_until(lambda: learned in site.gateway.log(), what="what was learned")


@requires_dcmtk
def test_c_get_refused_where_nothing_else_is_allowed(start_site: StartSite, tmp_path: Path) -> None:
    site = start_site(
        "dcmqrscp",
        write_series(tmp_path / "files", 2),
        pacs={"Retrieve": "c-get"},
        peer_options={"options": ["--disable-get"]},
    )
    for door in site.doors:
        for path in (f"{SERIES}/metadata", f"{SERIES}/instances/{instance_uid(1)}/frames/1"):
            answer = _get(door + path)
            assert answer.status_code == 502, answer.text
            assert "'pacs': C-GET is not offered by this PACS" in answer.json()["error"]
        assert _get(door + STUDIES).status_code == 200


# ---- a PACS that claims success and delivers less


def test_omitted_once_is_asked_for_again(start_gateway: StartGateway, pacs: ScriptedPacs) -> None:
    late = frozenset((instance_uid(2), instance_uid(5)))
    pacs.script.omits = dict.fromkeys(late, 1)
    gateway = start_gateway(pacs.port)
    answer = _get(f"{gateway.full_door_url}{SERIES}/metadata")
    assert answer.status_code == 200, answer.text
    assert "Warning" not in answer.headers
    assert frozenset(_uids(answer)) == ALL
    assert pacs.gets() == [
        Asked("C-GET", "SERIES", frozenset()),
        Asked("C-GET", "IMAGE", late),
    ]
    wait_until(lambda: _recorded_complete(gateway), what="the record of completeness")


def test_omitted_always_is_said(start_gateway: StartGateway, pacs: ScriptedPacs) -> None:
    pacs.script.omits = {instance_uid(3): ALWAYS}
    gateway = start_gateway(pacs.port)
    held = ALL - {instance_uid(3)}
    accept = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
    for door, status in zip(_doors(gateway), (206, 200), strict=True):
        for level in (SERIES, STUDY):
            answer = _get(f"{door}{level}/metadata")
            assert answer.status_code == status, answer.text
            assert re.match(r"299 .*'pacs': delivered 5 of the 6", answer.headers["Warning"])
            assert frozenset(_uids(answer)) == held
            whole = _get(door + level, headers=accept)
            assert whole.status_code == status
            assert "delivered 5 of the 6" in whole.headers["Warning"]
            assert whole.content.count(b"DICM") == 5
        there = _get(f"{door}{SERIES}/instances/{instance_uid(1)}/frames/1")
        assert there.status_code == 200
        missing = _get(f"{door}{SERIES}/instances/{instance_uid(3)}/frames/1")
        assert missing.status_code == 502, missing.text
        assert "'pacs'" in missing.json()["error"]
    assert not _recorded_complete(gateway)
    asked_before = len(pacs.gets())
    pacs.script.omits = {}
    whole = _get(f"{gateway.url}{SERIES}/metadata")
    assert whole.status_code == 200
    assert "Warning" not in whole.headers
    assert frozenset(_uids(whole)) == ALL
    assert pacs.gets()[asked_before:] == [Asked("C-GET", "IMAGE", ALL - held)]
    wait_until(lambda: _recorded_complete(gateway), what="the record of completeness")


def test_an_instance_of_another_series_does_not_count(
    start_gateway: StartGateway, pacs: ScriptedPacs
) -> None:
    stranger = ct_slice(3)
    stranger.SeriesInstanceUID = series_uid(9)
    pacs.script.omits = {instance_uid(3): ALWAYS}
    pacs.script.sends_along = [stranger, ct_slice(50, series=2)]
    gateway = start_gateway(pacs.port)
    answer = _get(f"{gateway.full_door_url}{SERIES}/metadata")
    assert answer.status_code == 206, answer.text
    assert "delivered 5 of the 6" in answer.headers["Warning"]
    assert frozenset(_uids(answer)) == ALL - {instance_uid(3)}
    _wait_until_landed(gateway)
    assert len(gateway.json("/series")) == 1
    assert _stored(gateway) == 5


# ---- a PACS that never answers


def test_silent(start_gateway: StartGateway, pacs: ScriptedPacs) -> None:
    gateway = start_gateway(pacs.port, pacs={"DimseTimeout": 0.5, "IdleTimeout": 0.5})
    pacs.script.silent_in = frozenset({"C-FIND"})
    for door in _doors(gateway):
        for path in (STUDIES, f"{STUDY}/series", f"{SERIES}/instances", f"{SERIES}/metadata"):
            answer = _get(door + path)
            assert answer.status_code == 504, answer.text
            assert "'pacs'" in answer.json()["error"]
            assert "within 0.5 s" in answer.json()["error"]
    pacs.script.silent_in = frozenset({"C-GET"})
    for door in _doors(gateway):
        for path in (f"{SERIES}/metadata", f"{SERIES}/instances/{instance_uid(1)}/frames/1"):
            answer = _get(door + path)
            assert answer.status_code == 504, answer.text
            assert "within 0.5 s" in answer.json()["error"]
    assert pacs.wait_for_connections(0), "no association is left open"
    pacs.script.silent_in = frozenset()
    for door in _doors(gateway):
        assert frozenset(_uids(_get(f"{door}{SERIES}/metadata"))) == ALL
    assert pacs.wait_for_connections(0), "no association is left open"


def test_mute_from_the_start(start_gateway: StartGateway) -> None:
    with mute_listener() as port:
        gateway = start_gateway(port, pacs={"AcseTimeout": 0.5})
        for door in _doors(gateway):
            answer = _get(door + STUDIES)
            assert answer.status_code == 504, answer.text
            assert "'pacs'" in answer.json()["error"]
            assert "within 0.5 s" in answer.json()["error"]
        assert gateway.json("/system")["Name"] == "test"


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_never_more_associations_than_allowed(start_gateway: StartGateway, limit: int) -> None:
    objects = [ct_slice(n, series=series) for series in range(1, 9) for n in range(1, 4)]
    with scripted_pacs(objects) as pacs:
        gateway = start_gateway(
            pacs.port, pacs={"MaxAssociations": limit, "IdleTimeout": 0.5, "DimseTimeout": 60}
        )
        urls = [
            f"{door}{STUDY}/series/{series_uid(number)}/{what}"
            for door in _doors(gateway)
            for number in range(1, 9)
            for what in ("metadata", f"instances/{instance_uid(2, number)}/frames/1")
        ]
        with ThreadPoolExecutor(len(urls)) as threads:
            answers = list(threads.map(_get, urls))
        assert [answer.status_code for answer in answers] == [200] * len(urls)
        assert pacs.most_associations <= limit
        assert pacs.wait_for_connections(0), "no association is left open"
