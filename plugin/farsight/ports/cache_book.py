"""The account of what is stored: how much, unused since when, and which PACS holds it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from farsight.model import InstanceRef, SeriesRef


@dataclass(frozen=True, slots=True)
class BookedInstance:
    """resource_id: of the archive; "" while it is only expected. held_by: the name of the PACS that
    is known to hold it; "": no PACS is, so it is data and must never be evicted."""

    ref: InstanceRef
    resource_id: str
    size_bytes: int
    held_by: str = ""


@dataclass(frozen=True, slots=True)
class BookedSeries:
    """unconfirmed: how many of its stored instances no PACS is known to hold.

    used_at: seconds since the epoch, of the last access, or of storing.
    """

    series: SeriesRef
    instances: int
    size_bytes: int
    unconfirmed: int
    used_at: float


@dataclass(frozen=True, slots=True)
class BookTotals:
    """What is stored altogether, and of that the bytes no PACS is known to hold."""

    series: int = 0
    instances: int = 0
    size_bytes: int = 0
    unconfirmed_instances: int = 0
    unconfirmed_bytes: int = 0


class CacheBook(Protocol):
    """Survives the end of the process. Thread-safe; methods raise CacheBookError.

    Laws: an instance counts from `stored` to `gone`. It is held by a PACS only if somebody said so
    before it was stored (`expect`) or after it was found there (`confirmed`), and nobody has
    claimed it since (`claim`). What the book has never heard of is data.
    """

    def expect(self, ref: InstanceRef, size_bytes: int, pacs: str) -> None:
        """Before an instance that came from a PACS is stored. One that is booked already stays
        what it is: where its bytes came from isn't known better by this."""
        ...

    def claim(self, refs: Collection[InstanceRef]) -> None:
        """Before instances that came from elsewhere are stored: they are data from now on."""
        ...

    def stored(self, ref: InstanceRef, resource_id: str, size_bytes: int) -> None:
        """It is in the archive, with so many bytes; again after it was replaced."""
        ...

    def gone(self, resource_ids: Collection[str]) -> None:
        """They are not in the archive any more."""
        ...

    def confirmed(self, refs: Collection[InstanceRef], pacs: str) -> None:
        """A PACS is known to hold these stored instances, with the same content."""
        ...

    def touch(self, series: Iterable[SeriesRef], used_at: float) -> None:
        """They were read then (seconds since the epoch)."""
        ...

    def one(self, series: SeriesRef) -> BookedSeries | None: ...

    def of_study(self, study_instance_uid: str) -> Sequence[BookedSeries]: ...

    def instance(self, ref: InstanceRef) -> BookedInstance | None:
        """If it is stored."""
        ...

    def instances(self, series: SeriesRef) -> Sequence[BookedInstance]:
        """The stored ones."""
        ...

    def evictable(self, most: int, *, used_before: float | None = None) -> Sequence[BookedSeries]:
        """Series of which a PACS holds every stored instance, least recently used first."""
        ...

    def totals(self) -> BookTotals: ...

    def resource_ids(self) -> frozenset[str]:
        """Of all that is booked as stored."""
        ...

    def doubtful_ids(self) -> frozenset[str]:
        """Of those that were claimed or expected while stored, and aren't booked as stored again,
        nor confirmed, since: what is there may be what was there, or what was to come."""
        ...

    def left_claims(self) -> Sequence[InstanceRef]:
        """Claimed in a run before this one, not booked as stored, and neither claimed nor expected
        since: stored just before the end of that run, or never."""
        ...

    def drop_left_claims(self) -> None:
        """They were never stored: what a PACS sends of them is cache, as of any other."""
        ...

    def expects(self, ref: InstanceRef, size_bytes: int) -> bool:
        """Whether one of just that size was to come from a PACS and isn't booked as stored yet."""
        ...

    @property
    def is_new(self) -> bool:
        """Whether what was stored before there was a book isn't all booked yet."""
        ...

    def caught_up(self) -> None:
        """It is: from now on, and after a restart, the book isn't new."""
        ...

    @property
    def has_caught_up(self) -> bool:
        """Whether it did in this run: what happened between two runs is booked too."""
        ...

    @property
    def ended_well(self) -> bool:
        """Whether the run before this one caught up, and closed the book."""
        ...

    def close(self) -> None: ...
