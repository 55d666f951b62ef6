"""What has to be true of a gateway that was killed, at once and when all has settled."""

from __future__ import annotations

import json
import time
import urllib.error
from collections.abc import Collection, Iterable
from typing import Any

import requests

from kill_ledger import Ledger, Name, Series
from kill_pacs import SeenPacs, find, instances_of
from kill_workload import read_series
from orthanc_process import OrthancProcess

#: A commitment that was asked for before the end is asked for again after a minute.
_SETTLED_WITHIN_S = 180.0
_STEP_S = 0.2
_ASKED_AGAIN = 5
#: Where Farsight keeps how many instances a series has, when it was found whole.
_RECORD = "10240"


class Checks:
    """Notes in the ledger what is wrong."""

    def __init__(self, ledger: Ledger, gateway: OrthancProcess, pacs: SeenPacs) -> None:
        self._ledger = ledger
        self._gateway = gateway
        self._pacs = pacs
        self._checked: set[Name] = set()
        self._at_pacs: set[str] = set()

    @property
    def at_pacs(self) -> int:
        """How many instances the PACS listed up to now."""
        return len(self._at_pacs)

    # ---- at once

    def at_once(self) -> None:
        """Nothing that was acknowledged is lost; nothing partial is called complete."""
        here = _uids_here(self._gateway)
        at_pacs = self._listed(self._ledger.series())
        for name in sorted(self._ledger.acknowledged()):
            if name.uid not in here and name.uid not in at_pacs:
                self._ledger.wrong(f"{name.uid} is lost: neither here nor at the PACS")
        self.no_partial_series_is_complete()

    def no_partial_series_is_complete(self) -> None:
        for resource in find(self._gateway, "Series", {}):
            if self._claims_too_much(resource["ID"]) and self._claims_too_much(resource["ID"]):
                uid = resource["MainDicomTags"]["SeriesInstanceUID"]
                self._ledger.wrong(f"series {uid} is called complete, and is not")

    def _claims_too_much(self, series_id: str) -> bool:
        try:
            held = self._gateway.json(f"/series/{series_id}/instances")
            record = json.loads(
                self._gateway.request("GET", f"/series/{series_id}/metadata/{_RECORD}")
            )
            uid = self._gateway.json(f"/series/{series_id}")["MainDicomTags"]["SeriesInstanceUID"]
        except urllib.error.HTTPError:
            return False  # evicted, or never found whole
        here = {one["MainDicomTags"]["SOPInstanceUID"] for one in held}
        if len(here) < record["expected"]:
            return False
        series = next(one for one in self._ledger.series() if one.uid == uid)
        there = {name.uid for name in self._ledger.acknowledged(series)}
        return not here >= there | self._listed([series]).keys()

    def _listed(self, series: Collection[Series]) -> dict[str, int]:
        """dcmqrscp may leave something out while it takes an object: then it is asked again."""
        known = self._at_pacs.intersection(_uids(series, self._ledger))
        for _ in range(_ASKED_AGAIN):
            found = self._pacs.listed(series)
            lost = known - found.keys()
            if not lost:
                break
            time.sleep(_STEP_S)
        for uid, times in found.items():
            if times > 1:
                self._ledger.wrong(f"the PACS lists {uid} {times} times")
        if lost:
            self._ledger.wrong(f"the PACS has lost {len(lost)} instances")
        self._at_pacs.update(found)
        return dict(found)

    # ---- when all has settled

    def all(self, *, thorough: bool) -> None:
        """`thorough`: what was read and compared at an earlier check is read again."""
        self._wait(self._is_outbox_empty, "the outbox does not empty")
        self._wait(self._agrees, "the account does not agree with Orthanc")
        self._index_agrees_with_the_disk()
        self.at_once()
        if thorough:
            self._checked.clear()
        fresh = self._ledger.acknowledged() - self._checked
        affected = sorted({name.of for name in fresh})
        for series in affected:
            for uid, file in self._pacs.files(series):
                self._ledger.compare(uid, file, "at the PACS")
            listed = self._listed([series])
            for name in self._ledger.acknowledged(series):
                if name.uid not in listed:
                    self._ledger.wrong(f"{name.uid} never reached the PACS")
        self._read(affected)
        self._checked |= fresh

    def _read(self, wanted: Iterable[Series]) -> None:
        with requests.Session() as session:
            for number, series in enumerate(wanted):
                doors = self._gateway.full_door_url, self._gateway.url
                needed = self._ledger.acknowledged(series)
                whole = read_series(self._ledger, session, doors[number % 2], series, needed)
                if not whole:
                    self._ledger.wrong(f"series {series.uid} can't be had whole")

    def _wait(self, until: Any, otherwise: str) -> None:
        deadline = time.monotonic() + _SETTLED_WITHIN_S
        while said := until():
            if time.monotonic() > deadline:
                self._ledger.wrong(f"{otherwise}: {said}")
                return
            time.sleep(_STEP_S)

    def _is_outbox_empty(self) -> str:
        standing = self._gateway.json("/farsight/outbox")["destinations"]
        stages = ("announced", "waiting", "sent", "dead")
        left = [one for one in standing if any(one[stage] for stage in stages)]
        return json.dumps(left) if left else ""

    def _agrees(self) -> str:
        """Told by both at once, as nobody stores any more: but eviction may go on. How much is data
        isn't compared: what a crash left doubtful stays that until it is verified."""
        before = instances_of(self._gateway)
        told = self._gateway.json("/farsight/cache")
        if before != instances_of(self._gateway):
            return "it changes all the time"
        true = {
            "complete_account": True,
            "instances": len(before),
            "bytes": sum(row["FileSize"] for row in before),
            "series": len({row["ParentSeries"] for row in before}),
        }
        shown = {key: told[key] for key in true}
        return "" if shown == true else f"{shown}, true is {true}"

    def _index_agrees_with_the_disk(self) -> None:
        for row in instances_of(self._gateway):
            uid = row["MainDicomTags"]["SOPInstanceUID"]
            try:
                file = self._gateway.request("GET", f"/instances/{row['ID']}/file")
            except urllib.error.HTTPError as error:
                if uid in _uids_here(self._gateway):
                    self._ledger.wrong(f"{uid} is listed here, and can't be read: {error.code}")
                continue
            self._ledger.compare(uid, file, "here")


def _uids_here(gateway: OrthancProcess) -> set[str]:
    return {row["MainDicomTags"]["SOPInstanceUID"] for row in instances_of(gateway)}


def _uids(series: Iterable[Series], ledger: Ledger) -> set[str]:
    return {name.uid for one in series for name in ledger.offered(one)}
