"""What is stored here goes to the PACS, and is data until that is known to keep it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
import requests

from fakes.scripted_pacs import wait_until
from free_ports import free_port
from orthanc_process import OrthancProcess, requires_orthanc
from pacs_peers import Peer, dcmqrscp, orthanc_pacs, qrscp, requires_dcmtk
from sending_on import (
    Onward,
    data_set,
    listed,
    modality,
    new_studies,
    onward,
    study_of,
    uids,
)
from stowing import uid_of

pytestmark = requires_orthanc
SERIES_OF_2_MB = {"instances": 8, "size": 360}


@dataclass(frozen=True)
class Site:
    """A gateway before one PACS; `kept`: the data sets that has, by SOPInstanceUID."""

    gateway: Onward
    peer: Peer
    kept: Callable[[], dict[str, bytes]]


def _of_orthanc(peer: Peer) -> dict[str, bytes]:
    process = peer.process
    assert isinstance(process, OrthancProcess)
    files = [process.request("GET", f"/instances/{one}/file") for one in process.json("/instances")]
    return {uid_of(file): data_set(file) for file in files}


def _of_files(directory: Path) -> dict[str, bytes]:
    files = [path.read_bytes() for path in directory.iterdir() if path.suffix != ".dat"]
    whole = [file for file in files if file[128:132] == b"DICM"]
    return {uid_of(file): data_set(file) for file in whole}


def _commits(stack: ExitStack, directory: Path, port: int) -> tuple[Peer, Any]:
    """Storage Commitment and nothing else by which it could be asked what it has."""
    knows = {"farsight": {**modality(port, "FARSIGHT"), "AllowFind": False}}
    options = {"DicomModalities": knows, "DicomAlwaysAllowFind": False}
    peer = stack.enter_context(orthanc_pacs(directory, [], **options))
    return peer, lambda: _of_orthanc(peer)


def _lists(stack: ExitStack, directory: Path, _port: int) -> tuple[Peer, Any]:
    peer = stack.enter_context(dcmqrscp(directory, [], options=["+B"]))
    return peer, lambda: _of_files(directory / "db")


def _lists_too(stack: ExitStack, directory: Path, port: int) -> tuple[Peer, Any]:
    peer = stack.enter_context(qrscp(directory, [], port))
    return peer, lambda: _of_files(directory / "instances")


KINDS = {"orthanc": _commits, "dcmqrscp": _lists, "qrscp": _lists_too}


@pytest.fixture(
    scope="module",
    params=["orthanc", pytest.param("dcmqrscp", marks=requires_dcmtk), "qrscp"],
)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        port = free_port()
        peer, kept = KINDS[request.param](stack, directory / "pacs", port)
        configured = {"pacs": modality(peer.port)}
        gateway = stack.enter_context(onward(directory / "gateway", configured, DicomPort=port))
        yield Site(gateway, peer, kept)


@pytest.mark.parametrize("door", [0, 1], ids=["full", "orthanc"])
def test_what_is_stored_is_at_the_pacs(site: Site, door: int) -> None:
    """Bit for bit, and it is known that it is: by commitment where that is all there is, else by
    what the PACS lists."""
    files = [file for study in new_studies(3, 4) for file in study]
    before = site.gateway.metrics().get('farsight_outbox_confirmed_total{pacs="pacs"}', 0)
    site.gateway.stow(files, door)
    site.gateway.wait_until_settled()
    kept = site.kept()
    assert [kept.get(uid_of(file)) for file in files] == [data_set(file) for file in files]
    assert site.gateway.unconfirmed() == 0
    metrics = site.gateway.metrics()
    assert metrics['farsight_outbox_confirmed_total{pacs="pacs"}'] == before + len(files)
    for stage in ("waiting", "sent", "dead"):
        assert metrics[f'farsight_outbox_instances{{pacs="pacs",stage="{stage}"}}'] == 0
    study = site.gateway.process.json(f"/farsight/cache/studies/{study_of(files[0])}")
    assert [one["unconfirmed"] for one in study["series"]] == [0]
    site.gateway.assert_tells_nothing_of_patients()


def test_it_is_evictable_then(site: Site) -> None:
    (files,) = new_studies(1, 3)
    site.gateway.stow(files)
    site.gateway.wait_until_settled()
    url = f"{site.gateway.doors[0]}/farsight/cache/studies/{study_of(files[0])}"
    answer = requests.delete(url, timeout=60)
    assert (answer.status_code, answer.json().get("instances")) == (200, 3), answer.text
    if site.peer.kind != "orthanc":  # that one may not be asked
        assert listed(site.peer.port, files) == uids(files)


def test_the_same_again_is_not_sent_again(site: Site) -> None:
    (files,) = new_studies(1, 2)
    for _ in range(2):
        site.gateway.stow(files)
        site.gateway.wait_until_settled()
    sent = site.gateway.metrics()['farsight_outbox_sent_total{pacs="pacs"}']
    site.gateway.stow(files)
    assert site.gateway.counts() == (0, 0, 0)
    assert site.gateway.metrics()['farsight_outbox_sent_total{pacs="pacs"}'] == sent
    assert site.gateway.unconfirmed() == 0


def test_explorer_uploads_are_data_and_stay_here(site: Site) -> None:
    (files,) = new_studies(1, 2)
    before = site.gateway.unconfirmed()
    for file in files:
        site.gateway.process.store(file)
    wait_until(lambda: site.gateway.unconfirmed() == before + 2, what="booking them")
    assert site.gateway.counts() == (0, 0, 0)
    assert not set(uids(files)) & set(site.kept())
    url = f"{site.gateway.doors[0]}/farsight/cache/studies/{study_of(files[0])}"
    assert requests.delete(url, timeout=60).status_code == 409
    for one in site.gateway.process.json("/instances?expand"):
        if one["MainDicomTags"]["SOPInstanceUID"] in uids(files):
            site.gateway.process.request("DELETE", f"/instances/{one['ID']}")
    wait_until(lambda: site.gateway.unconfirmed() == before, what="striking them off")


def test_nothing_is_evicted_that_no_pacs_has(tmp_path: Path) -> None:
    """Twice as much as may be kept, while the PACS is down; what it has then makes room."""
    pacs_port, port = free_port(), free_port()
    pacs = OrthancProcess(
        tmp_path / "pacs",
        {"DicomAet": "PACS", "DicomPort": pacs_port,
         "DicomModalities": {"farsight": modality(port, "FARSIGHT")}},
    )  # fmt: skip
    files = [file for study in new_studies(2, **SERIES_OF_2_MB) for file in study]
    settings = {"Cache": {"MaxMegabytes": 1, "MinFreeMegabytes": 0}}
    configured = {"pacs": modality(pacs_port)}
    with onward(tmp_path / "gateway", configured, farsight=settings, DicomPort=port) as gateway:
        gateway.stow(files)
        stored_bytes = sum(map(len, files))
        assert stored_bytes > 2 << 20
        _wait_for_eviction(gateway)
        told = gateway.cache()
        assert (told["instances"], told["unconfirmed_instances"]) == (len(files), len(files))
        assert not told["limits_kept"]
        assert gateway.counts() == (len(files), 0, 0)
        pacs.start()
        try:
            gateway.wait_until_settled()
            wait_until(lambda: gateway.cache()["bytes"] <= 1 << 20, 60, what="evicting")
            assert {uid_of(file) for file in files} == set(
                _of_orthanc(Peer("orthanc", pacs_port, pacs))
            )
            for file in (files[0], files[-1]):  # fetched again from where it is
                assert file_here(gateway, file) == data_set(file)
        finally:
            pacs.stop()


def _wait_for_eviction(gateway: Onward) -> None:
    """It has had a run in which nothing of all that counts as just used any more."""
    settled_at = datetime.now(UTC) + timedelta(seconds=6)

    def ran() -> bool:
        told = gateway.cache()["last_run_at"]
        return told is not None and datetime.fromisoformat(told) >= settled_at

    wait_until(ran, 60, what="a run of eviction")


def file_here(gateway: Onward, file: bytes) -> bytes:
    """The data set that a client gets for it."""
    image = pydicom.dcmread(BytesIO(file), stop_before_pixels=True)
    path = (
        f"/dicom-web/studies/{image.StudyInstanceUID}/series/{image.SeriesInstanceUID}"
        f"/instances/{image.SOPInstanceUID}"
    )
    accept = {"Accept": "application/dicom; transfer-syntax=*"}
    answer = requests.get(gateway.doors[0] + path, headers=accept, timeout=60)
    assert answer.status_code == 200, answer.text
    return data_set(answer.content)
