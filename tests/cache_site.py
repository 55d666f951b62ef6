"""A gateway whose cache is looked at: what it says is stored, and what Orthanc says."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from fakes.scripted_pacs import wait_until
from orthanc_process import OrthancProcess
from related_parts import related_parts
from sample_files import series_uid, study_uid, write_series

STUDIES = "/dicom-web/studies"
CACHE = "/farsight/cache"
DICOM = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
#: Four slices of that size: three series fit into 2 MB, one into 1 MB.
SLICES, SIZE = 4, 256
_TIMEOUT_S = 120


def study_path(study: int = 1) -> str:
    return f"{STUDIES}/{study_uid(study)}"


def series_path(series: int, study: int = 1) -> str:
    return f"{study_path(study)}/series/{series_uid(series, study)}"


def write_study(directory: Path, series: Collection[int], study: int = 1) -> list[Path]:
    """Files of several series, all of the size above."""
    return [
        file
        for number in series
        for file in write_series(directory, SLICES, series=number, study=study, size=SIZE)
    ]


@dataclass
class CacheSite:
    """One gateway, and the questions to it."""

    gateway: OrthancProcess
    _door: list[str] = field(default_factory=list)

    @property
    def door(self) -> str:
        """Looked up once: it stands in the log of this start."""
        if not self._door:
            self._door.append(self.gateway.full_door_url)
        return self._door[0]

    @property
    def holds_lock(self) -> bool:
        """Whether its Python plugin keeps the interpreter's lock in calls into Orthanc: then a slow
        client of Orthanc's port holds up all, and modalities' instances aren't looked at."""
        return int(self.gateway.json("/plugins/python")["Version"].split(".")[0]) < 5

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        return requests.request(method, self.door + path, timeout=_TIMEOUT_S, **options)

    def get(self, path: str, **headers: str) -> requests.Response:
        """One that is answered well."""
        answer = self.request("GET", path, headers=headers)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:500])
        return answer

    def overview(self) -> dict[str, Any]:
        return dict(self.get(CACHE).json())

    def study(self, number: int = 1) -> dict[str, dict[str, Any]]:
        """What the account says of a study, by SeriesInstanceUID; nothing where it has none."""
        answer = self.request("GET", f"{CACHE}/studies/{study_uid(number)}")
        if answer.status_code == 404:
            return {}
        return {one["series"]: one for one in answer.json()["series"]}

    def evict(self, study: int = 1) -> requests.Response:
        return self.request("DELETE", f"{CACHE}/studies/{study_uid(study)}")

    def fetch(self, series: int, study: int = 1) -> list[bytes]:
        """The files of a series, once all of them are stored."""
        answer = self.get(series_path(series, study), **DICOM)
        assert "Warning" not in answer.headers
        self.at_rest()
        return [body for _, body in related_parts(answer)]

    def at_rest(self) -> None:
        """Nothing is being retrieved, and all that Orthanc has is booked."""
        wait_until(lambda: self.get("/farsight/retrieves").json() == [], what="the retrieves' end")
        wait_until(self.agrees, 60, what="an account that agrees with Orthanc")

    def agrees(self) -> bool:
        shown = self.overview()
        here = self.gateway.json("/instances?expand")
        return bool(shown["complete_account"]) and (shown["instances"], shown["bytes"]) == (
            len(here),
            sum(one["FileSize"] for one in here),
        )

    def series_here(self) -> set[str]:
        """SeriesInstanceUIDs of what is stored, as Orthanc has it."""
        return {
            str(one["MainDicomTags"]["SeriesInstanceUID"])
            for one in self.gateway.json("/series?expand")
        }

    def has_just(self, *series: int, study: int = 1) -> bool:
        return self.series_here() == {series_uid(number, study) for number in series}

    def restart(self, *, kill: bool = False) -> None:
        self.gateway.stop(kill=kill)
        self.start()

    def start(self) -> None:
        self.gateway.log_path.unlink(missing_ok=True)  # the next full door has another port
        self._door.clear()
        self.gateway.start()

    # ---- while it is stopped

    @property
    def records(self) -> Path:
        return Path(self.gateway.configuration["StorageDirectory"]) / "farsight"

    def make_unused(self, series: int, *, for_s: float, study: int = 1) -> None:
        """As if the series had not been used for so much longer."""
        with closing(sqlite3.connect(self.records / "cache.sqlite")) as book, book:
            changed = book.execute(
                "UPDATE series SET used_at = used_at - ? WHERE series = ?",
                (for_s, series_uid(series, study)),
            )
            assert changed.rowcount == 1
