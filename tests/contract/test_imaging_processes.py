"""How worker processes start, what hinders that, and what they are given and denied."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from farsight.adapters.imaging_workers import ImagingWorkers
from farsight.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from farsight.errors import ImagingBusy
from farsight.imaging.jobs import ImageType, RenderJob, TranscodeJob
from farsight.imaging.picture import Picture
from farsight.imaging.syntaxes import ENCODABLE, can_encode
from farsight.imaging.worker import HEAD
from farsight.ps318.rendering_query import RenderingQuery
from tests.contract.test_imaging_workers import ICON, LIMIT, children, frame, picture


@pytest.fixture
def workers() -> Iterator[ImagingWorkers]:
    made = ImagingWorkers(2, LIMIT, 20)
    yield made
    made.close()


# ---- starts


def at_start(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    """Python runs this in every process that it starts, before anything else."""
    (folder / "sitecustomize.py").write_text(code, "utf-8")
    monkeypatch.syspath_prepend(folder)


def test_a_worker_that_hangs_at_its_start_is_ended_and_its_place_free(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = children()
    workers = ImagingWorkers(1, LIMIT, 20, start_s=12.0)
    try:
        with monkeypatch.context() as broken:
            at_start(broken, tmp_path, "import time; time.sleep(30)")
            with pytest.raises(ImagingBusy, match="ready after 12 s"):
                workers.run(ICON)
        assert children() == before
        assert workers.run(ICON)
    finally:
        workers.close()


def test_closing_ends_a_worker_that_hangs_at_its_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    at_start(monkeypatch, tmp_path, "import time; time.sleep(30)")
    before = children()
    workers = ImagingWorkers(1, LIMIT, 20)
    closing = threading.Timer(0.5, workers.close)
    closing.start()
    with pytest.raises(ImagingBusy, match="stopping"):
        workers.run(ICON)
    assert children() == before


@pytest.mark.parametrize(
    "greeting", [b"\0\xff\xff\xff\xff" + bytes(64), b"\5" + bytes(4), bytes(5)]
)
def test_a_wrong_greeting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, greeting: bytes) -> None:
    code = f"import os, time; os.write(1, {greeting!r} + bytes(64)); time.sleep(30)"
    at_start(monkeypatch, tmp_path, code)
    before = children()
    workers = ImagingWorkers(1, LIMIT, 20)
    try:
        with pytest.raises(ImagingBusy, match="doesn't start"):
            workers.run(ICON)
        assert children() == before
    finally:
        workers.close()


def test_pipes_that_stay_narrow(
    workers: ImagingWorkers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    really = fcntl.fcntl

    def without_right(descriptor: int, command: int, argument: int = 0) -> int:
        if command == fcntl.F_SETPIPE_SZ:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        return really(descriptor, command, argument)

    monkeypatch.setattr(fcntl, "fcntl", without_right)
    with caplog.at_level(logging.DEBUG, "farsight.imaging"):
        _, back = workers.run(TranscodeJob(picture(512), EXPLICIT_VR_LITTLE_ENDIAN), (frame(512),))
    assert back == frame(512)
    assert "Operation not permitted" in caplog.text


# ---- what a worker has


def test_a_worker_is_told_little(workers: ImagingWorkers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARSIGHT_PASSWORD", "a secret")
    before = children()
    workers.run(ICON)
    (worker,) = children() - before
    told = Path(f"/proc/{worker}/environ").read_bytes()
    assert b"OMP_NUM_THREADS=1" in told
    assert b"secret" not in told


def test_a_worker_can_do_little_and_its_work_still(workers: ImagingWorkers) -> None:
    before = children()
    workers.run(ICON)
    (worker,) = children() - before
    assert "NoNewPrivs:\t1" in Path(f"/proc/{worker}/status").read_text()
    assert resource.prlimit(worker, resource.RLIMIT_FSIZE) == (0, 0)
    assert resource.prlimit(worker, resource.RLIMIT_NPROC) == (0, 0)
    assert resource.prlimit(worker, resource.RLIMIT_NOFILE) <= (32, 32)
    syntaxes = [uid for uid in ENCODABLE if can_encode(picture().pixels, uid)]
    for uid in syntaxes:
        _, encoded = workers.run(TranscodeJob(picture(), uid), (frame(),))
        back = TranscodeJob(Picture(uid, picture().pixels), EXPLICIT_VR_LITTLE_ENDIAN)
        assert len(workers.run(back, (encoded,))[1]) == len(frame())
    for image_type in ImageType:
        captioned = RenderJob((picture(),), RenderingQuery(), image_type, captions=("Żółć",))
        assert workers.run(captioned, (frame(),))[0]
    assert children() - before == {worker}


def test_a_worker_without_an_orthanc_does_not_go_on_for_ever() -> None:
    """Nobody is left to end it: the kernel does."""
    program = (
        "import sys; sys.argv[1:] = ['2147483648', '1']\n"
        "from farsight.imaging import perform, worker\n"
        "def endless(job, frames):\n"
        "    while True: pass\n"
        "perform.perform = endless\n"
        "worker.main()\n"
    )
    path = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdin is not None
    pickled = pickle.dumps(ICON)
    process.stdin.write(HEAD.pack(len(pickled), 0, False) + pickled)
    process.stdin.flush()
    assert process.wait(60) == -signal.SIGXCPU
    process.communicate()
