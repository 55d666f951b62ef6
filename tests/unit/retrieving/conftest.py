"""What the tests of retrieving begin with: a PACS with a series, an archive without it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakes.series_source import MemoryArchive, SeriesSource
from series_retrieval import Serve, serving, slices_at_pacs


@pytest.fixture
def source() -> SeriesSource:
    return slices_at_pacs()


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


@pytest.fixture
def serve(archive: MemoryArchive) -> Iterator[Serve]:
    with serving(archive) as start:
        yield start
