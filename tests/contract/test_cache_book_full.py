"""Where the disk takes nothing more, the account is read as before, and forgets nothing."""

from __future__ import annotations

import resource as limits
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from booked import ONE, OTHER, TWO, Clock, keep, ref, resource
from farsight.adapters.sqlite_cache_book import SqliteCacheBook
from farsight.errors import CacheBookError


def keep_many(book: SqliteCacheBook) -> None:
    for number in range(10_000):
        keep(book, ref(number, OTHER))


def test_read_and_struck_off_on_a_full_disk(tmp_path: Path) -> None:
    book = SqliteCacheBook(tmp_path / "cache.sqlite", Clock())
    keep(book, ref(1))
    (pages,) = book._database.execute("PRAGMA page_count").fetchone()
    book._database.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own full disk
    with pytest.raises(CacheBookError, match="full"):
        keep_many(book)
    assert [one.series for one in book.evictable(10)] == [ONE, OTHER]
    totals = book.totals()
    assert totals.instances == 1 + len(book.instances(OTHER))
    book.gone([resource(ref(1))])
    assert book.one(ONE) is None
    assert book.totals().instances == totals.instances - 1
    book.close()


def test_what_was_used_is_written_down_later(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    book = SqliteCacheBook(path, Clock())
    for number, series in enumerate((ONE, TWO)):
        keep(book, ref(number, series))
    book._database.execute("PRAGMA query_only = 1")  # whatever is written fails
    book.touch([ONE], 2000.0)
    assert [one.series for one in book.evictable(10)] == [ONE, TWO], "as last written down"
    book.touch([ONE], 1500.0)
    book._database.execute("PRAGMA query_only = 0")
    assert [one.series for one in book.evictable(10)] == [TWO, ONE]
    book.close()
    again = SqliteCacheBook(path)
    found = again.one(ONE)
    assert found is not None
    assert found.used_at == 2000.0
    again.close()


def test_the_end_comes_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    book = SqliteCacheBook(path)
    keep(book, ref(1))
    book.caught_up()
    book._database.execute("PRAGMA query_only = 1")
    book.close()
    again = SqliteCacheBook(path)
    assert again.totals().instances == 1
    assert not again.ended_well
    again.close()


@contextmanager
def nothing_taken() -> Iterator[None]:
    """No file grows, whoever writes it."""
    before = limits.getrlimit(limits.RLIMIT_FSIZE)
    limits.setrlimit(limits.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        limits.setrlimit(limits.RLIMIT_FSIZE, before)


def closed(path: Path) -> None:
    """A run that ended well, with a claim for something that was never stored."""
    book = SqliteCacheBook(path)
    keep(book, ref(1))
    book.claim([ref(2)])
    book.caught_up()
    book.close()


def test_it_opens_where_nothing_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    closed(path)
    with nothing_taken():
        book = SqliteCacheBook(path)
        assert not book.ended_well
        assert book.totals().instances == 1
        assert list(book.left_claims()) == [ref(2)]
        with pytest.raises(CacheBookError):
            book.claim([ref(3)])
        with pytest.raises(CacheBookError):
            book.caught_up()
    book.claim([ref(3)])
    assert list(book.left_claims()) == [ref(2)], "the other is of this run"
    book.caught_up()
    book.close()
    again = SqliteCacheBook(path)
    assert again.ended_well
    again.close()


PROGRAM = """
import os, resource, sys
from pathlib import Path
from farsight.adapters.sqlite_cache_book import SqliteCacheBook
from farsight.model import InstanceRef
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
book = SqliteCacheBook(Path(sys.argv[1]))
if sys.argv[2] == "room again":
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    book.claim([InstanceRef("1.1", "1.1.1", "1.1.1.9")])
if sys.argv[2] == "closed":
    book.close()
os._exit(0)
"""


@pytest.mark.parametrize("how", ["crashed", "room again", "closed"])
def test_such_a_run_did_not_end_well_whatever_came_of_it(tmp_path: Path, how: str) -> None:
    """What was stored meanwhile is not booked."""
    path = tmp_path / "cache.sqlite"
    closed(path)
    plugin = Path(__file__).parents[2] / "plugin"
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), how],
        env={"PYTHONPATH": str(plugin)}, timeout=60, check=True,
    )  # fmt: skip
    book = SqliteCacheBook(path)
    assert not book.ended_well
    book.caught_up()
    book.close()
    again = SqliteCacheBook(path)
    assert again.ended_well
    again.close()
