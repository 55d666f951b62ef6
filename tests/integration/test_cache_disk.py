"""Room on the disk: made early where that helps, refused in clear words where it doesn't."""

from __future__ import annotations

import html
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom import AE

from cache_site import DICOM, SIZE, SLICES, CacheSite, series_path, write_study
from fakes.scripted_pacs import wait_until
from orthanc_process import requires_orthanc
from related_parts import related_parts
from sample_files import write_series
from stowing import new_files, store, stored_files, uid_of

from .conftest import StartSite

pytestmark = requires_orthanc
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
#: What has to be left on the disk, see services/eviction_statistics.py.
RESERVE_MB = 64
OUT_OF_RESOURCES = 0xA700
ROOM_MB = 8


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "disk"
    directory.mkdir()
    size = f"size={RESERVE_MB + ROOM_MB}m"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(directory)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.skip(f"a small disk can't be mounted here: {done.stderr.strip()}")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


@pytest.fixture
def site(small_disk: Path, tmp_path: Path, start_site: StartSite) -> Iterator[CacheSite]:
    """All that is kept is on the small disk."""
    found = start_site(
        "orthanc",
        write_study(tmp_path / "files", range(1, 4)),
        farsight={"Cache": {"MinFreeMegabytes": 0}},
        StorageDirectory=str(small_disk),
        IndexDirectory=str(small_disk),
    )
    if not (small_disk / "index").exists():
        pytest.skip("this Orthanc sees other disks than this process")
    yield CacheSite(found.gateway)
    found.gateway.stop()


def fill(disk: Path) -> Path:
    """Somebody else takes all the room there is."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 16))
    with ballast.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0")
    return ballast


def fill_by_stow(site: CacheSite) -> list[bytes]:
    """Stores until there is no room; what was acknowledged."""
    stored = []
    for file in new_files(ROOM_MB * 8, size=SIZE):
        answer = store(site.door, [file])
        if answer.status != 200:
            return stored
        stored.append(file)
    raise AssertionError("no end of room")


def c_store(site: CacheSite, title: str, file: Path) -> int:
    """The status of one C-STORE."""
    data_set = dcmread(file)
    entity = AE(title)
    entity.add_requested_context(data_set.SOPClassUID, data_set.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", site.gateway.dicom_port, ae_title="FARSIGHT")
    assert association.is_established
    try:
        return int(association.send_c_store(data_set).Status)
    finally:
        association.release()


def names_here(site: CacheSite) -> set[str]:
    """SOPInstanceUIDs, as Orthanc has them."""
    found = site.gateway.json("/instances?expand")
    return {str(one["MainDicomTags"]["SOPInstanceUID"]) for one in found}


def series_of(file: bytes) -> str:
    return str(dcmread(BytesIO(file)).SeriesInstanceUID)


def check_records(site: CacheSite) -> None:
    """Every database on the disk is in order; the gateway is stopped."""
    for path in (
        site.records / "cache.sqlite",
        site.records / "outbox.sqlite",
        site.records.parent / "index",
    ):
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",), path


def test_room_is_made_early(start_site: StartSite, tmp_path: Path) -> None:
    """More is to be left free than there is: all that a PACS holds as well goes, and comes back."""
    found = start_site(
        "orthanc",
        write_study(tmp_path, (1, 2)),
        farsight={"Cache": {"MinFreeMegabytes": 1 << 30}},
    )
    site = CacheSite(found.gateway)
    before = site.fetch(1)
    (mine,) = new_files(1)
    assert store(site.door, [mine]).stored == [uid_of(mine)], "refused only where nothing is left"
    site.fetch(2)
    wait_until(lambda: len(site.series_here()) == 1, 60, what="the eviction of both series")
    site.at_rest()
    shown = site.overview()
    assert shown["unconfirmed_instances"] == shown["instances"] == 1
    assert shown["evicted"]["room"]["series"] == 2
    assert not shown["limits_kept"]
    assert "can't be kept" in html.unescape(site.get("/farsight/").text)
    assert site.fetch(1) == before


@needs_root
def test_refused_in_clear_words_until_something_may_go(site: CacheSite, tmp_path: Path) -> None:
    (file,) = write_series(tmp_path / "modality", 1, study=7, size=512)
    site.fetch(1)
    stored = fill_by_stow(site)
    more = new_files(2, size=SIZE)
    for door in (site.door, site.gateway.url):
        answer = store(door, more)
        assert answer.status == 503, answer.body
        assert answer.refused == {uid_of(one): OUT_OF_RESOURCES for one in more}
        assert "no room left" in answer.headers["Warning"]
    if not site.holds_lock:
        for title in ("CT", "PACS"):
            assert c_store(site, title, file) == OUT_OF_RESOURCES
    answer = site.request("GET", f"{series_path(2)}/metadata")
    assert answer.status_code == 507 or len(answer.json()) == SLICES, "in memory, maybe"
    assert answer.status_code == 200 or "no room left" in answer.json()["error"]
    assert {uid_of(one) for one in stored} <= names_here(site)

    wait_until(lambda: store(site.door, more[:1]).status == 200, what="room by evicting series 1")
    assert site.overview()["evicted"]["room"]["series"] == 1
    site.at_rest()
    assert {uid_of(one) for one in (*stored, more[0])} <= names_here(site)
    assert site.overview()["unconfirmed_instances"] == len(stored) + 1
    site.gateway.stop()
    check_records(site)
    site.start()
    site.at_rest()


@needs_root
def test_others_fill_the_disk(site: CacheSite, small_disk: Path) -> None:
    """Not a byte is left: what is here is read, evicted, found again after a crash, and all is
    well when there is room again."""
    before = site.fetch(1)
    mine = new_files(2)
    assert store(site.door, mine).status == 200
    ballast = fill(small_disk)
    assert [body for _, body in related_parts(site.get(series_path(1), **DICOM))] == before
    assert store(site.door, new_files(1)).status == 503
    answer = site.request("GET", f"{series_path(2)}/metadata")
    assert answer.status_code == 507 or len(answer.json()) == SLICES, "in memory, maybe"
    wait_until(lambda: site.evict().status_code in (200, 409), what="the end of the retrieve")
    if site.series_here() != {series_of(mine[0])}:  # Orthanc's own index takes room to delete from
        assert "did not delete" in site.evict().json()["error"]
        os.truncate(ballast, ballast.stat().st_size - (1 << 20))
        assert site.evict().status_code == 200, "far less room than storing takes"
    assert site.series_here() == {series_of(mine[0])}

    fill(small_disk)
    os.truncate(ballast, ballast.stat().st_size - (1 << 20))  # else Orthanc doesn't start
    site.restart(kill=True)
    assert store(site.door, new_files(1)).status == 503
    for file in mine:
        assert stored_files(site.gateway, uid_of(file)) == [file]
    assert site.evict().status_code == 404
    site.gateway.stop()
    ballast.unlink()
    check_records(site)
    site.start()
    assert site.fetch(1) == before
    assert store(site.door, new_files(1)).status == 200
    site.at_rest()
    assert site.overview()["unconfirmed_instances"] == len(mine) + 1
