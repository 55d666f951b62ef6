"""How much memory Orthanc's process needs for one long answer, door by door."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.http_load import Load, measure
from benchmarks.retrieve import resident
from benchmarks.serving_doors import doors_of, gateway_with_both
from benchmarks.serving_objects import slices
from benchmarks.serving_rows import DICOM, JSON

from orthanc_process import OrthancProcess
from sample_files import instance_uid, study_uid

HEADS = "| one answer | MB | by | s | resident before MB | at most MB | more MB |"
LARGE_STUDY = 2
_LARGE_SERIES, _PER_SERIES = 4, 960
_TO_PEAK = "5"  # resets VmHWM, see proc(5) on clear_refs


def store_large_study(gateway: OrthancProcess) -> int:
    """2 GB of CT slices; how many."""
    count = 0
    for file in _large_study():
        gateway.store(file)
        count += 1
    return count


def _large_study() -> Iterator[bytes]:
    """The slices of a series differ in their UIDs only, which all have one length."""
    for series in range(1, _LARGE_SERIES + 1):
        first = next(slices(1, series=series, study=LARGE_STUDY))
        old = instance_uid(1001, series, LARGE_STUDY).encode()
        for number in range(1001, 1001 + _PER_SERIES):
            yield first.replace(old, instance_uid(number, series, LARGE_STUDY).encode())


def memory_of(name: str, path: str, small: str, storage: Path, work: Path, megabytes: int) -> None:
    """One line per door, of a fresh process each that has answered something short before.

    `path`: of the long answer, `small`: of a short one, both below the root.
    """
    for number in range(3):
        with gateway_with_both(work / f"{len(path)}-{number}", megabytes, storage) as gateway:
            door = doors_of(gateway)[number]
            measure(Load(door.port, (door.root + small,), {"Accept": JSON}, 1, 2))
            before = resident(gateway.pid, "VmRSS")
            Path(f"/proc/{gateway.pid}/clear_refs").write_text(_TO_PEAK)
            found = measure(Load(door.port, (door.root + path,), {"Accept": DICOM}, 1, 1))
            peak = resident(gateway.pid, "VmHWM")
            ((status, length),) = found.answers or [(0, 0)]
            if status != 200:
                raise RuntimeError(f"{door.name}: {path}: {status}")
        cells = (name, f"{length / 1e6:.0f}", door.name, f"{found.elapsed_s:.2f}")
        sizes = (f"{size:.0f}" for size in (before, peak, peak - before))
        print("| " + " | ".join((*cells, *sizes)) + " |", flush=True)


def large_path() -> str:
    """Of the large study, below the root."""
    return f"studies/{study_uid(LARGE_STUDY)}"
