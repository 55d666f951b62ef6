"""A retrieve that is cut at any point: said, never recorded as complete, and it heals."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
import requests

from fakes.cutting_proxy import CuttingProxy, cutting_proxy
from fakes.scripted_pacs import wait_until
from free_ports import free_port
from orthanc_process import OrthancProcess, requires_orthanc
from pacs_peers import Peer, dcmqrscp, requires_dcmtk
from sample_files import instance_uid, series_uid, study_uid, write_series

from .conftest import StartGateway

pytestmark = [requires_orthanc, requires_dcmtk]
SLICES = 20
SERIES = f"/dicom-web/studies/{study_uid()}/series/{series_uid()}"
ALL = {instance_uid(number) for number in range(1, SLICES + 1)}
COMPLETENESS = "10240"
PARTS = 10
#: Short, so that a silent PACS is noticed soon; the circuit breaker must not hide the healing.
TIMEOUTS = {"AcseTimeout": 1, "DimseTimeout": 1, "IdleTimeout": 0.3}


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    directory = tmp_path_factory.mktemp("cut")
    files = write_series(directory / "files", SLICES, size=128)
    with dcmqrscp(directory / "pacs", files) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(peer: Peer) -> Iterator[CuttingProxy]:
    with cutting_proxy(peer.port) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(proxy: CuttingProxy, start_gateway_for_module: StartGateway) -> OrthancProcess:
    return start_gateway_for_module(proxy.port, pacs=TIMEOUTS)


@pytest.fixture(scope="module")
def whole_bytes(gateway: OrthancProcess, proxy: CuttingProxy) -> int:
    """What the PACS sends for one cold opening, from the first byte to the last."""
    before = proxy.passed
    assert get(gateway, "/metadata").status_code == 200
    _emptied(gateway, proxy)
    return proxy.passed - before


def get(gateway: OrthancProcess, path: str) -> requests.Response:
    return requests.get(f"{gateway.full_door_url}{SERIES}{path}", timeout=120)


def _emptied(gateway: OrthancProcess, proxy: CuttingProxy) -> None:
    """Nothing under way, nothing stored, no association left open; and Farsight knows it: Orthanc
    tells of deletions behind their answer."""
    wait_until(lambda: gateway.json("/farsight/retrieves") == [], what="the end of the retrieve")
    for study in gateway.json("/studies"):
        gateway.request("DELETE", f"/studies/{study}")
    wait_until(
        lambda: gateway.json("/farsight/status")["memory_bytes"] == 0, what="what was deleted"
    )
    assert proxy.wait_for_connections(0), "an association is left open"


def _recorded(gateway: OrthancProcess) -> bool:
    return any(
        COMPLETENESS in gateway.json(f"/series/{series}/metadata")
        for series in gateway.json("/series")
    )


def _threads(gateway: OrthancProcess) -> int:
    status = Path(f"/proc/{gateway.pid}/status").read_text()
    return int(status.split("Threads:")[1].split()[0])


@pytest.mark.parametrize(
    ("part", "how"),
    [*((part, "close") for part in range(PARTS)), *product((0, 4, 8), ("reset", "silence"))],
)
def test_cut_in_the_middle(
    gateway: OrthancProcess, proxy: CuttingProxy, whole_bytes: int, part: int, how: str
) -> None:
    proxy.cut(whole_bytes * (2 * part + 1) // (2 * PARTS), how)
    failed = get(gateway, "/metadata")
    assert failed.status_code in (502, 503, 504), failed.text
    assert "'pacs'" in failed.json()["error"]
    wait_until(lambda: gateway.json("/farsight/retrieves") == [], what="the end of the retrieve")
    assert len(gateway.json("/instances")) < SLICES
    assert not _recorded(gateway)
    assert proxy.wait_for_connections(0), "an association is left open"

    proxy.heal()
    wait_until(lambda: get(gateway, "/metadata").status_code == 200, what="healing")
    again = get(gateway, "/metadata")
    assert {row["00080018"]["Value"][0] for row in again.json()} == ALL
    wait_until(lambda: len(gateway.json("/instances")) == SLICES, what="storing")
    wait_until(lambda: _recorded(gateway), what="the record of completeness")
    _emptied(gateway, proxy)


def test_threads_do_not_grow(
    gateway: OrthancProcess, proxy: CuttingProxy, whole_bytes: int
) -> None:
    def round_of_failures() -> None:
        proxy.cut(whole_bytes // 2, "reset")
        answer = get(gateway, "/metadata")
        assert answer.status_code >= 500, answer.headers.get("Warning")
        proxy.heal()
        _emptied(gateway, proxy)

    for _ in range(3):
        round_of_failures()
    before = _threads(gateway)
    for _ in range(10):
        round_of_failures()
    deadline = time.monotonic() + 15  # pools let go of threads in their own time
    while _threads(gateway) > before + 2:
        assert time.monotonic() < deadline, "threads are left behind"
        time.sleep(0.2)


def test_orthanc_restarted_in_the_middle(
    peer: Peer, proxy: CuttingProxy, start_gateway: StartGateway
) -> None:
    """What was stored before counts; the rest is fetched after the restart."""
    gateway = start_gateway(proxy.port, dicom_port=free_port(), pacs={"DimseTimeout": 30})
    proxy.cut(300_000, "silence")
    client = threading.Thread(target=lambda: _ignoring_errors(gateway), daemon=True)
    client.start()
    wait_until(lambda: len(gateway.json("/instances")) >= 3, what="some instances")
    gateway.stop(kill=True)
    proxy.heal()
    client.join(30)
    gateway.start()
    stored_before = len(gateway.json("/instances"))
    assert 0 < stored_before < SLICES
    assert not _recorded(gateway)
    answer = get(gateway, "/metadata")
    assert answer.status_code == 200, answer.text
    assert {row["00080018"]["Value"][0] for row in answer.json()} == ALL
    wait_until(lambda: _recorded(gateway), what="the record of completeness")


def _ignoring_errors(gateway: OrthancProcess) -> None:
    try:
        get(gateway, "/metadata")
    except requests.ConnectionError:
        time.sleep(0)  # it was killed under us, as planned
