"""Freshness: what a PACS has more or less of is noticed with few questions, and acted on safely."""

from __future__ import annotations

import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import pytest

from fakes.cache_book import FakeCacheBook
from fakes.catalog import Series, Study, study
from fakes.pacs import IMAGE, SERIES, STUDY, FakePacs
from fakes.scripted_pacs import wait_until
from fakes.series_source import MemoryArchive
from farsight.errors import PacsUnavailable
from farsight.model import Completeness, InstanceRef, SeriesRef
from farsight.services.freshness import Freshness
from farsight.services.freshness_check import StudyCheck
from farsight.services.series_locks import SeriesLocks
from farsight.services.vanished import Vanished

UID = "1.2.3"
DOWN = PacsUnavailable("pacs", "down")


class Site:
    """Freshness before fakes; `second` is a second PACS. What is fetched ahead is only noted."""

    def __init__(self, *pacs: FakePacs, policy: str = "keep", fresh_s: float = 0.0) -> None:
        self.now = 1000.0
        self.archive = MemoryArchive()
        self.book = FakeCacheBook(lambda: self.now)
        self.fetched: list[str] = []
        self.used: set[SeriesRef] = set()
        self.shrunk: list[SeriesRef] = []
        vanished = Vanished(
            self.archive,
            self.book,
            policy,
            SeriesLocks(),
            self.used.__contains__,
            self.shrunk.append,
            second_look_s=60.0,
            clock=lambda: self.now,
        )
        check = StudyCheck(pacs, self.archive, self._fetch, vanished)
        self.freshness = Freshness(check, fresh_s, wait_s=10, clock=lambda: self.now)

    def _fetch(self, series: SeriesRef) -> bool:
        self.fetched.append(series.series_instance_uid)
        return True

    def hold(self, one: Study, held_by: str = "pacs", series: Collection[Series] = ()) -> None:
        """Whole and recorded, as the retrieve service leaves it."""
        for of_it in series or one.series:
            names = [row["00080018"] for row in of_it.instances]
            for name in names:
                self.add(InstanceRef(one.uid, of_it.uid, name), held_by)
            record = Completeness(len(names), len(names), "pacs", "2024-01-01T00:00:00+00:00")
            self.archive.records[SeriesRef(one.uid, of_it.uid)] = record

    def add(self, ref: InstanceRef, held_by: str) -> None:
        self.archive.stored[ref] = b""
        if held_by:
            self.book.expect(ref, 1, held_by)
        else:
            self.book.claim([ref])
        self.book.stored(ref, ref.sop_instance_uid, 1)

    def is_whole(self, series_uid: str) -> bool:
        record = self.archive.records.get(SeriesRef(UID, series_uid))
        here = self.archive.study_instances(UID).get(series_uid, ())
        return record is not None and len(here) >= record.expected

    def held(self, series_uid: str) -> set[str]:
        return set(self.archive.study_instances(UID).get(series_uid, ()))


def grow(series: Series, *names: str) -> None:
    series.instances += [
        {"00080018": f"{series.uid}.{name}", "00080016": "1.2.840.10008.5.1.4.1.1.2"}
        for name in names
    ]


def levels(pacs: FakePacs) -> list[object]:
    asked = [level for level, _ in pacs.asked]
    pacs.asked.clear()
    return asked


# ---- the cheap look


def test_what_is_unchanged_costs_one_question() -> None:
    one = study(UID, ("CT", "MR"), slices=3)
    pacs = FakePacs([one])
    site = Site(pacs)
    site.hold(one)
    for _ in range(3):
        site.freshness.opened(UID)
        assert levels(pacs) == [STUDY]
    assert site.freshness.findings() == []
    assert site.freshness.totals().checks == 3
    assert site.fetched == []


def test_a_part_of_a_study_is_unchanged_as_long_as_the_counts_are() -> None:
    """What was never fetched is not fetched now."""
    one = study(UID, ("CT", "MR", "SR"), slices=3)
    pacs = FakePacs([one])
    site = Site(pacs)
    site.hold(one, series=one.series[:1])
    site.freshness.opened(UID)
    assert levels(pacs) == [STUDY, SERIES]
    site.freshness.opened(UID)
    assert levels(pacs) == [STUDY]
    assert site.fetched == []


