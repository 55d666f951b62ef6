"""What `benchmarks.retrieve` leaves open: associations held, Orthanc over HTTP, p50, round trips.

    python -m benchmarks.retrieve_details [--rounds 5] [--pacs dcmqrscp|orthanc]

CT slices of 512 x 512 through the full door of a real gateway before a real PACS. Rounds are
interleaved, medians are printed. One row stores the same files in an empty Orthanc by POST
/instances from two threads: that is HTTP, Orthanc's own fastest way in from outside;
`benchmarks.retrieve` has the stricter one, from memory inside Orthanc.
"""

from __future__ import annotations

import argparse
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1] / "plugin")]

from benchmarks.delaying_proxy import DelayingProxy, delaying_proxy  # noqa: E402
from benchmarks.gateway import forget, seconds, wait_stored  # noqa: E402
from benchmarks.retrieve import (  # noqa: E402
    OCTETS,
    at_rest,
    frame,
    gateway_before,
    in_background,
    metadata,
    row,
)

from free_ports import free_port  # noqa: E402
from orthanc_process import OrthancProcess, running_orthanc  # noqa: E402
from pacs_peers import PEERS  # noqa: E402
from sample_files import instance_uid, series_uid, study_uid, write_series  # noqa: E402

#: Instances per series number.
STORED, BUSY, FAR, OTHER_FAR = 1, 2, 3, 9
FIVE = (4, 5, 6, 7, 8)
SLICES = {STORED: 300, BUSY: 600, FAR: 30, OTHER_FAR: 30, **dict.fromkeys(FIVE, 100)}
_ESTABLISHED = "01"


def established(port: int) -> int:
    """Connections open now to a local port, seen from the clients' side (IPv4)."""
    fields = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(one[2].endswith(f":{port:04X}") and one[3] == _ESTABLISHED for one in fields)


@dataclass
class Watch:
    """The most connections seen at once; sampled, so a brief one may be missed."""

    most: int = 0
    samples: int = 0
    done: threading.Event = field(default_factory=threading.Event)


@contextmanager
def watched(port: int) -> Iterator[Watch]:
    watch = Watch()

    def look() -> None:
        while not watch.done.wait(0.005):
            watch.most = max(watch.most, established(port))
            watch.samples += 1

    thread = in_background(look)
    try:
        yield watch
    finally:
        watch.done.set()
        thread.join()


def five_at_once(gateway: OrthancProcess, pacs_port: int, rounds: int) -> None:
    """Five series asked for at once, beside one of them alone; every one is cold."""
    alone, first, last, most, samples = [], [], [], 0, 0
    for _ in range(rounds):
        forget(gateway)
        alone.append(seconds(lambda: metadata(gateway, FIVE[0])))
        at_rest(gateway, SLICES[FIVE[0]])
        ends: queue.SimpleQueue[float] = queue.SimpleQueue()
        started = time.perf_counter()

        def one(
            series: int, started: float = started, ends: queue.SimpleQueue[float] = ends
        ) -> None:
            metadata(gateway, series)
            ends.put(time.perf_counter() - started)

        with watched(pacs_port) as watch:
            threads = [in_background(lambda n=n: one(n)) for n in FIVE]  # type: ignore[misc]
            for thread in threads:
                thread.join()
            wait_stored(gateway, sum(SLICES[n] for n in FIVE))
        times = sorted(ends.get() for _ in range(ends.qsize()))
        assert len(times) == len(FIVE), "a series was not answered"
        first.append(times[0])
        last.append(times[-1])
        most, samples = max(most, watch.most), samples + watch.samples
    note = f"at most {most} associations open in {samples} samples"
    alone_s = statistics.median(alone)
    row("first of five series asked for at once / one alone",
        alone_s, statistics.median(first), "s", note)  # fmt: skip
    row("last of five series asked for at once / five times one alone",
        5 * alone_s, statistics.median(last), "s")  # fmt: skip


