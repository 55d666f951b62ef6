"""What Farsight stores by STOW-RS, beside the official DICOMweb plugin and Orthanc's `/instances`.

    python -m benchmarks.storing [--rounds 5] [--only RE]

Farsight runs in an Orthanc of its own, the others in one without it. The same objects are sent
whole in one request, or each in a request of its own over several connections; then all is
deleted, and the next door has its turn. Rates are medians of the rounds. ORTHANC_COMMAND and
FARSIGHT_SITE choose another Orthanc.
"""

from __future__ import annotations

import argparse
import re
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1] / "plugin")]

from orthanc_process import (  # noqa: E402
    PLUGINS,
    OrthancProcess,
    gateway_configuration,
    running_orthanc,
)
from sample_files import ct_slice  # noqa: E402

_BOUNDARY = "farsight-benchmark"
_TYPE = f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'


@dataclass(frozen=True)
class Load:
    """So many objects; a request holds `per_request` of them."""

    name: str
    objects: int
    side: int  # pixels of 16 bits along an edge
    per_request: int
    connections: int


@dataclass
class Door:
    """Where objects are sent to. `single`: it takes one object, bare."""

    name: str
    process: OrthancProcess
    url: str
    single: bool = False
    rates: list[float] = field(default_factory=list)


LOADS = (
    Load("300 of 512 kB, one request", 300, 512, 300, 1),
    Load("300 of 512 kB, one each, 1 connection", 300, 512, 1, 1),
    Load("300 of 512 kB, one each, 4 connections", 300, 512, 1, 4),
    Load("1,000 of 32 kB, one request", 1000, 128, 1000, 1),
    Load("1,000 of 32 kB, one each, 4 connections", 1000, 128, 1, 4),
    Load("20 of 16 MB, one request", 20, 2900, 20, 1),
)


def bodies_of(objects: Sequence[bytes], load: Load, *, single: bool) -> list[bytes]:
    """The bodies of the requests."""
    if single:
        return list(objects)
    found = []
    for start in range(0, len(objects), load.per_request):
        pieces: list[bytes] = []
        for one in objects[start : start + load.per_request]:
            head = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n"
            pieces += [head.encode(), one, b"\r\n"]
        found.append(b"".join((*pieces, f"--{_BOUNDARY}--\r\n".encode())))
    return found


def send(door: Door, bodies: Sequence[bytes], connections: int) -> None:
    """All of them. Raises: RuntimeError where one isn't taken."""
    address = urlsplit(door.url)
    waiting = list(reversed(bodies))
    problems: list[str] = []

    def work() -> None:
        connection = HTTPConnection(str(address.hostname), address.port, timeout=600)
        content_type = "application/dicom" if door.single else _TYPE
        headers = {"Content-Type": content_type, "Accept": "application/dicom+json"}
        while not problems:
            try:
                body = waiting.pop()
            except IndexError:
                break
            connection.request("POST", address.path, body, headers)
            # Else who answers in two pieces waits 40 ms for an acknowledgement of the first.
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status != 200:
                problems.append(f"{door.name}: {answer.status} {said[:200]!r}")
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise RuntimeError(problems[0])


def empty(process: OrthancProcess) -> None:
    for patient in process.json("/patients"):
        process.request("DELETE", f"/patients/{patient}")
    time.sleep(0.3)  # what is told of deletions is behind them


def files_of(load: Load) -> list[bytes]:
    found = []
    for number in range(1, load.objects + 1):
        file = BytesIO()
        ct_slice(number, size=load.side).save_as(file, enforce_file_format=True)
        found.append(file.getvalue())
    return found


def measure(load: Load, doors: Sequence[Door], rounds: int) -> None:
    objects = files_of(load)
    size = sum(map(len, objects))
    for number in range(rounds):
        turn = number % len(doors)
        for door in (*doors[turn:], *doors[:turn]):
            bodies = bodies_of(objects, load, single=door.single)
            started = time.perf_counter()
            send(door, bodies, load.connections)
            door.rates.append(size / (time.perf_counter() - started) / 1e6)
            if (there := door.process.json("/statistics")["CountInstances"]) != load.objects:
                raise RuntimeError(f"{door.name}: {there} instances, not {load.objects}")
            empty(door.process)


def line(load: Load, doors: Sequence[Door]) -> str:
    medians = {door.name: statistics.median(door.rates) for door in doors}
    official, plain = medians["official plugin"], medians["/instances"]
    cells = [load.name, *(f"{rate:.0f}" for rate in medians.values())]
    for name in ("Orthanc's port", "full door"):
        cells += [f"{medians[name] / official:.2f}", f"{medians[name] / plain:.2f}"]
    return "| " + " | ".join(cells) + " |"


def doors_of(ours: OrthancProcess, theirs: OrthancProcess) -> list[Door]:
    return [
        Door("/instances", theirs, f"{theirs.url}/instances", single=True),
        Door("official plugin", theirs, f"{theirs.url}/official/studies"),
        Door("Orthanc's port", ours, f"{ours.url}/dicom-web/studies"),
        Door("full door", ours, f"{ours.full_door_url}/dicom-web/studies"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="loads whose name matches this")
    options = parser.parse_args()
    official = {
        "Plugins": [str(PLUGINS / "libOrthancDicomWeb.so")],
        "DicomWeb": {"Enable": True, "Root": "/official/", "EnableWado": False},
    }
    print(
        "| MB/s | /instances | official plugin | Orthanc's port | full door "
        "| port × official | × /instances | full door × official | × /instances |"
    )
    print("|---|" + "---:|" * 8, flush=True)
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        farsight = gateway_configuration({}, {"Pacs": {}})
        ours = stack.enter_context(running_orthanc(Path(directory) / "ours", farsight))
        theirs = stack.enter_context(running_orthanc(Path(directory) / "theirs", official))
        for load in LOADS:
            if re.search(options.only, load.name):
                doors = doors_of(ours, theirs)
                measure(load, doors, options.rounds)
                print(line(load, doors), flush=True)


if __name__ == "__main__":
    main()
