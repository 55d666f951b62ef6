"""The account of what is stored as a file: whatever happens to the process and to the file."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from booked import ONE, OTHER, TWO, Clock, ref, resource
from fakes.cache_book import FakeCacheBook
from farsight.adapters.sqlite_cache_book import SqliteCacheBook
from farsight.errors import CacheBookError
from farsight.model import InstanceRef, SeriesRef
from farsight.ports.cache_book import CacheBook


class BesideTheFake(RuleBasedStateMachine):
    """Whatever is done, in whatever order: the file says what the dictionaries say."""

    SERIES = (ONE, TWO, OTHER)
    refs = st.builds(ref, st.integers(1, 4), st.sampled_from(SERIES))
    sizes = st.integers(0, 1 << 40)

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "book.db"
        self.fake = FakeCacheBook(self.clock)
        self.book = SqliteCacheBook(self.path, self.clock)

    def both(self, do: Callable[[CacheBook], None]) -> None:
        self.clock.now += 1.0
        do(self.fake)
        do(self.book)

    @rule(of=refs, size=sizes, pacs=st.sampled_from(["a", "b"]))
    def expect(self, of: InstanceRef, size: int, pacs: str) -> None:
        self.both(lambda book: book.expect(of, size, pacs))

    @rule(refs=st.lists(refs, max_size=3))
    def claim(self, refs: list[InstanceRef]) -> None:
        self.both(lambda book: book.claim(refs))

    @rule(of=refs, size=sizes, twin=st.sampled_from(["", "", "", "-twin"]))
    def stored(self, of: InstanceRef, size: int, twin: str) -> None:
        self.both(lambda book: book.stored(of, resource(of) + twin, size))

    @rule(refs=st.lists(refs, max_size=3), twin=st.sampled_from(["", "", "-twin"]))
    def gone(self, refs: list[InstanceRef], twin: str) -> None:
        self.both(lambda book: book.gone([resource(of) + twin for of in refs]))

    @rule(refs=st.lists(refs, max_size=3))
    def confirmed(self, refs: list[InstanceRef]) -> None:
        self.both(lambda book: book.confirmed(refs, "c"))

    @rule(series=st.lists(st.sampled_from(SERIES), max_size=2), ago=st.integers(0, 20))
    def touch(self, series: list[SeriesRef], ago: int) -> None:
        used_at = self.clock.now - ago
        self.both(lambda book: book.touch(series, used_at))

    @rule()
    def restart(self) -> None:
        self.book.close()
        self.book = SqliteCacheBook(self.path, self.clock)

    @invariant()
    def they_agree(self) -> None:
        assert self.book.totals() == self.fake.totals()
        assert self.book.resource_ids() == self.fake.resource_ids()
        assert self.book.doubtful_ids() == self.fake.doubtful_ids()
        for series in self.SERIES:
            assert self.book.one(series) == self.fake.one(series)
            assert set(self.book.instances(series)) == set(self.fake.instances(series))
        mine, theirs = self.book.evictable(9), self.fake.evictable(9)
        assert set(mine) == set(theirs)
        assert [one.used_at for one in mine] == [one.used_at for one in theirs]

    def teardown(self) -> None:
        self.book.close()
        self.directory.cleanup()


def test_ten_thousand_operations_beside_the_fake() -> None:
    run_state_machine_as_test(
        BesideTheFake,
        settings=settings(
            max_examples=210,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


WRITER = """
import sys
from pathlib import Path
from farsight.adapters.sqlite_cache_book import SqliteCacheBook
from farsight.model import InstanceRef
book = SqliteCacheBook(Path(sys.argv[1]))
book.caught_up()
start = int(sys.argv[2])
print("ready", flush=True)
for number in range(start, start + 100_000):
    ref = InstanceRef("1.1", f"1.1.{number % 7}", f"1.1.{number}")
    if number % 3:
        book.expect(ref, number, "pacs")
    else:
        book.claim([ref])
    book.stored(ref, f"id-{number}", number)
    if number % 5 == 0:
        book.gone([f"id-{number}"])
    print(number, flush=True)
