"""Attribute matching against rows in the DICOM JSON model (PS3.4 C.2.2.2)."""

from __future__ import annotations

import datetime as dt
import re
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.model import Attributes, Level
from farsight.ps318.matching import matches, unknown_keys
from farsight.ps318.matching_key import MatchingKey
from farsight.ps318.search_query import parse_search_query
from farsight.ps318.temporal import interval, parse_range
from farsight.ps318.wildcard import wildcard_match


def keys(*pairs: tuple[str, str]) -> tuple[MatchingKey, ...]:
    return parse_search_query(pairs, Level.IMAGE).matching_keys


def row(vr: str, tag: str, *values: Any) -> Attributes:
    return {tag: {"vr": vr, "Value": list(values)} if values else {"vr": vr}}


def pn(*groups: str) -> dict[str, str]:
    names = ("Alphabetic", "Ideographic", "Phonetic")
    return {n: g for n, g in zip(names, groups, strict=False) if g}


@pytest.mark.parametrize(
    ("query", "name", "expected"),
    [
        ("Doe^John", pn("DOE^JOHN^^^"), True),
        ("DOE^JOHN^^^", pn("Doe^John"), True),
        ("doe^john", pn("Doe ^ John"), True),
        ("Doe", pn("Doe^John"), False),
        ("Doe^*", pn("DOE"), True),
        ("*^*", pn("DOE"), True),
        ("*john*", pn("Doe^John"), True),
        ("d?e^*", pn("Doe^John"), True),
        ("*jane*", pn("Doe^John"), False),
        ("山田^太郎", pn("Yamada^Tarou", "山田^太郎", "やまだ^たろう"), True),
        ("*たろう", pn("Yamada^Tarou", "山田^太郎", "やまだ^たろう"), True),
        ("yamada*", pn("Yamada^Tarou", "山田^太郎"), True),
        ("=山田*", pn("Yamada^Tarou", "山田^太郎"), True),
        ("yamada*=山田*", pn("Yamada^Tarou", "山田^太郎"), True),
        ("山田*=yamada*", pn("Yamada^Tarou", "山田^太郎"), False),
        ("a=b=c=d", pn("a", "b", "c"), False),
        ("Äneas", pn("A\u0308NEAS"), True),
        ("müller*", pn("MÜLLER^Jürgen"), True),
        ("Doe", pn(), False),
        ("Doe", "Doe", True),
        ("Doe.*", pn("Doe^John"), False),
    ],
)
def test_person_names(query: str, name: Any, expected: bool) -> None:
    assert matches(row("PN", "00100010", name), keys(("PatientName", query))) is expected


@pytest.mark.parametrize(
    ("name", "query", "stored", "expected"),
    [
        ("PatientID", "P1", ("P1",), True),
        ("PatientID", "P1", (" P1 ",), True),
        ("PatientID", "p1", ("P1",), False),
        ("PatientID", "P*", ("P1",), True),
        ("PatientID", "p*", ("P1",), False),
        ("PatientID", "P?", ("P12",), False),
        ("PatientID", "P.", ("P1",), False),
        ("PatientID", "P[1]", ("P1",), False),
        ("PatientID", "P1", (), False),
        ("PatientID", "", (), True),
        ("PatientID", "*", (), True),
        ("PatientID", "*P*", (), False),
        ("ModalitiesInStudy", "CT", ("CT", "SR"), True),
        ("ModalitiesInStudy", "MR,SR", ("CT", "SR"), True),
        ("ModalitiesInStudy", "MR,PT", ("CT", "SR"), False),
        ("ModalitiesInStudy", "M*,P*", ("PT",), True),
        ("ModalitiesInStudy", "C", ("CT",), False),
        ("StudyInstanceUID", "1.2,1.3", ("1.3",), True),
        ("StudyInstanceUID", "1.2,1.3", ("1.33",), False),
        ("StudyInstanceUID", "1.2", ("1.2\0",), True),
        ("InstanceNumber", "1", (1,), True),
        ("InstanceNumber", "01", (1,), True),
        ("InstanceNumber", "1", ("1 ",), True),
        ("InstanceNumber", "1", (10,), False),
        ("InstanceNumber", "1", ("x",), False),
        ("PatientWeight", "70.50", (70.5,), True),
        ("PatientWeight", "7.05e1", ("70.5",), True),
        ("PatientAge", "040Y", ("040Y",), True),
        ("PatientAge", "040Y", ("041Y",), False),
    ],
)
def test_text_numbers_and_lists(
    name: str, query: str, stored: tuple[Any, ...], expected: bool
) -> None:
    (key,) = keys((name, query))
    assert matches(row(key.vr, key.tag, *stored), (key,)) is expected


