"""Worker processes that decode and draw: hostile pixels take down one of them, never Orthanc.

Laws: a job has one worker, and a worker one job; a worker that dies, hangs or says anything that
isn't an answer is replaced; no more memory and time than is allowed; nothing that a worker sends
is more than bytes; when Orthanc goes, their input ends and they go.
"""

from __future__ import annotations

import fcntl
import logging
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from farsight.errors import (
    FarsightError,
    ImagingBusy,
    InvalidParameter,
    MalformedDicom,
    UnsupportedDicom,
)
from farsight.imaging import worker as wire
from farsight.imaging.jobs import Job, RenderJob

LOG = logging.getLogger("farsight.imaging")
_PIPE_BYTES = 1 << 20
_LARGEST_ANSWER = 2 << 30
_START_S = 30.0
_LOOK_EVERY_S = 0.25


class ImagingWorkers:
    """The Imaging port. Thread-safe; processes start as they are needed, and stay."""

    def __init__(self, most: int, max_bytes: int, timeout_s: float) -> None:
        """most: processes. max_bytes: of address space, each. timeout_s: for one job."""
        self._most = most
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._changed = threading.Condition()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._starting = 0
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="farsight-imaging", daemon=True).start()

    def warm_up(self) -> None:
        """Starts one worker, so that the first picture needn't wait for it. Blocks."""
        self._give_back(self._take())

    def run(self, job: Job, frames: Sequence[bytes | memoryview] = ()) -> Sequence[bytes]:
        """See ports.Imaging."""
        worker = self._take()
        try:
            outcome, blocks = worker.ask(job, frames, time.monotonic() + self._timeout_s)
        except (OSError, ValueError) as error:
            raise self._why_lost(worker) from error
        finally:
            self._give_back(worker)
        if outcome != wire.DONE:
            raise _error(job, outcome, blocks)
        return blocks

    def close(self) -> None:
        """Whoever waits gets ImagingBusy; processes under way are killed."""
        with self._changed:
            self._closed.set()
            workers = list(self._all)
            self._changed.notify_all()
        for worker in workers:
            worker.kill()

    # ---- workers

    def _take(self) -> _Worker:
        deadline = time.monotonic() + self._timeout_s
        with self._changed:
            while (rested := self._rested()) is None:
                if self._closed.is_set():
                    raise ImagingBusy("the server is stopping")
                if len(self._all) + self._starting < self._most:
                    self._starting += 1
                    break
                if not self._changed.wait(deadline - time.monotonic()):
                    raise ImagingBusy("every imaging worker is busy, try again later")
            else:
                return rested
        try:
            worker = _Worker(self._max_bytes)
        except OSError as error:
            raise ImagingBusy("no imaging worker can be started") from error
        finally:
            with self._changed:
                self._starting -= 1
                self._changed.notify()
        with self._changed:
            self._all.add(worker)
        return worker

    def _rested(self) -> _Worker | None:
        """One that has nothing to do; those that were killed meanwhile are left out."""
        while self._idle:
            worker = self._idle.pop()
            if worker.lives():
                return worker
            self._all.discard(worker)
        return None

    def _give_back(self, worker: _Worker) -> None:
        with self._changed:
            if worker.usable and not self._closed.is_set():
                self._idle.append(worker)
            else:
                self._all.discard(worker)
                worker.kill()
            self._changed.notify()

    def _why_lost(self, worker: _Worker) -> FarsightError:
        if self._closed.is_set():
            return ImagingBusy("the server is stopping")
        if worker.overdue:
            return MalformedDicom(f"decoding the pixels took longer than {self._timeout_s:g} s")
        LOG.warning("an imaging worker ended over its job (%s)", worker.exit_code())
        return MalformedDicom("the decoder fell over the pixels of this instance")

    def _watch(self) -> None:
        """Ends what takes too long."""
        while not self._closed.wait(_LOOK_EVERY_S):
            now = time.monotonic()
            with self._changed:
                late = [worker for worker in self._all if worker.deadline < now]
            for worker in late:
                worker.overdue = True
                worker.kill()


def _error(job: Job, outcome: int, blocks: Sequence[bytes]) -> FarsightError:
    message = b"".join(blocks)[:500].decode("utf-8", "replace")
    if outcome == wire.OUTSIDE:
        in_fractions = isinstance(job, RenderJob) and job.query.region is not None
        return InvalidParameter("region" if in_fractions else "viewport", "", message)
    if outcome == wire.UNSUPPORTED:
        return UnsupportedDicom(message)
    if outcome == wire.BUG:
        LOG.error("imaging worker: %s", message)
        return MalformedDicom("the pixels of this instance can't be drawn")
    return MalformedDicom(message)


class _Worker:
    """One process. deadline: when what it does has to be done; none while it does nothing."""

    def __init__(self, max_bytes: int) -> None:
        """Raises: OSError where it doesn't start."""
        self.deadline = time.monotonic() + _START_S
        self.overdue = False
        self.usable = False
        command = [python_executable(), "-m", wire.__name__, str(max_bytes)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=_environment(),
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in = self._process.stdin.fileno()
        self._out = self._process.stdout.fileno()
        for pipe in (self._in, self._out):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._read_answer()  # it says when it is ready
        self._rest()

    def ask(
        self, job: Job, frames: Sequence[bytes | memoryview], deadline: float
    ) -> tuple[int, list[bytes]]:
        """Raises: OSError, ValueError where the worker doesn't answer; it isn't usable then."""
        self.usable = False
        self.deadline = deadline
        pickled = pickle.dumps(job, pickle.HIGHEST_PROTOCOL)
        head = wire.HEAD.pack(len(pickled), len(frames))
        sizes = b"".join(wire.SIZE.pack(len(frame)) for frame in frames)
        _write(self._in, head + sizes + pickled)
        for frame in frames:
            _write(self._in, frame)
        answer = self._read_answer()
        self._rest()
        return answer

    def _rest(self) -> None:
        self.deadline = float("inf")
        self.usable = True

    def _read_answer(self) -> tuple[int, list[bytes]]:
        outcome, count = wire.ANSWER.unpack(_read(self._out, wire.ANSWER.size))
        if count > 1 << 20:
            raise ValueError("no answer")
        raw = _read(self._out, count * wire.SIZE.size)
        sizes = [size for (size,) in wire.SIZE.iter_unpack(raw)]
        if sum(sizes) > _LARGEST_ANSWER:
            raise ValueError("no answer")
        return outcome, [_read(self._out, size) for size in sizes]

    def lives(self) -> bool:
        return self._process.poll() is None

    def exit_code(self) -> int | None:
        try:
            return self._process.wait(1)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        self.usable = False
        self._process.kill()
        self._process.wait()


def _write(descriptor: int, block: bytes | memoryview) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]


def _read(descriptor: int, size: int) -> bytes:
    pieces: list[bytes] = []
    while size:
        piece = os.read(descriptor, min(size, _PIPE_BYTES))
        if not piece:
            raise OSError("the worker has gone")
        pieces.append(piece)
        size -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def python_executable() -> str:
    """The interpreter of the version this one is: inside Orthanc sys.executable is Orthanc.

    Raises: OSError where there is none.
    """
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    beside = Path(sys.base_exec_prefix) / "bin" / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise OSError(f"there is no {name} to run imaging workers with")
    return found


def _environment() -> dict[str, str]:
    """The modules this process has; one thread each, for there are as many workers as cores."""
    here = str(Path(__file__).parents[2])
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((here, *(path for path in sys.path if path))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
