"""Sending on what was stored here: one thread for each PACS, behind everything else.

Laws: what is promised is sent until its PACS is known to keep it, or given up where everybody can
see it; nothing is ever dropped in silence. Each instance is sent at least once: a crash may send
it again.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from farsight.errors import FarsightError, NotFound
from farsight.model import InstanceRef
from farsight.ports.archive import Archive
from farsight.ports.commitment import Commitments
from farsight.ports.outbox import Parcel, Stage
from farsight.ports.pacs import Outgoing, Pacs
from farsight.services.claiming_outbox import ClaimingOutbox
from farsight.services.courier import Courier, CourierTools
from farsight.services.forward_limits import ConfirmBy, ForwardLimits
from farsight.services.forward_statistics import ForwardStatistics

LOG = logging.getLogger("farsight.forward")

_NICE = 10
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class ForwardProgress:
    """How it stands with one PACS. oldest_entered_at: seconds since the epoch, of what the PACS
    isn't known to keep yet; None: there is nothing. state: see Courier.state."""

    destination: str
    state: str
    announced: int = 0
    waiting: int = 0
    sent: int = 0
    dead: int = 0
    oldest_entered_at: float | None = None
    last_error: str = ""


class Forwarder:
    """Thread-safe. `start` once; nothing is sent before."""

    def __init__(
        self,
        outbox: ClaimingOutbox,
        pacs: Mapping[str, Pacs],
        outgoing: Callable[[Parcel], Outgoing],
        *,
        commitments: Commitments | None = None,
        confirm_by: Mapping[str, ConfirmBy] | None = None,
        limits: ForwardLimits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Before anything is announced in this run. `pacs`: all that something may have to go to,
        by name; those not in `confirm_by` are AUTO. Raises: OutboxError."""
        self.limits = limits or ForwardLimits()
        self.statistics = ForwardStatistics()
        self._outbox = outbox
        self._clock = clock
        self._left_over = _all_in(outbox, Stage.ANNOUNCED)
        self._sent_before = _all_in(outbox, Stage.SENT)
        self._over = threading.Event()
        tools = CourierTools(
            outbox,
            outgoing,
            commitments,
            self.limits,
            self.statistics,
            clock,
            self._over.is_set,
        )
        by = confirm_by or {}
        self.couriers = {
            name: Courier(one, by.get(name, ConfirmBy.AUTO), tools) for name, one in pacs.items()
        }
        self._bells = {name: threading.Event() for name in pacs}
        self._threads = [
            threading.Thread(
                target=self._run, args=(name,), name=f"farsight-forward-{name}", daemon=True
            )
            for name in pacs
        ]
        outbox.when_promised(self.wake)

    def recover(self, archive: Archive) -> None:
        """What the last run announced and didn't come to: promised where it is stored, as it may
        have to be; withdrawn where not, as nobody was told that it is. What was asked about then
        is asked about again at once: no report on that would be known any more.

        Raises: OutboxError, ArchiveError.
        """
        stored: list[int] = []
        missing: list[int] = []
        for parcel in self._left_over:
            (stored if archive.holds(parcel.what.ref) else missing).append(parcel.number)
        if stored:
            self._outbox.promise(stored)
        if missing:
            self._outbox.withdraw(missing)
        if self._left_over:
            LOG.info(
                "left over by the last run: %d stored, to be sent; %d not stored, forgotten",
                len(stored),
                len(missing),
            )
        self._left_over = []
        remarks = {parcel.error for parcel in self._sent_before}
        for remark in remarks:
            numbers = [one.number for one in self._sent_before if one.error == remark]
            self._outbox.sent(numbers, self._clock(), remark)
        self._sent_before = []

    @property
    def left_over(self) -> Sequence[InstanceRef]:
        """What `recover` will be about."""
        return [parcel.what.ref for parcel in self._left_over]

    def start(self) -> None:
        for name in sorted(self._outbox.counts().keys() - self.couriers.keys()):
            LOG.warning("the outbox has instances for %r, which is no PACS any more", name)
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """There may be something to do."""
        for bell in self._bells.values():
            bell.set()

    def retry(self, numbers: Sequence[int]) -> int:
        """DEAD or WAITING ones are tried at once, and as if never before; how many there were.

        Raises: OutboxError.
        """
        count = self._outbox.retry(numbers)
        self._resume({parcel.what.destination for parcel in self._outbox.numbered(numbers)})
        return count

    def retry_dead(self, destination: str) -> int:
        """All that were given up for that PACS; how many.

        Raises: NotFound where it is none and there is nothing for it, OutboxError.
        """
        if destination not in self.couriers and destination not in self._outbox.counts():
            raise NotFound(f"nothing is sent on to {destination[:80]!r}")
        count, after = 0, 0
        while page := self._outbox.parcels(Stage.DEAD, destination, most=_PAGE, after=after):
            count += self._outbox.retry([parcel.number for parcel in page])
            after = page[-1].number
        self._resume({destination})
        return count

    def progress(self) -> Sequence[ForwardProgress]:
        """By name, also of what isn't a PACS any more. Raises: OutboxError."""
        counts = self._outbox.counts()
        return [
            self._progress(name, counts.get(name, {}))
            for name in sorted(self.couriers.keys() | counts.keys())
        ]

    def close(self, deadline_s: float) -> None:
        """Ends after the instances under way, or leaves them after so long, all together."""
        self._over.set()
        self.wake()
        until = time.monotonic() + deadline_s
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))

    def _progress(self, name: str, counts: Mapping[Stage, int]) -> ForwardProgress:
        courier = self.couriers.get(name)
        oldest = [
            parcel.entered_at
            for stage in (Stage.WAITING, Stage.SENT)
            for parcel in self._outbox.parcels(stage, name, most=1)
        ]
        return ForwardProgress(
            name,
            "no PACS any more" if courier is None else courier.state,
            counts.get(Stage.ANNOUNCED, 0),
            counts.get(Stage.WAITING, 0),
            counts.get(Stage.SENT, 0),
            counts.get(Stage.DEAD, 0),
            min(oldest, default=None),
            "" if courier is None else courier.last_error,
        )

    def _resume(self, destinations: set[str]) -> None:
        for name in destinations & self.couriers.keys():
            self.couriers[name].resume()
            self._bells[name].set()

    def _run(self, name: str) -> None:
        # Who waits for an answer goes first where both want the processor.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        courier, bell = self.couriers[name], self._bells[name]
        while not self._over.is_set():
            bell.clear()
            wait_s = self._worked(courier)
            if self._over.is_set():
                return
            longest_s = self.limits.longest_retry_s
            bell.wait(longest_s if wait_s is None else min(wait_s, longest_s))

    def _worked(self, courier: Courier) -> float | None:
        try:
            return courier.work()
        except FarsightError as error:
            LOG.error("sending on: %s", error)
            return courier.stumbled(error)
        except Exception as error:  # the edge of this thread: were it to end, all would wait
            LOG.exception("sending on")
            return courier.stumbled(error)


def _all_in(outbox: ClaimingOutbox, stage: Stage) -> list[Parcel]:
    found: list[Parcel] = []
    while page := outbox.parcels(stage, most=_PAGE, after=found[-1].number if found else 0):
        found += page
    return found
