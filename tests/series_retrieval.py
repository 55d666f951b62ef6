"""A series of six slices at a PACS, and retrieve services that fetch it into an archive."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fakes.retrieving import retrieving
from fakes.series_source import MemoryArchive, Retrieved, SeriesSource
from farsight.model import InstanceRef, SeriesRef
from farsight.services.holdings import RetrieveLimits
from farsight.services.memory_tier import MemoryTier
from farsight.services.persist import Persister
from farsight.services.presence import Presence
from farsight.services.retrieve import RetrieveService
from sample_files import ct_slice, instance_uid, series_uid, study_uid

SERIES = SeriesRef(study_uid(), series_uid())
HERE = Presence()  # a client that waits as long as it takes
SLICES = 6
ALL = tuple(sorted(instance_uid(number) for number in range(1, SLICES + 1)))
WHOLE = Retrieved(series_uid(), frozenset(), urgent=False)

Serve = Callable[..., RetrieveService]


def ref(number: int) -> InstanceRef:
    return InstanceRef(study_uid(), series_uid(), instance_uid(number))


def only(*numbers: int, urgent: bool = False) -> Retrieved:
    return Retrieved(series_uid(), frozenset(instance_uid(n) for n in numbers), urgent)


def slices_at_pacs(count: int = SLICES) -> SeriesSource:
    return SeriesSource([ct_slice(number, size=8) for number in range(1, count + 1)])


@contextmanager
def serving(archive: MemoryArchive) -> Iterator[Serve]:
    """Makes services over the archive, each with a memory of its own."""
    made: list[tuple[RetrieveService, Persister]] = []

    def start(*sources: SeriesSource, wait_s: float = 20) -> RetrieveService:
        tier = MemoryTier(64 << 20)
        limits = RetrieveLimits(passes=3, backoff_s=0.001, wait_s=wait_s)
        service, persister = retrieving(sources, archive, tier, limits)
        made.append((service, persister))
        return service

    try:
        yield start
    finally:
        for service, persister in made:
            service.close()
            persister.close(5)


def landed(service: RetrieveService) -> None:
    deadline = time.monotonic() + 10
    while service.progress():
        assert time.monotonic() < deadline, service.progress()
        time.sleep(0.002)
