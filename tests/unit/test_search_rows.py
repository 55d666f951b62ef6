"""What the rows of a search carry, what is counted for them, and their order and pages."""

from __future__ import annotations

import pytest

from fakes.catalog import Series, study
from fakes.pacs import FakePacs
from farsight.errors import PacsUnavailable
from farsight.model import Level
from farsight.services.search import SearchLimits
from farsight.services.search_newest import DescentLimits
from farsight.services.search_page import PageLimits
from farsight.services.study_contents import ContentsCache
from searching import COUNT_TAGS, ROOT, TWO, dated, search, service, uids, values

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


def test_rows_with_hostile_uids_are_left_out() -> None:
    pacs = FakePacs([study("1.2.1"), study("../../etc")])
    result = search(service(pacs))
    assert uids(result.rows) == ["1.2.1"]
    assert result.warnings == ("PACS 'pacs': rows without a valid UID were left out",)


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


# ---- order and pages


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
