"""Pages of PACS with more studies than one search reads: the newest, exactly, for little."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import pytest

from fakes.archive import FakeArchive
from fakes.catalog import Study, study
from fakes.pacs import FakePacs
from farsight.errors import PacsFailure
from farsight.model import Level
from farsight.services.search import SearchLimits
from farsight.services.search_by_date import Spans
from farsight.services.search_newest import DescentLimits
from searching import search, service, uids

LARGE = SearchLimits(descent=DescentLimits(max_rows=150))
CUT = "more than 150 matches, the rest was not read"


def spread(count: int, seed: int = 1) -> list[Study]:
    """Studies of twenty years, some of them dated tomorrow or later, some not at all."""
    chance = random.Random(seed)
    today = date.today()
    studies = []
    for number in range(count):
        day = today - timedelta(int(chance.expovariate(1 / 700)) - 3)
        text = "" if chance.random() < 0.05 else f"{day:%Y%m%d}"
        name = chance.choice(["Doe^Jane", "Roe^Rich", "Poe^Edgar"])
        studies.append(study(f"1.2.{number}", _00080020=text, _00080030="10", _00100010=name))
    chance.shuffle(studies)
    return studies


def expected_order(studies: Sequence[Study]) -> list[str]:
    by_uid = sorted(studies, key=lambda s: s.uid)
    return [s.uid for s in sorted(by_uid, key=lambda s: s.attributes["00080020"], reverse=True)]


@pytest.mark.parametrize("offset", [0, 7, 100, 138])
@pytest.mark.parametrize("habit", ["none", "repeats_rows", "case_sensitive_names"])
def test_pages_of_a_large_pacs_are_those_of_the_whole(offset: int, habit: str) -> None:
    studies = spread(300)
    quirks = {} if habit == "none" else {habit: True}
    limits = SearchLimits(descent=DescentLimits(max_rows=450 if habit == "repeats_rows" else 150))
    one = service(FakePacs(studies, **quirks), limits=limits)
    for _ in range(2):  # the second time it is known where to begin
        result = search(one, "/studies", ("limit", "10"), ("offset", str(offset)))
        assert uids(result.rows) == expected_order(studies)[offset : offset + 10]
        assert result.warnings[-1] == "There are additional results that can be requested"


@pytest.mark.parametrize("quirk", [{"ignores_keys": True}, {"leaves_out": {"00080020"}}])
def test_a_large_pacs_where_dates_are_of_no_help(quirk: dict[str, Any]) -> None:
    one = service(FakePacs(spread(300), **quirk), limits=LARGE)
    for pairs in ([("limit", "10")], [("limit", "10"), ("StudyDate", "19000101-")]):
        result = search(one, "/studies", *pairs)
        assert len(result.rows) == 10
        assert any(CUT in text for text in result.warnings)


def test_a_small_pacs_is_asked_once_and_for_all() -> None:
    """What it doesn't say of dates, or says wrong, hides nothing."""
    odd = [study("1.2.900", _00080020="20251301"), study("1.2.901", _00080020="")]
    pacs = FakePacs([*spread(100), *odd])
    result = search(service(pacs, limits=LARGE), "/studies", ("limit", "102"))
    assert len(result.rows) == 102
    assert "1.2.900" not in uids(result.rows)[:90], "no date comes last"
    assert len(pacs.rows_per_query) == 2, "how much came lately, and all"


def test_a_large_pacs_that_takes_closed_ranges_only() -> None:
    class Closed(FakePacs):
        def _matches(self, key: Any, stored: Any) -> bool:
            return not key.value.endswith("-") and super()._matches(key, stored)

    studies = spread(300)
    result = search(service(Closed(studies), limits=LARGE), "/studies", ("limit", "10"))
    assert uids(result.rows) == expected_order(studies)[:10]


def test_pages_of_two_large_pacs_and_what_is_here() -> None:
    studies = spread(300)
    sources = FakePacs(studies[:200]), FakePacs(studies[100:], "other")
    one = service(*sources, archive=FakeArchive(studies[250:280]), limits=LARGE)
    found = [
        uid
        for offset in range(0, 50, 10)
        for uid in uids(search(one, "/studies", ("limit", "10"), ("offset", str(offset))).rows)
    ]
    assert found == expected_order(studies)[:50]


@pytest.mark.parametrize("dated", [True, False])
def test_a_pacs_that_takes_long_for_all_is_asked_for_the_newest(dated: bool) -> None:
    """Nobody knows how many there are: all of them are asked for, but not waited for."""
    gate = threading.Event()

    class Slow(FakePacs):
        def find(self, level: Level, identifier: Any, **options: Any) -> Any:
            if not any(key.tag == "00080020" and key.value for key in identifier):
                assert gate.wait(20)
            elif not dated:
                gate.set()
            return super().find(level, identifier, **options)

    studies = spread(60) if dated else [study(f"1.2.{n}", _00080020="") for n in range(60)]
    limits = SearchLimits(descent=DescentLimits(patience_s=0.01))
    result = search(service(Slow(studies), limits=limits), "/studies", ("limit", "10"))
    assert gate.is_set() is not dated
    assert uids(result.rows) == expected_order(studies)[:10]
    assert any("additional results" in text for text in result.warnings)
    gate.set()


def test_a_slow_pacs_is_asked_for_all_once_in_a_while_only() -> None:
    forever, everything = threading.Event(), []

    class Slow(FakePacs):
        def find(self, level: Level, identifier: Any, **options: Any) -> Any:
            if not any(key.tag == "00080020" and key.value for key in identifier):
                everything.append(identifier)
                forever.wait(20)
            return super().find(level, identifier, **options)

    studies = spread(60)
    limits = SearchLimits(descent=DescentLimits(patience_s=0.01, few_rows=0))
    one = service(Slow(studies, case_sensitive_names=False), limits=limits)
    for pairs in (
        [],
        [("PatientID", "*")],
        [("StudyDescription", "H*")],
        [("StudyDescription", "He*")],
    ):
        found = search(one, "/studies", ("limit", "10"), *pairs)
        assert uids(found.rows) == expected_order(studies)[:10]
    assert len(everything) == 1
    forever.set()


