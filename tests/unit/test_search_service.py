"""Search over PACS and archive in memory: semantics of PS3.18 10.6 and the habits of real PACS."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.archive import FakeArchive
from fakes.catalog import Series, Study, study
from fakes.pacs import FakePacs
from farsight.errors import (
    ArchiveError,
    PacsError,
    PacsFailure,
    PacsTimeout,
    PacsUnavailable,
)
from farsight.model import Attributes, Level
from farsight.ps318.matching import matches
from farsight.ps318.resource_path import parse_resource_path
from farsight.ps318.search_query import parse_search_query
from farsight.services.search import SearchLimits, SearchResult, SearchService
from farsight.services.search_by_date import Spans
from farsight.services.search_newest import DescentLimits
from farsight.services.search_page import PageLimits
from farsight.services.search_source import SourceHabits
from farsight.services.study_contents import ContentsCache

ROOT = "http://host/dicom-web"
COUNT_TAGS = ("00080061", "00201206", "00201208")


def search(service: SearchService, path: str = "/studies", *pairs: tuple[str, str]) -> SearchResult:
    scope = parse_resource_path(path)
    return service.search(parse_search_query(pairs, scope.level), scope, ROOT)


def service(*pacs: FakePacs, archive: FakeArchive | None = None, **options: Any) -> SearchService:
    return SearchService(pacs, archive, **options)


def values(row: Attributes, tag: str) -> list[Any]:
    return list(row[tag].get("Value", []))


def uids(rows: Sequence[Attributes], tag: str = "0020000D") -> list[str]:
    return [values(row, tag)[0] for row in rows]


# ---- what a row carries


def test_a_study_row_has_every_required_attribute() -> None:
    (row,) = search(service(FakePacs([study("1.2.1", ("CT", "SR"))]))).rows
    assert list(row) == [
        "00080020", "00080030", "00080050", "00080054", "00080056", "00080061", "00080090",
        "00081190", "00100010", "00100020", "00100030", "00100040", "0020000D", "00200010",
        "00201206", "00201208",
    ]  # fmt: skip
    assert row["00081190"] == {"vr": "UR", "Value": [f"{ROOT}/studies/1.2.1"]}
    assert row["00080061"] == {"vr": "CS", "Value": ["CT", "SR"]}
    assert values(row, "00201206") == [2]
    assert values(row, "00201208") == [4]
    assert row["00080054"] == {"vr": "AE", "Value": ["PACS"]}


def test_required_attributes_the_pacs_lacks_are_there_and_empty() -> None:
    pacs = FakePacs([study("1.2.1")], leaves_out=frozenset({"00200010", "00100040"}))
    (row,) = search(service(pacs)).rows
    assert row["00200010"] == {"vr": "SH"}
    assert row["00100040"] == {"vr": "CS"}


def test_series_and_instance_rows() -> None:
    one = service(FakePacs([study("1.2.1", slices=3)]))
    (series,) = search(one, "/studies/1.2.1/series").rows
    assert (values(series, "0020000D"), values(series, "0020000E")) == (["1.2.1"], ["1.2.1.1"])
    assert values(series, "00080060") == ["CT"]
    assert values(series, "00201209") == [3]
    assert values(series, "00081190") == [f"{ROOT}/studies/1.2.1/series/1.2.1.1"]
    rows = search(one, "/studies/1.2.1/series/1.2.1.1/instances").rows
    assert [values(row, "00200013") for row in rows] == [[1], [2], [3]]
    assert set(rows[0]) == {
        "00080016", "00080018", "00080054", "00080056", "00081190", "0020000D", "0020000E",
        "00200013",
    }  # fmt: skip


def test_includefield_adds_what_was_named_and_all_adds_everything() -> None:
    one = service(FakePacs([study("1.2.1", _00100021="Issuer")]))
    assert "00081030" not in search(one).rows[0]
    (row,) = search(one, "/studies", ("includefield", "StudyDescription,00080060")).rows
    assert values(row, "00081030") == ["Head"]
    assert "00080060" not in row  # of a series
    (row,) = search(one, "/studies", ("includefield", "all")).rows
    assert values(row, "00100021") == ["Issuer"]


def test_a_matching_key_is_returned_too() -> None:
    (row,) = search(service(FakePacs([study("1.2.1")])), "/studies", ("StudyDescription", "")).rows
    assert values(row, "00081030") == ["Head"]


def test_study_attributes_in_series_rows_are_joined_from_the_study() -> None:
    pacs = FakePacs([study("1.2.1"), study("1.2.2", _00100020="P2")])
    one = service(pacs)
    (row,) = search(one, "/studies/1.2.1/series", ("includefield", "PatientID")).rows
    assert values(row, "00100020") == ["P1"]
    assert not search(one, "/studies/1.2.1/series", ("PatientID", "P2")).rows
    assert search(one, "/studies/1.2.2/series", ("PatientID", "P2")).rows


def test_text_beyond_ascii_declares_utf_8_and_only_that() -> None:
    pacs = FakePacs(
        [study("1.2.1", _00100010="Yamada^Tarou=山田^太郎", _00080005="ISO 2022 IR 87")]
    )
    (row,) = search(service(pacs), "/studies", ("includefield", "all")).rows
    assert row["00080005"] == {"vr": "CS", "Value": ["ISO_IR 192"]}
    (row,) = search(service(FakePacs([study("1.2.1", _00080005="ISO_IR 100")]))).rows
    assert "00080005" not in row


# ---- counts the PACS doesn't send


@pytest.mark.parametrize("habit", ["no_counts", "zero_counts"])
def test_counts_come_from_the_series_or_their_instances(habit: str) -> None:
    pacs = FakePacs([study("1.2.1", ("MR", "CT"), 3)], ignores_modalities=True, **{habit: True})
    (row,) = search(service(pacs)).rows
    assert [values(row, tag) for tag in COUNT_TAGS] == [["CT", "MR"], [2], [6]]
    (series, _) = search(service(pacs), "/studies/1.2.1/series").rows
    assert values(series, "00201209") == [3]


def test_series_that_count_their_instances_save_the_image_queries() -> None:
    left_out = frozenset({"00201206", "00201208"})
    pacs = FakePacs([study("1.2.1", ("MR", "CT"), 3)], leaves_out=left_out)
    (row,) = search(service(pacs)).rows
    assert [values(row, tag) for tag in COUNT_TAGS] == [["CT", "MR"], [2], [6]]
    assert [level for level, _ in pacs.asked] == [Level.STUDY, Level.SERIES]


def test_repeated_rows_are_counted_and_gone_into_once() -> None:
    pacs = FakePacs([study("1.2.1", ("CT", "MR"))], no_counts=True, repeats_rows=True)
    one = service(pacs)
    assert len(search(one).rows) == 1
    assert len(pacs.asked) == 1 + 1 + 2
    pacs.asked.clear()
    assert len(search(one, "/studies/1.2.1/instances").rows) == 4
    assert len(pacs.asked) == 1 + 2


def test_counts_are_found_out_for_the_page_only_and_kept() -> None:
    pacs = FakePacs([study(f"1.2.{n}") for n in range(1, 31)], no_counts=True)
    clock = [0.0]
    contents = ContentsCache(ttl_s=60, clock=lambda: clock[0])
    one = service(pacs, contents=contents)

    def series_queries() -> int:
        pacs.asked.clear()
        search(one, "/studies", ("limit", "5"))
        return sum(level is Level.SERIES for level, _ in pacs.asked)

    assert series_queries() == 5
    assert series_queries() == 0
    clock[0] = 61
    assert series_queries() == 5


def test_the_cache_of_counts_is_bounded() -> None:
    cache = ContentsCache(max_entries=10)
    for number in range(100):
        cache.put(("pacs", str(number)), number)
    assert [cache.get(("pacs", str(n))) for n in (89, 90, 99)] == [None, 90, 99]


def test_counting_that_fails_leaves_rows_and_says_so_once() -> None:
    pacs = FakePacs(
        [study(f"1.2.{n}") for n in range(1, 40)],
        no_counts=True,
        fails=PacsUnavailable("pacs", "association rejected"),
        fails_at=frozenset({Level.SERIES}),
    )
    result = search(service(pacs))
    assert len(result.rows) == 39
    assert len(result.warnings) == 1
    assert "association rejected" in result.warnings[0]
    asked = sum(level is Level.SERIES for level, _ in pacs.asked)
    assert asked <= PageLimits().counting_threads  # not once per study


# ---- matching again, whatever the PACS does

TWO = [study("1.2.1", ("CT",)), study("1.2.2", ("MR", "SR"), _00100010="ROE^JANE")]


@pytest.mark.parametrize(
    "quirks",
    [
        {},
        {"ignores_keys": True},
        {"ignores_modalities": True},
        {"ignores_modalities": True, "no_counts": True},
        {"case_sensitive_names": True},
        {"refuses_uid_lists": True},
        {"repeats_rows": True},
        {"case_sensitive_names": True, "ignores_modalities": True, "refuses_uid_lists": True},
    ],
)
@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("PatientName", "*doe*")], ["1.2.1"]),
        ([("PatientName", "roe^jane")], ["1.2.2"]),
        ([("PatientName", "DOE^john")], ["1.2.1"]),
        ([("ModalitiesInStudy", "MR")], ["1.2.2"]),
        ([("ModalitiesInStudy", "CT,SR")], ["1.2.1", "1.2.2"]),
        ([("ModalitiesInStudy", "PT,US")], []),
        ([("StudyInstanceUID", "1.2.2,1.2.1")], ["1.2.1", "1.2.2"]),
        ([("StudyInstanceUID", "1.2.1,9.9")], ["1.2.1"]),
        ([("StudyInstanceUID", "1.2.1,1.2.2"), ("PatientName", "*JANE")], ["1.2.2"]),
        ([("StudyDate", "20240101-20240101"), ("ModalitiesInStudy", "CT")], ["1.2.1"]),
        ([("StudyDate", "20250101-")], []),
        ([("AccessionNumber", "A1")], ["1.2.1"]),
    ],
)
def test_every_pacs_gives_the_same_answer(
    quirks: dict[str, Any], pairs: list[tuple[str, str]], expected: list[str]
) -> None:
    result = search(service(FakePacs(TWO, **quirks)), "/studies", *pairs)
    assert uids(result.rows) == expected
    assert result.warnings == ()


def test_whether_a_pacs_tells_capitals_apart_is_asked_once() -> None:
    folding, sensitive = FakePacs(TWO), FakePacs(TWO, case_sensitive_names=True)
    for pacs, sent in ((folding, "*doe*"), (sensitive, None)):
        one = service(pacs)
        search(one, "/studies", ("PatientName", "*doe*"))
        pacs.asked.clear()
        assert uids(search(one, "/studies", ("PatientName", "*doe*")).rows) == ["1.2.1"]
        ((_, keys),) = pacs.asked
        assert keys.get("00100010") == sent


YAMADA = [study("1.2.1", _00100010="Yamada^Tarou=山田^太郎"), study("1.2.2")]


@pytest.mark.parametrize("name", ["=山田*", "山田*", "山田^太郎"])
def test_whether_a_pacs_finds_other_letters_is_asked_once(name: str) -> None:
    finds, does_not = FakePacs(YAMADA), FakePacs(YAMADA, only_finds_ascii=True)
    for pacs, is_sent in ((finds, True), (does_not, False)):
        one = service(pacs)
        assert uids(search(one, "/studies", ("PatientName", name)).rows) == ["1.2.1"]
        pacs.asked.clear()
        assert uids(search(one, "/studies", ("PatientName", name)).rows) == ["1.2.1"]
        ((_, keys),) = pacs.asked
        assert ("00100010" in keys) is is_sent


@pytest.mark.parametrize("name", ["müller^jürgen", "M?LLER*", "*üller*"])
def test_names_with_some_letters_of_ascii_need_no_probe(name: str) -> None:
    pacs = FakePacs(
        [study("1.2.1", _00100010="Müller^Jürgen"), study("1.2.2", _00100010="Moeller")],
        only_finds_ascii=True,
    )
    assert uids(search(service(pacs), "/studies", ("PatientName", name)).rows) == ["1.2.1"]
    assert not any("ü" in value for _, keys in pacs.asked for value in keys.values())


def test_names_with_empty_components_or_further_groups_are_found() -> None:
    stored = ["DOE^JOHN^^^", "Doe^John=山田^太郎", "Doe^Johnny"]
    pacs = FakePacs([study(f"1.2.{n}", _00100010=name) for n, name in enumerate(stored)])
    rows = search(service(pacs), "/studies", ("PatientName", "Doe^John")).rows
    assert uids(rows) == ["1.2.0", "1.2.1"]


def test_refused_uid_lists_are_remembered() -> None:
    pacs = FakePacs(TWO, refuses_uid_lists=True)
    one = service(pacs)
    for expected in (3, 2):
        pacs.asked.clear()
        search(one, "/studies", ("StudyInstanceUID", "1.2.1,1.2.2"))
        assert len(pacs.asked) == expected


def test_a_key_the_pacs_does_not_know_warns_instead_of_hiding_studies() -> None:
    pacs = FakePacs(TWO, leaves_out=frozenset({"00081030"}))
    result = search(service(pacs), "/studies", ("StudyDescription", "Knee"))
    assert uids(result.rows) == ["1.2.1", "1.2.2"]
    assert result.warnings == ("PACS 'pacs' does not return StudyDescription; not filtered by it",)


def test_an_attribute_a_pacs_matches_too_narrowly_can_be_kept_from_it() -> None:
    pacs = FakePacs(TWO)
    one = service(pacs, habits={"pacs": SourceHabits(universal_tags=frozenset({"00080061"}))})
    assert uids(search(one, "/studies", ("ModalitiesInStudy", "SR")).rows) == ["1.2.2"]
    assert "00080061" not in pacs.asked[0][1]


def test_modalities_are_found_out_only_as_far_as_the_page_needs() -> None:
    studies = [
        study(
            f"1.2.{n}",
            ("CT",) if n % 2 else ("MR",),
            _00080020=f"2024{n // 28 + 1:02}{n % 28 + 1:02}",
        )
        for n in range(300)
    ]
    pacs = FakePacs(studies, ignores_modalities=True)
    result = search(service(pacs), "/studies", ("ModalitiesInStudy", "CT"), ("limit", "10"))
    assert len(result.rows) == 10
    assert all(values(row, "00080061") == ["CT"] for row in result.rows)
    assert result.warnings == ("There are additional results that can be requested",)
    assert sum(level is Level.SERIES for level, _ in pacs.asked) <= 50


def test_the_search_for_modalities_is_bounded() -> None:
    pacs = FakePacs([study(f"1.2.{n}") for n in range(200)], ignores_modalities=True)
    limits = SearchLimits(page=PageLimits(max_counted=50))
    result = search(service(pacs, limits=limits), "/studies", ("ModalitiesInStudy", "MR"))
    assert result.rows == ()
    assert any("50 studies only" in text for text in result.warnings)


# ---- order and pages


def dated(count: int) -> list[Study]:
    return [
        study(f"1.2.{n}", _00080020=f"202401{n % 7 + 1:02}", _00080030=f"{n % 5:02}0000")
        for n in range(1, count + 1)
    ]


def test_newest_first_then_uid_and_pages_fit_together() -> None:
    studies = [*dated(40), study("1.2.900", _00080020="")]
    one = service(FakePacs(studies), FakePacs(list(reversed(studies))[:17], "other"))
    whole = uids(search(one).rows)
    by_uid = sorted(studies, key=lambda s: s.uid)
    expected = sorted(
        by_uid, key=lambda s: (s.attributes["00080020"], s.attributes["00080030"]), reverse=True
    )
    assert whole == [s.uid for s in expected]
    pages = [
        uids(search(one, "/studies", ("limit", "7"), ("offset", str(at))).rows)
        for at in range(0, 41, 7)
    ]
    assert [uid for page in pages for uid in page] == whole


@pytest.mark.parametrize(
    ("limit", "offset", "rows", "remaining"),
    [
        (10, 0, 10, 30),
        (10, 30, 10, 0),
        (10, 35, 5, 0),
        (10, 40, 0, 0),
        (10, 99, 0, 0),
        (0, 0, 0, 40),
        (39, 0, 39, 1),
    ],
)
def test_limit_and_offset_are_exact(limit: int, offset: int, rows: int, remaining: int) -> None:
    one = service(FakePacs(dated(40)))
    result = search(one, "/studies", ("limit", str(limit)), ("offset", str(offset)))
    assert len(result.rows) == rows
    text = f"There are {remaining} additional results that can be requested"
    assert result.warnings == ((text,) if remaining else ())


def test_limit_counts_what_is_left_after_filtering() -> None:
    pacs = FakePacs(TWO, ignores_keys=True)
    result = search(service(pacs), "/studies", ("PatientName", "*jane"), ("limit", "1"))
    assert uids(result.rows) == ["1.2.2"]
    assert result.warnings == ()


def test_series_and_instances_by_number() -> None:
    numbers = ["10", "2", "", "-1", "x"]
    one = study("1.2.1", ())
    one.series = [
        Series(f"1.2.1.{i}", {"00080060": "CT", "00200011": n if n != "x" else "7"}, [])
        for i, n in enumerate(numbers)
    ]
    rows = search(service(FakePacs([one])), "/studies/1.2.1/series").rows
    assert [values(row, "00200011") for row in rows] == [[-1], [2], [7], [10], []]


def test_more_rows_than_one_search_reads_are_announced() -> None:
    limits = SearchLimits(descent=DescentLimits(max_rows=25))
    pacs = FakePacs([study(f"1.2.{n}", _00080020="20240105") for n in range(40)])
    result = search(service(pacs, limits=limits), "/studies", ("limit", "10"))
    assert len(result.rows) == 10
    assert result.warnings == (
        "PACS 'pacs': more than 25 matches, the rest was not read",
        "There are additional results that can be requested",
    )
    assert max(rows for rows in pacs.rows_per_query) == 26


# ---- large sources


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


# ---- several sources


def test_the_same_study_in_two_places_is_one_row() -> None:
    here = study("1.2.1", ("CT",), 2, _00081030="Local", _00100021="Issuer")
    there = study("1.2.1", ("CT", "SR"), 5)
    pacs = FakePacs([there], leaves_out=frozenset({"00100021"}))
    archive = FakeArchive([here])
    (row,) = search(service(pacs, archive=archive), "/studies", ("includefield", "all")).rows
    assert values(row, "00081030") == ["Head"]  # the PACS's own
    assert values(row, "00100021") == ["Issuer"]  # filled from the archive
    assert [values(row, tag) for tag in COUNT_TAGS] == [["CT", "SR"], [2], [10]]
    assert values(row, "00080056") == ["NEARLINE"]


def test_counts_are_the_largest_anyone_has() -> None:
    archive = FakeArchive([study("1.2.1", ("CT", "MR"), 9)], leaves_out=COUNT_TAGS)
    (row,) = search(service(FakePacs([study("1.2.1", ("CT",), 2)]), archive=archive)).rows
    assert [values(row, tag) for tag in COUNT_TAGS] == [["CT", "MR"], [2], [18]]
    assert values(row, "00080056") == ["ONLINE"]


def test_a_study_only_stored_here() -> None:
    archive = FakeArchive([study("1.2.1", ("CT", "MR"), 3)], leaves_out=COUNT_TAGS)
    (row,) = search(service(FakePacs([]), archive=archive)).rows
    assert [values(row, tag) for tag in COUNT_TAGS] == [["CT", "MR"], [2], [6]]
    assert values(row, "00080056") == ["ONLINE"]
    assert row["00080054"] == {"vr": "AE"}


@pytest.mark.parametrize("said", ["ONLINE", "OFFLINE", "NEARLINE"])
def test_availability_is_the_pacs_word_for_what_is_only_there(said: str) -> None:
    (row,) = search(service(FakePacs([study("1.2.1")], availability=said))).rows
    assert values(row, "00080056") == [said]


def test_rows_of_two_pacs_name_both() -> None:
    one = service(FakePacs([study("1.2.1")], "a"), FakePacs([study("1.2.1")], "b"))
    (row,) = search(one).rows
    assert values(row, "00080054") == ["A", "B"]


@pytest.mark.parametrize(
    ("first", "second", "rows"),
    [
        ({}, {}, 1),
        ({"_00100020": "P1"}, {"_00100020": "P2"}, 2),
        ({"_00100020": "P1"}, {"_00100020": ""}, 1),
        ({"_00100010": "DOE^JOHN^^"}, {"_00100010": "Doe^John"}, 1),
        ({"_00100010": "Doe^John"}, {"_00100010": "Married^John"}, 1),  # same ID and birth date
        (
            {"_00100010": "Doe^John", "_00100030": "19700101"},
            {"_00100010": "Roe^Jane", "_00100030": "19800101"},
            2,
        ),
        ({"_00100020": "", "_00100010": "Doe^John"}, {"_00100010": "Roe^Jane"}, 2),
        ({"_00100020": "", "_00100030": "19700101"}, {"_00100030": "19700102"}, 2),
        ({"_00100020": "", "_00100010": ""}, {}, 1),
    ],
)
def test_conflicting_patients_are_never_blended(
    first: dict[str, str], second: dict[str, str], rows: int
) -> None:
    one = service(
        FakePacs([study("1.2.1", ("CT",), **first)], "a"),
        FakePacs([study("1.2.1", ("MR",), **second)], "b"),
    )
    result = search(one)
    assert uids(result.rows) == ["1.2.1"] * rows
    if rows == 2:
        assert [values(row, "00080061") for row in result.rows] == [["CT"], ["MR"]]
        (text,) = result.warnings
        assert "1.2.1" in text
        assert not any(word in text for word in ("Doe", "Roe", "P1", "P2", "19"))
    else:
        assert result.warnings == ()


def test_rows_are_joined_by_uid_never_by_patient() -> None:
    one = service(FakePacs([study("1.2.1")], "a"), FakePacs([study("1.2.2")], "b"))
    assert uids(search(one).rows) == ["1.2.1", "1.2.2"]


# ---- failures

DOWN = PacsUnavailable("a", "connection refused")


@pytest.mark.parametrize(
    "error",
    [DOWN, PacsTimeout("a", "no answer"), PacsFailure("a", "out of resources", 0xA700)],
)
def test_a_pacs_that_fails_is_never_an_empty_list(error: PacsError) -> None:
    with pytest.raises(PacsError) as caught:
        search(service(FakePacs(TWO, "a", fails=error), archive=FakeArchive()))
    assert caught.value is error
    with pytest.raises(PacsError):
        search(service(FakePacs(TWO, "a", fails=error)))


def test_the_other_sources_answer_with_a_warning() -> None:
    down = FakePacs(TWO, "a", fails=DOWN)
    for one in (
        service(down, archive=FakeArchive(TWO[:1])),
        service(down, FakePacs(TWO[:1], "b")),
        service(FakePacs(TWO[:1], "b"), down),
    ):
        result = search(one)
        assert uids(result.rows) == ["1.2.1"]
        (text,) = result.warnings
        assert text == "PACS 'a': connection refused; its results are missing"


def test_another_source_without_hits_does_not_hide_the_failure() -> None:
    with pytest.raises(PacsUnavailable):
        search(service(FakePacs([], "b"), FakePacs(TWO, "a", fails=DOWN), archive=FakeArchive()))
    with pytest.raises(PacsUnavailable):
        search(
            service(FakePacs(TWO, "b"), FakePacs(TWO, "a", fails=DOWN)),
            "/studies",
            ("PatientName", "nobody"),
        )


def test_a_failure_shows_when_looking_into_modalities_left_nothing() -> None:
    one = service(FakePacs(TWO, "b", ignores_modalities=True), FakePacs(TWO, "a", fails=DOWN))
    with pytest.raises(PacsUnavailable):
        search(one, "/studies", ("ModalitiesInStudy", "PT"))


def test_a_pacs_that_dies_between_rows_has_failed() -> None:
    dying = FakePacs(TWO, "a", fails=PacsUnavailable("a", "connection lost"), fails_after_rows=1)
    with pytest.raises(PacsUnavailable, match="connection lost"):
        search(service(dying))
    result = search(service(dying, archive=FakeArchive(TWO[1:])))
    assert uids(result.rows) == ["1.2.2"]
    assert "connection lost" in result.warnings[0]


def test_an_archive_that_fails_is_told_as_well() -> None:
    broken = FakeArchive(fails=ArchiveError("the index cannot be read"))
    result = search(service(FakePacs(TWO), archive=broken))
    assert len(result.rows) == 2
    assert result.warnings == ("the index cannot be read; its results are missing",)
    with pytest.raises(ArchiveError):
        search(service(FakePacs([]), archive=broken))


def test_a_pacs_that_hangs_does_not_hold_up_the_others() -> None:
    forever = threading.Event()
    one = service(
        FakePacs(TWO, "a", hangs_until=forever),
        FakePacs(TWO, "b"),
        habits={"a": SourceHabits(timeout_s=0.3)},
    )
    result = search(one)
    assert len(result.rows) == 2
    assert result.warnings == (
        "PACS 'a': no complete answer within 0.3 s; its results are missing",
    )
    forever.set()


def test_each_pacs_has_its_own_time() -> None:
    forever, a_moment = threading.Event(), threading.Event()
    one = service(
        FakePacs(TWO, "a", hangs_until=forever),
        FakePacs(TWO, "b", hangs_until=a_moment),
        habits={"a": SourceHabits(timeout_s=0.05), "b": SourceHabits(timeout_s=60)},
    )
    threading.Timer(0.3, a_moment.set).start()
    result = search(one)
    assert len(result.rows) == 2
    assert [text.partition(":")[0] for text in result.warnings] == ["PACS 'a'"]
    forever.set()


def test_an_unexpected_error_is_not_swallowed() -> None:
    class Broken(FakePacs):
        def find(self, *args: Any, **options: Any) -> Any:
            raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        search(service(Broken([]), archive=FakeArchive(TWO)))


def test_nothing_found_is_an_empty_list() -> None:
    assert search(service(FakePacs([]), archive=FakeArchive())) == SearchResult(())
    assert search(service()) == SearchResult(())
    assert search(service(FakePacs(TWO)), "/studies/9.9/series").rows == ()


# ---- relational resources, by going down the hierarchy


def test_all_series_and_all_instances() -> None:
    one = service(FakePacs(TWO))
    series = search(one, "/series", ("Modality", "MR")).rows
    assert uids(series, "0020000E") == ["1.2.2.1"]
    assert values(series[0], "00100010") == [{"Alphabetic": "ROE^JANE"}]  # of its study
    instances = search(one, "/instances", ("PatientName", "*jane*")).rows
    assert len(instances) == 4
    assert values(instances[0], "00080060") == ["MR"]
    assert uids(search(one, "/series", ("StudyInstanceUID", "1.2.1")).rows) == ["1.2.1"]


def test_instances_of_a_study() -> None:
    rows = search(service(FakePacs(TWO)), "/studies/1.2.2/instances").rows
    assert sorted(uids(rows, "00080018")) == ["1.2.2.1.1", "1.2.2.1.2", "1.2.2.2.1", "1.2.2.2.2"]
    assert "00080060" in rows[0]
    assert "00100010" not in rows[0]


def test_going_down_is_bounded_and_says_so() -> None:
    limits = SearchLimits(descent=DescentLimits(max_fan_out=5))
    pacs = FakePacs(dated(20))
    result = search(service(pacs, limits=limits), "/series")
    assert len(result.rows) == 5
    assert result.warnings == (
        "PACS 'pacs': only the first 5 of 20 objects at level STUDY were searched",
    )
    assert len(pacs.asked) == 6


def test_rows_of_another_study_than_asked_are_dropped() -> None:
    class Careless(FakePacs):
        def _matches(self, key: Any, stored: Any) -> bool:
            return True

    rows = search(service(Careless(TWO)), "/studies/1.2.1/series").rows
    assert uids(rows, "0020000E") == ["1.2.1.1"]


def test_rows_with_hostile_uids_are_left_out() -> None:
    pacs = FakePacs([study("1.2.1"), study("../../etc")])
    result = search(service(pacs))
    assert uids(result.rows) == ["1.2.1"]
    assert result.warnings == ("PACS 'pacs': rows without a valid UID were left out",)


# ---- any data, any query, any habits: the same answer as one plain loop

WORDS = st.sampled_from(["Doe^John", "DOE^JANE", "roe^J", "Roe", "山田^太郎"])
STUDIES = st.lists(
    st.builds(
        lambda n, name, date, modalities, pid: study(
            f"1.2.{n}", modalities, 1, _00100010=name, _00080020=date, _00100020=pid
        ),
        st.integers(1, 40),
        WORDS,
        st.sampled_from(["20240101", "20240102", "20240201", ""]),
        st.lists(st.sampled_from(["CT", "MR", "SR"]), min_size=1, max_size=2, unique=True),
        st.sampled_from(["P1", "p1", "P12"]),
    ),
    max_size=6,
    unique_by=lambda s: s.uid,
)
PAIRS = st.lists(
    st.sampled_from(
        [
            ("PatientName", "*doe*"), ("PatientName", "R*"), ("PatientName", "?oe^j*"),
            ("PatientName", "山*"), ("StudyDate", "20240101-20240131"), ("StudyDate", "20240201"),
            ("ModalitiesInStudy", "CT"), ("ModalitiesInStudy", "MR,SR"), ("PatientID", "P1"),
            ("PatientID", "P1?"), ("StudyInstanceUID", "1.2.1,1.2.2,1.2.3"),
        ]
    ),
    max_size=3,
    unique_by=lambda pair: pair[0],
)  # fmt: skip
QUIRKS = st.fixed_dictionaries(
    {
        "ignores_modalities": st.booleans(),
        "no_counts": st.booleans(),
        "case_sensitive_names": st.booleans(),
        "ignores_keys": st.booleans(),
        "refuses_uid_lists": st.booleans(),
        "repeats_rows": st.booleans(),
    }
)


@settings(max_examples=150, deadline=None)
@given(STUDIES, STUDIES, PAIRS, QUIRKS, QUIRKS)
def test_two_pacs_of_any_habits_like_one_plain_list(
    first: list[Study],
    second: list[Study],
    pairs: list[tuple[str, str]],
    one: dict[str, bool],
    other: dict[str, bool],
) -> None:
    known = {s.uid for s in first}
    second = [s for s in second if s.uid not in known]
    expected = sorted(s.uid for s in [*first, *second] if _plainly(s, pairs))
    found = search(
        service(FakePacs(first, "a", **one), FakePacs(second, "b", **other)), "/studies", *pairs
    )
    assert sorted(uids(found.rows)) == expected
    for row in found.rows:
        assert all(values(row, tag) for tag in COUNT_TAGS)
    assert found.warnings == ()


def _plainly(one: Study, pairs: list[tuple[str, str]]) -> bool:
    """The study as one complete row, matched without any PACS in between."""
    text = one.attributes
    complete: Attributes = {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": text["00100010"]}]},
        "00080020": {"vr": "DA", "Value": [text["00080020"]]},
        "00100020": {"vr": "LO", "Value": [text["00100020"]]},
        "0020000D": {"vr": "UI", "Value": [one.uid]},
        "00080061": {"vr": "CS", "Value": [s.attributes["00080060"] for s in one.series]},
    }
    return matches(complete, parse_search_query(pairs, Level.STUDY).matching_keys)


# ---- one PACS of several


def test_one_pacs_under_its_name() -> None:
    here = FakeArchive([study("1.2.1"), study("1.2.9")])
    one, other = FakePacs([study("1.2.1")], name="one"), FakePacs([study("1.2.2")], name="other")
    both = service(one, other, archive=here)
    assert sorted(uids(search(both).rows)) == ["1.2.1", "1.2.2", "1.2.9"]
    (row,) = search(both.only("one")).rows
    assert values(row, "0020000D") == ["1.2.1"], "what is stored and not there stays out"
    assert values(row, "00080056") == ["ONLINE"]
    assert uids(search(both.only("other")).rows) == ["1.2.2"]


def test_one_pacs_that_fails_is_an_error_whatever_is_stored() -> None:
    failing = FakePacs([], name="one", fails=PacsUnavailable("one", "connection refused"))
    both = service(failing, FakePacs([study("1.2.2")]), archive=FakeArchive([study("1.2.1")]))
    with pytest.raises(PacsUnavailable):
        search(both.only("one"))


# ---- what a source tells of the levels above

TWO_KINDS = [study("1.2.1", ("CT",), 2), study("1.2.2", ("MR", "SR"), 3)]
SILENT = {"no_counts": True, "ignores_modalities": True}


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/series", 2), ("/instances", 6), ("/studies/1.2.2/series", 2), ("/studies/1.2.1/series", 0),
     ("/studies/1.2.2/instances", 6), ("/studies/1.2.1/instances", 0)],
)  # fmt: skip
def test_modalities_in_study_is_a_key_at_every_level(path: str, expected: int) -> None:
    one = service(FakePacs(TWO_KINDS, **SILENT))
    result = search(one, path, ("ModalitiesInStudy", "MR"))
    assert len(result.rows) == expected
    assert {values(row, "0020000D")[0] for row in result.rows} <= {"1.2.2"}
    assert result.warnings == ()


def test_modalities_are_found_out_within_a_bound() -> None:
    limits = SearchLimits(descent=DescentLimits(max_counted=1))
    one = service(FakePacs(TWO_KINDS, **SILENT), limits=limits)
    result = search(one, "/series", ("ModalitiesInStudy", "CT,MR"))
    assert {values(row, "0020000D")[0] for row in result.rows} < {"1.2.1", "1.2.2"}
    assert any("modalities of 1 studies" in text for text in result.warnings)


@pytest.mark.parametrize(
    ("path", "pairs", "counts"),
    [
        ("/series", (), {"00201206": 1, "00201208": 2, "00201209": 2}),
        ("/instances", (), {"00201206": 1, "00201208": 2, "00201209": 2}),
        ("/studies/1.2.1/series", (("includefield", "00201206"),), {"00201206": 1}),
        ("/studies/1.2.1/series/1.2.1.1/instances", (("includefield", "00201209"),),
         {"00201209": 2}),
    ],
)  # fmt: skip
def test_counts_of_the_levels_above(
    path: str, pairs: Sequence[tuple[str, str]], counts: dict[str, int]
) -> None:
    (row, *_) = search(service(FakePacs(TWO_KINDS[:1], **SILENT)), path, *pairs).rows
    assert {tag: values(row, tag)[0] for tag in counts} == counts


def test_one_character_is_asked_for_as_any() -> None:
    """PACS that take it for a byte don't find what lies outside ASCII."""
    pacs = FakePacs([study("1.2.1", _00081030="Sch\u00e4del"), study("1.2.2", _00081030="Schdel")])
    result = search(service(pacs), "/studies", ("StudyDescription", "Sch?del"))
    assert uids(result.rows) == ["1.2.1"]
    assert [keys.get("00081030") for _, keys in pacs.asked] == ["Sch*del"]