@pytest.mark.parametrize(
    ("name", "query", "stored", "expected"),
    [
        ("StudyDate", "20240101", "20240101", True),
        ("StudyDate", "20240101", "20240102", False),
        ("StudyDate", "20240101-20240131", "20240131", True),
        ("StudyDate", "20240101-20240131", "20240201", False),
        ("StudyDate", "20240101-", "20300101", True),
        ("StudyDate", "20240101-", "20231231", False),
        ("StudyDate", "-20240101", "19000101", True),
        ("StudyDate", "-20240101", "20240102", False),
        ("StudyDate", "20240101", "2024.01.01", True),
        ("StudyDate", "20240101-", "garbage", False),
        ("StudyTime", "1030", "103015", True),
        ("StudyTime", "1030", "103100", False),
        ("StudyTime", "103015", "1030", True),
        ("StudyTime", "10:30:15", "103015.000", True),
        ("StudyTime", "10:30", "10:30:59", True),
        ("StudyTime", "10-11", "115959.999999", True),
        ("StudyTime", "10-11", "120000", False),
        ("StudyTime", "-0930", "093059", True),
        ("StudyTime", "-0930", "093100", False),
        ("StudyTime", "103000.5-", "103000.4", False),
        ("StudyTime", "103000.5-", "103000.50", True),
        ("StudyTime", "235959-", "235960", True),
        ("AcquisitionDateTime", "2024", "20240615120000", True),
        ("AcquisitionDateTime", "202402", "20240229", True),
        ("AcquisitionDateTime", "202402", "20240301", False),
        ("AcquisitionDateTime", "9999", "99991231235959.999999", True),
        ("AcquisitionDateTime", "20240101120000+0000", "20240101130000+0100", True),
        ("AcquisitionDateTime", "20240101120000+0000", "20240101120000+0100", False),
        ("AcquisitionDateTime", "20240101120000", "20240101120000+0100", True),
        ("AcquisitionDateTime", "20240101000000+0000-", "20231231233000-0100", True),
        ("AcquisitionDateTime", "20240101000000+0000-", "20240101003000+0100", False),
        ("AcquisitionDateTime", "20240101-20240102", "202401020930", True),
        ("AcquisitionDateTime", "-2023", "20240101", False),
    ],
)  # fmt: skip
def test_dates_and_times(name: str, query: str, stored: str, expected: bool) -> None:
    (key,) = keys((name, query))
    assert matches(row(key.vr, key.tag, stored), (key,)) is expected


def test_a_datetime_without_offset_takes_the_one_of_its_row() -> None:
    wanted = keys(("AcquisitionDateTime", "20240101120000+0000"))
    stored = row("DT", "0008002A", "20240101130000")
    assert matches({**stored, **row("SH", "00080201", "+0100")}, wanted)
    assert not matches({**stored, **row("SH", "00080201", "+0200")}, wanted)


def test_date_and_time_ranges_are_independent() -> None:
    wanted = keys(("StudyDate", "20240101-20240102"), ("StudyTime", "1000-1100"))
    inside = {**row("DA", "00080020", "20240102"), **row("TM", "00080030", "103000")}
    assert matches(inside, wanted)
    assert not matches({**inside, **row("TM", "00080030", "120000")}, wanted)


