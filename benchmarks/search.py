"""Searching a PACS with many studies: the first page, the same again, and how it grows.

    python -m benchmarks.search [--sizes 100,1000,10000] [--rounds 5]

Orthanc as PACS, filled with studies of one small instance over twenty years, denser of late. A
page is OHIF's: 101 studies with its columns, through the full door. Beside it `findscu` asks for
the days that hold the same studies. "first": the first page after the start, of a PACS nobody
knows. "typed": a name narrowed letter by letter, once the PACS has proven fit for that. Rounds are
interleaved, medians are printed. At the end: twenty people who type at once, and a C-FIND over a
kept association beside one over a new one. ORTHANC_COMMAND and FARSIGHT_SITE choose another
Orthanc.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path

import pydicom

sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1] / "plugin")]

from benchmarks.retrieve import resident  # noqa: E402

from free_ports import free_port  # noqa: E402
from orthanc_process import (  # noqa: E402
    OrthancProcess,
    gateway_configuration,
    running_orthanc,
)
from pacs_peers import dcmqrscp  # noqa: E402
from sample_files import ct_slice, write_series  # noqa: E402

_FIELDS = "00081030%2C00080060"
PAGE = f"/dicom-web/studies?limit=101&offset=0&fuzzymatching=false&includefield={_FIELDS}"
FRESH = {"Cache-Control": "no-cache"}
#: Above, this PACS needs a second for each search, whoever asks: twenty only wait for it.
_MOST_FOR_PEOPLE = 10_000
_NUMBER, _DATE = "1000000", "19000101"


def studies(count: int) -> Iterator[bytes]:
    """Files that differ in their UIDs and study date."""
    template = ct_slice(1, size=4)
    uid = f"1.2.826.0.1.3680043.8.498.{_NUMBER}"
    template.StudyInstanceUID, template.SeriesInstanceUID = uid, f"{uid}.1"
    template.SOPInstanceUID = template.file_meta.MediaStorageSOPInstanceUID = f"{uid}.1.1"
    template.StudyDate, template.PatientID = _DATE, _NUMBER
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, template, enforce_file_format=True)
    chance, today = random.Random(1), date.today()
    for number in range(count):
        day = today - timedelta(min(7300, int(chance.expovariate(1 / 1500))))
        file = buffer.getvalue().replace(_NUMBER.encode(), str(1_000_000 + number).encode())
        yield file.replace(_DATE.encode(), f"{day:%Y%m%d}".encode())


def fill(pacs: OrthancProcess, count: int, held: int) -> None:
    """Adds what it lacks of `count` studies."""
    files = studies(count)
    for _ in range(held):
        next(files)
    lock = threading.Lock()

    def store() -> None:
        connection = http.client.HTTPConnection(pacs.url.removeprefix("http://"), timeout=60)
        while True:
            with lock:
                file = next(files, None)
            if file is None:
                return
            connection.request("POST", "/instances", file)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200

    threads = [threading.Thread(target=store) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Client:
    """One open connection to the full door."""

    def __init__(self, gateway: OrthancProcess) -> None:
        host = gateway.full_door_url.removeprefix("http://")
        self._connection = http.client.HTTPConnection(host, timeout=600)

    def get(self, path: str, headers: dict[str, str]) -> tuple[float, list[dict[str, dict]]]:
        started = time.perf_counter()
        self._connection.request("GET", path, headers=headers)
        answer = self._connection.getresponse()
        body = answer.read()
        took = time.perf_counter() - started
        assert answer.status == 200, body[:300]
        return took, json.loads(body)


def findscu(port: int, days: str) -> tuple[float, int]:
    keys = [
        "StudyInstanceUID", "PatientName", "PatientID", "PatientBirthDate", "PatientSex",
        "StudyTime", "AccessionNumber", "ModalitiesInStudy", "ReferringPhysicianName", "StudyID",
        "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances", "StudyDescription",
    ]  # fmt: skip
    command = ["findscu", "-S", "-aet", "FARSIGHT", "-aec", "PACS", "-k", "0008,0052=STUDY"]
    command += ["-k", f"StudyDate={days}", *(word for key in keys for word in ("-k", key))]
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "127.0.0.1", str(port)], check=True, capture_output=True,
        env={**os.environ, "TCP_NODELAY": "1"},
    )  # fmt: skip
    took = time.perf_counter() - started
    rows = (done.stdout + done.stderr).count(b"(0020,000d)")
    assert rows, done.stderr
    return took, rows


def typing(client: Client, beginning: str, rounds: int) -> list[float]:
    """The times of searches by a PatientID that grows; not of the first, which is a new one."""
    took = []
    for _ in range(rounds):
        text = beginning + "0" * (5 - len(beginning))
        client.get(f"{PAGE}&PatientID=*{text}*", {})
        for number in range(6):
            took.append(client.get(f"{PAGE}&PatientID=*{text}{number}*", {})[0])
    return took


def twenty_people(pacs: OrthancProcess, work: Path) -> None:
    """They type at the same time, each another patient; nobody may get an error."""
    modality = {"AET": "PACS", "Host": "127.0.0.1", "Port": pacs.dicom_port}
    with running_orthanc(work, gateway_configuration({"pacs": modality})) as gateway:
        client = Client(gateway)
        took: list[float] = []
        most = 0
        over = threading.Event()

        def one(person: int) -> None:
            client = Client(gateway)
            for letters in range(1, 6):
                text = f"{person * 31 % 100:02}{person:02}0"[:letters]
                took.append(client.get(f"{PAGE}&PatientID=*{text}*", {})[0])

        def watch() -> None:
            nonlocal most
            while not over.wait(0.005):
                most = max(most, connections(gateway.pid, pacs.dicom_port))

        for _ in range(2):  # all that there are, and the days of the newest, are known
            client.get(PAGE, FRESH)
        people = [threading.Thread(target=one, args=(number,)) for number in range(20)]
        watcher = threading.Thread(target=watch)
        watcher.start()
        started = time.perf_counter()
        for thread in people:
            thread.start()
        for thread in people:
            thread.join()
        over.set()
        watcher.join()
        print(
            f"\n20 people, 5 searches each: {len(took)} answered in "
            f"{time.perf_counter() - started:.2f} s, median {statistics.median(took) * 1e3:.0f} ms,"
            f" slowest {max(took) * 1e3:.0f} ms, at most {most} associations (limit 3)"
        )


def connections(pid: int, port: int) -> int:
    """Open ones of a process to a port of this machine."""
    rows = [row.split() for row in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    inodes = {row[9] for row in rows if row[2].endswith(f":{port:04X}") and row[3] == "01"}
    own = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            own += os.readlink(descriptor).removeprefix("socket:[").rstrip("]") in inodes
        except FileNotFoundError:
            continue  # closed meanwhile
    return own


def counting(work: Path, rounds: int) -> None:
    """A page of a PACS that tells neither modalities nor numbers: they are counted."""
    files = [
        file
        for number in range(1, 102)
        for series in (1, 2)
        for file in write_series(work / "files", 2, series=series, study=number, size=4)
    ]
    with dcmqrscp(work / "pacs", files) as pacs:
        modality = {"AET": "PACS", "Host": "127.0.0.1", "Port": pacs.port}
        times: dict[str, list[float]] = {"counted": [], "known": []}
        for number in range(rounds):
            farsight = {"Search": {"CacheSeconds": 0}}
            configuration = gateway_configuration({"pacs": modality}, farsight)
            with running_orthanc(work / f"counting-{number}", configuration) as gateway:
                client = Client(gateway)
                client.get(f"{PAGE}&StudyInstanceUID=1.2.3", {})
                for name in times:
                    took, rows = client.get(PAGE, {})
                    assert len(rows) == 101
                    assert all(row["00201208"]["Value"] == [4] for row in rows)
                    times[name].append(took)
        found = {name: statistics.median(taken) * 1e3 for name, taken in times.items()}
        print("\n| 101 studies of two series, dcmqrscp | page ms |\n|---|---:|")
        print(f"| modalities and numbers counted, 303 queries | {found['counted']:.0f} |")
        print(f"| known for a minute, one query | {found['known']:.0f} |")


def kept_or_new(pacs: OrthancProcess, rounds: int) -> None:
    """One C-FIND of one study, in this process."""
    from farsight.adapters.dimse_pacs import DimsePacs
    from farsight.adapters.pacs_address import PacsAddress
    from farsight.model import IdentifierKey, Level

    address = PacsAddress("pacs", "PACS", "127.0.0.1", pacs.dicom_port, "FARSIGHT")
    keys = (IdentifierKey("00100020", "LO", "1000000"), IdentifierKey("0020000D", "UI"))
    kept = DimsePacs(address)
    times: dict[str, list[float]] = {"kept": [], "new": []}
    list(kept.find(Level.STUDY, keys))
    for _ in range(rounds * 10):
        fresh = DimsePacs(address)
        for name, one in (("kept", kept), ("new", fresh)):
            started = time.perf_counter()
            assert len(list(one.find(Level.STUDY, keys))) == 1
            times[name].append(time.perf_counter() - started)
        fresh.close()
    kept.close()
    found = {name: statistics.median(taken) * 1e3 for name, taken in times.items()}
    print("\n| association | C-FIND of one study ms |\n|---|---:|")
    print(f"| kept | {found['kept']:.1f} |\n| new | {found['new']:.1f} |")


def measure(pacs: OrthancProcess, count: int, work: Path, rounds: int) -> None:
    modality = {"AET": "PACS", "Host": "127.0.0.1", "Port": pacs.dicom_port}
    farsight = {"Search": {"CacheSeconds": 60}}
    with running_orthanc(work, gateway_configuration({"pacs": modality}, farsight)) as gateway:
        client = Client(gateway)
        first, rows = client.get(PAGE, {})
        oldest = min(row["00080020"]["Value"][0] for row in rows)
        times: dict[str, list[float]] = {"findscu": [], "page": [], "again": [], "typed": []}
        same = 0
        typing(client, "1", rounds=1)  # it proves itself
        for _ in range(rounds):
            took, same = findscu(pacs.dicom_port, f"{oldest}-")
            times["findscu"].append(took)
            times["page"].append(client.get(PAGE, FRESH)[0])
            times["again"].append(client.get(PAGE, {})[0])
            times["typed"] += typing(client, "10", rounds=1)
        found = {name: statistics.median(taken) for name, taken in times.items()}
        print(
            f"| {count} | {first * 1e3:.0f} | {same} | {found['findscu'] * 1e3:.1f} "
            f"| {found['page'] * 1e3:.1f} | {found['page'] / found['findscu']:.2f} "
            f"| {found['again'] * 1e3:.1f} | {found['typed'] * 1e3:.1f} "
            f"| {resident(gateway.pid, 'VmHWM'):.0f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="100,1000,10000")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.environ["TCP_NODELAY"] = "1"
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        work = Path(directory)
        configuration: dict[str, object] = {
            "DicomAet": "PACS",
            "DicomPort": free_port(),
            "DicomModalities": {"farsight": ["FARSIGHT", "127.0.0.1", 1]},
        }
        pacs = stack.enter_context(running_orthanc(work / "pacs", configuration))
        print("| studies | first page after start ms | rows | findscu ms | page ms | ratio "
              "| again ms | typed ms | resident MB |")  # fmt: skip
        print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
        held = 0
        for size in map(int, options.sizes.split(",")):
            fill(pacs, size, held)
            held = size
            measure(pacs, size, work / f"gateway-{size}", options.rounds)
        if held <= _MOST_FOR_PEOPLE:
            twenty_people(pacs, work / "people")
        kept_or_new(pacs, options.rounds)
        counting(work / "counting", options.rounds)


if __name__ == "__main__":
    main()
