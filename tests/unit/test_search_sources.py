"""Searches over several PACS and the archive: rows joined to one answer, failures told."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from fakes.archive import FakeArchive
from fakes.catalog import study
from fakes.pacs import FakePacs
from farsight.errors import (
    ArchiveError,
    PacsError,
    PacsFailure,
    PacsTimeout,
    PacsUnavailable,
)
from farsight.services.search import SearchResult
from farsight.services.search_source import SourceHabits
from searching import COUNT_TAGS, TWO, search, service, uids, values

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