# ---- what must not get lost


class _TellsNoModalities(FakePacs):
    """Returns ModalitiesInStudy, empty, as many do with what they don't support."""

    def find(self, level: Level, identifier: Any, **options: Any) -> Any:
        for row in super().find(level, identifier, **options):
            yield {**row, "00080061": {"vr": "CS"}} if level is Level.STUDY else row


@pytest.mark.parametrize("path", ["/studies", "/series"])
def test_modalities_that_come_empty_are_not_told(path: str) -> None:
    pacs = _TellsNoModalities(TWO_KINDS, ignores_modalities=True)
    rows = search(service(pacs), path, ("ModalitiesInStudy", "MR")).rows
    assert {values(row, "0020000D")[0] for row in rows} == {"1.2.2"}


def test_a_study_whose_modalities_one_source_does_not_tell_stays() -> None:
    """The local part has MR alone; what the PACS has can't be found out."""
    failing = {"fails": PacsFailure("pacs", "C-FIND: refused", 0xC000), "fails_at": {Level.SERIES}}
    pacs = FakePacs([study("1.2.1", ("CT", "MR"))], ignores_modalities=True, **failing)
    one = service(pacs, archive=FakeArchive([study("1.2.1", ("MR",))]))
    result = search(one, "/studies", ("ModalitiesInStudy", "CT"))
    assert uids(result.rows) == ["1.2.1"]
    assert any("modalities and counts are incomplete" in text for text in result.warnings)


