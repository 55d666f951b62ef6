"""Prefetch, progress and metrics of a real gateway before a real PACS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from fakes.scripted_pacs import ALWAYS, scripted_pacs, wait_until
from orthanc_process import OrthancProcess, requires_orthanc
from pacs_peers import requires_dcmtk
from sample_files import ct_slice, instance_uid, series_uid, study_uid, write_series

from .conftest import Site, StartGateway, StartSite

pytestmark = requires_orthanc
DOORS = pytest.mark.parametrize("door", [0, 1], ids=["full", "orthanc"])


@pytest.fixture
def site(start_site: StartSite, tmp_path: Path) -> Iterator[Site]:
    files = write_series(tmp_path / "files", 5)
    files += write_series(tmp_path / "files", 3, series=2)
    files += write_series(tmp_path / "files", 2, study=2)
    return start_site("dcmqrscp", files)


def prefetch(door: str, *studies: str) -> requests.Response:
    return requests.post(f"{door}/farsight/prefetch", json={"studies": studies}, timeout=60)


def stored(gateway: OrthancProcess) -> int:
    return int(gateway.json("/statistics")["CountInstances"])


def samples(gateway: OrthancProcess) -> dict[str, float]:
    answer = requests.get(f"{gateway.full_door_url}/farsight/metrics", timeout=60)
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


@requires_dcmtk
@DOORS
def test_studies_are_fetched_and_not_twice(site: Site, door: int) -> None:
    answer = prefetch(site.doors[door], study_uid(1), study_uid(2), "1.2.3")
    assert answer.status_code == 202, answer.text
    told = answer.json()["studies"]
    assert told[study_uid(1)] == {"series": 2, "complete": 0, "queued": 2}
    assert told[study_uid(2)] == {"series": 1, "complete": 0, "queued": 1}
    assert "unknown" in told["1.2.3"]["error"]
    wait_until(lambda: stored(site.gateway) == 10, what="storing")
    wait_until(lambda: site.gateway.json("/farsight/retrieves") == [], what="the end")

    again = prefetch(site.doors[door], study_uid(1)).json()["studies"]
    assert again[study_uid(1)] == {"series": 2, "complete": 2, "queued": 0}
    ended = site.gateway.json("/farsight/retrieves?recent=true")
    assert len(ended) == 3
    assert {one["state"] for one in ended} == {"complete"}
    assert {one["wanted_by"] for one in ended} == {"prefetch"}
    assert sum(one["received"] for one in ended) == 10
    assert all(one["rate"] > 0 for one in ended)
    numbers = samples(site.gateway)
    assert numbers['farsight_instances_received_total{pacs="pacs"}'] == 10
    assert numbers['farsight_series_retrieved_total{pacs="pacs",outcome="complete"}'] == 3
    assert numbers["farsight_instances_stored_total"] == 10
    assert numbers["farsight_retrieves_active"] == 0
    page = requests.get(f"{site.doors[door]}/farsight/", timeout=60).text
    assert series_uid(2) in page


@requires_dcmtk
@DOORS
def test_what_is_wrong_is_said(site: Site, door: int) -> None:
    url = f"{site.doors[door]}/farsight/prefetch"
    assert requests.post(url, json={"studies": ["x"]}, timeout=60).status_code == 400
    assert requests.post(url, data=b'{"studies": ["1"]}', timeout=60).status_code == 415
    assert requests.get(url, timeout=60).json()["rules"] == []
    refused = requests.delete(url, timeout=60)
    assert refused.status_code == 405
    assert "POST" in refused.headers["Allow"]
    elsewhere = requests.post(f"{site.doors[door]}/farsight/status", json={}, timeout=60)
    assert elsewhere.status_code == 405
    assert elsewhere.headers["Allow"].startswith("GET")
    wrong = requests.get(f"{site.doors[door]}/farsight/retrieves?recent=maybe", timeout=60)
    assert wrong.status_code == 400
    assert "recent" in wrong.text


def test_a_viewer_goes_before_prefetch(start_gateway: StartGateway) -> None:
    objects = [ct_slice(n, series=s) for s in range(1, 5) for n in range(1, 6)]
    objects += [ct_slice(n, study=2) for n in range(1, 4)]
    with scripted_pacs(objects) as pacs:
        pacs.script.pause_s = 0.2
        gateway = start_gateway(pacs.port)
        assert prefetch(gateway.full_door_url, study_uid(1)).status_code == 202
        wait_until(lambda: len(pacs.gets()) == 1, what="the first series ahead")
        url = f"{gateway.full_door_url}/dicom-web/studies/{study_uid(2)}/metadata"
        assert len(requests.get(url, timeout=60).json()) == 3
        states = {f["state"]: f["wanted_by"] for f in gateway.json("/farsight/retrieves")}
        assert states.get("queued") == "prefetch", "the rest of the prefetch still waits"
        pacs.script.pause_s = 0
        wait_until(lambda: stored(gateway) == 23, what="storing")


def test_a_short_prefetch_is_told_of(start_gateway: StartGateway) -> None:
    with scripted_pacs([ct_slice(n) for n in range(1, 4)]) as pacs:
        pacs.script.omits = {instance_uid(2): ALWAYS}
        gateway = start_gateway(pacs.port)
        prefetch(gateway.full_door_url, study_uid(1))
        wait_until(lambda: gateway.json("/farsight/retrieves?recent=true") != [], what="the end")
        ended = gateway.json("/farsight/retrieves?recent=true")[0]
        assert ended["state"] == "short"
        assert "delivered 2 of the 3" in ended["error"]
        outcome = 'farsight_series_retrieved_total{pacs="pacs",outcome="short"}'
        assert samples(gateway)[outcome] == 1
