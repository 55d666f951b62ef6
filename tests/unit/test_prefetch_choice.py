"""Which studies are priors, and whose."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.model import Attributes
from farsight.model_prefetch import PriorsWanted, WorklistRule
from farsight.services.prefetch_choice import (
    Patient,
    StudyFacts,
    Verdict,
    body_parts_wanted,
    compare,
    days_wanted,
    earlier,
    facts_of,
    has_any,
    modalities_wanted,
    newest_first,
)
from farsight.services.prefetch_scheduled import scheduled_patients

ANN = Patient("4711", "", "19700101")


def row(**values: object) -> Attributes:
    return {
        tag.lstrip("_"): {"vr": "LO", "Value": value if isinstance(value, list) else [value]}
        for tag, value in values.items()
    }


def study(uid: str, day: str, time: str = "", patient: Patient = ANN) -> StudyFacts:
    return StudyFacts(uid, patient, day, time)


# ---- whose


@pytest.mark.parametrize(
    ("other", "one_source", "verdict"),
    [
        (Patient("4711", "", "19700101"), True, Verdict.SAME),
        (Patient("4711", "", ""), True, Verdict.SAME),
        (Patient("4711", "", "19700101"), False, Verdict.OTHER),
        (Patient("4711", "A", "19700101"), True, Verdict.SAME),
        (Patient("4711", "A", "19700101"), False, Verdict.OTHER),
        (Patient("4711", "", "19700102"), True, Verdict.CONTRADICTION),
        (Patient("4712", "", "19700101"), True, Verdict.OTHER),
        (Patient("471", "", "19700101"), True, Verdict.OTHER),
        (Patient("", "", "19700101"), True, Verdict.OTHER),
    ],
)
def test_who_is_the_same(other: Patient, one_source: bool, verdict: Verdict) -> None:
    assert compare(ANN, other, one_source=one_source) is verdict
    assert compare(other, ANN, one_source=one_source) is verdict


def test_issuers_decide_where_both_are_told() -> None:
    of_a = replace(ANN, issuer="A")
    assert compare(of_a, of_a, one_source=False) is Verdict.SAME
    assert compare(of_a, replace(ANN, issuer="B"), one_source=True) is Verdict.OTHER
    born = replace(of_a, birth_date="19991231")
    assert compare(of_a, born, one_source=False) is Verdict.CONTRADICTION


def test_nobody_is_somebody() -> None:
    nobody = Patient("", "A", "19700101")
    assert compare(nobody, nobody, one_source=True) is Verdict.OTHER


@given(st.builds(Patient, *[st.sampled_from(["", "1", "2"])] * 3), st.booleans())
def test_without_a_patient_id_nobody_is_anybody(other: Patient, one_source: bool) -> None:
    nobody = Patient("", "1", "1")
    assert compare(nobody, other, one_source=one_source) is Verdict.OTHER


def test_what_a_row_says() -> None:
    told = facts_of(
        row(
            _0020000D="1.2",
            _00100020=" 4711 \0",
            _00100021="A ",
            _00100030="1970.01.01",
            _00080020="20240102",
            _00080030="10:15",
            _00080061=["CT ", "sr"],
            _00201208=12,
        )
    )
    patient = Patient("4711", "A", "19700101")
    assert told == StudyFacts(
        "1.2", patient, "20240102", "10:15", frozenset({"CT", "SR"}), instances=12
    )
    assert facts_of({}) == StudyFacts("", Patient("", "", ""))


def test_two_patient_ids_in_one_are_none() -> None:
    assert facts_of(row(_00100020=["1", "2"])).patient.patient_id == ""
    assert facts_of(row(_00100020=["1", ""])).patient.patient_id == ""


def test_what_is_no_date_is_none() -> None:
    assert facts_of(row(_00080020="20241341", _00100030="unknown")).date == ""


# ---- which


def test_only_what_was_before() -> None:
    than = study("1.9", "20240601", "120000")
    found = [
        study("1.1", "20240531"),
        study("1.2", "20240602"),
        study("1.3", ""),
        study("1.4", "20240601", "1159"),
        study("1.5", "20240601", "12"),
        study("1.6", "20240601", ""),
        study("1.9", "20230101"),
        study("1.7", "19990101"),
    ]
    assert [one.study_instance_uid for one in earlier(found, than, 0)] == ["1.4", "1.1", "1.7"]
    assert [one.study_instance_uid for one in earlier(found, than, 1)] == ["1.4", "1.1"]
    assert earlier(found, study("1.9", ""), 0) == []


def test_days() -> None:
    assert days_wanted("20240301", 1) == "20240229-20240301"
    assert days_wanted("20240301", 0) == "-20240301"
    assert days_wanted("00010301", 36_500) == "00010101-00010301"


def test_each_once_the_newest_first_in_one_order() -> None:
    two = [study("1.2", "20240101"), study("1.1", "20240101"), study("1.3", "20240102")]
    assert [one.study_instance_uid for one in newest_first([*two, *two])] == ["1.3", "1.1", "1.2"]


CT_MR, CT = frozenset({"CT", "MR"}), frozenset({"CT"})


@pytest.mark.parametrize(
    ("wanted", "of", "answer"),
    [
        (PriorsWanted(CT_MR), {"CT", "SR"}, CT),
        (PriorsWanted(CT_MR), {"CR"}, None),
        (PriorsWanted(CT_MR), set(), None),
        (PriorsWanted(), {"CT", "MR"}, CT_MR),
        (PriorsWanted(), set(), None),
        (PriorsWanted(CT_MR, same_modality=False), {"CR"}, CT_MR),
        (PriorsWanted(same_modality=False), {"CR"}, frozenset()),
    ],
)
def test_modalities(wanted: PriorsWanted, of: set[str], answer: frozenset[str] | None) -> None:
    assert modalities_wanted(wanted, of) == answer


def test_body_parts() -> None:
    chest = frozenset({"CHEST"})
    assert body_parts_wanted(PriorsWanted(body_parts=chest), set()) == chest
    assert body_parts_wanted(PriorsWanted(same_body_part=True), {"CHEST"}) == chest
    assert body_parts_wanted(PriorsWanted(same_body_part=True), set()) is None
    assert body_parts_wanted(PriorsWanted(body_parts=chest, same_body_part=True), {"HEAD"}) is None
    assert has_any([], frozenset())
    assert not has_any([], chest), "one without a body part is none of those"


# ---- who is scheduled


def step(day: str, modality: str, time: str = "0900") -> dict[str, object]:
    return row(_00400002=day, _00400003=time, _00080060=modality)


def scheduled(patient_id: str, *steps: dict[str, object], uid: str = "9.1") -> Attributes:
    return row(_00100020=patient_id, _0020000D=uid, _00400100=list(steps))


def test_patients_of_a_worklist() -> None:
    rule = WorklistRule("a", "ris", for_modalities=CT_MR)
    rows = [
        scheduled("1", step("20240601", "CT"), step("20240602", "MR")),
        scheduled("1", step("20240601", "MR", "0800"), uid="9.2"),
        scheduled("2", step("20240601", "US")),
        scheduled("3", step("20240603", "CT")),
        scheduled("", step("20240601", "CT")),
        row(_00100020="4"),
        row(_00100020="5", _00400100="not an item"),
    ]
    found = scheduled_patients(rows, rule, date(2024, 6, 1), date(2024, 6, 2))
    assert found == [
        StudyFacts("9.2", Patient("1", "", ""), "20240601", "0800", CT_MR),
    ]
