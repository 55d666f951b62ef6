"""What the account of the store costs, and how fast what a PACS holds leaves.

    python -m benchmarks.cache_life [--rounds 5] [--slices 300]

Two gateways before one PACS, the second with an account that notes nothing; rounds are
interleaved, medians are printed. ORTHANC_COMMAND and FARSIGHT_SITE choose another Orthanc, as in
the tests.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import requests

REPOSITORY = Path(__file__).parents[1]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "plugin")]

from benchmarks.http_load import Load, measure  # noqa: E402

from farsight.adapters.sqlite_cache_book import SqliteCacheBook  # noqa: E402
from farsight.model import InstanceRef, SeriesRef  # noqa: E402
from farsight.services.bookkeeping import Bookkeeping  # noqa: E402
from farsight.services.series_locks import SeriesLocks  # noqa: E402
from free_ports import free_port  # noqa: E402
from orthanc_process import (  # noqa: E402
    OrthancProcess,
    gateway_configuration,
    running_orthanc,
)
from pacs_peers import orthanc_pacs  # noqa: E402
from sample_files import instance_uid, series_uid, study_uid, write_series  # noqa: E402

SERIES = f"/dicom-web/studies/{study_uid(1)}/series/{series_uid(1, 1)}"
EVICTED_STUDY, EVICTED_SERIES, EVICTED_SLICES = 2, 30, 10
_FRAMES = 2000
_NO_ACCOUNT = """
import sys
sys.path.insert(0, {plugin!r})
from farsight.adapters.sqlite_cache_book import SqliteCacheBook
for name in ("expect", "stored", "gone", "touch"):
    setattr(SqliteCacheBook, name, lambda *arguments, **named: None)
