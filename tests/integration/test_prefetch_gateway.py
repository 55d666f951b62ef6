"""Rules of prefetch in a real gateway before a real PACS and a real worklist."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from fakes.scripted_pacs import scripted_pacs, wait_until
from orthanc_process import OrthancProcess, gateway_configuration, requires_orthanc, running_orthanc
from pacs_peers import dcmqrscp, requires_dcmtk
from prefetch_desk import image
from sample_files import study_uid
from worklist_peers import AE_TITLE, entry, wlmscpfs

from .conftest import StartGateway

pytestmark = [requires_orthanc, requires_dcmtk]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three studies of one patient, and one each of two who are none of theirs."""
    images = [
        image(1, "20240601"),
        image(2, "20240501"),
        image(3, "20230101"),
        image(4, "20240501", "4712"),
        image(5, "20240501", born="19991231"),
    ]
    paths = []
    (tmp_path / "files").mkdir()
    for number, one in enumerate(images, 1):
        paths.append(tmp_path / "files" / f"{number}.dcm")
        one.save_as(paths[-1], enforce_file_format=True)
    return paths


@pytest.fixture
def pacs_port(tmp_path: Path, files: list[Path]) -> Iterator[int]:
    with dcmqrscp(tmp_path / "pacs", files) as peer:
        yield peer.port


def stored(gateway: OrthancProcess) -> set[str]:
    studies = gateway.json("/studies?expand")
    return {one["MainDicomTags"]["StudyInstanceUID"] for one in studies}


def standing(gateway: OrthancProcess, door: str) -> dict[str, Any]:
    answer = requests.get(f"{door}/farsight/prefetch", timeout=60)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_opening_a_study_brings_its_priors(start_gateway: StartGateway, pacs_port: int) -> None:
    rules = [{"Name": "priors", "When": "opened", "Number": 1}]
    gateway = start_gateway(pacs_port, farsight={"Prefetch": {"Rules": rules}})
    door = gateway.full_door_url
    url = f"{door}/dicom-web/studies/{study_uid(1)}/metadata"
    assert requests.get(url, timeout=60).status_code == 200
    wait_until(lambda: study_uid(2) in stored(gateway), what="the prior")
    for at in (door, gateway.url):
        wait_until(lambda: standing(gateway, door)["rules"][0]["done"] == 1, what="its end")
        (rule,) = standing(gateway, at)["rules"]
        assert (rule["found"], rule["failed"], rule["errors"]) == (1, 0, [])
    assert stored(gateway) == {study_uid(1), study_uid(2)}
    assert standing(gateway, door)["rules"][0]["runs"] == 1
    shown = requests.get(f"{door}/farsight/prefetch", timeout=60).text + gateway.log()
    assert "4711" not in shown
    assert "Muster" not in shown


def test_priors_of_who_is_on_a_worklist_that_is_no_source(tmp_path: Path, pacs_port: int) -> None:
    days = [datetime.now(UTC) + timedelta(days=number) for number in (-1, 0, 1)]
    scheduled = [entry("4711", f"{day:%Y%m%d}") for day in days]
    (tmp_path / "ris").mkdir()
    with wlmscpfs(tmp_path / "ris", scheduled) as ris:
        modalities = {
            "pacs": {"AET": "PACS", "Host": "127.0.0.1", "Port": pacs_port},
            "ris": {"AET": AE_TITLE, "Host": "127.0.0.1", "Port": ris.port},
        }
        rules = [{"Name": "today", "When": "worklist", "Worklist": "ris", "Number": 2}]
        section = {"Pacs": {"pacs": {}}, "Prefetch": {"Rules": rules}}
        configuration = gateway_configuration(modalities, section)
        with running_orthanc(tmp_path / "gateway", configuration) as gateway:
            door = gateway.full_door_url
            wait_until(lambda: standing(gateway, door)["rules"][0]["done"] == 2, what="priors")
            assert stored(gateway) == {study_uid(1), study_uid(2)}
            assert [one["name"] for one in gateway.json("/farsight/status")["pacs"]] == ["pacs"]


def test_off_by_default(start_gateway: StartGateway) -> None:
    with scripted_pacs([image(1, "20240601"), image(2, "20240501")]) as pacs:
        gateway = start_gateway(pacs.port)
        url = f"{gateway.full_door_url}/dicom-web/studies/{study_uid(1)}/metadata"
        assert requests.get(url, timeout=60).status_code == 200
        assert standing(gateway, gateway.full_door_url)["rules"] == []
        wait_until(lambda: gateway.json("/farsight/retrieves") == [], what="the end")
        assert stored(gateway) == {study_uid(1)}
