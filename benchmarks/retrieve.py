"""Opening studies that only the PACS has: what a viewer waits for, and what it costs.

    python -m benchmarks.retrieve [--rounds 5] [--pacs dcmqrscp|orthanc] [--gigabytes 0]

CT slices of 512 x 512 through the full door of a real gateway before a real PACS; rounds are
interleaved, medians are printed. ORTHANC_COMMAND and FARSIGHT_SITE choose another Orthanc.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests
from pydicom.uid import CTImageStorage

sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1] / "plugin")]

from benchmarks.delaying_proxy import delaying_proxy  # noqa: E402
from benchmarks.gateway import forget, getscu, seconds, wait_stored  # noqa: E402

from farsight.adapters.dimse_pacs import DimsePacs  # noqa: E402
from farsight.adapters.pacs_address import PacsAddress  # noqa: E402
from free_ports import free_port  # noqa: E402
from orthanc_process import (  # noqa: E402
    OrthancProcess,
    gateway_configuration,
    running_orthanc,
)
from pacs_peers import PEERS, Peer  # noqa: E402
from sample_files import instance_uid, series_uid, study_uid, write_series  # noqa: E402

SLICES = 200
OCTETS = {"Accept": "multipart/related; type=application/octet-stream; transfer-syntax=*"}


def get(gateway: OrthancProcess, path: str) -> requests.Response:
    url = f"{gateway.full_door_url}/dicom-web/studies/{study_uid()}/{path}"
    answer = requests.get(url, headers=OCTETS if "frames" in path else {}, timeout=600)
    assert answer.status_code == 200, answer.text[:300]
    return answer


def metadata(gateway: OrthancProcess, series: int) -> None:
    get(gateway, f"series/{series_uid(series)}/metadata")


def frame_path(series: int, number: int) -> str:
    return f"series/{series_uid(series)}/instances/{instance_uid(number, series)}/frames/1"


def frame(gateway: OrthancProcess, series: int, number: int) -> None:
    get(gateway, frame_path(series, number))


@contextmanager
def kept_connection(gateway: OrthancProcess) -> Iterator[Callable[[str], None]]:
    """A client as quick as a browser: its connection is open, and it does nothing else."""
    host = gateway.full_door_url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.connect()

    def ask(path: str) -> None:
        connection.request("GET", f"/dicom-web/studies/{study_uid()}/{path}", headers=OCTETS)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200

    try:
        yield ask
    finally:
        connection.close()


@contextmanager
def gateway_before(
    work: Path, pacs_port: int, dicom_port: int, **farsight: object
) -> Iterator[OrthancProcess]:
    modality = {"AET": "PACS", "Host": "127.0.0.1", "Port": pacs_port}
    configuration = gateway_configuration({"pacs": modality}, farsight, DicomPort=dicom_port)
    with running_orthanc(work, configuration) as gateway:
        yield gateway


def in_background(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def row(name: str, reference: float, ours: float, unit: str, note: str = "") -> None:
    numbers = f"{reference:.3g} {unit} | {ours:.3g} {unit} | {ours / reference:.2f}"
    print(f"| {name} | {numbers} | {note} |", flush=True)


def at_rest(gateway: OrthancProcess, count: int) -> None:
    wait_stored(gateway, count)
    forget(gateway)


# ---- the rows


def bare_get(port: int) -> float:
    """Seconds of an IMAGE-level C-GET on an association of its own."""
    pacs = DimsePacs(PacsAddress("pacs", "PACS", "127.0.0.1", port, "FARSIGHT"))
    uids = (instance_uid(SLICES, 3),)
    took = seconds(
        lambda: pacs.retrieve(study_uid(), series_uid(3), uids, (CTImageStorage,), lambda _: None)
    )
    pacs.close()
    return took


def first_frame(gateway: OrthancProcess, peer: Peer, rounds: int) -> None:
    """One instance while its study of three series is retrieved, beside a bare C-GET of it.

    That at rest, and as a control during the retrieve, where it has no right of way.
    """

    def during(ask: Callable[[], float]) -> float:
        forget(gateway)
        bulk = [in_background(lambda n=n: metadata(gateway, n)) for n in (1, 2, 3)]  # type: ignore[misc]
        while not any(flight["received"] for flight in gateway.json("/farsight/retrieves")):
            time.sleep(0.005)
        took = ask()
        for thread in bulk:
            thread.join()
        wait_stored(gateway, 3 * SLICES)
        return took

    bare, control, ours = [], [], []
    for _ in range(rounds):
        bare.append(bare_get(peer.port))
        control.append(during(lambda: bare_get(peer.port)))
        with kept_connection(gateway) as ask:
            ours.append(during(lambda: seconds(lambda: ask(frame_path(3, SLICES)))))
    at_rest = statistics.median(bare)
    row("frame of one instance while its study comes / bare C-GET of it, at rest",
        at_rest, statistics.median(ours), "s")  # fmt: skip
    row("control: that C-GET while the study comes / at rest",
        at_rest, statistics.median(control), "s")  # fmt: skip


def five_at_once(gateway: OrthancProcess, rounds: int, instances: int) -> None:
    """Five series asked for at once, as OHIF does; its share: a fifth of what all take."""
    first, last = [], []
    for _ in range(rounds):
        forget(gateway)
        ends: list[float] = []
        started = time.perf_counter()

        def one(number: int, started: float = started, ends: list[float] = ends) -> None:
            metadata(gateway, number)
            ends.append(time.perf_counter() - started)

        threads = [in_background(lambda n=n: one(n)) for n in range(1, 6)]  # type: ignore[misc]
        for thread in threads:
            thread.join()
        first.append(min(ends))
        last.append(max(ends))
        wait_stored(gateway, instances)
    row("first of five series asked for at once / a fifth of all five",
        statistics.median(last) / 5, statistics.median(first), "s")  # fmt: skip


def prefetch(gateway: OrthancProcess) -> None:
    """Has the whole study fetched, and waits for nothing."""
    body = {"studies": [study_uid()]}
    url = f"{gateway.full_door_url}/farsight/prefetch"
    requests.post(url, json=body, timeout=60).raise_for_status()


def stored_rate(gateway: OrthancProcess, work: Path, files: list[Path], rounds: int) -> None:
    """All of a study stored in Orthanc, beside an Orthanc that only stores, from memory."""
    times: dict[str, list[float]] = {"1": [], "2": [], "ours": []}
    configuration = gateway_configuration({})
    configuration["PythonScript"] = str(Path(__file__).with_name("bare_store.py"))
    del configuration["Farsight"]
    directory = work / "one-study"
    directory.mkdir()
    for file in files:
        os.link(file, directory / file.name)
    with running_orthanc(work / "bare", configuration) as orthanc:
        for _ in range(rounds):
            for threads in ("1", "2"):
                told = orthanc.request("POST", "/bare-store", f"{threads} {directory}".encode())
                times[threads].append(float(told.decode()))
                for study in orthanc.json("/studies"):
                    orthanc.request("DELETE", f"/studies/{study}")
            forget(gateway)
            started = time.perf_counter()
            prefetch(gateway)
            wait_stored(gateway, len(files))
            times["ours"].append(time.perf_counter() - started)
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    rates = {name: megabytes / statistics.median(found) for name, found in times.items()}
    name = "study fetched and stored / stored from memory by Orthanc alone"
    row(f"{name}, in a loop", rates["1"], rates["ours"], "MB/s")
    row(f"{name}, by two threads", rates["2"], rates["ours"], "MB/s")


def native_get(gateway: OrthancProcess, rounds: int) -> None:
    """One series stored by Orthanc's own C-GET (1.12.6 and later), beside ours."""
    native, ours = [], []
    wanted = {"StudyInstanceUID": study_uid(), "SeriesInstanceUID": series_uid()}
    body = json.dumps({"Level": "Series", "Resources": [wanted], "Synchronous": True}).encode()
    for _ in range(rounds):
        forget(gateway)
        try:
            native.append(seconds(lambda: gateway.request("POST", "/modalities/pacs/get", body)))
        except urllib.error.HTTPError as error:
            print(f"| this Orthanc has no C-GET of its own ({error.code}) | | | | |")
            return
        wait_stored(gateway, SLICES)
        forget(gateway)
        ours.append(seconds(lambda: (metadata(gateway, 1), wait_stored(gateway, SLICES))))
    row("series fetched and stored by Farsight / by Orthanc's own C-GET",
        statistics.median(native), statistics.median(ours), "s")  # fmt: skip


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def bare_sender() -> Iterator[str]:
    """The URL of a process that only sends the bytes of a frame."""
    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "benchmarks.bare_sender", str(port)]) as process:
        try:
            deadline = time.monotonic() + 20
            while not listens(port):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()


