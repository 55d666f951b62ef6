"""The records on the disk: from before there were any, damaged, old, shared, and at the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cache_site import CACHE, SLICES, CacheSite, series_path, study_path, write_study
from fakes.scripted_pacs import wait_until
from free_ports import free_port
from orthanc_process import OrthancProcess, requires_orthanc
from sample_files import study_uid
from stowing import new_files, parcels, store, stored_files, uid_of

from .conftest import StartSite

pytestmark = requires_orthanc
DAY_S = 86_400.0


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, start_site: StartSite) -> CacheSite:
    """Whatever is stored goes to the PACS, and what was not used for a day isn't kept."""
    files = write_study(tmp_path_factory.mktemp("files"), (1, 2, 3))
    farsight = {
        "Cache": {"MaxDays": 1, "MinFreeMegabytes": 0},
        "Stow": {"ForwardTo": ["pacs"], "ForwardDicom": True},
    }
    return CacheSite(start_site("orthanc", files, farsight=farsight).gateway)


@pytest.fixture
def site(shared: CacheSite) -> CacheSite:
    """With nothing in it."""
    for study in shared.gateway.json("/studies"):
        shared.gateway.request("DELETE", f"/studies/{study}")
    shared.at_rest()
    return shared


def test_age(site: CacheSite) -> None:
    before = [site.fetch(series) for series in (1, 2, 3)]
    site.gateway.stop()
    for series in (1, 3):
        site.make_unused(series, for_s=2 * DAY_S)
    site.make_unused(2, for_s=DAY_S - 3600)
    site.start()
    wait_until(lambda: site.has_just(2), 60, what="the eviction of series 1 and 3")
    site.at_rest()
    assert site.overview()["evicted"]["age"] == {
        "series": 2,
        "instances": 2 * SLICES,
        "bytes": sum(len(file) for series in (before[0], before[2]) for file in series),
    }
    assert site.fetch(3) == before[2]
    assert site.has_just(2, 3)


def test_from_before_there_was_an_account(site: CacheSite) -> None:
    """All of it is data and stays here; what the PACS has the same of may go once that is seen."""
    for series in (1, 2):
        site.fetch(series)
    (mine,) = new_files(1)
    site.gateway.store(mine)
    site.at_rest()
    site.gateway.stop()
    for path in site.records.iterdir():
        path.unlink()
    site.start()
    site.at_rest()
    shown = site.overview()
    assert shown["complete_account"]
    assert shown["unconfirmed_instances"] == shown["instances"] == 2 * SLICES + 1
    assert site.evict().status_code == 409
    site.restart(kill=True)
    site.at_rest()
    assert site.evict().status_code == 409
    site.request("POST", f"{CACHE}/verify", json={"studies": [study_uid()]})
    wait_until(lambda: site.overview()["unconfirmed_instances"] == 1, 60, what="confirmation")
    assert site.evict().json()["instances"] == 2 * SLICES
    assert stored_files(site.gateway, uid_of(mine)) == [mine]
    site.gateway.stop()
    assert parcels(site.gateway) == [], "nothing was sent on"
    site.start()


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("cache.sqlite", "overwritten"),
        ("outbox.sqlite", "cut"),
        ("outbox.sqlite", "something else"),
    ],
)
def test_damage_is_refused_in_clear_words(site: CacheSite, name: str, how: str) -> None:
    site.gateway.stop()
    path = site.records / name
    whole = path.read_bytes()
    if how == "overwritten":
        path.write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))
    elif how == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    else:
        path.write_bytes(b"This is no database.\n" * 1000)
    damaged = path.read_bytes()
    site.gateway.log_path.unlink()
    site.gateway.start(wait=False)
    assert not site.gateway.starts()
    log = site.gateway.log()
    assert str(path) in log
    assert "damaged" in log
    assert "move it away" in log
    assert path.read_bytes() == damaged, "left as it is"
    path.write_bytes(whole)
    site.start()
    site.at_rest()


def test_a_damaged_account_can_be_moved_away(site: CacheSite) -> None:
    """As the words say: all is data then."""
    site.fetch(1)
    site.gateway.stop()
    (site.records / "cache.sqlite").write_bytes(b"no database" * 1000)
    site.gateway.start(wait=False)
    assert not site.gateway.starts()
    (site.records / "cache.sqlite").rename(site.records / "damaged")
    site.start()
    site.at_rest()
    assert site.overview()["unconfirmed_instances"] == SLICES
    assert site.request("GET", f"{series_path(1)}/metadata").status_code == 200
    (site.records / "damaged").unlink()


def test_two_gateways_on_one_directory(site: CacheSite, tmp_path: Path) -> None:
    configuration = json.loads(json.dumps(site.gateway.configuration))
    configuration["HttpPort"], configuration["DicomPort"] = free_port(), free_port()
    configuration["StorageDirectory"] = configuration["IndexDirectory"] = str(tmp_path / "storage")
    configuration["Farsight"]["Directory"] = str(site.records)
    second = OrthancProcess(tmp_path / "second", configuration)
    second.start(wait=False)
    assert not second.starts()
    assert "is in use by another process" in second.log()
    assert str(site.records) in second.log()
    site.fetch(1)
    (mine,) = new_files(1)
    assert store(site.door, [mine]).status == 200
    site.at_rest()


def test_the_end_while_much_is_going_on(site: CacheSite) -> None:
    """Evicting, verifying, storing: none of them keeps the process, and none is left half done."""
    for series in (1, 2, 3):
        site.fetch(series)
    for _ in range(5):
        site.request("POST", f"{CACHE}/verify", json={"studies": [study_uid()]})
    site.gateway.stop()
    for series in (1, 2, 3):
        site.make_unused(series, for_s=2 * DAY_S)
    site.start()
    site.request("POST", f"{CACHE}/verify", json={"studies": [study_uid()]})
    assert site.gateway.stop(20) == 0
    site.start()
    site.at_rest()
    counts = {one["instances"] for one in site.study().values()}
    assert counts <= {SLICES}, "whole series"
    answer = site.get(f"{study_path()}/metadata")
    assert len(answer.json()) == 3 * SLICES