@pytest.mark.parametrize("quirk", ["no_counts", "zero_counts"])
def test_who_does_not_count_is_asked_for_names(quirk: str) -> None:
    one = study(UID, ("CT", "MR"), slices=3)
    pacs = FakePacs([one], **{quirk: True})
    site = Site(pacs)
    site.hold(one, series=one.series[:1])
    site.freshness.opened(UID)
    assert levels(pacs) == [STUDY, SERIES, IMAGE]
    grow(one.series[0], "99")
    site.freshness.opened(UID)
    assert site.fetched == [one.series[0].uid]


def test_nothing_whole_here_is_nothing_to_ask_for() -> None:
    one = study(UID)
    pacs = FakePacs([one])
    site = Site(pacs)
    site.freshness.opened(UID)
    site.hold(one)
    site.archive.records.clear()
    site.freshness.opened(UID)
    assert site.freshness.refresh(UID) == ()
    assert pacs.asked == []


def test_not_again_before_it_is_due() -> None:
    one = study(UID)
    pacs = FakePacs([one])
    site = Site(pacs, fresh_s=300)
    site.hold(one)
    site.freshness.opened(UID)
    site.now += 299
    site.freshness.opened(UID)
    assert levels(pacs) == [STUDY]
    site.now += 2
    site.freshness.opened(UID)
    assert levels(pacs) == [STUDY]


# ---- more than before


@pytest.mark.parametrize("is_first", [True, False])
def test_a_series_that_grew_is_whole_no_more_and_fetched(is_first: bool) -> None:
    one = study(UID, ("CT", "MR"), slices=3)
    pacs = FakePacs([one])
    site = Site(pacs)
    site.hold(one)
    if not is_first:
        site.freshness.opened(UID)
    levels(pacs)
    grow(one.series[0], "98", "99")
    site.freshness.opened(UID)
    assert levels(pacs) == [STUDY, SERIES, IMAGE]
    assert not site.is_whole(one.series[0].uid)
    assert site.is_whole(one.series[1].uid)
    assert site.fetched == [one.series[0].uid]
    (finding,) = site.freshness.findings()
    assert (finding.grown_series, finding.missing_instances) == (1, 2)
    site.hold(one)  # they came
    site.freshness.opened(UID)
    levels(pacs)
    site.freshness.opened(UID)
    assert levels(pacs) == [STUDY]
    assert site.fetched == [one.series[0].uid]


def test_what_could_not_be_fetched_is_found_again() -> None:
    """Whatever record a retrieve that began before leaves behind."""
    one = study(UID, ("CT", "MR"), slices=3)
    site = Site(FakePacs([one]))
    site.hold(one)
    old = dict(site.archive.records)
    grow(one.series[0], "99")
    site.freshness.opened(UID)
    site.archive.records.update(old)
    site.freshness.opened(UID)
    assert not site.is_whole(one.series[0].uid)
    assert site.fetched == [one.series[0].uid] * 2


def test_a_new_series_is_fetched_until_it_is_here() -> None:
    one = study(UID, ("CT",), slices=3)
    site = Site(FakePacs([one]))
    site.hold(one)
    site.freshness.opened(UID)
    late = Series(UID + ".9", {"00080060": "SR"})
    grow(late, "1")
    one.series.append(late)
    for _ in range(2):
        site.freshness.opened(UID)
    assert site.fetched == [late.uid] * 2
    site.hold(one)
    site.freshness.opened(UID)
    assert site.fetched == [late.uid] * 2


def test_the_base_line_is_what_was_there_when_it_was_fetched() -> None:
    one = study(UID, ("CT", "MR"), slices=3)
    pacs = FakePacs([one])
    site = Site(pacs)
    site.hold(one, series=one.series[:1])
    site.freshness.completed(SeriesRef(UID, one.series[0].uid))
    wait_until(lambda: site.freshness.totals().checks == 1, what="the first check")
    late = Series(UID + ".9", {"00080060": "SR"})
    grow(late, "1")
    one.series.append(late)
    site.freshness.opened(UID)
    assert site.fetched == [late.uid]