"""


def expected_totals(last: int, start: int) -> tuple[int, int, int, int]:
    there = [number for number in range(start, last + 1) if number % 5]
    data = [number for number in there if number % 3 == 0]
    return len(there), sum(there), len(data), sum(data)


def test_killed_at_any_moment_nothing_told_is_lost(tmp_path: Path) -> None:
    """What was printed was booked; the one under way may be at any stage. Nothing else differs."""
    path, chance = tmp_path / "book.db", random.Random(6)
    plugin = Path(__file__).parents[2] / "plugin"
    start, before = 1, (0, 0, 0, 0)
    for _ in range(30):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(start)],
            stdout=subprocess.PIPE, env={"PYTHONPATH": str(plugin)}, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        killer = threading.Timer(chance.uniform(0.0, 0.15), process.send_signal, [signal.SIGKILL])
        killer.start()
        told = [int(line) for line in process.stdout if line.endswith("\n")]
        process.wait(20)
        killer.join()
        last = told[-1] if told else start - 1
        book = SqliteCacheBook(path)
        assert not book.ended_well
        book.gone([f"id-{last + 1}"])  # the one under way
        totals = book.totals()
        ids = book.resource_ids()
        book.close()
        now = tuple(map(sum, zip(before, expected_totals(last, start), strict=True)))
        found = totals.instances, totals.size_bytes
        assert (*found, totals.unconfirmed_instances, totals.unconfirmed_bytes) == now
        assert len(ids) == totals.instances
        before, start = (now[0], now[1], now[2], now[3]), last + 2


def test_a_damaged_file_is_named_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "book.db"
    path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(CacheBookError, match=r"book\.db is damaged.*safe to move it away"):
        SqliteCacheBook(path)


def test_damage_inside_is_found_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "book.db"
    book = SqliteCacheBook(path)
    for number in range(2000):
        book.stored(ref(number), f"id-{number}", 1)
    book.close()
    data = bytearray(path.read_bytes())
    middle = len(data) // 8192 * 4096
    data[middle : middle + 4096] = random.Random(1).randbytes(4096)
    path.write_bytes(data)
    with pytest.raises(CacheBookError, match="damaged"):
        SqliteCacheBook(path)


def test_a_file_belongs_to_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farsight.adapters.sqlite_cache_book._WAIT_S", 0.1)
    book = SqliteCacheBook(tmp_path / "book.db")
    with pytest.raises(CacheBookError, match="in use by another process"):
        SqliteCacheBook(tmp_path / "book.db")
    book.close()
    book.close()
    with pytest.raises(CacheBookError):
        book.totals()


def test_a_book_of_a_later_version_is_not_touched(tmp_path: Path) -> None:
    SqliteCacheBook(tmp_path / "book.db").close()
    database = sqlite3.connect(tmp_path / "book.db")
    database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(CacheBookError, match="version 99"):
        SqliteCacheBook(tmp_path / "book.db")


def test_a_claim_waits_for_the_disk_where_a_pacs_may_still_be_named(tmp_path: Path) -> None:
    """Seen by the calls the process makes: without them a power cut could take the claim back."""
    told = _syncs_of(tmp_path, 'book.claim([ref]); book.stored(ref, "id", 1)')
    assert told == 0, "nothing on the disk says otherwise"
    crashed = 'book.expect(ref, 1, "p"); book.stored(ref, "i", 1); book.gone(["i"]); os._exit(0)'
    _syncs_of(tmp_path, crashed)
    assert _syncs_of(tmp_path, "book.claim([ref])", before="", anew=False) > 0
    assert _syncs_of(tmp_path, 'book.expect(ref, 1, "pacs"); book.claim([ref])') > 0
    again = 'book.expect(ref, 1, "p"); book.stored(ref, "i", 1); book.gone(["i"])'
    again += "; book.claim([ref])"
    assert _syncs_of(tmp_path, again) > 0


def _syncs_of(
    directory: Path, what: str, before: str = "book.claim([other])", *, anew: bool = True
) -> int:
    """`before`: not counted, and none of it is still to be waited for. `anew`: with a new file."""
    program = f"""
import os, sys
from pathlib import Path
from farsight.adapters.sqlite_cache_book import SqliteCacheBook
from farsight.model import InstanceRef
book = SqliteCacheBook(Path({str(directory / "synced.db")!r}))
ref = InstanceRef("1.1", "1.1.1", "1.1.1.1")
other = InstanceRef("1.1", "1.1.1", "1.1.1.2")
{before}
book.stored(other, "other", 1)
sys.stderr.write("BEGIN\\n"); sys.stderr.flush()
{what}
sys.stderr.write("END\\n"); sys.stderr.flush()
"""
    if anew:
        for file in directory.glob("synced.db*"):
            file.unlink()
    plugin = Path(__file__).parents[2] / "plugin"
    done = subprocess.run(
        ["strace", "-f", "-e", "trace=fsync,fdatasync,write", sys.executable, "-c", program],
        capture_output=True, env={"PYTHONPATH": str(plugin), "PATH": "/usr/bin:/bin"}, text=True,
        timeout=60, check=True,
    )  # fmt: skip
    inside = done.stderr.partition('"BEGIN')[2].partition('"END')[0]
    return inside.count("fdatasync(") + inside.count("fsync(")
