"""Worker processes that decode and draw: hostile pixels take down one of them, never Orthanc.

Laws: a job has one worker, and a worker one job; a worker that dies, hangs or says anything that
isn't an answer is replaced; no more memory and time than is allowed; nothing that a worker sends
is more than bytes; when Orthanc goes, their input ends and they go.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from farsight.adapters.imaging_process import ImagingProcess
from farsight.errors import (
    DecoderLost,
    FarsightError,
    ImagingBusy,
    InvalidParameter,
    MalformedDicom,
    UnsupportedDicom,
)
from farsight.imaging import worker as wire
from farsight.imaging.jobs import Job, RenderJob
from farsight.ps318.rendering_query import RenderingQuery

LOG = logging.getLogger("farsight.imaging")
_START_S = 30.0
_LOOK_EVERY_S = 0.25


class ImagingWorkers:
    """The Imaging port. Thread-safe; processes start as they are needed, and stay."""

    def __init__(
        self, most: int, max_bytes: int, timeout_s: float, start_s: float = _START_S
    ) -> None:
        """most: processes. max_bytes: of address space, each. timeout_s: for one job.

        start_s: until a process is ready; what hangs before that is ended.
        """
        self._most = most
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._start_s = start_s
        self._changed = threading.Condition()
        self._idle: list[ImagingProcess] = []
        self._all: set[ImagingProcess] = set()
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

    def _take(self) -> ImagingProcess:
        deadline = time.monotonic() + self._timeout_s
        with self._changed:
            while (rested := self._rested()) is None:
                self._check_open()
                if len(self._all) + self._starting < self._most:
                    self._starting += 1
                    break
                if not self._changed.wait(deadline - time.monotonic()):
                    raise ImagingBusy("every imaging worker is busy, try again later")
            else:
                return rested
        worker = self._new()
        try:
            self._make_ready(worker)
        except BaseException:
            self._give_back(worker)
            raise
        return worker

    def _new(self) -> ImagingProcess:
        """In the place that `_starting` holds, and seen by `_watch` and `close` from now on."""
        try:
            worker = ImagingProcess(self._max_bytes, self._start_s, self._timeout_s)
            with self._changed:
                self._all.add(worker)
            return worker
        except OSError as error:
            raise ImagingBusy("no imaging worker can be started") from error
        finally:
            with self._changed:
                self._starting -= 1
                self._changed.notify()

    def _make_ready(self, worker: ImagingProcess) -> None:
        """Raises: ImagingBusy."""
        self._check_open()  # nobody has watched it where this was closed before it was seen
        try:
            worker.wait_until_ready()
        except (OSError, ValueError) as error:
            self._check_open()
            if worker.overdue:
                message = f"an imaging worker wasn't ready after {self._start_s:g} s"
            else:
                message = "an imaging worker doesn't start"
            LOG.warning("%s (%s)", message, error)
            raise ImagingBusy(message) from error
        self._check_open()

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise ImagingBusy("the server is stopping")

    def _rested(self) -> ImagingProcess | None:
        """One that has nothing to do; those that were killed meanwhile are left out."""
        while self._idle:
            worker = self._idle.pop()
            if worker.usable and worker.lives():
                return worker
            self._all.discard(worker)
        return None

    def _give_back(self, worker: ImagingProcess) -> None:
        if not worker.usable:
            worker.kill()  # before its place is free: there are never more than allowed
        with self._changed:
            if worker.usable and not self._closed.is_set():
                self._idle.append(worker)
            else:
                self._all.discard(worker)
                worker.kill()
            self._changed.notify()

    def _why_lost(self, worker: ImagingProcess) -> FarsightError:
        if self._closed.is_set():
            return ImagingBusy("the server is stopping")
        if worker.overdue:
            return DecoderLost(f"decoding the pixels took longer than {self._timeout_s:g} s")
        LOG.warning("an imaging worker ended over its job (%s)", worker.exit_code())
        return DecoderLost("the decoder fell over the pixels of this instance")

    def _watch(self) -> None:
        """Ends what takes too long."""
        while not self._closed.wait(_LOOK_EVERY_S):
            with self._changed:
                workers = list(self._all)
            for worker in workers:
                if worker.expire(time.monotonic()):
                    worker.kill()


def _error(job: Job, outcome: int, blocks: Sequence[bytes]) -> FarsightError:
    message = b"".join(blocks)[:500].decode("utf-8", "replace")
    if outcome == wire.OUTSIDE:
        return InvalidParameter(*_region_of(job), message)
    if outcome == wire.UNSUPPORTED:
        return UnsupportedDicom(message)
    if outcome == wire.BUG:
        LOG.error("imaging worker: %s", message)
        return MalformedDicom("the pixels of this instance can't be drawn")
    return MalformedDicom(message)


def _region_of(job: Job) -> tuple[str, str]:
    """The parameter that named a part of the image, and what it said."""
    query = job.query if isinstance(job, RenderJob) else RenderingQuery()
    if query.region is not None:
        edges = (query.region.left, query.region.top, query.region.right, query.region.bottom)
        return "region", ",".join(f"{edge:g}" for edge in edges)
    region = None if query.viewport is None else query.viewport.region
    return "viewport", "" if region is None else f"…,{region.left:g},{region.top:g},…"