def tail_latency(gateway: OrthancProcess, rounds: int) -> None:
    """p99 of warm frames, one connection, at rest and while four other series are retrieved.

    A process of its own that only sends the same bytes is the control.
    """
    ours = f"{gateway.full_door_url}/dicom-web/studies/{study_uid()}/{frame_path(1, 1)}"
    quantiles: dict[str, list[float]] = {"rest": [], "busy": [], "c-rest": [], "c-busy": []}

    def measure(url: str, prefix: str) -> None:
        forget(gateway)
        metadata(gateway, 1)
        wait_stored(gateway, SLICES)
        quantiles[f"{prefix}rest"].append(p99_ms(url))
        prefetch(gateway)
        while not any(flight["received"] for flight in gateway.json("/farsight/retrieves")):
            time.sleep(0.005)
        quantiles[f"{prefix}busy"].append(p99_ms(url))
        assert gateway.json("/farsight/retrieves"), "it was retrieved all the time"
        wait_stored(gateway, 5 * SLICES)

    with bare_sender() as control:
        for _ in range(rounds):
            measure(ours, "")
            measure(control, "c-")
    row("p99 of a warm frame while four series are retrieved / at rest",
        *(statistics.median(quantiles[kind]) for kind in ("rest", "busy")), "ms")  # fmt: skip
    row("control: p99 of a process that only sends those bytes",
        *(statistics.median(quantiles[kind]) for kind in ("c-rest", "c-busy")), "ms")  # fmt: skip


