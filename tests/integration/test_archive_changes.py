"""Orthanc's store changes behind our back: deletion in Explorer, C-STORE from a modality."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from orthanc_process import requires_orthanc
from pacs_peers import requires_dcmtk
from sample_files import ct_slice, instance_uid, series_uid, study_uid, write_series

from .conftest import Site, StartSite

pytestmark = [requires_orthanc, requires_dcmtk]
SERIES = f"/dicom-web/studies/{study_uid()}/series/{series_uid()}"
SLICES = 6


@pytest.fixture
def site(start_site: StartSite, tmp_path: Path) -> Site:
    return start_site("dcmqrscp", write_series(tmp_path / "files", SLICES))


def _metadata(site: Site) -> list[str]:
    answer = requests.get(f"{site.doors[0]}{SERIES}/metadata", timeout=60)
    assert answer.status_code == 200, answer.text
    return [row["00080018"]["Value"][0] for row in answer.json()]


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.1)


def _stored(site: Site) -> int:
    return int(site.gateway.json("/statistics")["CountInstances"])


def test_a_deleted_study_is_fetched_again(site: Site) -> None:
    assert len(_metadata(site)) == SLICES
    _until(lambda: _stored(site) == SLICES)
    for study in site.gateway.json("/studies"):
        site.gateway.request("DELETE", f"/studies/{study}")
    _until(
        lambda: (
            requests.get(f"{site.doors[0]}/farsight/status", timeout=10).json()["memory_bytes"] == 0
        )
    )
    assert len(_metadata(site)) == SLICES
    _until(lambda: _stored(site) == SLICES)


def test_one_deleted_instance_is_fetched_again(site: Site) -> None:
    assert len(_metadata(site)) == SLICES
    _until(lambda: _stored(site) == SLICES)
    site.gateway.request("DELETE", f"/instances/{site.gateway.json('/instances')[0]}")
    _until(lambda: len(_metadata(site)) == SLICES and _stored(site) == SLICES)


def test_what_a_modality_stores_is_served(site: Site, tmp_path: Path) -> None:
    assert len(_metadata(site)) == SLICES
    _until(lambda: _stored(site) == SLICES)
    extra = tmp_path / "extra.dcm"
    ct_slice(SLICES + 1).save_as(extra, enforce_file_format=True)
    subprocess.run(
        ["storescu", "-aec", "FARSIGHT", "127.0.0.1", str(site.gateway.dicom_port), str(extra)],
        check=True,
    )
    _until(lambda: instance_uid(SLICES + 1) in _metadata(site))
    url = f"{site.doors[1]}{SERIES}/instances/{instance_uid(SLICES + 1)}/frames/1"
    frame = requests.get(url, headers={"Accept": "application/octet-stream"}, timeout=60)
    assert frame.content == ct_slice(SLICES + 1).PixelData


def test_a_study_no_pacs_knows_is_served_from_the_store(site: Site, tmp_path: Path) -> None:
    site.gateway.store(write_series(tmp_path / "own", 1, study=7)[0].read_bytes())
    for door in site.doors:
        answer = requests.get(f"{door}/dicom-web/studies/{study_uid(7)}/metadata", timeout=60)
        assert answer.status_code == 200
        assert len(answer.json()) == 1
        rows = requests.get(f"{door}/dicom-web/studies?PatientID=PAT7", timeout=60).json()
        assert [row["0020000D"]["Value"][0] for row in rows] == [study_uid(7)]
        assert rows[0]["00100010"]["Value"][0]["Alphabetic"] == "Muster^Jürgen7"
