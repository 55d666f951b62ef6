"""Making sure that a PACS keeps what it took: by Storage Commitment, or by what it lists.

Laws: only what the PACS commits to (PS3.4 J) or lists is confirmed. What it can't be asked about
stays SENT, and data here, for ever; what it says it doesn't have is sent again, and given up after
as many attempts as a refusal. A PACS that takes instances and no requests to commit itself goes on
getting them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from farsight.errors import (
    ArchiveError,
    NotFound,
    PacsError,
    PacsFailure,
    PacsRefusedService,
    PacsTimeout,
    PacsUnavailable,
)
from farsight.model import SeriesRef
from farsight.ports.commitment import CommitmentReport, Commitments
from farsight.ports.outbox import Parcel, Stage
from farsight.ports.pacs import Pacs
from farsight.services.claiming_outbox import ClaimingOutbox
from farsight.services.dispatch import NOT_KEPT, Dispatch
from farsight.services.first_look import listed_in
from farsight.services.forward_limits import ConfirmBy, ForwardLimits
from farsight.services.forward_statistics import ForwardStatistics

LOG = logging.getLogger("farsight.forward")

_MOST_AT_ONCE = 1000
_NO_SUCH_INSTANCE = 0x0112
#: A PACS that offers no commitment isn't asked for one again before.
_NOT_OFFERED_S = 3600.0


@dataclass(frozen=True, slots=True)
class _Asked:
    parcels: tuple[Parcel, ...]
    until: float


class Confirming:
    """With one PACS, by one thread."""

    def __init__(
        self,
        outbox: ClaimingOutbox,
        pacs: Pacs,
        dispatch: Dispatch,
        by: ConfirmBy,
        commitments: Commitments | None,
        limits: ForwardLimits,
        statistics: ForwardStatistics,
        now: Callable[[], float],
    ) -> None:
        """`dispatch`: counts what has to be sent again."""
        self._outbox = outbox
        self._pacs = pacs
        self._dispatch = dispatch
        self._by = by if commitments is not None else ConfirmBy.FIND
        self._commitments = commitments
        self._limits = limits
        self._statistics = statistics
        self._now = now
        self._asked: dict[str, _Asked] = {}
        self._tries: dict[int, int] = {}
        self._failures = 0
        self._find_until = 0.0
        self._rest_until = 0.0
        self.last_error = ""

    def step(self) -> bool:
        """One piece of it; whether there was any. Raises: PacsUnavailable, PacsTimeout,
        OutboxError, CacheBookError."""
        if self._hear_reports():
            return True
        if self._is_resting():
            return False
        parcels = self._outbox.unconfirmed(self._pacs.name, self._now(), _MOST_AT_ONCE)
        if not parcels:
            if self._outbox.next_due_at(self._pacs.name, Stage.SENT) is None:
                self._tries.clear()
            return False
        if self._by is ConfirmBy.FIND or self._now() < self._find_until:
            self._look(parcels)
        else:
            self._ask(parcels)
        return True

    def next_at(self) -> float | None:
        """When there may be something to do."""
        due_at = self._outbox.next_due_at(self._pacs.name, Stage.SENT)
        if due_at is not None and self._is_resting():
            due_at = max(due_at, self._rest_until)
        if not self._asked:
            return due_at
        again = self._now() + self._limits.confirm_after_s
        return again if due_at is None else min(due_at, again)

    # ---- Storage Commitment

    def _ask(self, parcels: Sequence[Parcel]) -> None:
        assert self._commitments is not None
        named = [(one.what.sop_class_uid, one.what.ref.sop_instance_uid) for one in parcels]
        try:
            transaction = self._commitments.request(self._pacs.name, named)
        except PacsRefusedService as error:
            if self._by is ConfirmBy.AUTO:
                self._find_until = self._now() + _NOT_OFFERED_S
                self._look(parcels)
            else:
                self._postpone(parcels, error)
        except (PacsUnavailable, PacsTimeout) as error:
            self._unasked(parcels, error)
        except PacsError as error:
            if self._by is ConfirmBy.AUTO:
                self._look(parcels)
            else:
                self._postpone(parcels, error)
        else:
            until = self._now() + self._limits.report_within_s
            self._wait(parcels, until)
            self._asked[transaction] = _Asked(tuple(parcels), until)

    def _unasked(self, parcels: Sequence[Parcel], error: PacsError) -> None:
        """The PACS is away, or doesn't take such requests from us: nobody can tell by this alone.

        Raises: PacsUnavailable, PacsTimeout where it doesn't answer otherwise either.
        """
        if self._by is not ConfirmBy.AUTO:
            self._postpone(parcels, error)
            self._rest_until = self._now() + self._limits.backoff_s(self._failures)
        elif self._look(parcels):
            LOG.warning("%s; it is asked what it lists", error)
            self._find_until = self._now() + _NOT_OFFERED_S

    def _is_resting(self) -> bool:
        """Never for longer than the longest retry, wherever the clock is set to."""
        return 0 < self._rest_until - self._now() <= self._limits.longest_retry_s

    def _hear_reports(self) -> bool:
        """Whether one came, or won't come any more."""
        for transaction, asked in list(self._asked.items()):
            assert self._commitments is not None
            report: CommitmentReport | None = None
            try:
                report = self._commitments.report(transaction)
            except ArchiveError as error:
                LOG.warning("%s: %s", self._pacs.name, error)
            except NotFound:
                del self._asked[transaction]
                why = PacsFailure(self._pacs.name, "the storage commitment asked for is forgotten")
                self._postpone(asked.parcels, why)
                return True
            if report is not None:
                del self._asked[transaction]
                self._reported(asked.parcels, report)
                return True
            if self._now() >= asked.until:
                del self._asked[transaction]
                self._unreported(asked.parcels)
                return True
        return False

    def _reported(self, parcels: Sequence[Parcel], report: CommitmentReport) -> None:
        """What it says nothing of is asked about again when its time has come."""
        self._failures = 0
        failed = [one for one in parcels if one.what.ref.sop_instance_uid in report.failed]
        kept = [one for one in parcels if one.what.ref.sop_instance_uid in report.committed]
        self._confirm([one for one in kept if one not in failed], committed=True)
        unsure = []
        for parcel in failed:
            reason = report.failed[parcel.what.ref.sop_instance_uid]
            if self._by is ConfirmBy.AUTO and reason != _NO_SUCH_INSTANCE:
                unsure.append(parcel)
            else:
                why = f"the PACS does not commit itself to keeping it (0x{reason:04X})"
                self._send_again(parcel, NOT_KEPT + why)
        if unsure:
            self._look(unsure)

    def _unreported(self, parcels: Sequence[Parcel]) -> None:
        why = PacsTimeout(self._pacs.name, "no report on a storage commitment")
        if self._by is ConfirmBy.AUTO:
            LOG.info("%s; asking what it lists", why)
            self._find_until = self._now() + _NOT_OFFERED_S
            self._look(parcels)
        else:
            self._postpone(parcels, why)

    # ---- C-FIND

    def _look(self, parcels: Sequence[Parcel]) -> bool:
        """One question for each series; whether it answered all."""
        answered = True
        of_series: dict[SeriesRef, list[Parcel]] = {}
        for parcel in parcels:
            of_series.setdefault(parcel.what.ref.series, []).append(parcel)
        for series, some in of_series.items():
            try:
                listed = listed_in(self._pacs, series)
            except (PacsUnavailable, PacsTimeout):
                raise
            except PacsError as error:
                self._postpone(some, error)
                answered = False
                continue
            self._failures = 0
            kept = [one for one in some if one.what.ref.sop_instance_uid in listed]
            self._confirm(kept, committed=False)
            self._missed([one for one in some if one.what.ref.sop_instance_uid not in listed])
        return answered

    def _missed(self, parcels: Iterable[Parcel]) -> None:
        for parcel in parcels:
            tries = self._tries.get(parcel.number, 0) + 1
            if tries < self._limits.confirm_tries:
                self._tries[parcel.number] = tries
                self._wait([parcel], self._now() + self._limits.backoff_s(tries))
            else:
                self._send_again(parcel, f"{NOT_KEPT}the PACS does not list it")

    # ---- what comes of it

    def _confirm(self, parcels: Sequence[Parcel], *, committed: bool) -> None:
        if parcels:
            self._outbox.confirmed(parcels, self._pacs.name, committed=committed)
            self._statistics.confirmed(self._pacs.name, len(parcels))

    def _send_again(self, parcel: Parcel, why: str) -> None:
        self._tries.pop(parcel.number, None)
        self._statistics.failed(self._pacs.name, "not kept")
        self._dispatch.refuse(parcel, why)

    def _postpone(self, parcels: Sequence[Parcel], error: PacsError) -> None:
        """The PACS answers, but not this."""
        self._failures += 1
        self.last_error = f"can't be confirmed: {error}"
        LOG.warning("%s: %s", self._pacs.name, self.last_error)
        self._wait(parcels, self._now() + self._limits.backoff_s(self._failures))

    def _wait(self, parcels: Iterable[Parcel], until: float) -> None:
        """What is doubtful about them stays noted."""
        of_remark: dict[str, list[int]] = {}
        for parcel in parcels:
            of_remark.setdefault(parcel.error, []).append(parcel.number)
        for remark, numbers in of_remark.items():
            self._outbox.sent(numbers, until, remark)
