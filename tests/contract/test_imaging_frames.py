"""How frames get to a worker: in memory it shares, or through its pipe, and never another's."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from farsight.adapters import imaging_process
from farsight.adapters.imaging_workers import ImagingWorkers
from farsight.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from farsight.errors import MalformedDicom
from farsight.imaging.jobs import TranscodeJob
from farsight.imaging.picture import Picture, PixelFormat
from farsight.imaging.syntaxes import JPEG_LS
from tests.contract.test_imaging_workers import ICON, LIMIT, children

TRAY = imaging_process._TRAY_BYTES


@pytest.fixture
def workers() -> Iterator[ImagingWorkers]:
    made = ImagingWorkers(1, LIMIT, 20)
    yield made
    made.close()


def job(rows: int, columns: int) -> TranscodeJob:
    pixels = PixelFormat(rows, columns, 1, "MONOCHROME2", 8, 8, high_bit=7)
    return TranscodeJob(Picture(EXPLICIT_VR_LITTLE_ENDIAN, pixels), EXPLICIT_VR_LITTLE_ENDIAN)


def noise(seed: int, size: int) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8).tobytes()


@pytest.mark.parametrize("columns", [TRAY // 1024 - 1, TRAY // 1024, TRAY // 1024 + 1])
def test_one_frame_around_what_the_tray_holds(workers: ImagingWorkers, columns: int) -> None:
    """The next job's frame is smaller, and none of the bytes before is in it."""
    for seed, width in ((1, columns), (2, 16), (3, columns)):
        sent = noise(seed, 1024 * width)
        assert workers.run(job(1024, width), (sent,))[1] == sent


@pytest.mark.parametrize("count", [2, 7, 300, 1500])
def test_frames_one_after_another(workers: ImagingWorkers, count: int) -> None:
    sent = [noise(seed, 33 * 35) for seed in range(count)]
    assert workers.run(job(33, 35), sent)[1:] == sent


def test_frames_of_different_lengths(workers: ImagingWorkers) -> None:
    """Encoded ones are: each begins where the one before ends."""
    flat, busy = bytes(64 * 64), noise(1, 64 * 64)
    wanted = TranscodeJob(job(64, 64).picture, JPEG_LS)
    encoded = [workers.run(wanted, (one,))[1] for one in (flat, busy)]
    assert len(encoded[0]) < len(encoded[1])
    there = Picture(JPEG_LS, job(64, 64).picture.pixels)
    back = TranscodeJob(there, EXPLICIT_VR_LITTLE_ENDIAN)
    for order in ((0, 1, 0), (1, 0, 1)):
        told = workers.run(back, [encoded[at] for at in order])[1:]
        assert told == [(flat, busy)[at] for at in order]


def test_a_frame_that_is_too_short_ends_before_the_bytes_of_another(
    workers: ImagingWorkers,
) -> None:
    workers.run(job(64, 64), (noise(1, 64 * 64),))
    with pytest.raises(MalformedDicom):
        workers.run(job(64, 64), (noise(2, 64 * 64 - 2),))
    assert workers.run(job(64, 64), (noise(3, 64 * 64),))[1] == noise(3, 64 * 64)


def test_many_at_once_keep_their_own() -> None:
    workers = ImagingWorkers(3, LIMIT, 20)

    def one(seed: int) -> bool:
        sent = noise(seed, 128 * 128)
        return workers.run(job(128, 128), (sent,))[1] == sent

    try:
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(one, range(200)))
    finally:
        workers.close()


def test_without_shared_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(_name: str, _flags: int) -> int:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "memfd_create", refused)
    with caplog.at_level(logging.DEBUG, "farsight.imaging"):
        workers = ImagingWorkers(1, LIMIT, 20)
        try:
            sent = noise(1, 64 * 64)
            assert workers.run(job(64, 64), (sent,))[1] == sent
        finally:
            workers.close()
    assert (
        "frames go through the pipes of an imaging worker: Operation not permitted" in caplog.text
    )


def test_memory_that_cannot_be_written(
    workers: ImagingWorkers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The frame goes through the pipe, and nobody is blamed."""
    sent = noise(1, 64 * 64)
    assert workers.run(job(64, 64), (sent,))[1] == sent
    before = children()

    def refused(_descriptor: int, _frame: bytes, _place: int) -> int:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", refused)
        assert workers.run(job(64, 64), (sent,))[1] == sent
    assert "can't be written: Cannot allocate memory" in caplog.text
    assert workers.run(job(64, 64), (sent,))[1] == sent
    assert children() == before


def test_a_worker_cannot_make_its_memory_larger() -> None:
    """Who has the descriptor can have all that is written put behind what is there."""
    tray = imaging_process._tray()
    assert tray is not None
    fcntl.fcntl(tray, fcntl.F_SETFL, os.O_APPEND)
    with pytest.raises(PermissionError):
        os.pwrite(tray.fileno(), b"more", 0)
    for size in (0, 2 * TRAY):
        with pytest.raises(PermissionError):
            os.ftruncate(tray.fileno(), size)
    assert os.fstat(tray.fileno()).st_size == TRAY
    tray.close()


def test_a_worker_gives_its_memory_back() -> None:
    """Nothing is left open of workers that have ended, and none has the memory of another."""
    before = _open_files()
    workers = ImagingWorkers(2, LIMIT, 20)
    others = children()
    for _ in range(3):
        workers.run(ICON)
        (pid,) = children() - others
        assert len(_trays_of(pid)) == 1  # its own
        os.kill(pid, 9)
        deadline = time.monotonic() + 20
        while " Z " not in _stat(pid):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    workers.close()
    del workers
    deadline = time.monotonic() + 20  # whoever looks after them looks four times a second
    while _trays_of(os.getpid()) or _open_files() > before:
        assert time.monotonic() < deadline, _names_of(os.getpid())
        time.sleep(0.05)


def _stat(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return " Z "


def _trays_of(pid: int) -> list[str]:
    return [name for name in _names_of(pid) if "farsight-frames" in name]


def _names_of(pid: int) -> list[str]:
    names = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            names.append(os.readlink(entry))
        except OSError:
            continue  # closed meanwhile
    return names


def _open_files() -> int:
    return len(_names_of(os.getpid()))
