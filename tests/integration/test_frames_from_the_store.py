"""More images than memory holds: their frames come from Orthanc's files, and nothing stale does."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
import requests

from orthanc_process import (
    OrthancProcess,
    gateway_configuration,
    requires_orthanc,
    running_orthanc,
)
from sample_files import ct_slice, instance_uid, series_uid, study_uid

pytestmark = requires_orthanc
SLICES, SIDE = 40, 700  # 39 MB; memory is for 16
SERIES = f"/dicom-web/studies/{study_uid()}/series/{series_uid()}"
OCTETS = {"Accept": "application/octet-stream; transfer-syntax=*"}


def pixels(number: int, shade: int = 0) -> bytes:
    return (number * 100 + shade).to_bytes(2, "little") * (SIDE * SIDE)


def file_of(number: int, shade: int = 0) -> bytes:
    made = ct_slice(number, size=SIDE)
    made.PixelData = pixels(number, shade)
    file = BytesIO()
    made.save_as(file, enforce_file_format=True)
    return file.getvalue()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancProcess]:
    settings = gateway_configuration(
        {}, {"Memory": {"MaxMegabytes": 16}, "Pacs": {}}, OverwriteInstances=True
    )
    directory: Path = tmp_path_factory.mktemp("gateway")
    with running_orthanc(directory, settings) as process:
        for number in range(1, SLICES + 1):
            process.store(file_of(number))
        yield process


@pytest.fixture(params=["full", "orthanc"])
def door(request: pytest.FixtureRequest, gateway: OrthancProcess) -> str:
    return gateway.full_door_url if request.param == "full" else gateway.url


def frame(door: str, number: int) -> requests.Response:
    url = f"{door}{SERIES}/instances/{instance_uid(number)}/frames/1"
    return requests.get(url, headers=OCTETS, timeout=60)


def test_every_frame_again_and_again(door: str) -> None:
    for _ in range(3):
        for number in range(1, SLICES + 1):
            assert frame(door, number).content == pixels(number), number


def test_one_that_is_replaced_and_deleted(gateway: OrthancProcess, door: str) -> None:
    for _ in range(2):
        assert frame(door, 7).content == pixels(7)
    gateway.store(file_of(7, shade=1))
    deadline = time.monotonic() + 30
    while (found := frame(door, 7).content) != pixels(7, shade=1):
        assert found == pixels(7)
        assert time.monotonic() < deadline, "the new one isn't served"
    for _ in range(2):
        assert frame(door, 7).content == pixels(7, shade=1)
    (named,) = json.loads(gateway.request("POST", "/tools/lookup", instance_uid(7).encode()))
    gateway.request("DELETE", f"/instances/{named['ID']}")
    while (answer := frame(door, 7)).status_code != 404:
        assert answer.content == pixels(7, shade=1)
        assert time.monotonic() < deadline, "what is deleted is still served"
    gateway.store(file_of(7))
    while frame(door, 7).content != pixels(7):
        assert time.monotonic() < deadline
