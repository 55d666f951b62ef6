"""Storage Commitment in memory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from farsight.errors import NotFound, PacsError, PacsRefusedService
from farsight.ports.commitment import CommitmentReport


class FakeCommitments:
    """The Commitments port.

    offered_by: PACS that offer it. holds: SOP Instance UIDs they keep; of others they say 0x0112.
    silent: they take requests and never report. unavailable: raised by every request. asked: every
    request that was taken.
    """

    def __init__(self, *offered_by: str) -> None:
        self.offered_by = set(offered_by)
        self.holds: set[str] = set()
        self.silent = False
        self.unavailable: PacsError | None = None
        self.asked: list[tuple[str, tuple[tuple[str, str], ...]]] = []
        self._reports: dict[str, CommitmentReport | None] = {}
        self._numbers = count(1)

    def request(self, pacs: str, instances: Sequence[tuple[str, str]]) -> str:
        if not instances:
            raise ValueError("a commitment for no instances")
        if self.unavailable is not None:
            raise self.unavailable
        if pacs not in self.offered_by:
            raise PacsRefusedService(pacs, "does not offer Storage Commitment")
        self.asked.append((pacs, tuple(instances)))
        transaction = f"2.25.{next(self._numbers)}"
        uids = {uid for _, uid in instances}
        lacking = dict.fromkeys(uids - self.holds, 0x0112)
        told = CommitmentReport(frozenset(uids & self.holds), lacking)
        self._reports[transaction] = None if self.silent else told
        return transaction

    def report(self, transaction: str) -> CommitmentReport | None:
        if transaction not in self._reports:
            raise NotFound(f"no storage commitment {transaction}")
        return self._reports[transaction]

    def restart(self) -> None:
        """What was asked before isn't known any more."""
        self._reports.clear()
