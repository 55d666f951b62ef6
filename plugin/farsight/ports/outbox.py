"""What has to go to a PACS, kept so that nothing accepted is lost whatever happens."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from farsight.model import InstanceRef


class Stage(StrEnum):
    """How far a parcel has come. One that its PACS is known to hold is no parcel any more."""

    ANNOUNCED = "announced"  # about to be stored here: nobody was told yet that it is
    WAITING = "waiting"  # stored here and promised
    SENT = "sent"  # the PACS said that it took it; whether it keeps it is still to be confirmed
    DEAD = "dead"  # given up until somebody asks for it again


@dataclass(frozen=True, slots=True)
class Consignment:
    """One instance for one PACS, as it enters. destination: the name of the PACS."""

    destination: str
    ref: InstanceRef
    sop_class_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class Parcel:
    """A consignment under way. number: grows in the order of entering, and names it for ever.

    due_at, entered_at: seconds since the epoch; due at 0: at once. attempts: that failed and
    count, since it was last entered or asked for again. error: of the last attempt, or what is
    doubtful about it, "" for nothing; never patient data. listed_before: whether the PACS listed
    one of its name before it was sent; None: nobody knows.
    """

    number: int
    what: Consignment
    stage: Stage
    attempts: int = 0
    due_at: float = 0.0
    entered_at: float = 0.0
    error: str = ""
    listed_before: bool | None = None


class Outbox(Protocol):
    """Durable: what a method has done when it returns survives the end of process and machine.

    Thread-safe; all methods raise OutboxError where that can't be had, and nothing is done then.
    Numbers that aren't there, or not in the stage a method is for, don't matter to it.

    Laws: of one instance for one destination there is one parcel besides those ANNOUNCED.
    Announcing it again doesn't touch the one there is; promising that takes its place, at the end
    of its study, whatever became of the other: its content may be new.
    """

    def announce(self, consignments: Sequence[Consignment]) -> Sequence[int]:
        """Before they are stored here; the numbers of their parcels, in stage ANNOUNCED."""
        ...

    def promise(self, numbers: Sequence[int]) -> None:
        """They are stored: ANNOUNCED becomes WAITING, due at once."""
        ...

    def withdraw(self, numbers: Sequence[int]) -> None:
        """Not stored after all, or confirmed: no parcels from now on."""
        ...

    def due(self, destination: str, now: float, most: int) -> Sequence[Parcel]:
        """Of the study that waits longest and whose first WAITING parcel is due: its WAITING
        parcels in their order, at most so many. Empty: nothing is due."""
        ...

    def unconfirmed(self, destination: str, now: float, most: int) -> Sequence[Parcel]:
        """Of the study with the SENT parcel that has been due longest: its SENT parcels that are
        due, in their order, at most so many. Empty: nothing is due."""
        ...

    def next_due_at(self, destination: str, stage: Stage = Stage.WAITING) -> float | None:
        """When `due` will have something, or `unconfirmed` for SENT, in seconds since the epoch;
        None: there is nothing in that stage."""
        ...

    def looked_for(self, numbers: Sequence[int], listed_before: bool | None) -> None:
        """WAITING ones: what is known of them before they are sent."""
        ...

    def sent(self, numbers: Sequence[int], due_at: float, remark: str = "") -> None:
        """WAITING becomes SENT; `due_at`: when to look whether the PACS keeps them. SENT ones are
        to be looked for then. `remark`: what is doubtful, kept as their error."""
        ...

    def failed(
        self, numbers: Sequence[int], error: str, due_at: float, *, counts: bool = True
    ) -> None:
        """WAITING and SENT ones are WAITING, until then; one more attempt failed if it `counts`."""
        ...

    def bury(self, numbers: Sequence[int], error: str) -> None:
        """WAITING and SENT ones become DEAD: one more attempt failed, and none is due."""
        ...

    def retry(self, numbers: Sequence[int]) -> int:
        """DEAD or WAITING parcels of these become WAITING without attempts, due at once; how many
        there were. What was known of DEAD ones is too old by now."""
        ...

    def discard(self, numbers: Sequence[int]) -> int:
        """DEAD parcels of these are no parcels any more; how many there were."""
        ...

    def numbered(self, numbers: Sequence[int]) -> Sequence[Parcel]:
        """Those there are, in the order of their numbers."""
        ...

    def concerning(self, refs: Collection[InstanceRef]) -> Sequence[Parcel]:
        """All of these instances, in whatever stage, for whatever destination, by number."""
        ...

    def parcels(
        self, stage: Stage, destination: str | None = None, *, most: int = 1000, after: int = 0
    ) -> Sequence[Parcel]:
        """In the order of their numbers, those above `after`."""
        ...

    def counts(self) -> Mapping[str, Mapping[Stage, int]]:
        """Destination -> stage -> how many; nothing for none."""
        ...

    def close(self) -> None: ...