def test_replaced_ones_are_seen_by_who_insists() -> None:
    one = study(UID, ("CT",), slices=3)
    site = Site(FakePacs([one]))
    site.hold(one)
    del one.series[0].instances[0]
    grow(one.series[0], "99")
    site.freshness.opened(UID)
    assert site.fetched == [], "the counts are the same"
    assert site.freshness.refresh(UID) == ()
    assert site.fetched == [one.series[0].uid]
    assert not site.is_whole(one.series[0].uid)
    (finding,) = site.freshness.findings()
    assert (finding.missing_instances, finding.vanished_instances) == (1, 1)


def test_two_pacs_each_with_a_part() -> None:
    first, second = study(UID, ("CT",), slices=3), study(UID, ("CT",), slices=3)
    del first.series[0].instances[2]
    del second.series[0].instances[0]
    one, other = FakePacs([first]), FakePacs([second], name="other")
    site = Site(one, other)
    site.hold(study(UID, ("CT",), slices=3))
    site.freshness.opened(UID)
    assert (site.fetched, site.freshness.findings()) == ([], [])
    levels(one), levels(other)
    site.freshness.opened(UID)
    assert levels(one) == levels(other) == [STUDY]
    grow(second.series[0], "77")
    site.freshness.opened(UID)
    assert levels(one) == [STUDY]
    assert site.fetched == [first.series[0].uid]


# ---- a PACS that fails


def test_down_is_no_news_about_the_study() -> None:
    one = study(UID, ("CT",), slices=3)
    site = Site(FakePacs([one], fails=DOWN), policy="delete")
    site.hold(one)
    site.freshness.opened(UID)
    (warning,) = site.freshness.refresh(UID)
    assert "'pacs': down" in warning
    assert site.is_whole(one.series[0].uid)
    assert len(site.held(one.series[0].uid)) == 3
    assert site.freshness.totals().failed == 2


def test_a_failed_check_is_made_up_for_soon() -> None:
    one = study(UID, ("CT",), slices=3)
    pacs, other = FakePacs([one]), FakePacs([one], name="other", fails=DOWN)
    site = Site(pacs, other, fresh_s=300)
    site.hold(one)
    site.freshness.opened(UID)
    levels(pacs)
    site.now += 11
    site.freshness.opened(UID)
    assert levels(pacs) == [STUDY]


# ---- less than before


def vanished_site(policy: str, gone: int = 2, **quirks: object) -> tuple[Site, Study]:
    one = study(UID, ("CT", "MR"), slices=5)
    site = Site(FakePacs([one], **quirks), policy=policy)
    site.hold(one)
    site.add(InstanceRef(UID, one.series[0].uid, "7.7.7"), held_by="")  # a client stored it
    site.freshness.opened(UID)
    del one.series[0].instances[:gone]
    return site, one


def test_vanished_are_kept_and_told() -> None:
    site, one = vanished_site("keep")
    site.freshness.opened(UID)
    assert len(site.held(one.series[0].uid)) == 6
    assert site.is_whole(one.series[0].uid)
    assert [finding.vanished_instances for finding in site.freshness.findings()] == [2]
    site.freshness.opened(UID)
    assert len(site.freshness.findings()) == 1, "told once"


def test_vanished_are_deleted_but_never_data() -> None:
    site, one = vanished_site("delete")
    site.freshness.opened(UID)
    left = {row["00080018"] for row in one.series[0].instances}
    assert site.held(one.series[0].uid) == {*left, "7.7.7"}
    (finding,) = site.freshness.findings()
    assert (finding.vanished_instances, finding.deleted_instances) == (2, 2)
    assert site.freshness.totals().deleted_instances == 2
    assert site.shrunk == [SeriesRef(UID, one.series[0].uid)]


def test_data_stays_when_all_else_is_gone() -> None:
    site, one = vanished_site("delete", gone=5)
    for _ in range(3):
        site.freshness.opened(UID)
        site.now += 61
    assert site.held(one.series[0].uid) == {"7.7.7"}


