"""Names and a clock for tests of what is stored."""

from __future__ import annotations

from farsight.model import InstanceRef, SeriesRef
from farsight.ports.cache_book import CacheBook

ONE, TWO = SeriesRef("1.1", "1.1.1"), SeriesRef("1.1", "1.1.2")
OTHER = SeriesRef("1.2", "1.2.1")


def ref(number: int, series: SeriesRef = ONE) -> InstanceRef:
    sop = f"{series.series_instance_uid}.{number}"
    return InstanceRef(series.study_instance_uid, series.series_instance_uid, sop)


def resource(of: InstanceRef) -> str:
    return f"id-{of.sop_instance_uid}"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def keep(book: CacheBook, of: InstanceRef, size: int = 10, pacs: str = "pacs") -> None:
    """One that comes from a PACS; pacs "" for one of nobody knows where."""
    if pacs:
        book.expect(of, size, pacs)
    else:
        book.claim([of])
    book.stored(of, resource(of), size)
