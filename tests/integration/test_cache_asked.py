"""/farsight/cache: what is told, what goes when it is asked for, and what a verification finds."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
from pydicom import dcmread

from cache_site import CACHE, SLICES, CacheSite, series_path, write_study
from fakes.scripted_pacs import wait_until
from orthanc_process import OrthancProcess, requires_orthanc
from sample_files import ct_slice, instance_uid, series_uid, study_uid
from stowing import new_files, part10, store

from .conftest import Site, StartSite

pytestmark = requires_orthanc
VERIFY = f"{CACHE}/verify"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, start_site: StartSite) -> Site:
    """A PACS with a study of two series, which lets its instances be replaced."""
    files = write_study(tmp_path_factory.mktemp("files"), (1, 2))
    cache = {"MinFreeMegabytes": 0, "FreshSeconds": 86_400}
    # Files are read from the disk each time, not out of Orthanc's memory.
    return start_site("orthanc", files, farsight={"Cache": cache}, MaximumStorageCacheSize=0)


@pytest.fixture
def site(pair: Site) -> CacheSite:
    return CacheSite(pair.gateway)


def ids(orthanc: OrthancProcess, *names: str) -> list[str]:
    """Orthanc's ids of instances."""
    found = orthanc.json("/instances?expand")
    by_name = {one["MainDicomTags"]["SOPInstanceUID"]: one["ID"] for one in found}
    return [by_name[name] for name in names]


def verified(site: CacheSite, *studies: str) -> dict[str, Any]:
    """The report of one verification, over."""
    answer = site.request("POST", VERIFY, json={"studies": studies})
    assert answer.status_code == 202, answer.text
    number = answer.json()["number"]

    def job() -> dict[str, Any]:
        jobs = {one["number"]: one for one in site.get(VERIFY).json()["jobs"]}
        return dict(jobs[number])

    wait_until(lambda: job()["state"] == "done", 60, what="the verification")
    return job()


def test_what_is_told_and_what_goes(site: CacheSite) -> None:
    uid = study_uid()
    site.fetch(1)
    site.fetch(2)
    for door in (site.door, site.gateway.url):
        url = f"{door}{CACHE}/studies/{uid}"
        told = requests.get(url, timeout=60).json()
        assert told["study"] == uid
        assert {one["series"]: one["instances"] for one in told["series"]} == {
            series_uid(1): SLICES,
            series_uid(2): SLICES,
        }
        assert requests.get(f"{door}{CACHE}", timeout=60).json()["instances"] == 2 * SLICES
        answer = requests.delete(url, timeout=60)
        assert answer.status_code == 200, answer.text
        size = sum(one["bytes"] for one in told["series"])
        assert answer.json() == {"series": 2, "instances": 2 * SLICES, "bytes": size}
        assert site.gateway.json("/instances") == []
        assert requests.delete(url, timeout=60).status_code == 404
        assert requests.get(url, timeout=60).status_code == 404
        site.fetch(1)
        site.fetch(2)
    assert site.overview()["evicted"]["asked"]["series"] == 4
    assert 'farsight_cache_evicted_series_total{reason="asked"} 4' in (
        site.get("/farsight/metrics").text
    )


def test_data_does_not_go(site: CacheSite) -> None:
    (file,) = new_files(1)
    assert store(site.door, [file]).status == 200
    site.at_rest()
    study = str(dcmread(BytesIO(file)).StudyInstanceUID)
    before = site.gateway.json("/instances")
    for door in (site.door, site.gateway.url):
        answer = requests.delete(f"{door}{CACHE}/studies/{study}", timeout=60)
        assert answer.status_code == 409
        assert "no PACS is known to have a copy" in answer.text
    assert site.gateway.json("/instances") == before
    report = verified(site, study)["series"]
    assert [one["counts"] for one in report] == [{"only here": 1}]
    assert site.request("DELETE", f"{CACHE}/studies/{study}").status_code == 409


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("DELETE", f"{CACHE}/studies/1.2.x", 400),
        ("GET", f"{CACHE}/studies/1.2/series", 400),
        ("GET", f"{CACHE}/studies/{'1' * 65}", 400),
        ("POST", f"{CACHE}/studies/1.2", 405),
        ("PUT", f"{CACHE}/studies/1.2", 405),
        ("DELETE", CACHE, 405),
        ("POST", CACHE, 405),
        ("DELETE", VERIFY, 405),
        ("GET", f"{CACHE}/nothing", 404),
        ("POST", VERIFY, 415),
        ("GET", f"{CACHE}/studies/1.2", 404),
    ],
)
def test_what_is_wrong(site: CacheSite, method: str, path: str, status: int) -> None:
    for door in (site.door, site.gateway.url):
        answer = requests.request(method, door + path, timeout=60)
        assert answer.status_code == status, (door, answer.text)
        if door == site.door:
            assert answer.json()["error"] != ""
            assert status != 405 or answer.headers["Allow"] != ""


@pytest.mark.parametrize(
    "body",
    [b"", b"[", b"[]", b'{"studies": []}', b'{"studies": ["x"]}', b'{"studies": 1}', b"[" * 9],
)
def test_verifications_that_are_no_such(site: CacheSite, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    for door in (site.door, site.gateway.url):
        answer = requests.post(door + VERIFY, body, headers=headers, timeout=60)
        assert answer.status_code in (400, 415), answer.text


def damage(gateway: OrthancProcess, name: str) -> None:
    """Half of its file in the storage area is gone."""
    (one,) = ids(gateway, name)
    uuid = gateway.json(f"/instances/{one}")["FileUuid"]
    path = Path(gateway.configuration["StorageDirectory"]) / uuid[:2] / uuid[2:4] / uuid
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_all_that_may_be_found(pair: Site, site: CacheSite) -> None:
    pacs = pair.peer.process
    assert isinstance(pacs, OrthancProcess)
    site.fetch(1)
    assert verified(site, study_uid())["series"][0]["counts"] == {"same": SLICES}
    names = [instance_uid(number) for number in range(1, SLICES + 1)]
    other = ct_slice(1, size=256)
    other.PatientName = "Another^One"
    pacs.store(part10(other))
    pacs.request("DELETE", f"/instances/{ids(pacs, names[1])[0]}")
    pacs.store(part10(ct_slice(9)))
    damage(site.gateway, names[2])
    (report,) = [
        one for one in verified(site, study_uid())["series"] if one["series"] == series_uid(1)
    ]
    assert report["pacs"] == ["pacs"]
    assert report["counts"] == {
        "same": 1,
        "differs": 1,
        "only here": 1,
        "unreadable here": 1,
        "only at the PACS": 1,
    }
    assert report["instances"] == {
        "differs": [names[0]],
        "only here": [names[1]],
        "unreadable here": [names[2]],
        "only at the PACS": [instance_uid(9)],
    }
    answer = site.get(f"{series_path(1)}/instances/{names[3]}", Accept="application/dicom")
    assert answer.content.endswith(ct_slice(4, size=256).PixelData)


def test_studies_that_are_not_here(site: CacheSite) -> None:
    job = verified(site, "1.2.3.4", "1.2.3.5")
    assert job["series"] == []
    assert set(job["errors"]) == {"1.2.3.4", "1.2.3.5"}