def post_all(url: str, bodies: Sequence[bytes]) -> None:
    """Two threads, each over its kept connection."""
    left: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    for body in bodies:
        left.put(body)
    refused: list[int] = []

    def work() -> None:
        with requests.Session() as session:
            while True:
                try:
                    body = left.get_nowait()
                except queue.Empty:
                    return
                status = session.post(f"{url}/instances", data=body, timeout=60).status_code
                if status != 200:
                    refused.append(status)

    threads = [in_background(work) for _ in range(2)]
    for thread in threads:
        thread.join()
    assert not refused, refused


def stored_over_http(
    gateway: OrthancProcess, work: Path, files: Sequence[Path], rounds: int
) -> None:
    """A cold series until all of it is stored, beside POST /instances to an empty Orthanc."""
    bare, ours = [], []
    bodies = [file.read_bytes() for file in files]
    with running_orthanc(work / "bare-http", {}) as orthanc:
        for _ in range(rounds):
            bare.append(seconds(lambda: post_all(orthanc.url, bodies)))
            assert orthanc.json("/statistics")["CountInstances"] == len(files)
            for study in orthanc.json("/studies"):
                orthanc.request("DELETE", f"/studies/{study}")
            forget(gateway)
            ours.append(
                seconds(lambda: (metadata(gateway, STORED), wait_stored(gateway, len(files))))
            )
            at_rest(gateway, len(files))
    megabytes = sum(map(len, bodies)) / 1e6
    rates = [megabytes / statistics.median(times) for times in (bare, ours)]
    row("series fetched and stored / POSTed to Orthanc by two threads", *rates, "MB/s")


def frame_times(session: requests.Session, url: str, count: int) -> list[float]:
    times = []
    for _ in range(count):
        started = time.perf_counter()
        answer = session.get(url)
        times.append(time.perf_counter() - started)
        assert answer.status_code == 200, answer.text[:300]
    return times


def warm_frames(gateway: OrthancProcess, rounds: int) -> None:
    """p50 and p99 of 400 warm frames, one client, at rest and while 600 slices are retrieved.

    Busy samples are those taken while the gateway still lists the retrieve, asked between frames
    outside the clock; the note says how many there were, because p99 of a few is their maximum.
    """
    session = requests.Session()
    session.headers.update(OCTETS)
    study = f"{gateway.full_door_url}/dicom-web/studies/{study_uid()}"
    url = f"{study}/series/{series_uid(FAR)}/instances/{instance_uid(1, FAR)}/frames/1"
    quantiles: dict[tuple[str, int], list[float]] = {}
    counts = []
    for _ in range(rounds):
        forget(gateway)
        metadata(gateway, FAR)
        wait_stored(gateway, SLICES[FAR])
        times = {"rest": frame_times(session, url, 400), "busy": []}
        bulk = in_background(lambda: metadata(gateway, BUSY))
        while not gateway.json("/farsight/retrieves"):
            time.sleep(0.001)
        while len(times["busy"]) < 400 and gateway.json("/farsight/retrieves"):
            times["busy"] += frame_times(session, url, 5)
        bulk.join()
        wait_stored(gateway, SLICES[FAR] + SLICES[BUSY])
        counts.append(len(times["busy"]))
        for kind, values in times.items():
            cuts = statistics.quantiles(values, n=100)
            for cut in (50, 99):
                quantiles.setdefault((kind, cut), []).append(1e3 * cuts[cut - 1])
    for cut in (50, 99):
        row(f"p{cut} of a warm frame while 600 slices are retrieved / at rest",
            statistics.median(quantiles["rest", cut]), statistics.median(quantiles["busy", cut]),
            "ms", f"{min(counts)} to {max(counts)} busy samples a round")  # fmt: skip