def p99_ms(url: str) -> float:
    """Of one connection, by wrk in two seconds: a client that costs next to nothing itself."""
    command = ["wrk", "-t1", "-c1", "-d2s", "--latency", "-H", f"Accept: {OCTETS['Accept']}", url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Non-2xx" not in done.stdout, done.stdout
    found = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    assert found is not None, done.stdout
    return float(found.group(1)) * {"us": 1e-3, "ms": 1, "s": 1e3}[found.group(2)]


def far_away(work: Path, peer: Peer, dicom_port: int, rounds: int) -> None:
    """A PACS 50 ms away (round trip): series metadata, and the first frame of another series."""
    scu, ours, frames, turns, connections, frame_turns = [], [], [], [], [], []
    with delaying_proxy(peer.port, 0.025) as proxy, ExitStack() as stack:
        gateway = stack.enter_context(gateway_before(work / "far", proxy.port, dicom_port))
        far_peer = Peer(peer.kind, proxy.port, peer.process)
        for _ in range(rounds):
            scu.append(seconds(lambda: getscu(far_peer)))
            before = proxy.turns, proxy.connections
            ours.append(seconds(lambda: metadata(gateway, 1)))
            turns.append(proxy.turns - before[0])
            connections.append(proxy.connections - before[1])
            before = proxy.turns, proxy.connections
            frames.append(seconds(lambda: frame(gateway, 2, 1)))
            frame_turns.append(proxy.turns - before[0])
            at_rest(gateway, SLICES + 1)
    medians = statistics.median(turns), statistics.median(connections)
    note = "{:.0f} turns on {:.0f} new connections".format(*medians)
    row("series metadata, PACS 50 ms away / getscu",
        statistics.median(scu), statistics.median(ours), "s", note)  # fmt: skip
    note = f"{statistics.median(frame_turns):.0f} turns"
    row("cold frame, PACS 50 ms away / one round trip", 0.05, statistics.median(frames), "s", note)


def resident(pid: int, key: str) -> float:
    line = next(
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if key in line
    )
    return int(line.split()[1]) / 1024


def memory(work: Path, kind: str, gigabytes: float) -> None:
    """Resident memory of the gateway while a large study is retrieved with a small budget."""
    budget, per_series = 128, 500
    series = max(1, round(gigabytes * 1e9 / (525_000 * per_series)))
    dicom_port = free_port()
    files: list[Path] = []
    for number in range(1, series + 1):
        files += write_series(work / "large", per_series, series=number, size=512)
    with ExitStack() as stack:
        peer = stack.enter_context(PEERS[kind](work / "large-pacs", files, dicom_port))
        for file in files:
            file.unlink()
        gateway = stack.enter_context(
            gateway_before(
                work / "large-gateway", peer.port, dicom_port, Memory={"MaxMegabytes": budget}
            )
        )
        before = resident(gateway.pid, "VmRSS")
        url = f"{gateway.full_door_url}/farsight/prefetch"
        requests.post(url, json={"studies": [study_uid()]}, timeout=600).raise_for_status()
        while gateway.json("/statistics")["CountInstances"] < len(files):
            time.sleep(0.5)
        peak = resident(gateway.pid, "VmHWM")
    total = len(files) * 0.525
    print(
        f"\n{total:.0f} MB retrieved and stored with a budget of {budget} MB: "
        f"resident {before:.0f} MB before, {peak:.0f} MB at most, {peak - before - budget:+.0f} MB "
        "beside the budget",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pacs", choices=("dcmqrscp", "orthanc"), default="dcmqrscp")
    parser.add_argument("--gigabytes", type=float, default=0)
    options = parser.parse_args()
    os.environ["TCP_NODELAY"] = "1"
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        work = Path(directory)
        if options.gigabytes:
            memory(work, options.pacs, options.gigabytes)
            return
        files = [
            file
            for number in range(1, 6)
            for file in write_series(work / "files", SLICES, series=number, size=512)
        ]
        dicom_port = free_port()
        peer = stack.enter_context(PEERS[options.pacs](work / "pacs", files, dicom_port))
        print("| measure | reference | Farsight | ratio | |\n|---|---:|---:|---:|---|")
        with gateway_before(work / "gateway", peer.port, dicom_port) as gateway:
            five_at_once(gateway, options.rounds, len(files))
            first_frame(gateway, peer, options.rounds)
            stored_rate(gateway, work, files, options.rounds)
            native_get(gateway, options.rounds)
            forget(gateway)
            tail_latency(gateway, options.rounds)
        far_away(work, peer, dicom_port, options.rounds)


if __name__ == "__main__":
    main()
