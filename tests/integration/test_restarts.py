"""After a restart the same answers, and nothing made anew that was made before."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from multi_frame import encapsulated, frame_of, slice_bytes
from orthanc_process import OrthancProcess, gateway_configuration, requires_orthanc
from sample_files import instance_uid, series_uid, study_uid

pytestmark = requires_orthanc
SLICES, FRAMES, SIZE = 40, 300, 20_000
STUDY = f"/dicom-web/studies/{study_uid()}"
SERIES = f"{STUDY}/series/{series_uid()}"
ANY_FRAME = {"Accept": "application/octet-stream; transfer-syntax=*"}


Start = Callable[..., OrthancProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a gateway without any PACS: what it serves comes from its store."""
    started: list[OrthancProcess] = []

    def run(**orthanc: Any) -> OrthancProcess:
        configuration = gateway_configuration(
            {}, {"Memory": {"MaxMegabytes": 16}}, OverwriteInstances=True, **orthanc
        )
        gateway = OrthancProcess(tmp_path / "gateway", configuration)
        gateway.start()
        started.append(gateway)
        return gateway

    yield run
    for gateway in started:
        gateway.stop()


@pytest.fixture
def gateway(start: Start) -> OrthancProcess:
    """One that reads its files every time."""
    return start(MaximumStorageCacheSize=0)


def get(gateway: OrthancProcess, path: str, **headers: str) -> requests.Response:
    answer = requests.get(gateway.full_door_url + path, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text[:500]
    return answer


def restarted(gateway: OrthancProcess, between: Callable[[], Any] = lambda: None) -> None:
    gateway.stop()
    between()
    gateway.log_path.unlink()  # the next full door has another port
    gateway.start()


def instance_file(gateway: OrthancProcess, number: int) -> Path:
    for instance in gateway.json("/instances?expand"):
        if instance["MainDicomTags"]["SOPInstanceUID"] == instance_uid(number):
            uuid = instance["FileUuid"]
            return gateway.directory / "storage" / uuid[:2] / uuid[2:4] / uuid
    raise AssertionError("not in Orthanc")


def kept(gateway: OrthancProcess, level: str, number: int = 0) -> bytes:
    """What Farsight keeps with the series, or with an instance, once it does."""
    ids = gateway.json(f"/{level}?expand")
    chosen = [
        one["ID"]
        for one in ids
        if not number or one["MainDicomTags"].get("SOPInstanceUID") == instance_uid(number)
    ]
    uri = f"/{level}/{chosen[0]}/attachments"
    deadline = time.monotonic() + 30
    while "10240" not in gateway.json(uri):
        assert time.monotonic() < deadline, "nothing was kept"
        time.sleep(0.1)
    return gateway.request("GET", f"{uri}/10240/data")


def test_metadata_is_kept(gateway: OrthancProcess) -> None:
    for number in range(1, SLICES + 1):
        gateway.store(slice_bytes(number))
    first = get(gateway, f"{SERIES}/metadata").content
    zipped = get(gateway, f"{SERIES}/metadata", **{"Accept-Encoding": "gzip"}).content
    assert zipped == first, "requests has unzipped it"
    kept(gateway, "series")
    files = [instance_file(gateway, number) for number in (1, 2, SLICES)]
    moved = [(path, path.read_bytes()) for path in files]

    def lose() -> None:
        for path in files:
            path.unlink()

    restarted(gateway, lose)
    again = get(gateway, f"{SERIES}/metadata").content
    host = gateway.full_door_url.encode()
    assert again.count(host) == SLICES, "the root is that of who asks"
    assert [row["00080018"] for row in json.loads(again)] == [
        row["00080018"] for row in json.loads(first)
    ]
    assert len(get(gateway, f"{STUDY}/metadata").json()) == SLICES
    for path, data in moved:
        path.write_bytes(data)


def test_what_was_replaced_without_farsight_is_not_stale(gateway: OrthancProcess) -> None:
    for number in range(1, SLICES + 1):
        gateway.store(slice_bytes(number))
    get(gateway, f"{SERIES}/metadata")
    before = kept(gateway, "series")
    script = gateway.configuration.pop("PythonScript")
    plugins = gateway.configuration.pop("Plugins")
    restarted(gateway)
    gateway.store(slice_bytes(3, lambda made: setattr(made, "StudyID", "another")))
    gateway.configuration.update(PythonScript=script, Plugins=plugins)
    restarted(gateway)
    rows = get(gateway, f"{SERIES}/metadata").json()
    assert sorted({row["00200010"]["Value"][0] for row in rows}) == ["1", "another"]
    deadline = time.monotonic() + 30
    while kept(gateway, "series") == before:
        assert time.monotonic() < deadline, "not kept anew"
        time.sleep(0.1)


@pytest.mark.parametrize("compressed", [False, True])
def test_frames_of_a_large_file(start: Start, compressed: bool) -> None:
    gateway = start(StorageCompression=compressed)
    gateway.store(encapsulated(FRAMES, SIZE))
    frames = f"{SERIES}/instances/{instance_uid(1)}/frames"
    for number in (1, FRAMES, 7):
        assert get(gateway, f"{frames}/{number}", **ANY_FRAME).content == frame_of(number, SIZE)
    several = get(
        gateway,
        f"{frames}/5,200",
        Accept='multipart/related; type="application/octet-stream"; transfer-syntax=*',
    ).content
    assert frame_of(5, SIZE) in several
    assert frame_of(200, SIZE) in several
    missing = requests.get(f"{gateway.full_door_url}{frames}/301", headers=ANY_FRAME, timeout=60)
    assert missing.status_code == 404
    if not compressed:
        assert kept(gateway, "instances", 1).startswith(b"FSFO")
    restarted(gateway)
    assert get(gateway, f"{frames}/250", **ANY_FRAME).content == frame_of(250, SIZE)
    rows = get(gateway, f"{SERIES}/metadata").json()
    assert rows[0]["00280008"]["Value"] == [FRAMES]
    gateway.store(encapsulated(FRAMES, SIZE + 2))
    deadline = time.monotonic() + 30
    while get(gateway, f"{frames}/250", **ANY_FRAME).content != frame_of(250, SIZE + 2):
        assert time.monotonic() < deadline, "stale"
        time.sleep(0.05)


def test_little_of_it_gets_into_memory(gateway: OrthancProcess) -> None:
    gateway.store(encapsulated(FRAMES, SIZE))
    get(gateway, f"{SERIES}/instances/{instance_uid(1)}/frames/100", **ANY_FRAME)
    status = get(gateway, "/farsight/status").json()
    assert status["memory_bytes"] == 0


def test_what_is_kept_can_be_read_by_hand(gateway: OrthancProcess) -> None:
    """The zipped JSON stands at the end, for whoever has to look at it."""
    for number in range(1, SLICES + 1):
        gateway.store(slice_bytes(number))
    first = get(gateway, f"{SERIES}/metadata").content
    record = kept(gateway, "series")
    assert gzip.decompress(record[record.index(b"\x1f\x8b") :]) == first
