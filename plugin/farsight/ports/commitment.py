"""Storage Commitment: a PACS says that it keeps what it was sent (PS3.4 J)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """What a PACS told, by SOP Instance UID. failed: with the Failure Reason (PS3.3 C.14.1.1).

    What is named in neither it said nothing about.
    """

    committed: frozenset[str]
    failed: Mapping[str, int] = field(default_factory=dict)


class Commitments(Protocol):
    """Asks, and hears what comes back in its own time. Thread-safe; calls may block."""

    def request(self, pacs: str, instances: Sequence[tuple[str, str]]) -> str:
        """Ask for some instances, each named by SOP Class and SOP Instance UID; at least one.

        The name of the transaction. Raises: PacsRefusedService where the PACS doesn't offer it,
        PacsError where it could not be asked.
        """
        ...

    def report(self, transaction: str) -> CommitmentReport | None:
        """None: it hasn't told yet.

        Raises: NotFound where nothing is known of the transaction, as after a restart;
        ArchiveError.
        """
        ...
