"""What is never evicted, however little room there is: data, what is being read or retrieved."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cache_site import DICOM, SLICES, CacheSite, series_path, study_path, write_study
from fakes.scripted_pacs import scripted_pacs, wait_until
from orthanc_process import requires_orthanc
from pacs_peers import send
from sample_files import ct_slice, instance_uid, series_uid, study_uid, write_series
from stowing import new_files, part10, store, stored_files, uid_of

from .conftest import StartGateway, StartSite

pytestmark = requires_orthanc
ONE_MEGABYTE = {"Cache": {"MaxMegabytes": 1, "MinFreeMegabytes": 0}, "Memory": {"MaxMegabytes": 64}}
BIG, BIG_SLICES = 2, 60
BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, start_site: StartSite) -> CacheSite:
    """One megabyte may be kept. A study of three series, one of a single large series."""
    directory = tmp_path_factory.mktemp("files")
    files = write_study(directory, (1, 2, 3))
    files += write_series(directory, BIG_SLICES, study=BIG, size=512)
    found = start_site("orthanc", files, farsight=ONE_MEGABYTE)
    return CacheSite(found.gateway)


@pytest.fixture
def site(shared: CacheSite) -> Iterator[CacheSite]:
    """With nothing in it."""
    for study in shared.gateway.json("/studies"):
        shared.gateway.request("DELETE", f"/studies/{study}")
    shared.at_rest()
    yield shared
    assert shared.overview()["error"] == ""


def test_data(site: CacheSite, tmp_path: Path) -> None:
    """Twice as much as may be kept, by every way it can come; an SR beside what a PACS has."""
    mine = new_files(SLICES, size=256)
    assert store(site.door, mine).status == 200
    uploaded = new_files(SLICES, size=256)
    for file in uploaded:
        site.gateway.store(file)
    send(write_series(tmp_path, SLICES, study=7, size=256), site.gateway.dicom_port)
    site.fetch(1)
    report = ct_slice(9)
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = BASIC_TEXT_SR
    assert store(site.door, [part10(report)]).status == 200
    site.fetch(2)
    site.at_rest()
    others = site.series_here() - {series_uid(2)}
    wait_until(lambda: site.series_here() == others, 60, what="the eviction of series 2")
    site.fetch(3)
    wait_until(lambda: site.series_here() == others, 60, what="the eviction of series 3")
    site.at_rest()
    shown = site.overview()
    assert shown["instances"] == 4 * SLICES + 1
    assert shown["unconfirmed_instances"] == 3 * SLICES + 1
    assert not shown["limits_kept"]
    assert site.study() == {series_uid(1): site.study()[series_uid(1)]}
    assert site.study()[series_uid(1)]["unconfirmed"] == 1
    for file in (*mine, *uploaded):
        assert stored_files(site.gateway, uid_of(file)) == [file]
    answer = site.evict()
    assert answer.status_code == 409
    assert "of 1 instances" in answer.json()["error"]


class SlowReader:
    """A client that takes an answer byte by byte, so to say."""

    def __init__(self, door: str, path: str) -> None:
        url = urlsplit(door)
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.settimeout(120)
        self._socket.connect((url.hostname, url.port))
        accept = f"Accept: {DICOM['Accept']}\r\nConnection: close\r\n\r\n"
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {url.netloc}\r\n{accept}".encode())
        self._pieces = [self._socket.recv(1000)]

    def rest(self) -> bytes:
        """All of it; the connection is closed then."""
        while piece := self._socket.recv(1 << 16):
            self._pieces.append(piece)
        self._socket.close()
        return b"".join(self._pieces)


def test_a_series_that_somebody_reads_slowly(site: CacheSite) -> None:
    """It is 30 MB where one may be kept; it stays until its last byte is sent."""
    path = series_path(1, BIG)
    before = site.fetch(1, BIG)
    wait_until(lambda: site.series_here() == set(), 60, what="its eviction, before anyone reads it")
    site.fetch(1, BIG)
    reader = SlowReader(site.door, path)
    wait_until(lambda: site.study(BIG)[series_uid(1, BIG)]["in_use"], what="its being read")
    answer = site.evict(BIG)
    assert answer.status_code == 409
    assert "being read" in answer.json()["error"]
    seen = site.overview()["last_run_at"]
    site.fetch(1)
    wait_until(
        lambda: (
            site.overview()["last_run_at"] > seen
            and "it is being read or retrieved" in site.overview()["not_evicted"]
        ),
        60,
        what="an attempt to evict it",
    )
    assert series_uid(1, BIG) in site.series_here()
    body = reader.rest()
    assert body.startswith(b"HTTP/1.1 200 ")
    at = 0
    for file in before:
        at = body.index(file, at) + len(file)
    assert len(before) == BIG_SLICES
    wait_until(
        lambda: series_uid(1, BIG) not in site.series_here(), 60, what="its eviction afterwards"
    )


def test_a_series_that_somebody_reads_slowly_on_orthancs_port(site: CacheSite) -> None:
    if site.holds_lock:
        pytest.skip("a slow client holds up all others here")
    before = site.fetch(1, BIG)
    reader = SlowReader(site.gateway.url, series_path(1, BIG))

    def was_tried() -> bool:
        kept = "it is being read or retrieved" in site.overview()["not_evicted"]
        return kept or site.series_here() == set()

    wait_until(was_tried, 60, what="an attempt to evict it")
    body = reader.rest()
    assert body.startswith(b"HTTP/1.1 200 ")
    for file in before:
        assert file in body


def test_a_series_that_is_being_retrieved(start_gateway: StartGateway) -> None:
    """The PACS takes longer than a series has to be unused, and it is more than may be kept."""
    count = 12
    objects = [ct_slice(number, size=256) for number in range(1, count + 1)]
    with scripted_pacs(objects, pause_s=0.9) as pacs, ThreadPoolExecutor(1) as threads:
        site = CacheSite(start_gateway(pacs.port, farsight=ONE_MEGABYTE))
        waiting = threads.submit(site.get, f"{study_path()}/metadata")
        wait_until(lambda: bool(site.study()), 60, what="its beginning")
        assert site.evict().status_code == 409
        answer = waiting.result(120)
        rows = {row["00080018"]["Value"][0] for row in answer.json()}
        assert rows == {instance_uid(number) for number in range(1, count + 1)}
        assert "Warning" not in answer.headers
        wait_until(  # the last is stored behind the answer
            lambda: len(site.gateway.json("/instances")) == count, what="all of it at once"
        )
        wait_until(lambda: site.study() == {}, 60, what="its eviction afterwards")
        assert site.gateway.json("/instances") == []
        assert site.request("GET", f"/farsight/cache/studies/{study_uid()}").status_code == 404
