"""The retrieve service wired as the gateway does it, over an archive and PACS of the test's."""

from __future__ import annotations

import time
from collections.abc import Sequence

from fakes.cache_book import FakeCacheBook
from farsight.ports.archive import Archive
from farsight.ports.pacs import Pacs
from farsight.services.holdings import RetrieveLimits
from farsight.services.memory_tier import MemoryTier
from farsight.services.persist import Persister
from farsight.services.reading import InUse
from farsight.services.retrieve import RetrieveService


def retrieving(
    sources: Sequence[Pacs], archive: Archive, tier: MemoryTier, limits: RetrieveLimits
) -> tuple[RetrieveService, Persister]:
    """Both are to be closed."""
    book = FakeCacheBook(time.time)
    persister = Persister(archive, tier, book)
    return RetrieveService(sources, archive, tier, persister, limits, InUse(book)), persister
