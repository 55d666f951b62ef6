"""The PACS is down: what is whole here is served as ever, what isn't is said, and it heals."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import requests

from fakes.scripted_pacs import wait_until
from free_ports import free_port
from orthanc_process import OrthancProcess, requires_orthanc
from pacs_peers import Peer, dcmqrscp, orthanc_pacs, requires_dcmtk
from related_parts import related_parts
from sample_files import instance_uid, series_uid, study_uid, write_series

from .conftest import StartGateway

pytestmark = [requires_orthanc, requires_dcmtk]
STUDIES = "/dicom-web/studies"
SLICES = 5
MANY = 200
DICOM = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
FRAME = {"Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'}


def study(number: int) -> str:
    return f"{STUDIES}/{study_uid(number)}"


def series(number: int, of_study: int = 1) -> str:
    return f"{study(of_study)}/series/{series_uid(number, of_study)}"


def instance(number: int) -> str:
    return f"{series(1)}/instances/{instance_uid(number)}"


#: Every kind of resource of one instance or series, and what its client accepts.
RESOURCES: dict[str, dict[str, str]] = {
    f"{series(1)}/metadata": {},
    f"{series(1)}/metadata?": {"Accept-Encoding": "gzip"},
    f"{series(2)}/metadata": {"Accept": "application/dicom+json"},
    f"{instance(2)}/metadata": {},
    instance(1): {"Accept": "application/dicom"},
    f"{instance(3)}?": DICOM,
    series(1): DICOM,
    f"{instance(1)}/frames/1": FRAME,
    f"{instance(2)}/frames/1": {"Accept": "application/octet-stream"},
    f"{instance(2)}/bulkdata/7FE00010": {"Accept": "application/octet-stream"},
    f"{instance(1)}/rendered": {"Accept": "image/png"},
    f"{instance(1)}/thumbnail": {"Accept": "image/jpeg"},
    f"{series(2)}/thumbnail?viewport=64,64": {"Accept": "image/jpeg"},
    f"{series(1)}/rendered": {"Accept": "image/png"},
}
SEARCHES = (
    f"{STUDIES}?StudyInstanceUID={study_uid(1)}",
    f"{study(1)}/series",
    f"{series(1)}/instances",
)


@dataclass
class Site:
    """A gateway before a PACS that comes and goes. `begin` starts the PACS anew."""

    gateway: OrthancProcess
    begin: Callable[[], AbstractContextManager[Peer]]
    running: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    peer: Peer | None = None

    def start(self) -> None:
        self.peer = self.running.enter_context(self.begin())

    def kill(self) -> None:
        assert self.peer is not None
        self.peer.kill()
        self.running.close()

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(self.gateway.full_door_url + path, headers=headers, timeout=40)

    def recorded(self) -> int:
        """How many series are recorded to be whole."""
        return sum(
            "10240" in self.gateway.json(f"/series/{one}/metadata")
            for one in self.gateway.json("/series")
        )


def body(answer: requests.Response) -> object:
    """Without the boundary, which is another one each time."""
    if answer.headers["Content-Type"].startswith("multipart/"):
        return related_parts(answer)
    return answer.content


@pytest.fixture(params=["orthanc", "dcmqrscp"])
def site(
    request: pytest.FixtureRequest, tmp_path: Path, start_gateway: StartGateway
) -> Iterator[Site]:
    """Study 1 with two series, study 2 with one, study 3 with one of many slices."""
    files = write_series(tmp_path / "files", SLICES)
    files += write_series(tmp_path / "files", SLICES, series=2)
    files += write_series(tmp_path / "files", SLICES, study=2)
    files += write_series(tmp_path / "files", MANY, study=3, size=256)
    port, dicom_port = free_port(), free_port()
    numbers = iter(range(10))

    def begin() -> AbstractContextManager[Peer]:
        directory = tmp_path / f"pacs-{next(numbers)}"
        if request.param == "dcmqrscp":
            return dcmqrscp(directory, files, dicom_port, port=port)
        return orthanc_pacs(directory, files, dicom_port, DicomPort=port)

    gateway = start_gateway(
        port,
        dicom_port=dicom_port,
        pacs={"AcseTimeout": 60, "DimseTimeout": 60, "IdleTimeout": 0.5},
        farsight={"Cache": {"FreshSeconds": 0}, "Memory": {"MaxMegabytes": 16}},
    )
    site = Site(gateway, begin)
    site.start()
    try:
        yield site
    finally:
        gateway.stop()
        site.running.close()


def fetched(site: Site) -> dict[str, object]:
    """All resources of study 1, once it is whole here."""
    for number in (1, 2):
        assert site.get(f"{series(number)}/metadata").status_code == 200
    wait_until(lambda: site.recorded() == 2, what="the records of completeness")
    found: dict[str, object] = {}
    for path, headers in RESOURCES.items():
        answer = site.get(path, **headers)
        assert answer.status_code == 200, (path, answer.text)
        found[path] = body(answer)
    return found


def check_whole(site: Site, before: dict[str, object]) -> None:
    for path, headers in RESOURCES.items():
        answer = site.get(path, **headers)
        assert answer.status_code == 200, (path, answer.text)
        assert "Warning" not in answer.headers, path
        assert body(answer) == before[path], path


def is_warned(site: Site, path: str) -> bool:
    return "Warning" in site.get(path).headers


def test_down_and_back(site: Site) -> None:
    before = fetched(site)
    listed = {path: site.get(path).json() for path in SEARCHES}
    site.kill()
    for _ in range(2):
        check_whole(site, before)
    for path in SEARCHES:
        wait_until(partial(is_warned, site, path), what="the end of recent answers")
        answer = site.get(path, **{"Cache-Control": "no-cache"})
        assert answer.status_code == 200, answer.text
        assert answer.headers["Warning"].startswith("299 ")
        assert "'pacs'" in answer.headers["Warning"]
        assert len(answer.json()) == len(listed[path])
    for path in (study(1), f"{study(1)}/metadata"):
        answer = site.get(path, **(DICOM if path == study(1) else {}))
        assert answer.status_code == 206, "the PACS may have more series of it"
        assert "'pacs'" in answer.headers["Warning"]
    for path in (
        study(2),
        f"{study(2)}/metadata",
        f"{series(1, 2)}/metadata",
        f"{study(2)}/series",
    ):
        answer = site.get(path)
        assert answer.status_code == 503, answer.text
        assert "'pacs'" in answer.json()["error"]
    site.start()
    check_whole(site, before)
    for path in SEARCHES:
        answer = site.get(path, **{"Cache-Control": "no-cache"})
        assert "Warning" not in answer.headers
        assert answer.json() == listed[path]
    for path in (f"{study(1)}/metadata", f"{study(2)}/metadata"):
        answer = site.get(path)
        assert answer.status_code == 200, answer.text
        assert "Warning" not in answer.headers


def test_mute_and_back(site: Site) -> None:
    """It takes connections and says nothing: whoever waited for it would wait for a minute."""
    before = fetched(site)
    assert site.peer is not None
    pid = site.peer.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(2):
            check_whole(site, before)
    finally:
        os.kill(pid, signal.SIGCONT)
    for path in (f"{study(1)}/metadata", f"{study(2)}/metadata"):
        answer = site.get(path)
        assert answer.status_code == 200, answer.text
        assert "Warning" not in answer.headers


def test_what_is_here_survives_a_restart_without_a_pacs(site: Site) -> None:
    before = fetched(site)
    site.kill()
    door = site.gateway.full_door_url
    site.gateway.stop(kill=True)
    site.gateway.log_path.unlink()
    site.gateway.start()
    now = site.gateway.full_door_url

    def as_then(found: object) -> object:
        """The port of the full door stands in the URIs of bulk data."""
        return found.replace(now.encode(), door.encode()) if isinstance(found, bytes) else found

    for path, headers in RESOURCES.items():
        answer = site.get(path, **headers)
        assert answer.status_code == 200, (path, answer.text)
        assert as_then(body(answer)) == before[path], path
    site.start()
    assert site.get(f"{series(1, 2)}/metadata").status_code == 200


def test_half_retrieved_when_it_died(site: Site) -> None:
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(site.get, f"{series(1, 3)}/metadata")

        def under_way() -> bool:
            flights = site.get("/farsight/retrieves").json()
            return any(0 < (flight["received"] or 0) < MANY for flight in flights)

        wait_until(lambda: under_way() or waiting.done(), what="the arrival of some instances")
        site.kill()
        answer = waiting.result(60)
    half = answer.status_code != 200
    assert answer.status_code in (200, 502, 503, 504), answer.text
    wait_until(lambda: site.get("/farsight/retrieves").json() == [], what="the end of it")
    while_down = site.get(f"{series(1, 3)}/metadata")
    if half:
        assert while_down.status_code in (206, 502, 503), "never whole"
        assert "'pacs'" in (while_down.headers.get("Warning") or while_down.json()["error"])
    site.start()
    again = site.get(f"{series(1, 3)}/metadata")
    assert again.status_code == 200, again.text
    assert "Warning" not in again.headers
    assert [row["00080018"]["Value"][0] for row in again.json()] == [
        instance_uid(number, 1, 3) for number in range(1, MANY + 1)
    ]
    wait_until(lambda: site.recorded() == 1, what="the record of completeness")
