"""A study that changes at the PACS after it was fetched: seen at the next opening, or at once."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from pydicom.dataset import Dataset

from fakes.scripted_pacs import scripted_pacs, wait_until
from fakes.series_source import part10
from free_ports import free_port
from orthanc_process import OrthancProcess, requires_orthanc
from pacs_peers import PEERS, Peer, requires_dcmtk, send
from sample_files import ct_slice, instance_uid, series_uid, study_uid, write_series

from .conftest import StartGateway

pytestmark = [requires_orthanc, requires_dcmtk]
STUDY = f"/dicom-web/studies/{study_uid()}"
SERIES = f"{STUDY}/series/{series_uid()}"
SLICES = 6
NOW = {"Cache-Control": "no-cache"}


@dataclass(frozen=True)
class Changing:
    """A gateway, and its PACS that changes."""

    gateway: OrthancProcess
    peer: Peer
    directory: Path

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(self.gateway.full_door_url + path, headers=headers, timeout=60)

    def slices(self, path: str = SERIES, **headers: str) -> set[str]:
        answer = self.get(f"{path}/metadata", **headers)
        assert answer.status_code == 200, answer.text
        assert "Warning" not in answer.headers
        return {row["00080018"]["Value"][0] for row in answer.json()}

    def add(self, *objects: Dataset) -> None:
        """To the PACS."""
        paths = []
        for number, one in enumerate(objects):
            paths.append(self.directory / f"late-{number}.dcm")
            paths[-1].write_bytes(part10(one))
        send(paths, self.peer.port)

    def remove(self, *names: str) -> None:
        """From the PACS, an Orthanc."""
        pacs = self.peer.process
        assert isinstance(pacs, OrthancProcess)
        for name in names:
            (found,) = json.loads(pacs.request("POST", "/tools/lookup", name.encode()))
            pacs.request("DELETE", f"/instances/{found['ID']}")

    def stored(self) -> int:
        return int(self.gateway.json("/statistics")["CountInstances"])

    def opened_until(self, condition: Callable[[], bool], what: str) -> None:
        """By its metadata; what changed is seen by one of the next openings."""

        def open_and_look() -> bool:
            answer = self.get(f"{SERIES}/metadata")
            assert answer.status_code == 200, answer.text
            return condition()

        wait_until(open_and_look, what=what)

    def settled(self) -> None:
        wait_until(lambda: self.gateway.json("/farsight/retrieves") == [], what="the retrieves")


Start = Callable[..., Changing]


@pytest.fixture
def start(tmp_path: Path, start_gateway: StartGateway) -> Iterator[Start]:
    with contextlib.ExitStack() as stack:

        def begin(kind: str, *, vanished: str = "keep", fresh_s: int = 0) -> Changing:
            dicom_port = free_port()
            files = write_series(tmp_path / "files", SLICES)
            peer = stack.enter_context(PEERS[kind](tmp_path / "pacs", files, dicom_port))
            cache = {"FreshSeconds": fresh_s, "Vanished": vanished}
            gateway = start_gateway(peer.port, dicom_port=dicom_port, farsight={"Cache": cache})
            stack.callback(gateway.stop)  # first: it keeps associations
            site = Changing(gateway, peer, tmp_path)
            assert site.slices() == names(1, SLICES)
            site.settled()
            return site

        yield begin


def names(first: int, last: int, series: int = 1) -> set[str]:
    return {instance_uid(number, series) for number in range(first, last + 1)}


EVERY_KIND = pytest.mark.parametrize("kind", ["orthanc", "dcmqrscp", "qrscp"])


@EVERY_KIND
def test_a_series_grows(start: Start, kind: str) -> None:
    site = start(kind)
    site.add(ct_slice(7), ct_slice(8))
    site.opened_until(lambda: site.stored() == 8, what="what is new, stored")
    site.settled()
    for path in (SERIES, STUDY):
        assert site.slices(path) == names(1, 8)
    whole = site.get(SERIES, Accept='multipart/related; type="application/dicom"')
    assert (whole.status_code, whole.content.count(b"DICM")) == (200, 8)


@EVERY_KIND
def test_who_insists_sees_it_at_once(start: Start, kind: str) -> None:
    site = start(kind, fresh_s=3600)
    before = site.get(f"{SERIES}/metadata")
    site.add(ct_slice(7))
    assert site.slices() == names(1, 6), "not checked again for an hour"
    after = site.get(f"{SERIES}/metadata", **NOW, **{"If-None-Match": before.headers["ETag"]})
    assert after.status_code == 200, "not 304 from before"
    assert after.headers["ETag"] != before.headers["ETag"]
    assert len(after.json()) == 7
    same = site.get(f"{SERIES}/metadata", **NOW, **{"If-None-Match": after.headers["ETag"]})
    assert same.status_code == 304
    site.add(ct_slice(8))
    whole = site.get(SERIES, **NOW, Accept='multipart/related; type="application/dicom"')
    assert whole.content.count(b"DICM") == 8
    site.add(ct_slice(9))
    assert len(site.slices(STUDY, **NOW)) == 9


def test_by_its_list_of_instances_too(start: Start) -> None:
    site = start("orthanc", fresh_s=3600)
    site.add(ct_slice(7))
    listed = site.get(f"{SERIES}/instances", **NOW)
    assert len(listed.json()) == 7
    wait_until(lambda: site.stored() == 7, what="what is new, fetched ahead")
    site.settled()
    assert site.slices() == names(1, 7)


@EVERY_KIND
def test_a_series_appears(start: Start, kind: str) -> None:
    site = start(kind)
    assert len(site.slices(**NOW)) == SLICES  # so it is known what there was
    site.add(*(ct_slice(number, series=2) for number in (1, 2)))
    site.opened_until(lambda: site.stored() == SLICES + 2, what="the new series, stored")
    site.settled()
    site.peer.kill()
    assert site.slices(f"{STUDY}/series/{series_uid(2)}") == names(1, 2, series=2)


def test_vanished_are_kept(start: Start) -> None:
    site = start("orthanc")
    site.remove(instance_uid(1), instance_uid(4))
    for _ in range(2):
        assert site.slices(**NOW) == names(1, SLICES)
    assert site.stored() == SLICES
    site.peer.kill()
    assert site.slices() == names(1, SLICES)


def test_vanished_are_deleted_but_not_what_was_stored_here(start: Start) -> None:
    site = start("orthanc", vanished="delete")
    site.gateway.store(part10(ct_slice(20)))
    wait_until(lambda: instance_uid(20) in site.slices(), what="what was uploaded")
    site.remove(instance_uid(1), instance_uid(4))
    left = names(1, SLICES) - names(1, 1) - names(4, 4) | names(20, 20)
    assert site.slices(**NOW) == left
    assert site.get(f"{SERIES}/instances/{instance_uid(1)}/metadata").status_code == 404
    site.remove(instance_uid(2))
    wait_until(lambda: site.slices() == left - names(2, 2), what="what a later opening sees")
    site.settled()
    site.peer.kill()
    assert site.slices() == left - names(2, 2), "whole, as it is now"


def test_replaced_by_others(start: Start) -> None:
    site = start("orthanc", vanished="delete", fresh_s=3600)
    site.remove(instance_uid(1))
    site.add(ct_slice(7))
    assert site.slices(**NOW) == names(2, 7)


def test_a_study_that_is_gone_stays_until_a_second_look(start: Start) -> None:
    site = start("orthanc", vanished="delete")
    site.remove(*sorted(names(1, SLICES)))
    for _ in range(2):
        assert site.get(f"{SERIES}/metadata", **NOW).status_code == 200
    assert site.stored() == SLICES


def test_who_insists_while_the_pacs_is_down_is_told(start: Start) -> None:
    site = start("orthanc", vanished="delete")
    before = site.get(f"{SERIES}/metadata")
    site.peer.kill()
    for more in ({}, {"If-None-Match": before.headers["ETag"]}):
        answer = site.get(f"{SERIES}/metadata", **NOW, **more)
        assert answer.status_code == 206, answer.text
        assert "'pacs'" in answer.headers["Warning"]
        assert answer.headers["Warning"].startswith("299 ")
        assert answer.content == before.content
    assert site.get(f"{SERIES}/metadata").status_code == 200
    assert site.stored() == SLICES


def test_found_and_never_fetched_is_not_whole_after_a_crash(start_gateway: StartGateway) -> None:
    """The process ends between the check and the retrieve."""
    objects = [ct_slice(number) for number in range(1, SLICES + 1)]
    with scripted_pacs(objects) as pacs:
        gateway = start_gateway(pacs.port)
        url = f"{gateway.full_door_url}{SERIES}/metadata"
        assert requests.get(url, timeout=60).status_code == 200
        wait_until(lambda: record_of(gateway).get("stored") == SLICES, what="the record")
        pacs.script.resets_after = 0
        pacs.take(ct_slice(7))
        listed = requests.get(f"{gateway.full_door_url}{SERIES}/instances", headers=NOW, timeout=60)
        assert listed.status_code == 200
        gateway.stop(kill=True)
        record = {"expected": SLICES + 1, "stored": SLICES}
        gateway.log_path.unlink()
        gateway.start()
        assert record.items() <= record_of(gateway).items()
        url = f"{gateway.full_door_url}{SERIES}/metadata"
        assert requests.get(url, timeout=60).status_code != 200
        pacs.script.resets_after = None
        answer = requests.get(url, timeout=60)
        assert (answer.status_code, len(answer.json())) == (200, SLICES + 1)


def record_of(gateway: OrthancProcess) -> dict[str, Any]:
    """Of the one series there is, {} while it has none."""
    (series,) = gateway.json("/series")
    if "10240" not in gateway.json(f"/series/{series}/metadata"):
        return {}
    return dict(gateway.json(f"/series/{series}/metadata/10240"))
