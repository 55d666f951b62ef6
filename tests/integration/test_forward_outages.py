"""The PACS is down, dies, or the gateway does: all that was accepted arrives, once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.scripted_pacs import wait_until
from free_ports import free_port
from orthanc_process import OrthancProcess, requires_orthanc
from sending_on import Onward, data_set, listed, modality, new_studies, onward, uids
from stowing import stored_files, uid_of

pytestmark = requires_orthanc
STUDIES, OF_STUDY = 10, 10


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[OrthancProcess]:
    """Not started yet. It has Storage Commitment."""
    knows = {"farsight": modality(free_port(), "FARSIGHT")}
    process = OrthancProcess(tmp_path / "pacs", {"DicomAet": "PACS", "DicomModalities": knows})
    yield process
    process.stop()


@pytest.fixture
def gateway(pacs: OrthancProcess, tmp_path: Path) -> Iterator[Onward]:
    port = pacs.configuration["DicomModalities"]["farsight"]["Port"]
    configured = {"pacs": modality(pacs.dicom_port)}
    with onward(tmp_path / "gateway", configured, DicomPort=port) as running:
        yield running


def _assert_there(pacs: OrthancProcess, files: list[bytes]) -> None:
    """All of them and nothing else, each listed once, bit for bit."""
    assert listed(pacs.dicom_port, files) == uids(files)
    assert len(pacs.json("/instances")) == len(files)
    for file in files:
        (stored,) = stored_files(pacs, uid_of(file))
        assert data_set(stored) == data_set(file)


def _wait_for_some(pacs: OrthancProcess) -> None:
    """A part of it has arrived."""
    wait_until(lambda: len(pacs.json("/instances")) >= OF_STUDY, 60, "the first of it")


def test_it_waits_for_a_pacs_that_is_down(gateway: Onward, pacs: OrthancProcess) -> None:
    """Through both ways of ending the gateway, and it is told that it waits."""
    first, second, third = new_studies(3, 4)
    gateway.stow(first)
    assert gateway.counts() == (4, 0, 0)
    wait_until(lambda: gateway.standing()["error"], 30, "noticing that it is down")
    gateway.restart()
    gateway.stow(second, door=1)
    gateway.restart(kill=True)
    gateway.stow(third)
    assert gateway.counts() == (12, 0, 0)
    waiting = gateway.parcels("waiting")
    assert [one["instance"] for one in waiting] == [uid_of(f) for f in first + second + third]
    assert {one["attempts"] for one in waiting} == {0}
    assert gateway.standing()["oldest"] is not None
    assert gateway.metrics()['farsight_outbox_instances{pacs="pacs",stage="waiting"}'] == 12
    gateway.assert_tells_nothing_of_patients()
    pacs.start()
    gateway.wait_until_settled()
    _assert_there(pacs, first + second + third)
    assert gateway.unconfirmed() == 0


def test_a_pacs_that_dies_in_the_middle(gateway: Onward, pacs: OrthancProcess) -> None:
    """What it says it took may have died with it: only what it is known to keep is settled."""
    pacs.start()
    files = [file for study in new_studies(STUDIES, OF_STUDY, size=256) for file in study]
    with _stored_meanwhile(gateway, files):
        _wait_for_some(pacs)
        pacs.stop(kill=True)
    wait_until(lambda: gateway.standing()["error"], 30, "noticing that it is down")
    pacs.start()
    gateway.wait_until_settled()
    _assert_there(pacs, files)
    assert gateway.unconfirmed() == 0


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_a_gateway_that_ends_in_the_middle(
    gateway: Onward, pacs: OrthancProcess, kill: bool
) -> None:
    files = [file for study in new_studies(STUDIES, OF_STUDY, size=256) for file in study]
    gateway.stow(files)
    pacs.start()
    _wait_for_some(pacs)
    gateway.restart(kill=kill)
    gateway.wait_until_settled()
    _assert_there(pacs, files)
    assert gateway.unconfirmed() == 0


def test_both_end_in_the_middle(gateway: Onward, pacs: OrthancProcess) -> None:
    """And what is stored while the PACS is away comes behind."""
    files = [file for study in new_studies(STUDIES, OF_STUDY, size=256) for file in study]
    (more,) = new_studies(1, 4)
    gateway.stow(files)
    pacs.start()
    _wait_for_some(pacs)
    gateway.restart(kill=True, between=lambda: pacs.stop(kill=True))
    gateway.stow(more)
    pacs.start()
    gateway.wait_until_settled()
    _assert_there(pacs, files + more)
    assert gateway.unconfirmed() == 0


@contextmanager
def _stored_meanwhile(gateway: Onward, files: list[bytes]) -> Iterator[None]:
    """Study after study, by a client of its own."""

    def store_all() -> None:
        for start in range(0, len(files), OF_STUDY):
            gateway.stow(files[start : start + OF_STUDY])

    with ThreadPoolExecutor(1) as pool:
        storing = pool.submit(store_all)
        yield
        storing.result(120)
