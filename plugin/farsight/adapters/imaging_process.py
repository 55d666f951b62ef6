"""One process that decodes and draws, seen from the side that asks it: pipes, deadline, end."""

from __future__ import annotations

import fcntl
import logging
import math
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from farsight.imaging import worker as wire
from farsight.imaging.jobs import Job

LOG = logging.getLogger("farsight.imaging")
_PIPE_BYTES = 1 << 20
_LARGEST_ANSWER = 2 << 30
#: What a worker is told of this process's environment. In the rest there may be passwords.
_TOLD = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONHOME")


class ImagingProcess:
    """Asked by one thread at a time; any other may end it meanwhile. What is ended stays so."""

    def __init__(self, max_bytes: int, start_s: float, job_s: float) -> None:
        """Starts it; `wait_until_ready` comes next. Raises: OSError where it can't be started."""
        self._lock = threading.Lock()
        self._deadline = time.monotonic() + start_s
        self._rests = self._ended = self._overdue = False
        # In seconds of the processor: as a rule the deadline comes first.
        seconds = str(2 * math.ceil(job_s) + 1)
        command = [python_executable(), "-m", wire.__name__, str(max_bytes), seconds]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=_environment(),
            start_new_session=True,
        )
        try:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._in = self._process.stdin.fileno()
            self._out = self._process.stdout.fileno()
            _widen(self._in, self._out)
        except BaseException:
            self.kill()
            raise

    def wait_until_ready(self) -> None:
        """Raises: OSError, ValueError where it ends, or says something else."""
        if self._read_answer() != (wire.DONE, []):
            raise ValueError("no greeting")
        self._rest()

    def ask(
        self, job: Job, frames: Sequence[bytes | memoryview], deadline: float
    ) -> tuple[int, list[bytes]]:
        """Raises: OSError, ValueError where the worker doesn't answer; it isn't usable then."""
        with self._lock:
            self._rests = False
            self._deadline = deadline
        pickled = pickle.dumps(job, pickle.HIGHEST_PROTOCOL)
        head = wire.HEAD.pack(len(pickled), len(frames))
        sizes = b"".join(wire.SIZE.pack(len(frame)) for frame in frames)
        _write(self._in, head + sizes + pickled)
        for frame in frames:
            _write(self._in, frame)
        answer = self._read_answer()
        self._rest()
        return answer

    @property
    def usable(self) -> bool:
        """Whether it has nothing to do and nobody ends it."""
        with self._lock:
            return self._rests and not self._ended

    @property
    def overdue(self) -> bool:
        return self._overdue

    def expire(self, now: float) -> bool:
        """Whether it is late at `now` (monotonic): from then on it is never usable again.

        Done with the lock: a job that is just ready is either late, and the last, or in time.
        """
        with self._lock:
            if self._ended or self._deadline >= now:
                return False
            self._overdue = self._ended = True
            return True

    def lives(self) -> bool:
        return self._process.poll() is None

    def exit_code(self) -> int | None:
        try:
            return self._process.wait(1)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        with self._lock:
            self._ended = True
        self._process.kill()
        self._process.wait()

    def _rest(self) -> None:
        with self._lock:
            self._deadline = float("inf")
            self._rests = True

    def _read_answer(self) -> tuple[int, list[bytes]]:
        outcome, count = wire.ANSWER.unpack(_read(self._out, wire.ANSWER.size))
        if count > 1 << 20:
            raise ValueError("no answer")
        raw = _read(self._out, count * wire.SIZE.size)
        sizes = [size for (size,) in wire.SIZE.iter_unpack(raw)]
        if sum(sizes) > _LARGEST_ANSWER:
            raise ValueError("no answer")
        return outcome, [_read(self._out, size) for size in sizes]


def _widen(*pipes: int) -> None:
    """Fewer turns per frame; where the system allows less (pipe-max-size), they stay narrow."""
    for pipe in pipes:
        try:
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        except OSError as error:
            LOG.debug("the pipes of an imaging worker stay narrow: %s", error.strerror)


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
        **{name: os.environ[name] for name in _TOLD if name in os.environ},
        "PYTHONPATH": os.pathsep.join((here, *(path for path in sys.path if path))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
