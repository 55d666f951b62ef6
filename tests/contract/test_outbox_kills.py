"""kill -9 at any moment, and a disk without room: what was told to be done is there."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from farsight.adapters.sqlite_outbox import SqliteOutbox
from farsight.ports.outbox import Stage

KILLS = 30
SCRIBE = Path(__file__).with_name("outbox_scribe.py")
#: What may follow a step that was told, where the next one was cut off before it was told.
NEXT = {
    "announced": {"waiting"},
    "waiting": {"sent"},
    "sent": {"dead", "waiting"},
    "going": {"gone"},
}


def _scribe(path: Path, seed: int, most_bytes: int = 0) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, SCRIBE, path, str(seed), str(most_bytes)],
        stdout=subprocess.PIPE,
        bufsize=0,  # what was read ahead of the first line would be lost to communicate()
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def _told(output: bytes) -> tuple[dict[int, str], list[str]]:
    """The last step told of each parcel, and the errors."""
    last: dict[int, str] = {}
    errors: list[str] = []
    for line in output.split(b"\n")[:-1]:  # the last one may be cut off
        step, numbers = json.loads(line)
        if step.startswith("error"):
            errors.append(step)
        last.update(dict.fromkeys(numbers, step))
    return last, errors


def _found(path: Path) -> dict[int, str]:
    outbox = SqliteOutbox(path)
    try:
        return {
            parcel.number: str(parcel.stage)
            for stage in Stage
            for parcel in outbox.parcels(stage, most=1_000_000)
        }
    finally:
        outbox.close()


def _compare(last: dict[int, str], found: dict[int, str]) -> None:
    for number, step in last.items():
        stage = found.get(number, "gone")
        told = "sent" if step == "going" else step
        assert stage == told or stage in NEXT.get(step, ()), f"{number}: {step}, found {stage}"
    untold = set(found) - set(last)
    assert {found[number] for number in untold} <= {"announced"}, "nobody was told of them"


def test_killed_at_random_moments(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    chance = random.Random(6)
    last: dict[int, str] = {}
    for seed in range(1, KILLS + 1):
        process = _scribe(path, seed)
        assert process.stdout is not None
        opened = process.stdout.readline()
        time.sleep(chance.uniform(0, 0.15))
        process.kill()
        rest, _ = process.communicate(timeout=30)
        assert json.loads(opened)[0] == "open"
        told, errors = _told(rest)
        assert errors == []
        last.update(told)
        _compare(last, _found(path))
    assert len(last) > KILLS


def test_without_room_nothing_is_half_written(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    process = _scribe(path, 1, most_bytes=600_000)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    last, errors = _told(output)
    assert len(errors) == 1
    assert str(path) in errors[0]
    _compare(last, _found(path))
    counts: dict[int, set[str]] = {}
    outbox = SqliteOutbox(path)
    for stage in Stage:
        for parcel in outbox.parcels(stage, most=1_000_000):
            round_ = int(parcel.what.ref.sop_instance_uid.split(".")[1])
            counts.setdefault(round_, set()).add(f"{stage}")
    assert all(len(stages) == 1 for stages in counts.values()), "each round in one stage, or none"
    numbers = outbox.announce([])
    assert numbers == []
    outbox.close()
