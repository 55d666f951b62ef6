"""Farsight beside `getscu`: series metadata of CT slices that only the PACS has, by the full door.

    python -m benchmarks.gateway [--slices 300] [--rounds 5]

Rounds are interleaved; medians are printed. What is here already: benchmarks.serving.
ORTHANC_COMMAND and FARSIGHT_SITE choose another Orthanc, as in the tests.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import requests

sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1] / "plugin")]

from free_ports import free_port  # noqa: E402
from orthanc_process import (  # noqa: E402
    OrthancProcess,
    gateway_configuration,
    running_orthanc,
)
from pacs_peers import PEERS, Peer  # noqa: E402
from sample_files import series_uid, study_uid, write_series  # noqa: E402

SERIES = f"studies/{study_uid()}/series/{series_uid()}"


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def getscu(peer: Peer) -> None:
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(
            [
                "getscu", "-S", "-aet", "FARSIGHT", "-aec", "PACS", "-od", directory,
                "-k", "QueryRetrieveLevel=SERIES", "-k", f"StudyInstanceUID={study_uid()}",
                "-k", f"SeriesInstanceUID={series_uid()}", "127.0.0.1", str(peer.port),
            ],
            check=True, capture_output=True, env={**os.environ, "TCP_NODELAY": "1"},
        )  # fmt: skip


def forget(gateway: OrthancProcess) -> None:
    """Empties store and memory, so that the next request is cold."""
    for study in gateway.json("/studies"):
        gateway.request("DELETE", f"/studies/{study}")
    while requests.get(f"{gateway.full_door_url}/farsight/status", timeout=10).json()[
        "memory_bytes"
    ]:
        time.sleep(0.05)


def wait_stored(gateway: OrthancProcess, count: int) -> None:
    url = f"{gateway.full_door_url}/farsight/retrieves"
    while (
        requests.get(url, timeout=10).json()
        or gateway.json("/statistics")["CountInstances"] != count
    ):
        time.sleep(0.05)


def metadata(url: str, encoding: str) -> int:
    answer = requests.get(url, headers={"Accept-Encoding": encoding}, timeout=300)
    assert answer.status_code == 200, answer.text
    return len(answer.json())


def measure_cold(kind: str, files: list[Path], rounds: int, work: Path) -> None:
    with ExitStack() as stack:
        dicom_port = free_port()
        peer = stack.enter_context(PEERS[kind](work / f"cold-{kind}", files, dicom_port))
        modality = {"AET": "PACS", "Host": "127.0.0.1", "Port": peer.port}
        gateway = stack.enter_context(
            running_orthanc(
                work / f"cold-{kind}-gateway",
                gateway_configuration({"pacs": modality}, DicomPort=dicom_port),
            )
        )
        url = f"{gateway.full_door_url}/dicom-web/{SERIES}/metadata"
        metadata(url, "identity")
        times: dict[str, list[float]] = {"getscu": [], "farsight": []}
        for _ in range(rounds):
            wait_stored(gateway, len(files))
            forget(gateway)
            times["getscu"].append(seconds(lambda: getscu(peer)))
            times["farsight"].append(seconds(lambda: metadata(url, "identity")))
        scu, ours = (statistics.median(times[name]) for name in ("getscu", "farsight"))
        print(f"| {kind} | {scu:.2f} | {ours:.2f} | {ours / scu:.2f} |", flush=True)
        wait_stored(gateway, len(files))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        files = write_series(work / "files", options.slices, size=512)
        print("| PACS | getscu s | cold /metadata s | ratio |\n|---|---:|---:|---:|")
        for kind in ("dcmqrscp", "orthanc"):
            measure_cold(kind, files, options.rounds, work)


if __name__ == "__main__":
    main()
