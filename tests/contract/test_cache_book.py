"""What every account of what is stored promises: the one in memory and the one in a file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from booked import ONE, OTHER, TWO, Clock, keep, ref, resource
from fakes.cache_book import FakeCacheBook
from farsight.adapters.sqlite_cache_book import SqliteCacheBook
from farsight.model import SeriesRef
from farsight.ports.cache_book import BookedInstance, BookTotals, CacheBook


class Subject:
    """A book under test, its clock, and how to end the process and start it again."""

    def __init__(self, path: Path | None) -> None:
        self.clock = Clock()
        self._path = path
        self.book: CacheBook = self._open()

    def _open(self, before: FakeCacheBook | None = None) -> CacheBook:
        if self._path is not None:
            return SqliteCacheBook(self._path, self.clock)
        return FakeCacheBook(self.clock, None if before is None else before.state)

    def restart(self) -> None:
        self.book.close()
        self.book = self._open(self.book if isinstance(self.book, FakeCacheBook) else None)


@pytest.fixture(params=["memory", "file"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    made = Subject(tmp_path / "book.db" if request.param == "file" else None)
    yield made
    made.book.close()


def test_what_comes_from_a_pacs_may_go_and_what_does_not_may_not(subject: Subject) -> None:
    book = subject.book
    for of in (ref(1), ref(2)):
        keep(book, of)
    keep(book, ref(1, TWO))
    keep(book, ref(2, TWO), pacs="")
    book.stored(ref(1, OTHER), resource(ref(1, OTHER)), 7)  # never heard of before
    assert book.totals() == BookTotals(3, 5, 47, 2, 17)
    assert [one.series for one in book.evictable(10)] == [ONE]
    found = book.one(TWO)
    assert found is not None
    assert (found.instances, found.size_bytes, found.unconfirmed) == (2, 20, 1)
    assert [one.series for one in book.of_study("1.1")] == [ONE, TWO]
    assert sorted(book.instances(TWO), key=lambda one: one.ref.sop_instance_uid) == [
        BookedInstance(ref(1, TWO), resource(ref(1, TWO)), 10, "pacs"),
        BookedInstance(ref(2, TWO), resource(ref(2, TWO)), 10, ""),
    ]
    book.confirmed([ref(2, TWO), ref(1, OTHER), ref(9, OTHER)], "second")
    assert book.totals() == BookTotals(3, 5, 47, 0, 0)
    assert len(book.evictable(10)) == 3
    book.claim([ref(1, TWO)])
    assert book.totals() == BookTotals(3, 5, 47, 1, 10)


def test_what_is_expected_only_does_not_count(subject: Subject) -> None:
    book = subject.book
    book.expect(ref(1), 10, "pacs")
    book.claim([ref(2)])
    assert book.totals() == BookTotals()
    assert book.one(ONE) is None
    assert not book.of_study("1.1")
    assert not book.instances(ONE)
    assert not book.evictable(10)
    assert book.resource_ids() == frozenset()
    book.confirmed([ref(1), ref(2)], "pacs")
    book.stored(ref(2), "two", 5)
    assert book.totals().unconfirmed_instances == 1, "it was not stored when that was confirmed"
    assert book.expects(ref(1), 10)
    assert not book.expects(ref(1), 11)
    assert not book.expects(ref(2), 5)
    book.stored(ref(1), "one", 10)
    assert not book.expects(ref(1), 10)
    assert book.resource_ids() == {"one", "two"}


def test_expecting_does_not_make_cache_of_data(subject: Subject) -> None:
    book = subject.book
    keep(book, ref(1), pacs="")
    book.claim([ref(2)])
    for of in (ref(1), ref(2)):
        book.expect(of, 10, "pacs")
        book.stored(of, resource(of), 12)
    assert book.totals() == BookTotals(1, 2, 24, 2, 24)


def test_a_claim_counts_whatever_was_before(subject: Subject) -> None:
    book = subject.book
    keep(book, ref(1))
    book.expect(ref(2), 10, "pacs")
    book.claim([ref(1), ref(2), ref(3)])
    for number in (1, 2, 3):
        book.stored(ref(number), resource(ref(number)), 20)
    assert book.totals() == BookTotals(1, 3, 60, 3, 60)
    book.claim([])
    subject.restart()
    assert subject.book.totals() == BookTotals(1, 3, 60, 3, 60)


def test_what_was_to_come_where_one_is_stored_is_doubtful(
    subject: Subject,
) -> None:
    for number in (1, 2, 3):
        keep(subject.book, ref(number), pacs="pacs" if number < 3 else "")
    subject.book.expect(ref(4), 10, "pacs")
    subject.book.claim([ref(5)])
    assert subject.book.doubtful_ids() == frozenset()
    subject.book.claim([ref(1), ref(2), ref(4), ref(6)])
    subject.book.expect(ref(3), 10, "pacs")
    subject.restart()
    assert subject.book.doubtful_ids() == {resource(ref(number)) for number in (1, 2, 3)}
    subject.book.stored(ref(1), resource(ref(1)), 20)
    subject.book.gone([resource(ref(2))])
    assert subject.book.doubtful_ids() == {resource(ref(3))}
    subject.book.confirmed([ref(3)], "pacs")
    assert subject.book.doubtful_ids() == frozenset(), "what is there, a PACS has"


def test_what_was_claimed_and_never_stored(subject: Subject) -> None:
    for number in range(1, 6):
        subject.book.claim([ref(number)])
    keep(subject.book, ref(5), pacs="")
    subject.book.expect(ref(6), 10, "pacs")
    assert not subject.book.left_claims(), "they are of this run"
    subject.restart()
    book = subject.book
    assert set(book.left_claims()) == {ref(number) for number in (1, 2, 3, 4)}
    book.claim([ref(2)])
    book.expect(ref(3), 10, "pacs")
    book.stored(ref(4), "four", 10)
    assert list(book.left_claims()) == [ref(1)]
    book.drop_left_claims()
    assert not book.left_claims()
    for number in (1, 2, 3, 6):
        book.expect(ref(number), 10, "pacs")
        book.stored(ref(number), resource(ref(number)), 10)
    held = {one.ref: one.held_by for one in book.instances(ONE)}
    assert {of for of, by in held.items() if not by} == {ref(number) for number in (2, 3, 4, 5)}


def test_another_resource_under_the_same_uids_is_data(subject: Subject) -> None:
    """Two patients share the UIDs: which of them the PACS holds isn't known."""
    book = subject.book
    keep(book, ref(1))
    book.stored(ref(1), "another", 30)
    assert book.totals() == BookTotals(1, 1, 30, 1, 30)
    book.gone([resource(ref(1))])
    assert book.totals().instances == 1, "that one is booked no more"
    book.gone(["another"])
    assert book.totals() == BookTotals()


