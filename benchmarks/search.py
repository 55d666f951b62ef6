"""Searching a PACS with many studies: the first page, the same again, and how it grows.

    python -m benchmarks.search [--sizes 100,1000,10000] [--rounds 5]

Orthanc as PACS, filled with studies of one small instance over twenty years, denser of late. A
page is OHIF's: 101 studies with its columns, through the full door. Beside it `findscu` asks for
the days that hold the same studies. Rounds are interleaved, medians are printed.
ORTHANC_COMMAND and FARSIGHT_SITE choose another Orthanc.
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

from orthanc_process import (  # noqa: E402
    OrthancProcess,
    free_port,
    gateway_configuration,
    running_orthanc,
)
from sample_files import ct_slice  # noqa: E402

_FIELDS = "00081030%2C00080060"
PAGE = f"/dicom-web/studies?limit=101&offset=0&fuzzymatching=false&includefield={_FIELDS}"
FRESH = {"Cache-Control": "no-cache"}
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
    return took, (done.stdout + done.stderr).count(b"(0020,000d)")


def measure(pacs: OrthancProcess, count: int, work: Path, rounds: int) -> None:
    modality = {"AET": "PACS", "Host": "127.0.0.1", "Port": pacs.dicom_port}
    with running_orthanc(work, gateway_configuration({"pacs": modality})) as gateway:
        client = Client(gateway)
        first, rows = client.get(PAGE, {})
        oldest = min(row["00080020"]["Value"][0] for row in rows)
        times: dict[str, list[float]] = {"findscu": [], "page": [], "again": [], "refined": []}
        same = 0
        for _ in range(rounds):
            took, same = findscu(pacs.dicom_port, f"{oldest}-")
            times["findscu"].append(took)
            times["page"].append(client.get(PAGE, FRESH)[0])
            times["again"].append(client.get(PAGE, {})[0])
            times["refined"].append(client.get(f"{PAGE}&PatientSex=O", {})[0])
        found = {name: statistics.median(taken) for name, taken in times.items()}
        print(
            f"| {count} | {first * 1e3:.0f} | {same} | {found['findscu'] * 1e3:.1f} "
            f"| {found['page'] * 1e3:.1f} | {found['page'] / found['findscu']:.2f} "
            f"| {found['again'] * 1e3:.1f} | {found['refined'] * 1e3:.1f} "
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
              "| again ms | refined ms | resident MB |")  # fmt: skip
        print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
        held = 0
        for size in map(int, options.sizes.split(",")):
            fill(pacs, size, held)
            held = size
            measure(pacs, size, work / f"gateway-{size}", options.rounds)


if __name__ == "__main__":
    main()
