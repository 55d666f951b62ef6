"""Sending the parcels of one study to one PACS, and noting what became of each.

Laws: a parcel that the PACS refuses holds back those behind it until it is taken or given up.
Silence never counts: who doesn't answer, or has no room, is asked again for ever. What an answer
means is noted before the next parcel is sent, but for successes, which are noted together, soon:
a crash in between sends them once more, which does no harm.

A duplicate (0x0111) is no success: nothing tells whether the PACS has the same content. It is
one, of a doubtful kind, where this very parcel may have been taken before: its association broke
off, or the PACS took it and did not list it. What is doubtful stays data here: so does what the
PACS listed before it was sent for the first time (see first_look).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from farsight.dimse.status import describe_store, is_out_of_resources, is_stored
from farsight.errors import (
    FarsightError,
    ImagingBusy,
    MalformedDicom,
    NotFound,
    PacsError,
    PacsFailure,
    UnsupportedDicom,
)
from farsight.model import StoreReply
from farsight.ports.outbox import Outbox, Parcel
from farsight.ports.pacs import Outgoing, Pacs
from farsight.services.first_look import FirstLook
from farsight.services.forward_limits import ForwardLimits
from farsight.services.forward_statistics import ForwardStatistics

LOG = logging.getLogger("farsight.forward")

_LISTED_BEFORE = "the PACS listed one of this name before it was sent"
#: Begins the error of a parcel that was taken once and isn't kept.
NOT_KEPT = "accepted, but "
_DUPLICATE = 0x0111
_ELEMENTS_DISCARDED = 0xB006
#: Successes are noted at the latest after so long.
_NOTED_AFTER_S = 1.0
_HOPELESS = (MalformedDicom, UnsupportedDicom)


@dataclass(frozen=True, slots=True)
class Silence:
    """No more could be sent, and nobody refused anything. parcel: what it ended at."""

    parcel: Parcel
    why: FarsightError


class Dispatch:
    """To one PACS, by one thread."""

    def __init__(
        self,
        outbox: Outbox,
        pacs: Pacs,
        outgoing: Callable[[Parcel], Outgoing],
        limits: ForwardLimits,
        statistics: ForwardStatistics,
        now: Callable[[], float],
        is_over: Callable[[], bool],
    ) -> None:
        """`now`: seconds since the epoch. `is_over`: no more is to be sent."""
        self._outbox = outbox
        self._pacs = pacs
        self._outgoing = outgoing
        self._limits = limits
        self._statistics = statistics
        self._now = now
        self._is_over = is_over
        self._first_look = FirstLook(outbox, pacs, now)
        self._cut_off: set[int] = set()
        self._batch = _Batch()
        self.last_error = ""

    @property
    def under_way(self) -> Parcel | None:
        """What an error that came out of `send` is about, as far as can be told."""
        return self._batch.waiting[0] if self._batch.waiting else None

    def send(self, parcels: Sequence[Parcel]) -> Silence | None:
        """In their order, as far as it goes. Raises: OutboxError."""
        self._batch = _Batch(deque(parcels), noted_at=self._now())
        instances = self._prepared()
        try:
            if instances:
                self._look(len(instances))
        except PacsError as error:
            return self._unasked(error)
        try:
            if instances:
                self._pacs.store(instances, self._delivered)
        except _EnoughSent:
            return None
        except PacsError as error:
            return self._ended(error)
        finally:
            self._note()
            self._forget()
        if len(parcels) - len(self._batch.waiting) < len(instances):
            return self._ended(PacsFailure(self._pacs.name, "left instances without an answer"))
        return None

    def refuse(self, parcel: Parcel, why: str) -> bool:
        """An attempt failed that counts; whether it was the last. Raises: OutboxError."""
        failures = parcel.attempts + 1
        if failures >= self._limits.attempts:
            self._bury(parcel, why)
            return True
        self.last_error = why
        until = self._now() + self._limits.backoff_s(failures)
        self._outbox.failed([parcel.number], why, until)
        LOG.warning("%s to %s: %s", parcel.what.ref.sop_instance_uid, self._pacs.name, why)
        return False

    def _prepared(self) -> list[Outgoing]:
        """Up to the first that can't be had; that one is settled if it is the first of all."""
        instances: list[Outgoing] = []
        for parcel in list(self._batch.waiting):
            try:
                instances.append(self._outgoing(parcel))
            except FarsightError as error:
                if not instances:
                    with suppress(_EnoughSent):
                        self._unsendable(parcel, error)
                break
        return instances

    def _look(self, count: int) -> None:
        """What the PACS has of the names of the first so many. Raises: PacsError, OutboxError."""
        waiting = list(self._batch.waiting)
        self._batch.waiting = deque(self._first_look.look(waiting[:count]) + waiting[count:])

    def _unasked(self, error: PacsError) -> Silence:
        self._statistics.failed(self._pacs.name, type(error).__name__)
        self.last_error = str(error)
        return Silence(self._batch.waiting[0], error)

    def _forget(self) -> None:
        """What was known of those not tried. Raises: OutboxError."""
        waiting = list(self._batch.waiting)
        self._first_look.forget(waiting if self._is_over() else waiting[1:])

    def _delivered(self, _outgoing: Outgoing, outcome: StoreReply | FarsightError) -> None:
        parcel = self._batch.waiting[0]
        if isinstance(outcome, FarsightError):
            self._unsendable(parcel, outcome)
        else:
            self._answered(parcel, outcome)
        self._batch.waiting.popleft()
        self._cut_off.discard(parcel.number)
        if parcel.number in self._batch.taken:
            self._first_look.settled(parcel)
        if self._now() - self._batch.noted_at >= _NOTED_AFTER_S:
            self._note()
        if self._is_over():
            raise _EnoughSent

    def _unsendable(self, parcel: Parcel, error: FarsightError) -> None:
        """It couldn't be had here, or not in any encoding the PACS takes."""
        self._statistics.failed(self._pacs.name, type(error).__name__)
        if isinstance(error, NotFound):
            self._bury(parcel, "not stored here any more")
        elif isinstance(error, _HOPELESS):
            self._bury(parcel, f"can't be sent: {error}")
        elif isinstance(error, ImagingBusy):
            until = self._now() + self._limits.retry_s
            self._outbox.failed([parcel.number], str(error), until, counts=False)
            raise _EnoughSent
        elif not self.refuse(parcel, f"can't be read: {error}"):
            raise _EnoughSent

    def _answered(self, parcel: Parcel, reply: StoreReply) -> None:
        status = reply.dimse_status
        words = f"{describe_store(status)} (0x{status:04X})"
        if reply.transfer_syntax_uid == "":
            words = f"no presentation context accepted for its SOP class and encoding; {words}"
        if is_stored(status):
            if status:
                LOG.warning(
                    "%s took %s: %s", self._pacs.name, parcel.what.ref.sop_instance_uid, words
                )
            remark = _LISTED_BEFORE if parcel.listed_before else ""
            self._batch.taken[parcel.number] = words if status == _ELEMENTS_DISCARDED else remark
            return
        if is_out_of_resources(status):
            raise PacsFailure(self._pacs.name, f"C-STORE: {describe_store(status)}", status)
        self._statistics.failed(self._pacs.name, f"0x{status:04X}")
        if status == _DUPLICATE and (reply.was_resent or self._may_be_there(parcel)):
            self._batch.taken[parcel.number] = f"taken, most likely, in an earlier attempt: {words}"
        elif not self.refuse(parcel, words):
            raise _EnoughSent

    def _may_be_there(self, parcel: Parcel) -> bool:
        return parcel.number in self._cut_off or parcel.error.startswith(NOT_KEPT)

    def _ended(self, error: PacsError) -> Silence | None:
        parcel = self.under_way
        if parcel is None:  # all were delivered before it failed
            return None
        if error.dimse_status is None:
            self._cut_off.add(parcel.number)
            self._statistics.failed(self._pacs.name, type(error).__name__)
        else:
            self._statistics.failed(self._pacs.name, f"0x{error.dimse_status:04X}")
        self.last_error = str(error)
        return Silence(parcel, error)

    def _bury(self, parcel: Parcel, why: str) -> None:
        self.last_error = why
        self._outbox.bury([parcel.number], why)
        self._cut_off.discard(parcel.number)
        self._first_look.settled(parcel)
        self._statistics.died(self._pacs.name)
        uid = parcel.what.ref.sop_instance_uid
        LOG.error("given up sending %s to %s: %s", uid, self._pacs.name, why)

    def _note(self) -> None:
        """The successes; once more where noting them failed."""
        taken = self._batch.taken
        self._batch.noted_at = self._now()
        if not taken:
            return
        until = self._now() + self._limits.confirm_after_s
        plain = [number for number, remark in taken.items() if not remark]
        if plain:
            self._outbox.sent(plain, until)
        for number, remark in taken.items():
            if remark:
                self._outbox.sent([number], until, remark)
        self._statistics.sent(self._pacs.name, len(taken))
        taken.clear()


@dataclass(slots=True)
class _Batch:
    """waiting: not settled yet, in order. taken: number -> what is doubtful about it, or ""."""

    waiting: deque[Parcel] = field(default_factory=deque)
    taken: dict[int, str] = field(default_factory=dict)
    noted_at: float = 0.0


class _EnoughSent(FarsightError):
    """What is left of the batch stays where it is."""