@pytest.mark.parametrize("quirk", ["no_counts", "zero_counts"])
def test_where_only_an_absence_tells_it_takes_a_second_look(quirk: str) -> None:
    site, one = vanished_site("delete", **{quirk: True})
    site.freshness.opened(UID)
    site.now += 59
    site.freshness.opened(UID)
    assert len(site.held(one.series[0].uid)) == 6
    site.now += 2
    site.freshness.opened(UID)
    assert len(site.held(one.series[0].uid)) == 4


def test_a_study_that_is_gone_takes_a_second_look() -> None:
    one = study(UID, ("CT",), slices=5)
    catalog = [one]
    pacs = FakePacs(catalog)
    site = Site(pacs, policy="delete")
    site.hold(one)
    pacs._studies.clear()
    site.freshness.opened(UID)
    assert len(site.held(one.series[0].uid)) == 5
    site.now += 30
    pacs._studies.append(one)  # it was a mistake
    site.freshness.opened(UID)
    pacs._studies.clear()
    site.now += 31
    site.freshness.opened(UID)
    assert len(site.held(one.series[0].uid)) == 5, "away for a moment twice is not away"
    site.now += 61
    site.freshness.opened(UID)
    assert site.held(one.series[0].uid) == set()


def test_a_list_shorter_than_its_own_count_deletes_nothing() -> None:
    class Short(FakePacs):
        def _rows(self, level):  # type: ignore[no-untyped-def]
            rows = list(super()._rows(level))
            return iter(rows[:2] if level is IMAGE else rows)

    one = study(UID, ("CT",), slices=5)
    site = Site(Short([one]), policy="delete")
    site.hold(one)
    for _ in range(3):
        site.freshness.refresh(UID)
        site.now += 61
    assert len(site.held(one.series[0].uid)) == 5


def test_nothing_is_deleted_while_another_pacs_fails_or_may_have_it() -> None:
    first, second = study(UID, ("CT",), slices=5), study(UID, ("CT",), slices=5)
    other = FakePacs([second], name="other", fails=DOWN)
    site = Site(FakePacs([first]), other, policy="delete")
    site.hold(study(UID, ("CT",), slices=5))
    del first.series[0].instances[:2]
    for _ in range(2):
        site.freshness.opened(UID)
        site.now += 61
    other.quirks = FakePacs([], fails=None).quirks
    for _ in range(2):
        site.freshness.refresh(UID)
        site.now += 61
    assert len(site.held(first.series[0].uid)) == 5
    del second.series[0].instances[:2]
    site.freshness.refresh(UID)
    assert len(site.held(first.series[0].uid)) == 3


def test_what_is_in_use_is_deleted_later() -> None:
    site, one = vanished_site("delete")
    site.used.add(SeriesRef(UID, one.series[0].uid))
    site.freshness.opened(UID)
    assert len(site.held(one.series[0].uid)) == 6
    site.used.clear()
    site.freshness.opened(UID)
    assert len(site.held(one.series[0].uid)) == 4


def test_what_was_claimed_at_the_last_moment_stays() -> None:
    site, one = vanished_site("delete")
    claimed = InstanceRef(UID, one.series[0].uid, f"{one.series[0].uid}.1")
    real = site.book.instances

    def instances(series: SeriesRef):  # type: ignore[no-untyped-def]
        found = real(series)
        site.book.claim([claimed])  # a client stores it between the two looks at the book
        return found

    site.book.instances = instances  # type: ignore[method-assign]
    site.freshness.opened(UID)
    assert claimed.sop_instance_uid in site.held(one.series[0].uid)
    assert len(site.held(one.series[0].uid)) == 5


# ---- one at a time


def test_who_insists_shares_a_check_that_began_after_asking() -> None:
    one = study(UID, ("CT",), slices=3)
    go_on = threading.Event()
    pacs = FakePacs([one], hangs_until=go_on)
    site = Site(pacs)
    site.hold(one)
    with ThreadPoolExecutor(8) as threads:
        asking = [threads.submit(site.freshness.refresh, UID) for _ in range(8)]
        wait_until(lambda: pacs.asked, what="the first question")
        late = threads.submit(site.freshness.refresh, UID)
        go_on.set()
        assert [one.result(20) for one in (*asking, late)] == [()] * 9
    assert 1 <= site.freshness.totals().checks <= 4
