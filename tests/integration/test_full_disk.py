"""Orthanc's disk is full: an error that says so, nothing called complete, and it heals."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from fakes.scripted_pacs import scripted_pacs, wait_until
from orthanc_process import OrthancProcess, requires_orthanc
from sample_files import ct_slice, instance_uid, series_uid, study_uid

from .conftest import StartGateway

SLICES = 12
#: What has to be left on the disk, see services/eviction_statistics.py.
RESERVE_MB = 64
#: For about half of the slices: those that are stored side by side may go past the reserve.
ROOM_MB = 3
SERIES = f"/dicom-web/studies/{study_uid()}/series/{series_uid()}"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "disk"
    directory.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={RESERVE_MB + ROOM_MB}m", "tmpfs", str(directory)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.skip(f"a small disk can't be mounted here: {done.stderr.strip()}")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


def recorded(gateway: OrthancProcess) -> bool:
    return any(
        "10240" in gateway.json(f"/series/{series}/metadata") for series in gateway.json("/series")
    )


@requires_orthanc
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk(small_disk: Path, tmp_path: Path, start_gateway: StartGateway) -> None:
    objects = [ct_slice(number, size=512) for number in range(1, SLICES + 1)]
    with scripted_pacs(objects) as pacs:
        gateway = start_gateway(
            pacs.port,
            farsight={"Cache": {"MinFreeMegabytes": 0}},
            StorageDirectory=str(small_disk),
            IndexDirectory=str(tmp_path / "index"),
        )
        try:
            answer = requests.get(f"{gateway.full_door_url}{SERIES}/metadata", timeout=60)
            if answer.status_code == 200:  # all had come before the first was refused
                assert len(answer.json()) == SLICES
            else:
                assert answer.status_code == 507, answer.text
                assert "no room left" in answer.json()["error"]
            wait_until(lambda: gateway.json("/farsight/retrieves") == [], what="the end of it")
            assert 0 < len(gateway.json("/instances")) < SLICES
            assert not recorded(gateway)
            assert pacs.wait_for_connections(1) or pacs.wait_for_connections(0)

            subprocess.run(["mount", "-o", "remount,size=128m", str(small_disk)], check=True)
            again = requests.get(f"{gateway.full_door_url}{SERIES}/metadata", timeout=60)
            assert again.status_code == 200, again.text
            uids = {row["00080018"]["Value"][0] for row in again.json()}
            assert uids == {instance_uid(number) for number in range(1, SLICES + 1)}
            wait_until(lambda: recorded(gateway), what="the record of completeness")
            assert len(gateway.json("/instances")) == SLICES
        finally:
            gateway.stop()
