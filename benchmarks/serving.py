"""What Farsight serves, beside the official DICOMweb plugin over the same Orthanc store.

    python -m benchmarks.serving [--rounds 5] [--seconds 0.5] [--slices 300] [--only RE] [--large]

Both doors: Farsight's own listener (full door) and Orthanc's port; the official plugin runs in the
same Orthanc under another root. First everything is in Farsight's memory, then there is so little
of it that every request goes to the store. In each round every door is asked after the other;
rates are medians of the rounds, p50 and p99 are of all requests. Status and length of every answer
are checked, and the content of the first. Short answers are asked for by wrk. At the end: the
memory that one long answer takes (--large: also of a study of 2 GB). ORTHANC_COMMAND and
FARSIGHT_SITE choose another Orthanc.
"""

from __future__ import annotations

import argparse
import math
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import wrk_load
from benchmarks.http_load import Load, Measured, measure
from benchmarks.serving_doors import Door, doors_of, gateway_with_both
from benchmarks.serving_memory import HEADS, large_path, memory_of, store_large_study
from benchmarks.serving_objects import run, slices
from benchmarks.serving_rows import SERIES, Row, ask, from_memory, from_store

_PLENTY_MEGABYTES = 512
#: The least that may be configured: 31 slices, and no run of 56 MB.
_LITTLE_MEGABYTES = 16
_MOST_REQUESTS = 3000
_LEAST_PER_CONNECTION = 2
_TRIAL_REQUESTS = 8
_HEADS = (
    "answer", "c", "official /s", "Orthanc's port /s", "full door /s", "port ×", "full ×",
    "target ×", "met: port / full", "p50 ms", "p99 ms", "kB",
)  # fmt: skip


class Bench:
    """Measures row by row, and prints each as soon as it is known."""

    def __init__(self, doors: Sequence[Door], rounds: int, seconds: float) -> None:
        self._doors = doors
        self._rounds = rounds
        self._seconds = seconds
        self._next_path = 0

    def row(self, row: Row) -> None:
        for door in self._doors:
            door.status, door.length = ask(row, door.port, door.root)
        there = [door for door in self._doors if door.answers]
        for connections in row.connections:
            for door in there:
                door.rounds = []
                door.requests = self._count(row, door, connections)
            for number in range(self._rounds):
                turn = number % max(1, len(there))
                for door in (*there[turn:], *there[:turn]):
                    door.rounds.append(self._measure(row, door, connections, door.requests))
            print(_line(row, connections, self._doors), flush=True)

    def _count(self, row: Row, door: Door, connections: int) -> int:
        """So many requests as take about the time wanted, by a trial, which warms up too."""
        if row.whole:
            return connections
        trial = self._measure(row, door, connections, max(_TRIAL_REQUESTS, connections))
        least = max(_TRIAL_REQUESTS, _LEAST_PER_CONNECTION * connections)
        return max(least, min(int(trial.per_second * self._seconds), _MOST_REQUESTS))

    def _measure(self, row: Row, door: Door, connections: int, requests: int) -> Measured:
        paths = [door.root + path for path in row.paths]
        load = Load(door.port, paths, row.headers(), connections, requests, self._next_path)
        self._next_path += requests  # what was asked for last may be in memory still
        if len(paths) == 1 and door.length <= wrk_load.SHORT_BYTES:
            found = wrk_load.measure(load, door.length, math.ceil(self._seconds))
        else:
            found = measure(load)
        if found.answers != [(200, door.length)]:
            raise RuntimeError(f"{row.name}, {door.name}: {found.answers}, not {door.length} bytes")
        return found


def _line(row: Row, connections: int, doors: Sequence[Door]) -> str:
    official, *ours = doors
    cells = [row.name, str(connections), *(_rate(door) for door in doors)]
    ratios = [_ratio(door, official) for door in ours]
    cells += ["–" if ratio is None else f"{ratio:.2f}" for ratio in ratios]
    met = " / ".join(_yes(None if ratio is None else ratio >= row.target) for ratio in ratios)
    if row.tail and connections == max(row.connections):
        met += "; p99 " + " / ".join(_yes(_tail_is_no_longer(door, official)) for door in ours)
    cells += [f"{row.target:g}", met]
    cells += [
        _each(doors, lambda door: door.latency_ms(50)),
        _each(doors, lambda door: door.latency_ms(99)),
        _each(doors, lambda door: door.length / 1000),
    ]
    return "| " + " | ".join(cells) + " |"


def _rate(door: Door) -> str:
    if not door.answers:
        return f"not there ({door.status})"
    return _digits(door.per_second) + (f", {door.broken} broken off" if door.broken else "")


def _ratio(door: Door, official: Door) -> float | None:
    if not (door.answers and official.answers):
        return None
    return door.per_second / official.per_second


def _tail_is_no_longer(door: Door, official: Door) -> bool | None:
    if not (door.answers and official.answers):
        return None
    return door.latency_ms(99) <= official.latency_ms(99)


def _each(doors: Sequence[Door], value: Callable[[Door], float]) -> str:
    return " / ".join(_digits(value(door)) if door.answers else "–" for door in doors)


def _yes(met: bool | None) -> str:
    return "–" if met is None else "yes" if met else "no"


def _digits(value: float) -> str:
    """Three of them."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _speed(options: argparse.Namespace, work: Path) -> None:
    files = list(slices(options.slices))
    run_file, frames = run(work)
    print("| " + " | ".join(_HEADS) + " |\n|---|" + "---:|" * (len(_HEADS) - 1), flush=True)
    for megabytes, rows in (
        (_PLENTY_MEGABYTES, from_memory(files, frames)),
        (_LITTLE_MEGABYTES, from_store(files, frames)),
    ):
        chosen = [row for row in rows if re.search(options.only, row.name)]
        if not chosen:
            continue
        with gateway_with_both(work / f"{megabytes}", megabytes) as gateway:
            for file in (*files, run_file):
                gateway.store(file)
            bench = Bench(doors_of(gateway), options.rounds, options.seconds)
            for row in chosen:
                bench.row(row)


def _memory(options: argparse.Namespace, work: Path) -> None:
    """In processes whose own memory tier is small: what is more is the answer's."""
    storage = work / "memory" / "storage"
    with gateway_with_both(work / "memory", _LITTLE_MEGABYTES) as gateway:
        for file in slices(options.slices):
            gateway.store(file)
        large = store_large_study(gateway) if options.large else 0
    print(f"\n{HEADS}\n|---|---:|---|" + "---:|" * 4, flush=True)
    asked = [(f"series of {options.slices}", SERIES)]
    if large:
        asked.append((f"study of {large}", large_path()))
    for name, path in asked:
        memory_of(name, path, f"{SERIES}/metadata", storage, work, _LITTLE_MEGABYTES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one measurement, about")
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--only", help="rows whose name matches this; no memory", default="")
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        _speed(options, Path(directory))
    if not options.only:
        with tempfile.TemporaryDirectory() as directory:
            _memory(options, Path(directory))


if __name__ == "__main__":
    main()
