"""The account of what is stored is what Orthanc has, whoever stores, changes and deletes there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cache_site import SLICES, CacheSite, write_study
from fakes.scripted_pacs import wait_until
from orthanc_process import requires_orthanc
from pacs_peers import send
from sample_files import ct_slice, series_uid, study_uid, write_series
from stowing import new_files, part10, store

from .conftest import StartSite

pytestmark = requires_orthanc
STUDIES = (1, 2)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, start_site: StartSite) -> CacheSite:
    """Two studies of two series each at the PACS; nothing has to go."""
    directory = tmp_path_factory.mktemp("files")
    files = [file for study in STUDIES for file in write_study(directory, (1, 2), study)]
    cache = {"MinFreeMegabytes": 0}
    found = start_site("orthanc", files, farsight={"Cache": cache}, OverwriteInstances=True)
    return CacheSite(found.gateway)


@pytest.fixture
def site(shared: CacheSite) -> CacheSite:
    """With nothing in it."""
    for study in shared.gateway.json("/studies"):
        shared.gateway.request("DELETE", f"/studies/{study}")
    shared.at_rest()
    return shared


def unconfirmed(site: CacheSite) -> int:
    site.at_rest()
    return int(site.overview()["unconfirmed_instances"])


def resources(site: CacheSite, level: str, uid: str) -> list[str]:
    """Orthanc's ids of what has that UID."""
    found = json.loads(site.gateway.request("POST", "/tools/lookup", uid.encode()))
    return [one["ID"] for one in found if one["Type"] == level]


def delete(site: CacheSite, level: str, uid: str) -> None:
    for one in resources(site, level, uid):
        kind = {"Study": "studies", "Series": "series", "Instance": "instances"}[level]
        site.gateway.request("DELETE", f"/{kind}/{one}")


def change(site: CacheSite, how: str, study: int, request: object) -> str:
    """Modifies or anonymises a study in Orthanc; the id of what it became."""
    (one,) = resources(site, "Study", study_uid(study))
    answer = site.gateway.request("POST", f"/studies/{one}/{how}", json.dumps(request).encode())
    return str(json.loads(answer)["ID"])


def test_every_way_in_and_out(site: CacheSite, tmp_path: Path) -> None:
    for study in (1, 2):
        for series in (1, 2):
            site.fetch(series, study)
    assert unconfirmed(site) == 0, "what came from the PACS"

    mine = new_files(3)
    assert store(site.door, mine[:2]).status == 200
    assert unconfirmed(site) == 2, "what a client stored"
    site.gateway.store(mine[2])
    assert unconfirmed(site) == 3, "what was uploaded to Orthanc"
    modality = write_series(tmp_path / "modality", 2, study=3)
    send(modality, site.gateway.dicom_port)
    assert unconfirmed(site) == 5, "what a modality sent"
    (study,) = resources(site, "Study", study_uid(3))
    site.gateway.request("DELETE", f"/studies/{study}")
    assert unconfirmed(site) == 3

    delete(site, "Series", series_uid(2, 2))
    site.at_rest()
    assert set(site.study(2)) == {series_uid(1, 2)}
    site.fetch(2, 2)
    assert unconfirmed(site) == 3, "fetched again"

    made = change(site, "modify", 2, {"Replace": {"StudyDescription": "X"}})
    assert unconfirmed(site) == 3 + 2 * SLICES, "what was made of it here, nobody else has"
    assert all(one["unconfirmed"] == 0 for one in site.study(2).values())
    site.gateway.request("DELETE", f"/studies/{made}")
    assert unconfirmed(site) == 3

    change(site, "anonymize", 2, {"KeepSource": False})
    assert unconfirmed(site) == 3 + 2 * SLICES
    assert site.study(2) == {}, "the source is gone"

    before = site.overview()
    site.restart()
    site.at_rest()
    assert site.overview()["bytes"] == before["bytes"]
    site.restart(kill=True)
    assert unconfirmed(site) == 3 + 2 * SLICES, "also after the end of the process"
    assert all(one["unconfirmed"] == 0 for one in site.study(1).values())


def test_what_happens_just_before_the_end_of_the_process(site: CacheSite) -> None:
    """Orthanc's events may be lost then, and what they told is found all the same."""
    site.fetch(1)
    mine = new_files(6)
    for file in mine[:3]:
        site.gateway.store(file)
    assert store(site.door, mine[3:]).status == 200
    delete(site, "Series", series_uid(1))
    site.restart(kill=True)
    assert unconfirmed(site) == len(mine)
    assert site.study(1) == {}
    assert site.fetch(1)
    site.restart(kill=True)
    assert unconfirmed(site) == len(mine)


def test_another_content_under_the_same_name_is_data(site: CacheSite) -> None:
    """Orthanc overwrites where it is told to: the PACS doesn't hold what is here then."""
    site.fetch(1)
    site.gateway.store(part10(ct_slice(1, size=128)))
    wait_until(lambda: unconfirmed(site) == 1, what="the news of another content")
    assert site.evict().status_code == 409
    site.restart(kill=True)
    assert unconfirmed(site) == 1
    assert site.evict().status_code == 409
    assert len(site.gateway.json("/instances")) == SLICES