def test_filters_of_a_large_pacs_are_exact_too() -> None:
    studies = spread(300)
    one = service(FakePacs(studies, case_sensitive_names=True), limits=LARGE)
    janes = [s for s in studies if s.attributes["00100010"] == "Doe^Jane"]
    result = search(one, "/studies", ("PatientName", "doe*"), ("limit", "20"), ("offset", "5"))
    assert uids(result.rows) == expected_order(janes)[5:25]


@pytest.mark.parametrize("limit", [None, "149", "150", "500"])
def test_what_a_large_pacs_has_beyond_the_bound_is_never_passed_over(limit: str | None) -> None:
    studies = spread(300)
    one = service(FakePacs(studies), limits=LARGE)
    for _ in range(2):
        result = search(one, "/studies", *([] if limit is None else [("limit", limit)]))
        assert len(result.rows) == min(150, int(limit or 150))
        assert result.warnings
        if limit != "500":  # more than is ever read: dates are of no help
            assert uids(result.rows) == expected_order(studies)[: len(result.rows)]


def test_a_large_pacs_is_asked_for_little() -> None:
    pacs = FakePacs(spread(900))
    one = service(pacs, limits=LARGE)
    search(one, "/studies", ("limit", "10"))
    pacs.rows_per_query.clear()
    search(one, "/studies", ("limit", "10"))
    assert len(pacs.rows_per_query) == 1
    assert sum(pacs.rows_per_query) < 100


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("20100101-20191231", "20100101", "20191231"), ("20150101-", "20150101", "9"),
     ("-20151231", "0", "20151231"), ("2015.01.01-2016.12.31", "20150101", "20161231")],
)  # fmt: skip
def test_ranges_of_dates_in_a_large_pacs(asked: str, first: str, last: str) -> None:
    chance = random.Random(2)
    studies = [
        study(f"1.2.{n}", _00080020=f"{2005 + chance.randrange(17)}{chance.randrange(1, 13):02}15")
        for n in range(300)
    ]
    one = service(FakePacs(studies), limits=LARGE)
    within = [s for s in studies if first <= s.attributes["00080020"] <= last]
    for limit, offset in ((10, 0), (10, 15)):
        pairs = ("StudyDate", asked), ("limit", str(limit)), ("offset", str(offset))
        result = search(one, "/studies", *pairs)
        assert uids(result.rows) == expected_order(within)[offset : offset + limit]


def test_one_day_is_asked_for_as_it_is() -> None:
    pacs = FakePacs([study(f"1.2.{n}", _00080020="20240105") for n in range(40)])
    result = search(
        service(pacs, limits=LARGE), "/studies", ("StudyDate", "20240105"), ("limit", "3")
    )
    assert uids(result.rows) == [f"1.2.{n}" for n in sorted(range(40), key=str)][:3]
    assert len(pacs.rows_per_query) == 1


def test_a_large_pacs_that_takes_no_ranges() -> None:
    class NoRanges(FakePacs):
        def find(self, level: Level, identifier: Any, **options: Any) -> Any:
            if any(key.tag == "00080020" and "-" in key.value for key in identifier):
                raise PacsFailure("pacs", "C-FIND: refused", 0xC000)
            return super().find(level, identifier, **options)

    result = search(service(NoRanges(spread(300)), limits=LARGE), "/studies", ("limit", "10"))
    assert len(result.rows) == 10
    assert any(CUT in text for text in result.warnings)


@pytest.mark.parametrize("day", ["20990101", "20990101-20990201", "20990101-"])
def test_days_to_come_in_a_large_pacs(day: str) -> None:
    limits = SearchLimits(descent=DescentLimits(max_rows=20))
    pacs = FakePacs([study(f"1.2.{n}", _00080020="20990101") for n in range(40)])
    result = search(service(pacs, limits=limits), "/studies", ("StudyDate", day), ("limit", "3"))
    assert len(result.rows) == 3
    assert len(result.warnings) == 2


def test_one_page_does_not_widen_another() -> None:
    pacs = FakePacs(spread(900))
    one = service(pacs, limits=LARGE)
    for offset in ("0", "120", "0"):
        pacs.rows_per_query.clear()
        search(one, "/studies", ("limit", "10"), ("offset", offset))
    assert len(pacs.rows_per_query) == 1
    assert sum(pacs.rows_per_query) < 20


def test_where_to_begin_is_forgotten() -> None:
    now = 0.0
    spans = Spans(clock=lambda: now)
    spans.keep("search", 100, 5)
    assert (spans.of("search", 100), spans.of("other", 100)) == (5, None)
    assert (spans.of("search", 201), spans.of("search", 10)) == (10, 1), "as many for each row"
    for other in range(1000):
        spans.keep(other, 1, 1)
    assert spans.of("search", 100) is None, "others came since"
    spans.keep("search", 100, 5)
    now = 3600.0
    assert spans.of("search", 100) is None, "it was long ago"


def test_a_fast_source_with_more_than_can_be_read_is_not_small() -> None:
    limits = SearchLimits(descent=DescentLimits(max_rows=50))
    studies = spread(80)
    one = service(FakePacs(studies), limits=limits)
    search(one)
    found = search(one, "/studies", ("StudyDescription", "H*"), ("limit", "3"))
    assert uids(found.rows) == expected_order(studies)[:3]
