"""A site whose cache is evicted from."""

from __future__ import annotations

from booked import ONE, OTHER, TWO, Clock, ref, resource
from fakes.cache_book import FakeCacheBook
from fakes.memory_archive import MemoryArchive
from farsight.model import InstanceRef, SeriesRef
from farsight.services.eviction import Evictor
from farsight.services.eviction_statistics import EvictionLimits
from farsight.services.series_locks import SeriesLocks

SIZE = 100


class Store(MemoryArchive):
    """Takes anything for a DICOM file."""

    def put(self, of: InstanceRef) -> None:
        with self._lock:
            self.stored[of] = b"x" * SIZE


class Site:
    """Three instances in each of three series, one used after the other."""

    def __init__(
        self,
        limits: EvictionLimits,
        capacity_bytes: int | None = None,
        archive: Store | None = None,
    ) -> None:
        self.clock = Clock()
        self.book = FakeCacheBook(self.clock)
        self.archive = archive or Store()
        self.archive.capacity_bytes = capacity_bytes
        self.in_use: set[SeriesRef] = set()
        self.locks = SeriesLocks()
        self.follows = True
        self.evictor = Evictor(
            self.book,
            self.archive,
            self.in_use.__contains__,
            limits,
            self.locks,
            lambda _timeout_s: self.follows,
            self.clock,
            every_s=0.01,
        )
        for series in (ONE, TWO, OTHER):
            self.clock.now += 100
            for number in (1, 2, 3):
                self.fetch(ref(number, series))
        self.clock.now += 100

    def fetch(self, of: InstanceRef, pacs: str = "pacs") -> None:
        self.book.expect(of, SIZE, pacs)
        self.archive.put(of)
        self.book.stored(of, resource(of), SIZE)

    def claim(self, of: InstanceRef) -> None:
        self.book.claim([of])
        self.archive.put(of)
        self.book.stored(of, resource(of), SIZE)

    @property
    def left(self) -> set[SeriesRef]:
        """In the archive; the book agrees."""
        booked = {one.ref for s in (ONE, TWO, OTHER) for one in self.book.instances(s)}
        assert booked == set(self.archive.stored)
        return {of.series for of in self.archive.stored}