def test_one_by_its_name(subject: Subject) -> None:
    book = subject.book
    keep(book, ref(1))
    book.claim([ref(2)])
    assert book.instance(ref(1)) == book.instances(ONE)[0]
    assert book.instance(ref(2)) is None, "claimed only"
    assert book.instance(ref(1, TWO)) is None
    book.gone([one.resource_id for one in book.instances(ONE)])
    assert book.instance(ref(1)) is None


def test_what_is_gone_is_forgotten(subject: Subject) -> None:
    book = subject.book
    keep(book, ref(1))
    keep(book, ref(2), pacs="")
    book.expect(ref(3), 10, "pacs")
    book.gone(["unknown", "", resource(ref(1))])
    assert book.totals() == BookTotals(1, 1, 10, 1, 10)
    book.gone([resource(ref(2))])
    assert book.totals() == BookTotals()
    book.stored(ref(1), resource(ref(1)), 10)
    assert book.totals().unconfirmed_instances == 1, "nobody said that a PACS holds it now"
    book.stored(ref(3), resource(ref(3)), 10)
    assert book.totals() == BookTotals(1, 2, 20, 1, 10)


def test_least_recently_used_first(subject: Subject) -> None:
    book = subject.book
    for at, series in ((1000.0, ONE), (2000.0, TWO), (3000.0, OTHER)):
        subject.clock.now = at
        keep(book, ref(1, series))
    assert [one.series for one in book.evictable(10)] == [ONE, TWO, OTHER]
    book.touch([ONE, SeriesRef("9.9", "9.9")], 2500.0)
    assert [one.series for one in book.evictable(10)] == [TWO, ONE, OTHER]
    assert [one.used_at for one in book.evictable(2)] == [2000.0, 2500.0]
    assert [one.series for one in book.evictable(10, used_before=2500.0)] == [TWO]
    book.touch([TWO], 1.0)
    found = book.one(TWO)
    assert found is not None
    assert found.used_at == 2000.0, "an older access is no later one"
    book.touch([TWO], 9000.0)
    subject.restart()
    assert [one.series for one in subject.book.evictable(10)] == [ONE, OTHER, TWO]


def test_a_clock_that_was_ahead_is_set_right_by_the_next_access(subject: Subject) -> None:
    book = subject.book
    subject.clock.now = 9000.0
    keep(book, ref(1, ONE))
    subject.clock.now = 2000.0
    keep(book, ref(1, TWO))
    assert [one.used_at for one in book.evictable(10)] == [2000.0, 9000.0]
    book.touch([ONE], 2000.0)
    assert [one.used_at for one in book.evictable(10)] == [2000.0, 2000.0]
    subject.clock.now = 9000.0
    keep(book, ref(2, TWO))
    subject.clock.now = 2001.0
    keep(book, ref(3, TWO))
    found = book.one(TWO)
    assert found is not None
    assert found.used_at == 2001.0


def test_it_is_new_until_it_has_caught_up(subject: Subject) -> None:
    assert subject.book.is_new
    keep(subject.book, ref(1))
    subject.restart()
    assert subject.book.is_new, "what was stored before may still not be booked"
    assert not subject.book.has_caught_up
    subject.book.caught_up()
    subject.book.caught_up()
    assert not subject.book.is_new
    assert subject.book.has_caught_up
    subject.restart()
    assert not subject.book.is_new
    assert not subject.book.has_caught_up, "not in this run"


def test_it_ended_well_where_it_had_caught_up_and_was_closed(subject: Subject) -> None:
    assert not subject.book.ended_well
    subject.restart()
    assert not subject.book.ended_well, "it had not caught up"
    subject.book.caught_up()
    assert not subject.book.ended_well, "that is of the run before"
    subject.restart()
    assert subject.book.ended_well
    subject.restart()
    assert not subject.book.ended_well


def test_many_threads_at_once(subject: Subject) -> None:
    book = subject.book
    failures: list[BaseException] = []

    def work(number: int) -> None:
        series = SeriesRef("1.1", f"1.1.{number % 3}")
        try:
            for at in range(60):
                of = ref(number * 1000 + at, series)
                keep(book, of, size=at, pacs="pacs" if at % 2 else "")
                book.touch([series], 5000.0 + at)
                if at % 3 == 0:
                    book.gone([resource(of)])
                book.evictable(5)
                book.totals()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    sizes = [at for at in range(60) if at % 3]
    data = [at for at in sizes if at % 2 == 0]
    assert book.totals() == BookTotals(
        3, 6 * len(sizes), 6 * sum(sizes), 6 * len(data), 6 * sum(data)
    )
