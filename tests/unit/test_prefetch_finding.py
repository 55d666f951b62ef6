"""Which studies a rule means, asked of PACS with the habits of real ones."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import pytest

from fakes.archive import FakeArchive
from fakes.catalog import SERIES, STUDY, Study, study
from fakes.pacs import FakePacs
from farsight.errors import PacsFailure, PacsUnavailable
from farsight.model import Attributes
from farsight.model_prefetch import EveryRule, OpenedRule, PriorsWanted, WorklistRule
from farsight.services.prefetch_finding import Findings, PrefetchFinder

ISSUER, BIRTH, BODY_PART = "00100021", "00100030", "00180015"
RULE = OpenedRule("priors")


def of(
    uid: str, day: str, modalities: Sequence[str] = ("CT",), part: str = "", **tags: str
) -> Study:
    made = study(uid, modalities, 1, _00080020=day, **tags)
    for series in made.series:
        if part:
            series.attributes[BODY_PART] = part
    return made


NOW = of("1.9", "20240601", part="CHEST")
PRIORS = [of("1.1", "20240101", part="CHEST"), of("1.2", "20230101"), of("1.3", "20200101", ["MR"])]


def finder(*pacs: FakePacs, stored: Sequence[Study] = ()) -> PrefetchFinder:
    return PrefetchFinder(pacs, FakeArchive(stored))


def priors(asked: PrefetchFinder, rule: OpenedRule = RULE, uid: str = "1.9") -> Findings:
    return asked.priors(rule, asked.identify(uid))


def uids(findings: Findings) -> list[str]:
    return [one.study_instance_uid for one in findings.studies]


def wanting(**changes: object) -> OpenedRule:
    return replace(RULE, priors=replace(RULE.priors, **changes))  # type: ignore[arg-type]


# ---- priors of what is opened


@pytest.mark.parametrize(
    "quirks",
    [
        {},
        {"ignores_modalities": True},
        {"ignores_keys": True},
        {"repeats_rows": True},
        {"no_counts": True},
        {"leaves_out": frozenset({ISSUER, "00080030"})},
    ],
    ids=lambda quirks: next(iter(quirks), "none"),
)
def test_earlier_studies_of_the_same_patient(quirks: dict[str, object]) -> None:
    other = of("1.4", "20240102", _00100020="P10")
    later = of("1.5", "20240602")
    pacs = FakePacs([NOW, *PRIORS, other, later], **quirks)
    assert uids(priors(finder(pacs))) == ["1.1", "1.2"]
    assert uids(priors(finder(pacs), wanting(same_modality=False))) == ["1.1", "1.2", "1.3"]
    assert uids(priors(finder(pacs), wanting(number=1))) == ["1.1"]
    assert uids(priors(finder(pacs), wanting(max_age_days=365))) == ["1.1"]
    assert uids(priors(finder(pacs), wanting(modalities=frozenset({"MR"})))) == []


def test_what_was_opened_decides_whether_the_rule_is_for_it() -> None:
    pacs = FakePacs([NOW, *PRIORS])
    assert uids(priors(finder(pacs), replace(RULE, for_modalities=frozenset({"CT"})))) != []
    before = len(pacs.asked)
    assert uids(priors(finder(pacs), replace(RULE, for_modalities=frozenset({"MR"})))) == []
    assert len(pacs.asked) == before + 1, "nothing is asked beyond what was opened"


def test_body_parts_are_asked_of_the_series() -> None:
    pacs = FakePacs([NOW, *PRIORS])
    assert uids(priors(finder(pacs), wanting(same_body_part=True))) == ["1.1"]
    assert uids(priors(finder(pacs), wanting(body_parts=frozenset({"CHEST"})))) == ["1.1"]
    assert uids(priors(finder(pacs), wanting(body_parts=frozenset({"HEAD"})))) == []
    unknown = FakePacs([of("1.9", "20240601"), *PRIORS])
    assert uids(priors(finder(unknown), wanting(same_body_part=True))) == []


def test_no_further_than_needed() -> None:
    many = [of(f"1.1.{number}", f"2023010{number}") for number in range(1, 9)]
    pacs = FakePacs([NOW, *many], ignores_modalities=True)
    assert uids(priors(finder(pacs), wanting(number=2))) == ["1.1.8", "1.1.7"]
    assert sum(level is SERIES for level, _ in pacs.asked) == 3, "what was opened, and two"


# ---- whose


def test_by_patient_id_never_by_name(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    namesake = of("1.5", "20240101", _00100020="P2", _00100010="Doe^John")
    nobody = of("1.9", "20240601", _00100020="")
    assert uids(priors(finder(FakePacs([NOW, namesake])))) == []
    pacs = FakePacs([nobody, of("1.5", "20240101", _00100020="")])
    assert uids(priors(finder(pacs))) == []
    assert [level for level, _ in pacs.asked if level is STUDY] == [STUDY]
    assert "Doe" not in caplog.text


@pytest.mark.parametrize("patient_id", ["*", "??", "*?"])
def test_an_id_that_would_match_everybody_is_none(patient_id: str) -> None:
    opened = of("1.9", "20240601", _00100020=patient_id)
    pacs = FakePacs([opened, *PRIORS])
    assert uids(priors(finder(pacs))) == []
    assert len(pacs.asked) == 1


def test_an_id_with_a_wildcard_is_compared_as_it_is() -> None:
    opened = of("1.9", "20240601", _00100020="P*")
    pacs = FakePacs([opened, *PRIORS, of("1.6", "20240301", _00100020="P*")])
    assert uids(priors(finder(pacs))) == ["1.6"]


def test_another_birth_date_is_somebody_else(caplog: pytest.LogCaptureFixture) -> None:
    other = of("1.5", "20240101", _00100030="19991231")
    assert uids(priors(finder(FakePacs([NOW, other, PRIORS[1]])))) == ["1.2"]
    assert "study 1.5 at PACS 'pacs'" in caplog.text
    assert "19991231" not in caplog.text
    assert "P1" not in caplog.text


def test_only_pacs_that_have_the_study_know_its_patient_ids() -> None:
    here = FakePacs([NOW, PRIORS[0]], "here")
    elsewhere = FakePacs([PRIORS[1]], "elsewhere")
    assert uids(priors(finder(here, elsewhere))) == ["1.1"]
    assert [level for level, _ in elsewhere.asked] == [STUDY], "it has no such study: that is all"
    both = FakePacs([NOW, PRIORS[1]], "elsewhere")
    assert uids(priors(finder(here, both))) == ["1.1", "1.2"]


def test_issuers_make_ids_of_two_pacs_one() -> None:
    issued = {"_" + ISSUER: "HOSPITAL"}
    here = FakePacs([of("1.9", "20240601", **issued)], "here")
    elsewhere = [
        of("1.1", "20240101", **issued),
        of("1.2", "20240102", **{"_" + ISSUER: "CLINIC"}),
        of("1.3", "20240103"),
    ]
    assert uids(priors(finder(here, FakePacs(elsewhere, "elsewhere")))) == ["1.1"]


def test_what_is_stored_here_only_has_priors_by_issuer_only() -> None:
    issued = {"_" + ISSUER: "HOSPITAL"}
    pacs = FakePacs([of("1.1", "20240101", **issued), PRIORS[1]])
    assert uids(priors(finder(pacs, stored=[of("1.9", "20240601", **issued)]))) == ["1.1"]
    assert uids(priors(finder(pacs, stored=[NOW]))) == []


def test_a_study_with_two_patients_has_no_priors() -> None:
    twice = FakePacs([NOW, of("1.9", "20240601", _00100020="P2"), *PRIORS])
    assert uids(priors(finder(twice))) == []
    here = FakePacs([NOW, *PRIORS], "here")
    elsewhere = FakePacs([of("1.9", "20240601", _00100030="19991231")], "elsewhere")
    assert uids(priors(finder(here, elsewhere))) == []


# ---- PACS that fail


def test_a_pacs_that_fails_is_told_of_and_the_others_answer() -> None:
    down = FakePacs([], "down", fails=PacsUnavailable("down", "no connection"))
    found = priors(finder(down, FakePacs([NOW, *PRIORS])))
    assert uids(found) == ["1.1", "1.2"]
    assert found.failures == ("PACS 'down': no connection",)


def test_a_pacs_that_fails_at_series_brings_nothing_that_is_not_known() -> None:
    broken = PacsFailure("pacs", "C-FIND: out of resources", 0xA700)
    pacs = FakePacs([NOW, *PRIORS], fails=broken, fails_at=frozenset({SERIES}))
    found = priors(finder(pacs), wanting(body_parts=frozenset({"CHEST"})))
    assert uids(found) == []
    assert len(found.failures) == 1
    assert uids(priors(finder(pacs))) == ["1.1", "1.2"], "no series is needed for these"


# ---- every so often


def test_studies_of_the_last_days() -> None:
    studies = [
        of("1.1", "20240601", ["CT"], _00080030="080000"),
        of("1.2", "20240601", ["CT", "SR"], _00080030="090000"),
        of("1.3", "20240601", ["MR"]),
        of("1.4", "20240531"),
        of("1.5", "20240602"),
    ]
    today = date(2024, 6, 1)
    for quirks in ({}, {"ignores_keys": True}, {"ignores_modalities": True}):
        asked = finder(FakePacs(studies, **quirks))
        assert uids(asked.recent(EveryRule("a", modalities=frozenset({"CT"})), today)) == [
            "1.2",
            "1.1",
        ]
        assert uids(asked.recent(EveryRule("a", days=2), today)) == ["1.3", "1.2", "1.1", "1.4"]
        assert uids(asked.recent(EveryRule("a", number=1), today)) == ["1.3"]


# ---- a worklist


class Scheduled:
    """A worklist in memory."""

    name = "ris"

    def __init__(self, *rows: Attributes) -> None:
        self.rows = list(rows)
        self.asked: list[tuple[date, date]] = []

    def scheduled(self, first: date, last: date, max_rows: int) -> list[Attributes]:
        self.asked.append((first, last))
        return self.rows[:max_rows]


def step(patient_id: str, birth_date: str = "", issuer: str = "") -> Attributes:
    values = {"00100020": patient_id, BIRTH: birth_date, ISSUER: issuer}
    item = {
        "00400002": {"vr": "DA", "Value": ["20240601"]},
        "00080060": {"vr": "CS", "Value": ["CT"]},
    }
    row: Attributes = {tag: {"vr": "LO", "Value": [text]} for tag, text in values.items() if text}
    return {**row, "00400100": {"vr": "SQ", "Value": [item]}}


def test_priors_of_who_is_scheduled() -> None:
    pacs = FakePacs([*PRIORS, of("1.7", "20240102", _00100020="P2")])
    ris = Scheduled(step("P1", "19700101"), step("P3"), step("P2", "20010101"))
    rule = WorklistRule("a", "ris", priors=PriorsWanted(number=1), pacs=("pacs",))
    asked = PrefetchFinder([pacs], FakeArchive([]), [ris])
    found = asked.scheduled(rule, date(2024, 6, 1))
    assert uids(found) == ["1.1"], "of P2 the birth dates contradict each other"
    assert ris.asked == [(date(2024, 6, 1), date(2024, 6, 1))]
    before = len(pacs.asked)
    assert uids(asked.scheduled(rule, date(2024, 6, 1))) == []
    assert len(pacs.asked) == before, "known patients aren't asked for again at once"


def test_who_could_not_be_looked_up_is_looked_up_again() -> None:
    pacs = FakePacs(PRIORS, fails=PacsUnavailable("pacs", "no connection"))
    asked = PrefetchFinder([pacs], FakeArchive([]), [Scheduled(step("P1"))])
    rule = WorklistRule("a", "ris", pacs=("pacs",))
    found = asked.scheduled(rule, date(2024, 6, 1))
    assert (uids(found), found.failures) == ([], ("PACS 'pacs': no connection",))
    pacs.quirks = replace(pacs.quirks, fails=None)
    assert uids(asked.scheduled(rule, date(2024, 6, 1))) == ["1.1", "1.2"]
