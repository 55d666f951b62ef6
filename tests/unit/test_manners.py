"""What a PACS is found to accept, and the ways that leaves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.dimse.manners import Manners, Way, read_manners, ways_to_retrieve
from farsight.model import Level

LEVELS = (Level.IMAGE, Level.SERIES, Level.STUDY)
manners = st.builds(
    Manners,
    engine=st.sampled_from(["c-get", "c-move"]),
    uid_lists=st.booleans(),
    finest_level=st.sampled_from(LEVELS),
    max_associations=st.integers(0, 100),
    one_at_a_time=st.booleans(),
)


@given(manners)
def test_the_record_comes_back(given_manners: Manners) -> None:
    assert read_manners(given_manners.to_json()) == given_manners


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        Manners().to_json().replace("c-get", "c-put"),
        Manners().to_json().replace("true", "1"),
        Manners().to_json().replace("IMAGE", "FRAME"),
        Manners().to_json().replace(": 0", ": -1"),
        Manners().to_json().replace(": 0", ": true"),
    ],
)
def test_other_records_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_manners(text)


def ways(has_series: bool, uids: tuple[str, ...], known: Manners, split: bool = False) -> list[Way]:
    return list(ways_to_retrieve(has_series, uids, known, split=split))


def test_finest_first_and_lists_before_single_uids() -> None:
    assert ways(True, ("1", "2"), Manners()) == [
        Way(Level.IMAGE, (("1", "2"),)),
        Way(Level.IMAGE, (("1",), ("2",))),
        Way(Level.SERIES),
        Way(Level.STUDY),
    ]
    assert ways(True, (), Manners()) == [Way(Level.SERIES), Way(Level.STUDY)]
    assert ways(False, (), Manners()) == [Way(Level.STUDY)]


def test_what_is_known_to_be_refused_is_left_out() -> None:
    assert ways(True, ("1", "2"), Manners(uid_lists=False))[0] == Way(Level.IMAGE, (("1",), ("2",)))
    assert ways(True, ("1",), Manners(finest_level=Level.SERIES))[0] == Way(Level.SERIES)
    assert ways(True, ("1",), Manners(finest_level=Level.STUDY)) == [Way(Level.STUDY)]
    assert ways(True, ("1", "2"), Manners(), split=True)[0].sop_instance_uids == (("1",), ("2",))


@given(manners, st.booleans(), st.lists(st.from_regex(r"[1-9]{1,3}", fullmatch=True), unique=True))
def test_there_is_always_a_way_and_none_brings_less(
    known: Manners, has_series: bool, uids: list[str]
) -> None:
    found = ways(has_series, tuple(uids) if has_series else (), known)
    assert found[-1] == Way(Level.STUDY)
    order = [LEVELS.index(way.level) for way in found]
    assert order == sorted(order)
    for way in found:
        if way.level is Level.IMAGE:
            assert [uid for one in way.sop_instance_uids for uid in one] == uids
        else:
            assert way.sop_instance_uids == ()


def test_said_in_words() -> None:
    assert str(Manners()) == "retrieves by C-GET"
    told = Manners("c-move", False, Level.SERIES, 2, True)
    assert str(told) == (
        "retrieves by C-MOVE, one UID per request, SERIES level at the finest, "
        "at most 2 associations, one retrieve at a time"
    )