def test_an_absent_attribute_is_unknown_not_a_mismatch() -> None:
    wanted = keys(("StudyDescription", "Head"), ("PatientID", "P1"), ("AccessionNumber", ""))
    stored = row("LO", "00100020", "P1")
    assert matches(stored, wanted)
    assert [key.name for key in unknown_keys(stored, wanted)] == ["StudyDescription"]


SPS, RP = "RequestAttributesSequence.ScheduledProcedureStepID", "00400275.00401001"


@pytest.mark.parametrize(
    ("items", "pairs", "expected"),
    [
        ([{"00400009": "S1"}], [(SPS, "S1")], True),
        ([{"00400009": "S1"}], [(SPS, "S2")], False),
        ([{"00400009": "S1"}, {"00400009": "S2"}], [(SPS, "S2")], True),
        ([{"00400009": "S1", "00401001": "R1"}], [(SPS, "S1"), (RP, "R1")], True),
        (
            [{"00400009": "S1", "00401001": "R1"}, {"00400009": "S2", "00401001": "R2"}],
            [(SPS, "S1"), (RP, "R2")],
            False,  # one item has to match both
        ),
        ([{"00400009": "S1"}], [(SPS, "S1"), (RP, "R2")], True),  # absent in the item: unknown
        ([], [(SPS, "S1")], False),
        ([], [(SPS, "")], True),
    ],
)
def test_sequences(
    items: list[dict[str, str]], pairs: list[tuple[str, str]], expected: bool
) -> None:
    nested = [{t: {"vr": "SH", "Value": [v]} for t, v in item.items()} for item in items]
    assert matches(row("SQ", "00400275", *nested), keys(*pairs)) is expected


# ---- wildcards beside a slow reference


def slow_match(pattern: str, text: str) -> bool:
    """By the definition, every way to cut the text tried, results remembered."""

    @cache
    def at(p: int, t: int) -> bool:
        if p == len(pattern):
            return t == len(text)
        if pattern[p] == "*":
            return at(p + 1, t) or (t < len(text) and at(p, t + 1))
        return t < len(text) and pattern[p] in ("?", text[t]) and at(p + 1, t + 1)

    return at(0, 0)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("*a*a*", "a", False),
        ("*a*a*", "aa", True),
        ("*ab*b*", "ab", False),
        ("*ab*b*", "abb", True),
        ("*ab*ba", "aba", False),
        ("aba*aba", "aba", False),
        ("aba*aba", "ababa", False),
        ("aba*aba", "abaaba", True),
        ("*?a*?b", "xaab", True),
        ("*?a*?b", "xab", False),
        ("*", "", True),
        ("?", "", False),
        ("", "", True),
    ],
)
def test_wildcards_that_pieces_may_not_share(pattern: str, text: str, expected: bool) -> None:
    assert wildcard_match(pattern, text) is expected


_PIECES = st.lists(st.sampled_from(["*", "?", "a", "b", "ab", "ba"]), max_size=8).map("".join)


@given(_PIECES, st.text("ab", max_size=8))
def test_wildcards_like_the_definition(pattern: str, text: str) -> None:
    assert wildcard_match(pattern, text) is slow_match(pattern, text)


@given(st.text("ab*?", max_size=8), st.text("ab?*", max_size=8))
def test_wildcards_where_the_text_has_some_itself(pattern: str, text: str) -> None:
    assert wildcard_match(pattern, text) is slow_match(pattern, text)


@pytest.mark.parametrize(
    "pattern",
    ["*a" * 500 + "*b", "*?" * 500 + "b", "*a?" * 300 + "*b", "a*" * 500 + "b", "?" * 1000 + "*b"],
)
def test_hostile_patterns_take_few_steps(pattern: str) -> None:
    """Comparisons are counted, not seconds: at most pattern times text."""
    text = CountingText("a" * 2_000)
    assert not wildcard_match(pattern, text)
    assert text.comparisons <= len(pattern) * len(text)


