"""Thumbnails of what is still at the PACS, and after a restart."""

from __future__ import annotations

import io
import time

import pytest
import requests
from PIL import Image

from orthanc_process import requires_orthanc
from sample_files import instance_uid, series_uid, study_uid, write_series

from .conftest import Site, StartSite

pytestmark = requires_orthanc
SLICES = 9
SERIES = f"/dicom-web/studies/{study_uid()}/series/{series_uid()}"
JPEG = {"Accept": "image/jpeg"}


@pytest.fixture(scope="module")
def site(start_site: StartSite, tmp_path_factory: pytest.TempPathFactory) -> Site:
    files = write_series(tmp_path_factory.mktemp("files"), SLICES, size=128)
    return start_site("dcmqrscp", files)


def picture(url: str) -> Image.Image:
    answer = requests.get(url, headers=JPEG, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/jpeg"
    return Image.open(io.BytesIO(answer.content))


def stored(site: Site) -> list[str]:
    return [
        one["MainDicomTags"]["SOPInstanceUID"] for one in site.gateway.json("/instances?expand")
    ]


def wait_until(done: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not done():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_it_costs_one_instance_of_the_series(site: Site) -> None:
    """The middle one; the others stay at the PACS."""
    full, orthancs = site.doors
    assert picture(f"{full}{SERIES}/thumbnail").size == (128, 128)
    wait_until(lambda: stored(site))
    assert stored(site) == [instance_uid(SLICES // 2 + 1)]
    assert picture(f"{full}{SERIES}/thumbnail?viewport=64,32").size == (32, 32)
    study = SERIES.partition("/series")[0]
    assert picture(f"{orthancs}{study}/thumbnail").size == (128, 128)
    assert len(stored(site)) == 1


def test_it_is_there_after_a_restart(site: Site) -> None:
    full = site.doors[0]
    requests.get(f"{full}{SERIES}/metadata", timeout=60)
    wait_until(lambda: len(stored(site)) == SLICES)
    (series,) = site.gateway.json("/series")
    completeness = f"/series/{series}/metadata/10240"
    wait_until(lambda: requests.get(site.gateway.url + completeness, timeout=10).ok)
    before = requests.get(f"{full}{SERIES}/thumbnail", headers=JPEG, timeout=60)
    assert "10241" in str(site.gateway.json(f"/series/{series}/attachments"))
    site.gateway.stop()
    site.gateway.start()
    again = f"{site.gateway.full_door_url}{SERIES}/thumbnail"
    after = requests.get(again, headers=JPEG, timeout=60)
    assert (after.content, after.headers["ETag"]) == (before.content, before.headers["ETag"])
    known = requests.get(
        again, headers={**JPEG, "If-None-Match": before.headers["ETag"]}, timeout=60
    )
    assert (known.status_code, known.content) == (304, b"")


def test_of_what_nobody_has(site: Site) -> None:
    url = f"{site.gateway.full_door_url}/dicom-web/studies/9.9/thumbnail"
    answer = requests.get(url, timeout=60)
    assert answer.status_code == 404
    assert "9.9" in answer.json()["error"]
