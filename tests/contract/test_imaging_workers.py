"""The worker processes that decode and draw, with the things that happen to them."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from farsight.adapters.imaging_workers import ImagingWorkers
from farsight.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from farsight.errors import ImagingBusy, InvalidParameter, MalformedDicom
from farsight.imaging.jobs import IconJob, ImageType, RenderJob, TranscodeJob
from farsight.imaging.picture import Picture, PixelFormat
from farsight.imaging.syntaxes import JPEG_LS
from farsight.ps318.rendering_query import Region, RenderingQuery, Viewport

LIMIT = 2048 << 20
ICON = IconJob("SR", "Report", 64, 64, ImageType.PNG)


@pytest.fixture
def workers() -> Iterator[ImagingWorkers]:
    made = ImagingWorkers(2, LIMIT, 20)
    yield made
    made.close()


def picture(size: int = 64) -> Picture:
    pixels = PixelFormat(size, size, 1, "MONOCHROME2", 16, 12, high_bit=11)
    return Picture(EXPLICIT_VR_LITTLE_ENDIAN, pixels)


def frame(size: int = 64) -> bytes:
    values = np.random.default_rng(1).integers(0, 4096, (size, size))
    return values.astype("<u2").tobytes()


def children() -> set[int]:
    """The processes that this one started."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()}


def test_a_job_and_its_way_back(workers: ImagingWorkers) -> None:
    photometric, encoded = workers.run(TranscodeJob(picture(), JPEG_LS), (frame(),))
    assert photometric == b"MONOCHROME2"
    there = Picture(JPEG_LS, picture().pixels)
    _, back = workers.run(TranscodeJob(there, EXPLICIT_VR_LITTLE_ENDIAN), (encoded,))
    assert back == frame()


def test_views_are_taken_as_they_are(workers: ImagingWorkers) -> None:
    inside = memoryview(b"xx" + frame() + b"yy")[2:-2]
    _, back = workers.run(TranscodeJob(picture(), EXPLICIT_VR_LITTLE_ENDIAN), (inside,))
    assert back == frame()


def test_what_is_no_frame_is_an_error_and_the_worker_stays(workers: ImagingWorkers) -> None:
    workers.run(ICON)
    before = children()
    with pytest.raises(MalformedDicom):
        workers.run(TranscodeJob(Picture(JPEG_LS, picture().pixels), JPEG_LS), (b"nothing",))
    workers.run(ICON)
    assert children() == before


def test_a_region_outside_names_its_parameter(workers: ImagingWorkers) -> None:
    query = RenderingQuery(viewport=Viewport(10, 10, Region(64, 0, None, None)))
    with pytest.raises(InvalidParameter, match=r"viewport.*outside"):
        workers.run(RenderJob((picture(),), query, ImageType.PNG), (frame(),))


def test_a_worker_that_dies_is_replaced(workers: ImagingWorkers) -> None:
    before = children()
    workers.run(ICON)
    (worker,) = children() - before
    os.kill(worker, signal.SIGKILL)
    said = "it was found dead, and replaced"
    try:
        workers.run(ICON)
    except MalformedDicom as error:
        said = str(error)
    assert "found dead" in said or "fell over" in said
    assert workers.run(ICON)[0].startswith(b"\x89PNG")
    assert worker not in children()


def test_a_worker_that_hangs_is_ended() -> None:
    workers = ImagingWorkers(1, LIMIT, 1.0)
    try:
        before = children()
        workers.run(ICON)
        (worker,) = children() - before
        os.kill(worker, signal.SIGSTOP)
        with pytest.raises(MalformedDicom, match="longer than 1 s"):
            workers.run(ICON)
        assert worker not in children()
        assert workers.run(ICON)
    finally:
        workers.close()


def test_who_waits_too_long_for_a_worker_is_told() -> None:
    workers = ImagingWorkers(1, LIMIT, 2.0)
    try:
        before = children()
        workers.run(ICON)
        (worker,) = children() - before
        os.kill(worker, signal.SIGSTOP)
        with ThreadPoolExecutor(3) as threads:
            outcomes = [threads.submit(workers.run, ICON) for _ in range(3)]
            errors = [outcome.exception() for outcome in outcomes]
        assert any(isinstance(error, MalformedDicom) for error in errors)
        assert all(error is None or isinstance(error, MalformedDicom | ImagingBusy)
                   for error in errors)  # fmt: skip
    finally:
        workers.close()


def test_more_memory_than_allowed_is_an_error() -> None:
    workers = ImagingWorkers(1, 600 << 20, 20)
    try:
        size = 10_000
        pixels = PixelFormat(size, size, 1, "MONOCHROME2", 8, 8, high_bit=7)
        job = TranscodeJob(Picture(EXPLICIT_VR_LITTLE_ENDIAN, pixels), JPEG_LS)
        with pytest.raises(MalformedDicom):
            workers.run(job, (bytes(size * size),) * 6)
        assert workers.run(ICON)
    finally:
        workers.close()


def test_never_more_processes_than_allowed(workers: ImagingWorkers) -> None:
    before = children()
    most = 0
    with ThreadPoolExecutor(12) as threads:
        jobs = [threads.submit(workers.run, ICON) for _ in range(60)]
        while not all(job.done() for job in jobs):
            most = max(most, len(children() - before))
            time.sleep(0.005)
    assert all(job.result() for job in jobs)
    assert 1 <= most <= 2


def test_closing_ends_them_all_and_whoever_waits() -> None:
    before = children()
    workers = ImagingWorkers(1, LIMIT, 30)
    workers.run(ICON)
    (worker,) = children() - before
    os.kill(worker, signal.SIGSTOP)
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            workers.run(ICON)
        except ImagingBusy as error:
            raised.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.3)
    workers.close()
    asking.join(10)
    assert not asking.is_alive()
    assert len(raised) == 1
    assert children() == before


def test_a_worker_found_late_is_never_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its job ends after all, between the look at the deadline and the end of the process."""
    found_late, may_kill = threading.Event(), threading.Event()
    really = subprocess.Popen.kill

    def slowly(process: subprocess.Popen[bytes]) -> None:
        if threading.current_thread().name == "farsight-imaging":
            found_late.set()
            may_kill.wait(20)
        really(process)

    monkeypatch.setattr(subprocess.Popen, "kill", slowly)
    before = children()
    workers = ImagingWorkers(1, LIMIT, 1.0)
    try:
        workers.run(ICON)
        (worker,) = children() - before
        os.kill(worker, signal.SIGSTOP)
        with ThreadPoolExecutor(1) as threads:
            late = threads.submit(workers.run, ICON)
            assert found_late.wait(20)
            os.kill(worker, signal.SIGCONT)
            assert late.result()
        assert worker not in children()
        assert workers.run(ICON)
    finally:
        may_kill.set()
        workers.close()