@pytest.mark.parametrize("path", ["/studies", "/series"])
def test_fresh_means_modalities_and_counts_too(path: str) -> None:
    studies = [study("1.2.1", ("MR",))]
    pacs = FakePacs(studies, **SILENT)
    one = service(pacs, limits=SearchLimits(answers_live_s=60))
    asked = ("ModalitiesInStudy", "CT")
    assert search(one, path, asked).rows == ()
    pacs._studies[:] = [study("1.2.1", ("MR", "CT"))]
    scope = parse_resource_path(path)
    query = replace(parse_search_query([asked], scope.level), fresh=True)
    assert one.search(query, scope, ROOT).rows


def test_modalities_are_found_out_without_counting_instances() -> None:
    pacs = FakePacs(TWO_KINDS, **SILENT)
    search(service(pacs), "/series", ("ModalitiesInStudy", "US"))
    assert Level.IMAGE not in {level for level, _ in pacs.asked}


@pytest.mark.parametrize(
    ("stored", "asked"),
    [("Smith", "Smith^*"), ("Smith", "*^*"), ("Smith^John", "smith^*^*"), ("Smith", "Smith="),
     ("Smith", "Smith=*"), ("Smith^John", "Smith ^John"), ("Smith ^John", "Smith^John"),
     ("\u00d6Z^ALI", "\u00f6z*"), ("\u738b^Li", "\u738b*")],
)  # fmt: skip
@pytest.mark.parametrize("quirk", ["only_finds_ascii", "case_sensitive_names"])
def test_a_name_is_asked_for_widely_enough(stored: str, asked: str, quirk: str) -> None:
    others = [study(f"1.3.{n}", _00100010=f"Doe^{n}") for n in range(30)]
    pacs = FakePacs([*others, study("1.2.1", _00100010=stored)], **{quirk: True})
    assert "1.2.1" in uids(search(service(pacs), "/studies", ("PatientName", asked)).rows)


