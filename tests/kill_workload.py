"""What goes on while a gateway is killed: clients and a modality store, others read and evict.

Each runs on a thread of its own until it is told to end or its connection breaks. What an answer
promises is noted when the answer is here, whole; what an answer leaves out without a warning is
noted as wrong.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO

import pydicom
import requests
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE

from kill_ledger import Ledger, Name, Series, file_of
from naive_related import NotMultipart, naive_parts
from stowing import ANY_SYNTAX, BOUNDARY, DICOM_JSON, RELATED, STUDIES, Answer, related

_TIMEOUT_S = 30
_PATIENCE_S = 10
#: Orthanc tells of what a modality sent behind its answer to the modality.
_SEEN_WITHIN_S = 5.0
#: New series begin so often; otherwise those there are grow.
_NEW_SERIES = 0.15
_RECENT = 12
_MOST_PER_REQUEST = 5


@dataclass(frozen=True)
class Doors:
    """Of the gateway in this life."""

    full: str
    orthanc: str
    dicom_port: int

    def any_of(self, chance: random.Random) -> str:
        return chance.choice((self.full, self.orthanc))


class Shelf:
    """Which objects come next. Thread-safe. `own`: series that the PACS has from the beginning."""

    def __init__(self, ledger: Ledger, own: Sequence[Series], first_study: int) -> None:
        self._ledger = ledger
        self._own = list(own)
        self._grown: list[Series] = []
        self._next_study = first_study
        self._next_number: dict[Series, int] = {}
        self._lock = threading.Lock()

    def next(self, chance: random.Random) -> list[Name]:
        """Objects for one request: new ones, or some that were given away before."""
        with self._lock:
            if chance.random() < 0.2 and self._grown:
                known = sorted(self._ledger.offered(chance.choice(self._grown[-_RECENT:])))
                if known:
                    return chance.sample(known, min(len(known), chance.randint(1, 3)))
            series = self._series(chance)
            first = self._next_number.get(series, 1000)
            count = chance.randint(1, _MOST_PER_REQUEST)
            self._next_number[series] = first + count
            names = [Name(*series, number) for number in range(first, first + count)]
        self._ledger.offer(names)
        return names

    def _series(self, chance: random.Random) -> Series:
        if not self._grown or chance.random() < _NEW_SERIES:
            self._grown.append(Series(self._next_study, 1))
            self._next_study += 1
            return self._grown[-1]
        return chance.choice([*self._grown[-_RECENT:], *self._own])

    def to_read(self, chance: random.Random) -> Series:
        with self._lock:
            return chance.choice([*self._own, *self._grown[-_RECENT:]])


class Load:
    """One life's clients. evicted: instances, as the gateway told last."""

    def __init__(self, ledger: Ledger, shelf: Shelf, doors: Doors, seed: int) -> None:
        self._ledger = ledger
        self._shelf = shelf
        self._doors = doors
        self._over = threading.Event()
        self._under_way = threading.Event()
        self.evicted = 0
        works = (self._store, self._store, self._send, self._read, self._read, self._evict)
        self._threads = [
            threading.Thread(target=self._run, args=(work, random.Random(f"{seed}/{number}")))
            for number, work in enumerate(works)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def wait_until_under_way(self) -> None:
        """Until the first of them was answered, or long enough."""
        self._under_way.wait(_PATIENCE_S)

    def end(self) -> None:
        """After the gateway was killed, or to let it be."""
        self._over.set()
        for thread in self._threads:
            thread.join(_TIMEOUT_S + _PATIENCE_S)
            assert not thread.is_alive(), "a client hangs"

    def _run(
        self, work: Callable[[random.Random, requests.Session], None], chance: random.Random
    ) -> None:
        with requests.Session() as session:
            while not self._over.is_set():
                try:
                    work(chance, session)
                except requests.RequestException:
                    self._over.wait(0.05)  # it was killed, most likely

    # ---- who stores

    def _store(self, chance: random.Random, session: requests.Session) -> None:
        names = self._shelf.next(chance)
        body = related([file_of(name) for name in names])
        headers = {"Content-Type": RELATED.format(BOUNDARY), "Accept": DICOM_JSON}
        url = self._doors.any_of(chance) + STUDIES
        found = session.post(url, data=body, headers=headers, timeout=_TIMEOUT_S)
        self._ledger.count("STOW")
        if found.status_code not in (200, 202, 409):
            self._failed("STOW", found)
            return
        answer = Answer(found.status_code, found.headers, found.content)
        self._ledger.acknowledge(answer.stored)
        self._under_way.set()
        for uid, reason in answer.refused.items():
            self._ledger.wrong(f"STOW: {uid} was refused, reason 0x{reason:04X}")

    def _send(self, chance: random.Random, _session: requests.Session) -> None:
        """By C-STORE, as a modality."""
        entity = AE("MODALITY")
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _TIMEOUT_S
        entity.connection_timeout = _PATIENCE_S
        entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        association = entity.associate("127.0.0.1", self._doors.dicom_port, ae_title="FARSIGHT")
        if not association.is_established:
            self._over.wait(0.05)
            return
        for name in self._shelf.next(chance):
            try:
                answer = association.send_c_store(pydicom.dcmread(BytesIO(file_of(name))))
            except RuntimeError:  # pynetdicom's way of saying that it was cut off
                return
            self._ledger.count("C-STORE")
            status = answer.get("Status")
            if status == 0:
                self._ledger.acknowledge([name.uid], _SEEN_WITHIN_S)
                self._under_way.set()
            elif status is not None:
                self._ledger.wrong(f"C-STORE: {name.uid} was refused, status 0x{status:04X}")
        if association.is_established:
            association.release()

    # ---- who reads

    def _read(self, chance: random.Random, session: requests.Session) -> None:
        series = self._shelf.to_read(chance)
        needed = self._ledger.readable(series)  # before it is asked for
        door = self._doors.any_of(chance)
        if not needed or chance.random() < 0.5:
            self._metadata(session, door, series, needed)
        elif chance.random() < 0.5:
            read_series(self._ledger, session, door, series, needed)
        else:
            self._frame(session, door, chance.choice(sorted(needed)))

    def _metadata(
        self, session: requests.Session, door: str, series: Series, needed: frozenset[Name]
    ) -> None:
        found = session.get(f"{door}{series.path}/metadata", timeout=_TIMEOUT_S)
        self._ledger.count("metadata")
        if found.status_code not in (200, 206):
            if needed or found.status_code != 404:
                self._failed(f"metadata of {series.uid}", found)
            return
        here = {row["00080018"]["Value"][0] for row in found.json()}
        note_short(self._ledger, found, series, needed, here)

    def _frame(self, session: requests.Session, door: str, name: Name) -> None:
        url = f"{door}{name.of.path}/instances/{name.uid}/frames/1"
        headers = {"Accept": "application/octet-stream; transfer-syntax=*"}
        found = session.get(url, headers=headers, timeout=_TIMEOUT_S)
        self._ledger.count("frame")
        if found.status_code != 200:
            self._failed(f"frame of {name.uid}", found)
        elif not file_of(name).endswith(found.content) or len(found.content) < 96 * 96:
            self._ledger.wrong(f"frame of {name.uid}: other pixels")

    # ---- who evicts

    def _evict(self, chance: random.Random, session: requests.Session) -> None:
        if chance.random() < 0.3:
            study = self._shelf.to_read(chance).study_uid
            url = f"{self._doors.full}/farsight/cache/studies/{study}"
            status = session.delete(url, timeout=_TIMEOUT_S).status_code
            if status not in (200, 404, 409):
                self._ledger.wrong(f"DELETE of study {study}: {status}")
            self._ledger.count("DELETE")
        elif chance.random() < 0.3:
            self.evicted = self._evicted(session)
        self._over.wait(0.1)

    def _evicted(self, session: requests.Session) -> int:
        told = session.get(f"{self._doors.full}/farsight/cache", timeout=_TIMEOUT_S).json()
        return sum(what["instances"] for what in told["evicted"].values())

    def _failed(self, what: str, answer: requests.Response) -> None:
        self._ledger.wrong(f"{what}: {answer.status_code} {answer.text[:200]}")


def note_short(
    ledger: Ledger,
    answer: requests.Response,
    series: Series,
    needed: frozenset[Name],
    here: set[str],
) -> None:
    """An answer that leaves something out has to say so."""
    lacking = sorted(name.uid for name in needed if name.uid not in here)
    if not lacking:
        return
    if answer.status_code == 206 or "Warning" in answer.headers:
        ledger.count("short, and says so")
    else:
        url = answer.request.url
        ledger.wrong(
            f"series {series.uid} came without {len(lacking)} of {len(needed)} ({url}): {lacking}"
        )


def read_series(
    ledger: Ledger,
    session: requests.Session,
    door: str,
    series: Series,
    needed: frozenset[Name],
) -> bool:
    """All its objects, compared; whether the answer came whole and without a warning."""
    url = door + series.path
    found = session.get(url, headers={"Accept": ANY_SYNTAX}, timeout=_TIMEOUT_S)
    ledger.count("series")
    if found.status_code not in (200, 206):
        ledger.wrong(f"series {series.uid}: {found.status_code} {found.text[:200]}")
        return False
    boundary = re.search(r'boundary="?([^";]+)', found.headers["Content-Type"])
    assert boundary is not None, found.headers
    try:
        files = [body for _, body in naive_parts(found.content, boundary[1])]
    except NotMultipart:
        ledger.count("cut off")
        return False
    here = {str(pydicom.dcmread(BytesIO(file), stop_before_pixels=True).SOPInstanceUID): file
            for file in files}  # fmt: skip
    for uid, file in here.items():
        ledger.compare(uid, file, f"series {series.uid}")
    note_short(ledger, found, series, needed, set(here))
    return found.status_code == 200 and "Warning" not in found.headers
