"""Narrower searches answered from wider ones: when that may be, and when it mustn't."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.catalog import key_matches, study
from fakes.pacs import FakePacs
from farsight.dimse.refinement import refines
from farsight.model import IdentifierKey, Level
from farsight.ps318.resource_path import parse_resource_path
from farsight.ps318.search_query import parse_search_query
from farsight.services.refining import Question, Refining
from farsight.services.search import SearchLimits, SearchResult, SearchService

VRS = {"00080020": "DA", "00080061": "CS", "00100010": "PN", "00100020": "LO", "0020000D": "UI"}
DATE, MODALITIES, NAME, PATIENT, STUDY = VRS


def keys(**values: str) -> tuple[IdentifierKey, ...]:
    return tuple(
        IdentifierKey(tag, VRS[tag], values.get(f"_{tag}", "")) for tag in (*VRS,)
    )  # every attribute is asked for; those not named are universal


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ({}, {}),
        ({f"_{NAME}": "x*"}, {}),
        ({f"_{NAME}": "*smith*"}, {f"_{NAME}": "*SMI*"}),
        ({f"_{NAME}": "smi*"}, {f"_{NAME}": "*smi*"}),
        ({f"_{NAME}": "smith^j*"}, {f"_{NAME}": "smith*"}),
        ({f"_{PATIENT}": "A1?"}, {f"_{PATIENT}": "A*"}),
        ({f"_{DATE}": "20240105"}, {f"_{DATE}": "20240101-20240131"}),
        ({f"_{DATE}": "20240105-"}, {f"_{DATE}": "2024.01.01-"}),
    ],
)
def test_narrower(narrow: dict[str, str], wide: dict[str, str]) -> None:
    assert refines(keys(**narrow), keys(**wide))


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ({}, {f"_{NAME}": "x*"}),
        ({f"_{NAME}": "*smi*"}, {f"_{NAME}": "*smith*"}),
        ({f"_{NAME}": "s*h"}, {f"_{NAME}": "*smi*"}),
        ({f"_{NAME}": "s?i*"}, {f"_{NAME}": "*smi*"}),
        ({f"_{PATIENT}": "a1"}, {f"_{PATIENT}": "A*"}),
        ({f"_{PATIENT}": "A1"}, {f"_{PATIENT}": "A?"}),
        ({f"_{DATE}": "20231231-20240102"}, {f"_{DATE}": "20240101-20240131"}),
        ({f"_{DATE}": "20240101-"}, {f"_{DATE}": "20240101-20240131"}),
        ({f"_{DATE}": ""}, {f"_{DATE}": "20240101-"}),
        ({f"_{STUDY}": "1.2"}, {f"_{STUDY}": "1.2\\1.3"}),
        ({f"_{PATIENT}": "*"}, {f"_{PATIENT}": "**"}),
    ],
)
def test_not_known_to_be_narrower(narrow: dict[str, str], wide: dict[str, str]) -> None:
    assert not refines(keys(**narrow), keys(**wide))


def test_what_wants_another_attribute_is_not_answered() -> None:
    wider_in_columns = (*keys(), IdentifierKey("00100040", "CS", ""))
    assert refines(keys(), wider_in_columns)
    assert not refines(wider_in_columns, keys())


texts = st.text("ab*?", max_size=4)
dates = st.sampled_from(["", "20240102", "20240102-", "-20240103", "20240101-20240102", "20240103"])
values = {NAME: texts, PATIENT: texts, DATE: dates}
identifiers = st.fixed_dictionaries({f"_{tag}": some for tag, some in values.items()})
STORED = [
    {NAME: name, PATIENT: patient, DATE: date}
    for name, patient, date in itertools.product(
        ("", "a", "ab", "ba", "Ab", "bab"), ("", "a", "B", "aab"), ("", "20240101", "20240103")
    )
]


@given(identifiers, identifiers)
def test_the_narrower_one_never_matches_more(narrow: dict[str, str], wide: dict[str, str]) -> None:
    if not refines(keys(**narrow), keys(**wide)):
        return
    for stored in STORED:
        if _all_match(keys(**narrow), stored):
            assert _all_match(keys(**wide), stored)


def _all_match(asked: tuple[IdentifierKey, ...], stored: dict[str, str]) -> bool:
    return all(key_matches(key, stored[key.tag]) for key in asked if key.tag in stored)


# ---- in a search

STUDIES = [study(f"1.2.{n}", _00100010=f"Smith^{chr(65 + n)}") for n in range(12)]
TYPED = ("sm", "smi", "smit", "smith", "smith^a", "smith^b", "smith^c")


def search(service: SearchService, *pairs: tuple[str, str]) -> SearchResult:
    scope = parse_resource_path("/studies")
    return service.search(parse_search_query(pairs, scope.level), scope, "http://host")


def typed(service: SearchService, pacs: FakePacs, text: str) -> tuple[int, int]:
    """Rows of a search for a name, and how often the PACS was asked for it."""
    before = len(pacs.asked)
    rows = search(service, ("PatientName", f"*{text}*")).rows
    return len(rows), len(pacs.asked) - before


def service(pacs: FakePacs) -> SearchService:
    """It has answered a longer list before, and whether it tells capitals apart is known."""
    made = SearchService((pacs,), None, SearchLimits(answers_live_s=120))
    search(made)
    typed(made, pacs, "nobody")
    return made


OTHERS = [study(f"1.3.{n}", _00100010="Doe") for n in range(5)]


def test_once_proven_a_narrower_search_needs_no_association() -> None:
    pacs = FakePacs([*STUDIES, *OTHERS])
    made = service(pacs)
    found = [typed(made, pacs, text) for text in TYPED]
    assert [rows for rows, _ in found] == [12, 12, 12, 12, 1, 1, 1]
    assert [asked for _, asked in found] == [1, 1, 1, 1, 0, 0, 0], "the first is new, three prove"


def test_the_longest_answer_there_was_may_have_been_cut() -> None:
    """A PACS with nothing but Smiths: no answer of it was ever longer."""
    pacs = FakePacs(STUDIES)
    made = service(pacs)
    assert [asked for _, asked in (typed(made, pacs, text) for text in TYPED)] == [1] * 4 + [1] * 3


class _Capped(FakePacs):
    """Sends ten rows at most for two letters or less, and calls it success."""

    def find(self, level: Level, identifier, *, max_rows=None):  # type: ignore[no-untyped-def]
        name = next((key.value for key in identifier if key.tag == NAME), "")
        rows = super().find(level, identifier, max_rows=max_rows)
        return itertools.islice(rows, 10) if 0 < len(name.strip("*")) <= 2 else rows


def test_a_pacs_that_gives_less_for_a_wider_question_is_never_trusted() -> None:
    pacs = _Capped([*STUDIES, *OTHERS])
    made = service(pacs)
    found = [typed(made, pacs, text) for text in TYPED]
    assert [rows for rows, _ in found] == [10, 12, 12, 12, 1, 1, 1]
    assert [asked for _, asked in found] == [1] * 7


def test_it_is_put_to_proof_again_and_again() -> None:
    pacs = FakePacs([*STUDIES, *OTHERS])
    made = service(pacs)
    for text in TYPED:
        typed(made, pacs, text)
    names = [f"smith^{chr(97 + n)}{end}" for n in range(12) for end in ("", "?", "*?")]
    assert sum(typed(made, pacs, name)[1] for name in names) in (1, 2)


def test_rows_that_do_not_tell_are_not_chosen_from() -> None:
    pacs = FakePacs([*STUDIES, *OTHERS], leaves_out=frozenset({"00080050"}))
    made = service(pacs)
    for text in TYPED:
        typed(made, pacs, text)
    before = len(pacs.asked)
    search(made, ("PatientName", "*smith*"), ("AccessionNumber", "A1"))
    assert len(pacs.asked) > before


def test_a_client_that_wants_it_fresh_gets_it() -> None:
    pacs = FakePacs([*STUDIES, *OTHERS])
    made = service(pacs)
    for text in TYPED:
        typed(made, pacs, text)
    before = len(pacs.asked)
    scope = parse_resource_path("/studies")
    query = replace(parse_search_query([("PatientName", "*smith^d*")], scope.level), fresh=True)
    assert len(made.search(query, scope, "http://host").rows) == 1
    assert len(pacs.asked) == before + 1


texts_typed = st.lists(st.sampled_from(["s", "sm", "smith", "smith^a", "d", "do", "doe", "x"]))


@settings(deadline=None)
@given(texts_typed)
def test_any_order_of_typing_finds_the_same(texts: list[str]) -> None:
    kept = service(FakePacs([*STUDIES, *OTHERS]))
    for text in texts:
        plain = SearchService((FakePacs([*STUDIES, *OTHERS]),), None)
        asked = ("PatientName", f"*{text}*")
        assert search(kept, asked).rows == search(plain, asked).rows


def test_distrust_ends() -> None:
    """A study that came between two searches looks like a promise broken."""
    now = 0.0
    refining = Refining(clock=lambda: now)
    narrow, wide = (Question(Level.STUDY, keys(**{f"_{NAME}": text})) for text in ("ab*", "a*"))
    rows = [{tag: {"vr": VRS[tag], "Value": ["x"]} for tag in VRS}]
    refining.note(wide, rows * 2)
    for _ in range(3):
        refining.proof({1}, {1})
    assert refining.is_proven
    refining.proof({1}, {1, 2})
    assert not refining.is_proven
    assert refining.wider(narrow, [(wide, rows)]) is None
    now = 601.0
    assert refining.wider(narrow, [(wide, rows)]) == rows
