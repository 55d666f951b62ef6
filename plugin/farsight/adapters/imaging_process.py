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
from io import FileIO
from pathlib import Path

from farsight.imaging import worker as wire
from farsight.imaging.jobs import Job

LOG = logging.getLogger("farsight.imaging")
_PIPE_BYTES = 1 << 20
_LARGEST_ANSWER = 2 << 30
#: An image of 1024 x 1448 in 16 bits; what is larger takes long enough to be drawn.
_TRAY_BYTES = 4 << 20
_SEALS = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
#: Most answers come in one turn.
_AT_ONCE = 64 << 10
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
        self._tray = _tray()
        shared = () if self._tray is None else (self._tray.fileno(),)
        self._process = subprocess.Popen(
            [*command, *map(str, shared)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=_environment(),
            start_new_session=True,
            pass_fds=shared,
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
        in_tray = self._place(frames)
        head = wire.HEAD.pack(len(pickled), len(frames), in_tray)
        sizes = b"".join(wire.SIZE.pack(len(frame)) for frame in frames)
        _write(self._in, head + sizes + pickled)
        for frame in () if in_tray else frames:
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

    def _place(self, frames: Sequence[bytes | memoryview]) -> bool:
        """Into the tray, where they fit. Nothing of the job before is read there any more."""
        if self._tray is None or sum(map(len, frames)) > _TRAY_BYTES:
            return False
        place = 0
        try:
            for frame in frames:
                if os.pwrite(self._tray.fileno(), frame, place) != len(frame):
                    return False
                place += len(frame)
        except OSError as error:
            LOG.warning("the memory of an imaging worker can't be written: %s", error.strerror)
            return False
        return True

    def _read_answer(self) -> tuple[int, list[bytes]]:
        incoming = _Incoming(self._out)
        outcome, count = wire.ANSWER.unpack(incoming.take(wire.ANSWER.size))
        if count > 1 << 20:
            raise ValueError("no answer")
        raw = incoming.take(count * wire.SIZE.size)
        sizes = [size for (size,) in wire.SIZE.iter_unpack(raw)]
        if sum(sizes) > _LARGEST_ANSWER:
            raise ValueError("no answer")
        blocks = [incoming.take(size) for size in sizes]
        if incoming.has_more:
            raise ValueError("more than an answer")
        return outcome, blocks


def _tray() -> FileIO | None:
    """Memory that the worker maps. It is written to by calls, never mapped here, and sealed: the
    worker can't make it larger or smaller, whatever it does to it."""
    try:
        file = FileIO(
            os.memfd_create("farsight-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "r+"
        )
        file.truncate(_TRAY_BYTES)
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
        return file
    except OSError as error:
        LOG.debug("frames go through the pipes of an imaging worker: %s", error.strerror)
        return None


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


class _Incoming:
    """What comes through a pipe, in as few turns as it can: each may have to wait for its turn."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._at_hand = b""

    @property
    def has_more(self) -> bool:
        return bool(self._at_hand)

    def take(self, size: int) -> bytes:
        """Raises: OSError where it ends before."""
        pieces, have = [self._at_hand], len(self._at_hand)
        while have < size:
            most = max(_AT_ONCE, min(size - have, _PIPE_BYTES))
            piece = os.read(self._descriptor, most)
            if not piece:
                raise OSError("the worker has gone")
            pieces.append(piece)
            have += len(piece)
        whole = b"".join(pieces)
        self._at_hand = whole[size:]
        return whole[:size]


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