class CountingText(str):
    """Counts the characters and slices looked at."""

    comparisons = 0

    def __getitem__(self, index: Any) -> str:
        self.comparisons += 1
        return super().__getitem__(index)

    def find(self, *args: Any) -> int:
        self.comparisons += 1
        return super().find(*args)


# ---- whole rows beside a plain reading of the standard

TEXT = st.text("abAB^ *?", min_size=1, max_size=6)
DATES = st.dates(dt.date(2023, 12, 28), dt.date(2024, 1, 4)).map(lambda d: d.strftime("%Y%m%d"))
RANGES = st.tuples(DATES, DATES).map(lambda ends: "-".join(sorted(ends)))


@given(query=DATES | RANGES | DATES.map(lambda d: d + "-") | DATES.map(lambda d: "-" + d), at=DATES)
def test_date_ranges_like_text_comparison(query: str, at: str) -> None:
    first, hyphen, last = query.partition("-")
    expected = (first or "0") <= at <= (last or "9") if hyphen else at == first
    assert matches(row("DA", "00080020", at), keys(("StudyDate", query))) is expected


@given(TEXT, st.lists(st.text("abAB", max_size=4), max_size=3))
def test_text_like_a_regular_expression(query: str, stored: list[str]) -> None:
    query = query.strip(" ")
    pattern = re.compile(
        "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in query), re.DOTALL
    )
    present = [value for value in stored if value]
    expected = not query.strip("*") or any(pattern.fullmatch(value) for value in present)
    assert matches(row("LO", "00100020", *stored), keys(("PatientID", query))) is expected


@given(st.text("abAB^", max_size=6), st.text("abAB^", max_size=6))
def test_names_without_wildcards_compare_by_component(one: str, other: str) -> None:
    def components(name: str) -> list[str]:
        parts = name.lower().split("^")
        return parts + [""] * (7 - len(parts))

    if not one.strip("*"):
        return
    wanted = keys(("PatientName", one))
    expected = components(one) == components(other) and bool(other.strip("^"))
    if one.strip("^") or other.strip("^"):
        assert matches(row("PN", "00100010", pn(other)), wanted) is expected


CLOCK = st.tuples(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))


@given(CLOCK, st.integers(1, 3), CLOCK)
def test_partial_times_are_whole_intervals(clock: Any, precision: int, other: Any) -> None:
    text = "".join(f"{part:02}" for part in clock[:precision])
    stored = "".join(f"{part:02}" for part in other)
    expected = clock[:precision] == other[:precision]
    assert matches(row("TM", "00080030", stored), keys(("StudyTime", text))) is expected


@given(
    st.datetimes(dt.datetime(2, 1, 2), dt.datetime(9998, 12, 30)),
    st.integers(-12 * 60, 14 * 60),
    st.integers(-12 * 60, 14 * 60),
)
def test_one_moment_in_two_time_zones(moment: dt.datetime, one: int, other: int) -> None:
    def text(minutes: int) -> str:
        local = moment + dt.timedelta(minutes=minutes)
        sign = "-" if minutes < 0 else "+"
        zone = f"{sign}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
        return f"{local.year:04}{local:%m%d%H%M%S}.{local.microsecond:06}{zone}"

    found = interval("DT", text(other))
    assert found is not None
    assert parse_range("DT", text(one)).covers(found)
    assert parse_range("DT", text(one) + "-").covers(found)
    assert parse_range("DT", "-" + text(one)).covers(found)


@given(st.sampled_from(["DA", "TM", "DT"]), st.text("0123456789.:+- ", max_size=24))
def test_no_text_breaks_the_parser(vr: str, text: str) -> None:
    try:
        asked = parse_range(vr, text)
    except ValueError:
        return
    assert parse_range(vr, asked.text).text == asked.text