def getscu_far(port: int, series: int, number: int | None = None) -> None:
    """A series or one instance; TCP_NODELAY comes from the environment."""
    keys = ["StudyInstanceUID=" + study_uid(), "SeriesInstanceUID=" + series_uid(series)]
    if number is None:
        keys.append("QueryRetrieveLevel=SERIES")
    else:
        keys += ["QueryRetrieveLevel=IMAGE", "SOPInstanceUID=" + instance_uid(number, series)]
    with tempfile.TemporaryDirectory() as directory:
        arguments = [part for key in keys for part in ("-k", key)]
        subprocess.run(
            ["getscu", "-S", "-aet", "FARSIGHT", "-aec", "PACS", "-od", directory, *arguments,
             "127.0.0.1", str(port)],
            check=True, capture_output=True,
        )  # fmt: skip
        expected = 1 if number is not None else SLICES[series]
        assert len(list(Path(directory).iterdir())) == expected


@dataclass
class Trips:
    """Of one kind of opening, per round: seconds, turns and new connections at the proxy."""

    proxy: DelayingProxy
    times: list[float] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)
    connections: list[int] = field(default_factory=list)

    @contextmanager
    def one(self) -> Iterator[None]:
        turns, connections = self.proxy.turns, self.proxy.connections
        started = time.perf_counter()
        yield
        self.times.append(time.perf_counter() - started)
        self.turns.append(self.proxy.turns - turns)
        self.connections.append(self.proxy.connections - connections)

    def said(self) -> str:
        first = f"{self.turns[0]} turns, {self.connections[0]} new connections"
        if len(self.turns) == 1:
            return first
        turns, new = (statistics.median(row[1:]) for row in (self.turns, self.connections))
        return f"{first} first, then {turns:g} and {new:g}"


def far_away(work: Path, pacs_port: int, dicom_port: int, rounds: int) -> None:
    """A PACS 50 ms away (round trip): 30 headers, and one frame; the first round is unacquainted.

    Turns are counted when the answer is whole, over all connections: with two associations side
    by side they are more than the round trips the client waited for.
    """
    with delaying_proxy(pacs_port, 0.025) as proxy, ExitStack() as stack:
        gateway = stack.enter_context(gateway_before(work / "far-30", proxy.port, dicom_port))
        scu, scu_frame, ours, frames = (Trips(proxy) for _ in range(4))
        for _ in range(rounds):
            with scu.one():
                getscu_far(proxy.port, FAR)
            with ours.one():
                metadata(gateway, FAR)
            wait_stored(gateway, SLICES[FAR])
            with scu_frame.one():
                getscu_far(proxy.port, OTHER_FAR, 1)
            with frames.one():
                frame(gateway, OTHER_FAR, 1)
            at_rest(gateway, SLICES[FAR] + 1)
        names = ("30 headers, PACS 50 ms away", "one frame, PACS 50 ms away")
        for name, theirs, own in zip(names, (scu, scu_frame), (ours, frames), strict=True):
            note = f"getscu {theirs.turns[0]} turns; Farsight {own.said()}"
            times = statistics.median(theirs.times), statistics.median(own.times)
            row(f"{name} / getscu", *times, "s", note)
        row(f"{names[0]}, first round only / getscu", scu.times[0], ours.times[0], "s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pacs", choices=("dcmqrscp", "orthanc"), default="dcmqrscp")
    options = parser.parse_args()
    os.environ["TCP_NODELAY"] = "1"  # read by DCMTK, in the peers and in its tools
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        work = Path(directory)
        files = {
            series: write_series(work / "files", slices, series=series, size=512)
            for series, slices in SLICES.items()
        }
        dicom_port = free_port()
        everything = [file for of_series in files.values() for file in of_series]
        peer = stack.enter_context(PEERS[options.pacs](work / "pacs", everything, dicom_port))
        print("| measure | reference | Farsight | ratio | |\n|---|---:|---:|---:|---|")
        with gateway_before(work / "gateway", peer.port, dicom_port) as gateway:
            metadata(gateway, FAR)  # the first association, the first look at the PACS
            at_rest(gateway, SLICES[FAR])
            five_at_once(gateway, peer.port, options.rounds)
            stored_over_http(gateway, work, files[STORED], options.rounds)
            warm_frames(gateway, options.rounds)
        far_away(work, peer.port, dicom_port, options.rounds)


if __name__ == "__main__":
    main()
