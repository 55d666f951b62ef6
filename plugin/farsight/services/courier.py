"""All that goes to one PACS: what to do next, and how long to leave a silent PACS alone.

Laws: silence pauses the destination, longer each time, never beyond the longest retry; it ends
nothing. The study it happened at goes behind the others, so that one instance over which a PACS
breaks off doesn't keep the rest; it goes further behind where others get through meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from farsight.errors import FarsightError, OutboxError, PacsTimeout, PacsUnavailable
from farsight.ports.commitment import Commitments
from farsight.ports.outbox import Parcel
from farsight.ports.pacs import Outgoing, Pacs
from farsight.services.claiming_outbox import ClaimingOutbox
from farsight.services.confirming import Confirming
from farsight.services.dispatch import Dispatch
from farsight.services.forward_limits import ConfirmBy, ForwardLimits
from farsight.services.forward_statistics import ForwardStatistics

LOG = logging.getLogger("farsight.forward")

#: Parcels that are taken out at once; their instances are read one by one.
_MOST_AT_ONCE = 100
#: While there is always something to send, what was sent is looked for so often.
_LOOK_EVERY_S = 60.0
_BEHIND_S = 1.0


@dataclass(frozen=True, slots=True)
class CourierTools:
    """What all couriers share. outgoing: the instance of a parcel. clock: seconds since the epoch.
    is_over: nothing more is to be sent."""

    outbox: ClaimingOutbox
    outgoing: Callable[[Parcel], Outgoing]
    commitments: Commitments | None
    limits: ForwardLimits
    statistics: ForwardStatistics
    clock: Callable[[], float]
    is_over: Callable[[], bool]


class Courier:
    """To one PACS; `work` by one thread at a time, the rest by any."""

    def __init__(self, pacs: Pacs, by: ConfirmBy, tools: CourierTools) -> None:
        self._pacs = pacs
        self._outbox = tools.outbox
        self._limits = tools.limits
        self._clock = tools.clock
        self._ahead_s = 0.0
        self._dispatch = Dispatch(
            tools.outbox,
            pacs,
            tools.outgoing,
            tools.limits,
            tools.statistics,
            self._now,
            tools.is_over,
        )
        self._confirming = Confirming(
            tools.outbox,
            pacs,
            self._dispatch,
            by,
            tools.commitments,
            tools.limits,
            tools.statistics,
            self._now,
        )
        self._pause_until = 0.0
        self._silences = 0
        self._held: dict[str, int] = {}
        self._looked_at = 0.0
        self._doing = "idle"
        self._is_sending = False
        self._last_error = ""

    @property
    def last_error(self) -> str:
        return self._last_error

    @property
    def state(self) -> str:
        """ "idle", "sending", "confirming", or "waiting until" a time in UTC (ISO 8601)."""
        until = self._pause_until
        if self._doing == "idle" and until > self._now():
            shown = datetime.fromtimestamp(until, UTC).isoformat(timespec="seconds")
            return f"waiting until {shown}"
        return self._doing

    def resume(self) -> None:
        """Somebody wants it tried now."""
        self._pause_until = 0.0
        self._silences = 0

    def work(self) -> float | None:
        """One piece of work. For how many seconds to wait then; None: until there is more.

        Raises: OutboxError, CacheBookError.
        """
        now = self._now()
        if 0 < self._pause_until - now <= self._limits.longest_retry_s:
            return self._pause_until - now
        self._dispatch.last_error = self._confirming.last_error = ""
        try:
            return self._piece(now)
        except (PacsUnavailable, PacsTimeout) as error:  # when asked what it keeps
            self._last_error = str(error)
            self._pause()
            return max(0.0, self._pause_until - self._now())
        finally:
            self._doing = "idle"

    def stumbled(self, error: Exception) -> float:
        """`work` came to an end that nobody foresaw, or for want of a place to note things down;
        for how many seconds to wait."""
        self._last_error = f"{type(error).__name__}: see the log"
        self._pause()
        parcel = self._dispatch.under_way if self._is_sending else None
        if parcel is not None and not isinstance(error, FarsightError):
            try:
                self._dispatch.refuse(parcel, f"could not be sent: {type(error).__name__}")
            except OutboxError as another:
                LOG.error("%s", another)
        return max(0.0, self._pause_until - self._now())

    def _now(self) -> float:
        return self._clock() + self._ahead_s

    def _piece(self, now: float) -> float | None:
        self._is_sending = False
        if now - self._looked_at < _LOOK_EVERY_S:
            parcels = self._outbox.due(self._pacs.name, now, _MOST_AT_ONCE)
            if parcels:
                self._send(parcels)
                return max(0.0, self._pause_until - self._now())
        self._looked_at = now
        self._doing = "confirming"
        if self._confirming.step():
            self._last_error = self._confirming.last_error or self._dispatch.last_error
            return 0.0
        return self._until_next()

    def _send(self, parcels: Sequence[Parcel]) -> None:
        self._doing = "sending"
        self._is_sending = True
        silence = self._dispatch.send(parcels)
        self._is_sending = False
        self._last_error = self._dispatch.last_error
        study = parcels[0].what.ref.study_instance_uid
        if silence is None or silence.parcel.number != parcels[0].number:  # somebody answered
            self._silences = 0
            self._held.pop(study, None)
        if silence is not None:
            LOG.warning("%s", silence.why)
            self._hold_back(silence.parcel, silence.why)

    def _hold_back(self, parcel: Parcel, why: FarsightError) -> None:
        self._pause()
        behind_s = _BEHIND_S
        if self._silences == 1:
            study = parcel.what.ref.study_instance_uid
            self._held[study] = self._held.get(study, 0) + 1
            behind_s += self._limits.backoff_s(self._held[study])
        until = self._pause_until + behind_s
        self._outbox.failed([parcel.number], str(why), until, counts=False)

    def _pause(self) -> None:
        self._silences += 1
        self._pause_until = self._now() + self._limits.backoff_s(self._silences)

    def _until_next(self) -> float | None:
        """How long nothing will be due; a clock that was set back is seen through."""
        waiting_at = self._outbox.next_due_at(self._pacs.name)
        if waiting_at is None:
            self._held.clear()
        times = [at for at in (waiting_at, self._confirming.next_at()) if at is not None]
        if not times:
            return None
        wait_s = max(0.0, min(times) - self._now())
        if wait_s > self._longest_wait_s:
            LOG.warning("the clock was set back by about %.0f s", wait_s)
            self._ahead_s += wait_s
            return 0.0
        return wait_s

    @property
    def _longest_wait_s(self) -> float:
        """Nothing is ever made to wait longer."""
        limits = self._limits
        return 2 * limits.longest_retry_s + limits.report_within_s + limits.confirm_after_s + 60.0
