"""Two PACS behind one gateway: a root for both, one for each, and the next where one fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from fakes.scripted_pacs import wait_until
from orthanc_process import OrthancProcess, requires_orthanc
from pacs_peers import PEERS, Peer, requires_dcmtk
from sample_files import instance_uid, series_uid, study_uid, write_series

from .conftest import StartGateway

pytestmark = [requires_orthanc, requires_dcmtk]
SLICES = 4
TAG = "0020000D"


@pytest.fixture
def peers(tmp_path: Path) -> Iterator[tuple[Peer, Peer]]:
    """Study 1 in the first, 2 in both, 3 in the second; series 2 of study 2 in the second only."""
    files = {n: write_series(tmp_path / "files", SLICES, study=n, size=16) for n in (1, 2, 3)}
    more = write_series(tmp_path / "files", 2, study=2, series=2, size=16)
    first = PEERS["dcmqrscp"](tmp_path / "first", [*files[1], *files[2]])
    second = PEERS["orthanc"](tmp_path / "second", [*files[2], *more, *files[3]])
    with first as one, second as other:
        yield one, other


@pytest.fixture
def gateway(peers: tuple[Peer, Peer], start_gateway: StartGateway) -> OrthancProcess:
    """Stopped before its peers: they would wait for the associations it keeps."""
    return start_gateway(peers[0].port, other_pacs_port=peers[1].port)


def studies(url: str) -> list[str]:
    answer = requests.get(f"{url}/studies", timeout=60)
    assert answer.status_code == 200, answer.text
    return sorted(row[TAG]["Value"][0] for row in answer.json())


@pytest.mark.parametrize("door", ["full_door_url", "url"])
def test_every_pacs_has_a_root_of_its_own(gateway: OrthancProcess, door: str) -> None:
    url = getattr(gateway, door)
    assert studies(f"{url}/dicom-web") == [study_uid(n) for n in (1, 2, 3)]
    assert studies(f"{url}/pacs/pacs/dicom-web") == [study_uid(n) for n in (1, 2)]
    assert studies(f"{url}/pacs/other/dicom-web") == [study_uid(n) for n in (2, 3)]


def test_links_stay_below_the_root_they_were_asked_at(gateway: OrthancProcess) -> None:
    root = f"{gateway.full_door_url}/pacs/other/dicom-web"
    (row,) = requests.get(f"{root}/studies?StudyInstanceUID={study_uid(3)}", timeout=60).json()
    assert row["00081190"]["Value"] == [f"{root}/studies/{study_uid(3)}"]
    (first, *_) = requests.get(f"{row['00081190']['Value'][0]}/metadata", timeout=60).json()
    assert first["7FE00010"]["BulkDataURI"].startswith(f"{root}/studies/")


def test_a_root_fetches_from_its_pacs_alone(gateway: OrthancProcess) -> None:
    wrong = f"{gateway.full_door_url}/pacs/other/dicom-web/studies/{study_uid(1)}/metadata"
    assert requests.get(wrong, timeout=60).status_code == 404
    right = f"{gateway.full_door_url}/pacs/pacs/dicom-web/studies/{study_uid(1)}/metadata"
    assert len(requests.get(right, timeout=60).json()) == SLICES


def test_what_is_here_is_near_and_no_find_of_its_own(gateway: OrthancProcess) -> None:
    root = f"{gateway.full_door_url}/dicom-web"
    uid = study_uid(1)
    assert requests.get(f"{root}/studies/{uid}/metadata", timeout=60).status_code == 200
    own = f"{gateway.full_door_url}/pacs/pacs/dicom-web"
    fresh = {"Cache-Control": "no-cache"}

    def is_online() -> bool:
        url = f"{own}/studies?StudyInstanceUID={uid}"
        rows = requests.get(url, headers=fresh, timeout=60).json()
        return [row["00080056"]["Value"] for row in rows] == [["ONLINE"]]

    # The answer ends with the last instance; that it was the last is known a moment later.
    wait_until(is_online, what="being online")
    other = f"{gateway.full_door_url}/pacs/other/dicom-web"
    assert requests.get(f"{other}/studies?StudyInstanceUID={uid}", timeout=60).json() == []


def test_series_of_both_make_the_study(gateway: OrthancProcess) -> None:
    root = f"{gateway.full_door_url}/dicom-web/studies/{study_uid(2)}"
    answer = requests.get(f"{root}/metadata", timeout=60)
    assert (answer.status_code, len(answer.json())) == (200, SLICES + 2)


def test_the_other_pacs_brings_it_when_one_has_died(
    gateway: OrthancProcess, peers: tuple[Peer, Peer]
) -> None:
    """Both list the series a moment ago; then the first is gone."""
    root = f"{gateway.full_door_url}/dicom-web/studies/{study_uid(2)}/series/{series_uid(1, 2)}"
    one = f"{root}/instances/{instance_uid(1, 1, 2)}"
    assert requests.get(f"{one}/metadata", timeout=60).status_code == 200
    peers[0].kill()
    answer = requests.get(f"{root}/metadata", timeout=60)
    assert (answer.status_code, len(answer.json())) == (206, SLICES)
    assert "'pacs'" in answer.headers["Warning"], "it may have had more"
    rows = requests.get(f"{gateway.full_door_url}/dicom-web/studies", timeout=60)
    assert "'pacs'" in rows.headers["Warning"]
    gone = requests.get(f"{gateway.full_door_url}/pacs/pacs/dicom-web/studies", timeout=60)
    assert gone.status_code in (502, 503, 504)