def test_a_sharp_s_is_not_two() -> None:
    """No PACS takes it for that; the same answer whatever was asked before."""
    pacs = FakePacs([study("1.2.1", _00100010="Stra\u00dfe")])
    assert search(service(pacs), "/studies", ("PatientName", "strasse*")).rows == ()


def test_the_minute_asked_for_is_a_minute() -> None:
    pacs = FakePacs([study("1.2.1", _00080030="103015"), study("1.2.2", _00080030="104530.5")])
    one = service(pacs)
    assert uids(search(one, "/studies", ("StudyTime", "1030")).rows) == ["1.2.1"]
    assert len(search(one, "/studies", ("StudyTime", "1030-1045")).rows) == 2


def test_a_fast_source_with_more_than_can_be_read_is_not_small() -> None:
    limits = SearchLimits(descent=DescentLimits(max_rows=50))
    studies = spread(80)
    one = service(FakePacs(studies), limits=limits)
    search(one)
    found = search(one, "/studies", ("StudyDescription", "H*"), ("limit", "3"))
    assert uids(found.rows) == expected_order(studies)[:3]


def test_other_names_than_the_patients_are_not_trusted_with_capitals() -> None:
    """A PACS may keep the patient's name in capitals and the others as they are."""
    pacs = FakePacs([study("1.2.1", _00080090="House^Greg")])
    search(service(pacs), "/studies", ("ReferringPhysicianName", "HOUSE*"))
    assert not any("00080090" in keys for _, keys in pacs.asked)
