"""Matching again, whatever the PACS does: the same answer from PACS of any habits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.catalog import Study, study
from fakes.pacs import FakePacs
from farsight.model import Attributes, Level
from farsight.ps318.matching import matches
from farsight.ps318.search_query import parse_search_query
from farsight.services.search import SearchLimits
from farsight.services.search_page import PageLimits
from farsight.services.search_source import SourceHabits
from searching import COUNT_TAGS, TWO, search, service, uids, values


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


# ---- what must not get lost


def test_one_character_is_asked_for_as_any() -> None:
    """PACS that take it for a byte don't find what lies outside ASCII."""
    pacs = FakePacs([study("1.2.1", _00081030="Sch\u00e4del"), study("1.2.2", _00081030="Schdel")])
    result = search(service(pacs), "/studies", ("StudyDescription", "Sch?del"))
    assert uids(result.rows) == ["1.2.1"]
    assert [keys.get("00081030") for _, keys in pacs.asked] == ["Sch*del"]


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


def test_other_names_than_the_patients_are_not_trusted_with_capitals() -> None:
    """A PACS may keep the patient's name in capitals and the others as they are."""
    pacs = FakePacs([study("1.2.1", _00080090="House^Greg")])
    search(service(pacs), "/studies", ("ReferringPhysicianName", "HOUSE*"))
    assert not any("00080090" in keys for _, keys in pacs.asked)


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
