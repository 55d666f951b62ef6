"""Answers of a moment ago: who gets them, and who doesn't."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.archive import FakeArchive
from fakes.catalog import study
from fakes.pacs import FakePacs, Quirks
from farsight.errors import PacsUnavailable
from farsight.model import Attributes, IdentifierKey, Level
from farsight.ps318.resource_path import parse_resource_path
from farsight.ps318.search_query import parse_search_query
from farsight.services.recent_answers import RecentAnswers
from farsight.services.refining import Question
from farsight.services.search import SearchLimits, SearchResult, SearchService
from farsight.web.handlers_search import search_handler
from farsight.web.messages import Request

VRS = {"0020000D": "UI", "0020000E": "UI", "00100010": "PN", "00080020": "DA", "00080060": "CS"}
STUDY, SERIES, NAME, DATE, MODALITY = VRS


def question(level: Level = Level.STUDY, most: int | None = None, **values: str) -> Question:
    keys = {STUDY: "", NAME: "", **{tag.lstrip("_"): value for tag, value in values.items()}}
    return Question(
        level, tuple(IdentifierKey(tag, VRS[tag], v) for tag, v in sorted(keys.items())), most
    )


class Source:
    """Counts how often it is asked."""

    def __init__(self, *rows: Attributes) -> None:
        self.rows = list(rows)
        self.asked = 0

    def __call__(self) -> list[Attributes]:
        self.asked += 1
        return list(self.rows)


def row(uid: str) -> Attributes:
    return {STUDY: {"vr": "UI", "Value": [uid]}, NAME: {"vr": "PN"}}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_same_again_within_its_life() -> None:
    clock, source = Clock(), Source(row("1.2"))
    recent = RecentAnswers(5, len, clock)
    assert [recent.answer(question(), source) for _ in range(3)] == [[row("1.2")]] * 3
    assert source.asked == 1
    clock.now = 5.1
    recent.answer(question(), source)
    assert source.asked == 2


def test_no_life_keeps_nothing() -> None:
    source, recent = Source(row("1.2")), RecentAnswers(0, len)
    for _ in range(2):
        recent.answer(question(), source)
    assert source.asked == 2


def test_fresh_answers_are_asked_for_and_kept() -> None:
    source, recent = Source(row("1.2")), RecentAnswers(5, len, Clock())
    recent.answer(question(), source)
    source.rows = [row("1.2"), row("1.3")]
    assert len(recent.answer(question(), source)) == 1
    assert len(recent.answer(question(), source, fresh=True)) == 2
    assert len(recent.answer(question(), source)) == 2
    assert source.asked == 2


@pytest.mark.parametrize(
    "other",
    [question(_00100010="Doe*"), question(most=5), question(_00080020=""), question(Level.SERIES)],
)
def test_another_question_is_asked(other: Question) -> None:
    """Also a narrower one: a wide answer may have been less than all, and called a success."""
    source, recent = Source(row("1.2")), RecentAnswers(5, len, Clock())
    recent.answer(question(), source)
    recent.answer(other, source)
    assert source.asked == 2


def test_what_is_too_old_is_let_go() -> None:
    clock, source = Clock(), Source(row("1.2"))
    recent = RecentAnswers(5, len, clock)
    for number in range(100):
        recent.answer(question(_00100010=f"{number}*"), source)
    assert recent._weight == 200
    clock.now = 6.0
    recent.sweep()
    assert (len(recent._known), recent._weight) == (0, 0)


def test_failures_are_not_kept() -> None:
    recent = RecentAnswers(5, len, Clock())

    def fail() -> list[Attributes]:
        raise PacsUnavailable("pacs", "down")

    for _ in range(2):
        with pytest.raises(PacsUnavailable):
            recent.answer(question(), fail)
    assert recent.answer(question(), Source(row("1.2"))) == [row("1.2")]


@pytest.mark.parametrize("fails", [False, True])
def test_the_same_question_is_on_its_way_once(fails: bool) -> None:
    recent = RecentAnswers(5, len)
    begun, go = threading.Event(), threading.Event()
    asked = []

    def ask() -> list[Attributes]:
        asked.append(1)
        begun.set()
        assert go.wait(10)
        if fails:
            raise PacsUnavailable("pacs", "down")
        return [row("1.2")]

    with ThreadPoolExecutor(20) as people:
        first = people.submit(recent.answer, question(), ask)
        assert begun.wait(10)
        others = [people.submit(recent.answer, question(), ask) for _ in range(19)]
        while not all(other.running() for other in others):
            pass
        go.set()
        results = [future.exception(10) or future.result() for future in (first, *others)]
    # Whoever came after a failure was told may have asked again.
    assert len(asked) == 1 or fails
    if fails:
        assert all(isinstance(result, PacsUnavailable) for result in results)
    else:
        assert results == [[row("1.2")]] * 20


def test_memory_is_bounded() -> None:
    source = Source(*[row(f"1.2.{n}") for n in range(5_000)])
    recent = RecentAnswers(5, len, Clock())
    for number in range(10):
        recent.answer(question(_00100010=f"{number}*"), source)
    assert source.asked == 10
    recent.answer(question(_00100010="9*"), source)
    assert source.asked == 10
    recent.answer(question(_00100010="0*"), source)
    assert source.asked == 11, "the oldest had to go"
    assert recent._weight < 25_001


def test_an_answer_that_is_too_much_by_itself_is_not_kept() -> None:
    source = Source(*[row(f"1.2.{n}") for n in range(25_001)])
    recent = RecentAnswers(5, len, Clock())
    for _ in range(2):
        recent.answer(question(), source)
    assert (source.asked, recent._weight) == (2, 0)


# ---- in a search

STUDIES = [
    study("1.2.1", ("CT",), _00100010="Doe^Jane", _00080020="20240101"),
    study("1.2.2", ("MR", "SR"), _00100010="Roe^Rich", _00080020="20230101"),
    study("1.2.3", ("CT", "PT"), _00100010="Doe^John", _00080020="20240105"),
]
LIMITS = SearchLimits(answers_live_s=60)


def search(service: SearchService, path: str, *pairs: tuple[str, str]) -> SearchResult:
    scope = parse_resource_path(path)
    return service.search(parse_search_query(pairs, scope.level), scope, "http://host")


def test_a_repeated_search_needs_no_association() -> None:
    pacs = FakePacs(STUDIES)
    service = SearchService((pacs,), FakeArchive([]), LIMITS)
    search(service, "/studies", ("limit", "101"))
    before = len(pacs.asked)
    for offset in ("0", "1", "2"):
        found = search(service, "/studies", ("limit", "101"), ("offset", offset))
        assert len(found.rows) == 3 - int(offset)
    assert len(pacs.asked) == before


def test_the_same_page_isn_t_made_again_unless_something_was_stored() -> None:
    archive = FakeArchive([study("1.2.9")])
    service = SearchService((FakePacs(STUDIES),), archive, LIMITS)
    first = search(service, "/studies")
    assert search(service, "/studies") is first
    assert search(service.only("pacs"), "/studies") is not first
    archive.changes += 1
    again = search(service, "/studies")
    assert again is not first
    assert again == first


def test_a_page_that_lacks_a_source_is_not_kept() -> None:
    down = FakePacs([], name="down", fails=PacsUnavailable("down", "connection refused"))
    service = SearchService((FakePacs(STUDIES), down), None, LIMITS)
    assert "connection refused" in search(service, "/studies").warnings[0]
    down.quirks = Quirks()
    assert search(service, "/studies").warnings == ()


queries = st.lists(
    st.sampled_from(
        [("PatientName", "doe*"), ("PatientName", "*"), ("StudyDate", "20240101-"),
         ("StudyDate", "20240105"), ("ModalitiesInStudy", "CT"), ("limit", "2"), ("offset", "1"),
         ("StudyInstanceUID", "1.2.1"), ("includefield", "all")]
    ),
    max_size=3, unique_by=lambda pair: pair[0],
)  # fmt: skip
paths = st.sampled_from(
    ["/studies", "/studies/1.2.2/series", "/series", "/studies/1.2.3/instances"]
)


@settings(deadline=None)
@given(st.lists(st.tuples(paths, queries), max_size=6))
def test_a_search_finds_the_same_with_and_without(asked: list[tuple[str, list[Any]]]) -> None:
    with_answers = SearchService((FakePacs(STUDIES),), None, LIMITS)
    for path, pairs in asked:
        kept = [pair for pair in pairs if path == "/studies" or pair[0] in ("limit", "offset")]
        plain = SearchService((FakePacs(STUDIES),), None)
        assert search(with_answers, path, *kept) == search(plain, path, *kept)


@pytest.mark.parametrize(("header", "asks"), [("no-cache", True), ("max-age=0, no-cache", True),
                                              ("", False)])  # fmt: skip
def test_a_client_can_have_the_pacs_asked_anew(header: str, asks: bool) -> None:
    pacs = FakePacs(STUDIES)
    handle = search_handler(SearchService((pacs,), None, LIMITS), "/dicom-web")
    path = parse_resource_path("/studies")
    handle(Request("GET", "/dicom-web/studies"), path)
    before = len(pacs.asked)
    handle(Request("GET", "/dicom-web/studies", headers={"cache-control": header}), path)
    assert (len(pacs.asked) > before) == asks