from farsight_plugin import *
"""


@dataclass
class Side:
    """One gateway, and what was measured of it."""

    name: str
    gateway: OrthancProcess
    answered_s: list[float] = field(default_factory=list)
    stored_s: list[float] = field(default_factory=list)
    frames_per_s: list[float] = field(default_factory=list)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("it did not happen")
        time.sleep(0.005)


def get(gateway: OrthancProcess, path: str) -> requests.Response:
    answer = requests.get(gateway.full_door_url + path, timeout=300)
    answer.raise_for_status()
    return answer


def at_rest(gateway: OrthancProcess) -> bool:
    return get(gateway, "/farsight/retrieves").json() == []


def forget(gateway: OrthancProcess) -> None:
    for study in gateway.json("/studies"):
        gateway.request("DELETE", f"/studies/{study}")
    until(lambda: get(gateway, "/farsight/status").json()["memory_bytes"] == 0)


def measure_retrieve(side: Side) -> None:
    """Cold metadata, and until all of the series is stored and recorded."""
    forget(side.gateway)
    started = time.perf_counter()
    get(side.gateway, f"{SERIES}/metadata")
    side.answered_s.append(time.perf_counter() - started)
    until(lambda: at_rest(side.gateway))
    side.stored_s.append(time.perf_counter() - started)


def measure_frames(side: Side) -> None:
    """One frame of a CT that is in memory, over one connection."""
    port = int(side.gateway.full_door_url.rsplit(":", 1)[1])
    path = f"{SERIES}/instances/{instance_uid(1, 1, 1)}/frames/1"
    headers = {"Accept": "application/octet-stream; transfer-syntax=*"}
    found = measure(Load(port, [path], headers, 1, _FRAMES))
    assert {status for status, _ in found.answers} == {200}
    side.frames_per_s.append(found.per_second)


def evicted_per_s(gateway: OrthancProcess) -> tuple[float, float]:
    """Series and megabytes a second, of a study that is evicted by DELETE."""
    get(gateway, f"/dicom-web/studies/{study_uid(EVICTED_STUDY)}/metadata")
    until(lambda: at_rest(gateway))
    time.sleep(2)  # what is kept with the series is written behind the answer
    url = f"{gateway.full_door_url}/farsight/cache/studies/{study_uid(EVICTED_STUDY)}"
    started = time.perf_counter()
    answer = requests.delete(url, timeout=300)
    elapsed_s = time.perf_counter() - started
    assert answer.status_code == 200, answer.text
    return answer.json()["series"] / elapsed_s, answer.json()["bytes"] / elapsed_s / (1 << 20)


def touches_per_s(directory: Path) -> float:
    book = SqliteCacheBook(directory / "touched.sqlite")
    one, count = SeriesRef("1.2", "1.2.3"), 200_000
    started = time.perf_counter()
    for number in range(count):
        book.touch((one,), float(number))
    elapsed_s = time.perf_counter() - started
    book.close()
    return count / elapsed_s


def booked(directory: Path, instances: int) -> tuple[float, float]:
    """Seconds to book so many, and to find that all are booked."""
    book = SqliteCacheBook(directory / "booked.sqlite")
    refs = [
        InstanceRef("1.2", f"1.2.{number // 100}", f"1.2.{number // 100}.{number}")
        for number in range(instances)
    ]
    started = time.perf_counter()
    for number, ref in enumerate(refs):
        book.expect(ref, 1000, "pacs")
        book.stored(ref, f"{number:044d}", 1000)
    middle = time.perf_counter()
    account = Bookkeeping(book, SeriesLocks(), {}, lambda _arrival: None)
    account.reconcile([f"{number:044d}" for number in range(instances)], lambda _resource: None)
    elapsed_s = time.perf_counter() - middle
    assert book.totals().instances == instances
    book.close()
    return middle - started, elapsed_s


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def ratios(one: Sequence[float], other: Sequence[float]) -> float:
    """Of pairs of one round each."""
    return median([a / b for a, b in zip(one, other, strict=True)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slices", type=int, default=300)
    chosen = parser.parse_args()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        print(f"touch, alone: {touches_per_s(directory):,.0f} /s")
        books_s, reconciles_s = booked(directory, 50_000)
        print(
            f"50,000 instances booked in {books_s:.1f} s, all found booked in {reconciles_s:.2f} s"
        )
        files = write_series(directory / "files", chosen.slices, size=512)
        for series in range(1, EVICTED_SERIES + 1):
            files += write_series(
                directory / "files", EVICTED_SLICES, series=series, study=EVICTED_STUDY, size=512
            )
        pacs = stack.enter_context(orthanc_pacs(directory / "pacs", files))
        script = directory / "no_account_plugin.py"
        script.write_text(_NO_ACCOUNT.format(plugin=str(REPOSITORY / "plugin")))
        sides = []
        for name, options in (("account", {}), ("none", {"PythonScript": str(script)})):
            modality = {"AET": "PACS", "Host": "127.0.0.1", "Port": pacs.port}
            settings = {"Pacs": {"pacs": {}}, "Cache": {"MinFreeMegabytes": 0}}
            configuration = gateway_configuration(
                {"pacs": modality}, settings, DicomPort=free_port(), **options
            )
            gateway = stack.enter_context(running_orthanc(directory / name, configuration))
            sides.append(Side(name, gateway))
        for number in range(chosen.rounds):
            for side in sides if number % 2 else sides[::-1]:
                measure_retrieve(side)
            for side in sides if number % 2 else sides[::-1]:
                measure_frames(side)
        with_it, without = sides
        print(f"{chosen.slices} x 512 kB, with the account / without, medians of {chosen.rounds}")
        for what in ("answered_s", "stored_s", "frames_per_s"):
            one, other = getattr(with_it, what), getattr(without, what)
            print(f"{what}: {median(one):.3f} / {median(other):.3f}, {ratios(one, other):.3f}")
        rates = [evicted_per_s(with_it.gateway) for _ in range(chosen.rounds)]
        series_per_s, megabytes_per_s = (median(column) for column in zip(*rates, strict=True))
        print(f"evicted: {series_per_s:.0f} series/s, {megabytes_per_s:.0f} MB/s")


if __name__ == "__main__":
    main()
