"""The outbox and the account of what is stored, kept in step.

Law: what is a parcel is data. No instance is booked as held by a PACS while any parcel of it is
left, for whatever destination: it may have new content, or be needed for another PACS.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence

from farsight.model import InstanceRef
from farsight.ports.cache_book import CacheBook
from farsight.ports.outbox import Consignment, Outbox, Parcel, Stage


class ClaimingOutbox:
    """See ports.outbox.Outbox; it raises CacheBookError as well. Thread-safe."""

    def __init__(self, outbox: Outbox, book: CacheBook) -> None:
        self._outbox = outbox
        self._book = book
        self._in_step = threading.Lock()
        self._tell: Callable[[], None] = lambda: None

    def when_promised(self, tell: Callable[[], None]) -> None:
        """Called, on the thread that does it, whenever something begins to wait."""
        self._tell = tell

    def announce(self, consignments: Sequence[Consignment]) -> Sequence[int]:
        with self._in_step:
            numbers = self._outbox.announce(consignments)
            self._book.claim({one.ref for one in consignments})
        return numbers

    def promise(self, numbers: Sequence[int]) -> None:
        self._outbox.promise(numbers)
        self._tell()

    def confirmed(self, parcels: Sequence[Parcel], pacs: str, *, committed: bool) -> None:
        """That PACS keeps what it took in these SENT parcels: no parcels from now on.

        Those of which something is doubtful stay data here: the PACS has one of that name, but
        perhaps of other content. So do those it had listed before they were sent, and, unless it
        has `committed` itself, those of which nobody knows.
        """
        with self._in_step:
            left = self._outbox.numbered([parcel.number for parcel in parcels])
            mine = {one.number: one for one in left if one.stage is Stage.SENT}
            concerning = self._outbox.concerning({one.what.ref for one in mine.values()})
            shared = {one.what.ref for one in concerning if one.number not in mine}
            sure = [one.what.ref for one in mine.values() if _is_sure(one, committed)]
            self._book.confirmed([ref for ref in sure if ref not in shared], pacs)
            self._outbox.withdraw(list(mine))

    def found_held(self, ref: InstanceRef, pacs: str) -> bool:
        """That PACS was found to hold just what is stored; False: a parcel of it is left."""
        with self._in_step:
            if self._outbox.concerning({ref}):
                return False
            self._book.confirmed((ref,), pacs)
            return True

    def retry(self, numbers: Sequence[int]) -> int:
        count = self._outbox.retry(numbers)
        self._tell()
        return count

    def withdraw(self, numbers: Sequence[int]) -> None:
        self._outbox.withdraw(numbers)

    def due(self, destination: str, now: float, most: int) -> Sequence[Parcel]:
        return self._outbox.due(destination, now, most)

    def unconfirmed(self, destination: str, now: float, most: int) -> Sequence[Parcel]:
        return self._outbox.unconfirmed(destination, now, most)

    def next_due_at(self, destination: str, stage: Stage = Stage.WAITING) -> float | None:
        return self._outbox.next_due_at(destination, stage)

    def looked_for(self, numbers: Sequence[int], listed_before: bool | None) -> None:
        self._outbox.looked_for(numbers, listed_before)

    def sent(self, numbers: Sequence[int], due_at: float, remark: str = "") -> None:
        self._outbox.sent(numbers, due_at, remark)

    def failed(
        self, numbers: Sequence[int], error: str, due_at: float, *, counts: bool = True
    ) -> None:
        self._outbox.failed(numbers, error, due_at, counts=counts)

    def bury(self, numbers: Sequence[int], error: str) -> None:
        self._outbox.bury(numbers, error)

    def discard(self, numbers: Sequence[int]) -> int:
        return self._outbox.discard(numbers)

    def numbered(self, numbers: Sequence[int]) -> Sequence[Parcel]:
        return self._outbox.numbered(numbers)

    def concerning(self, refs: Collection[InstanceRef]) -> Sequence[Parcel]:
        return self._outbox.concerning(refs)

    def parcels(
        self, stage: Stage, destination: str | None = None, *, most: int = 1000, after: int = 0
    ) -> Sequence[Parcel]:
        return self._outbox.parcels(stage, destination, most=most, after=after)

    def counts(self) -> Mapping[str, Mapping[Stage, int]]:
        return self._outbox.counts()

    def close(self) -> None:
        self._outbox.close()


def _is_sure(parcel: Parcel, committed: bool) -> bool:
    """That what the PACS has under its name is this."""
    if parcel.listed_before is None:
        return committed and not parcel.error
    return not (parcel.listed_before or parcel.error)
