"""Query parameters of a search (PS3.18 8.3.4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.errors import InvalidParameter
from farsight.model import Level
from farsight.ps318.query_values import MAX_PARAMETERS
from farsight.ps318.search_query import MAX_INCLUDE_FIELDS, SearchQuery, parse_search_query

STUDY, SERIES, IMAGE = Level.STUDY, Level.SERIES, Level.IMAGE


def parsed(*pairs: tuple[str, str], level: Level = STUDY) -> SearchQuery:
    return parse_search_query(pairs, level)


def values(name: str, value: str, level: Level = STUDY) -> tuple[str, ...]:
    return parsed((name, value), level=level).matching_keys[0].values


def test_nothing_asked() -> None:
    assert parsed() == SearchQuery(STUDY)


def test_what_ohif_sends() -> None:
    query = parsed(
        ("limit", "101"),
        ("offset", "0"),
        ("fuzzymatching", "false"),
        ("includefield", "00081030,00080060"),
        ("PatientName", "*doe*"),
        ("ModalitiesInStudy", "CT,MR"),
        ("StudyDate", "20240101-20241231"),
    )
    assert query.limit == 101
    assert query.offset == 0
    assert query.include_fields == {"00081030", "00080060"}
    assert [(key.path, key.vr, key.values) for key in query.matching_keys] == [
        (("00100010",), "PN", ("*doe*",)),
        (("00080061",), "CS", ("CT", "MR")),
        (("00080020",), "DA", ("20240101-20241231",)),
    ]
    assert query.warnings == ()


@pytest.mark.parametrize(
    ("name", "path", "vr"),
    [
        ("PatientName", ("00100010",), "PN"),
        ("00100010", ("00100010",), "PN"),
        ("0020000d", ("0020000D",), "UI"),
        ("00081110.00081155", ("00081110", "00081155"), "UI"),
        ("ReferencedStudySequence.ReferencedSOPInstanceUID", ("00081110", "00081155"), "UI"),
        ("ReferencedStudySequence.00081155", ("00081110", "00081155"), "UI"),
    ],
)
def test_attribute_identifiers(name: str, path: tuple[str, ...], vr: str) -> None:
    key = parsed((name, "1.2" if vr == "UI" else "x")).matching_keys[0]
    assert (key.path, key.vr, key.name) == (path, vr, name)


@pytest.mark.parametrize(
    "name",
    [
        "Nonsense",
        "patientname",
        "0010001",
        "001000100",
        "0010,0010",
        "(0010,0010)",
        "00100010.00100020",  # not a sequence
        "PatientName.",
        ".PatientName",
        "00020010",  # file meta
        "00000002",  # command
        "00100000",  # group length
        ".".join(["00081110"] * 9),
        "limit ",
        "orderby",
        "",
    ],
)
def test_unknown_parameters_are_ignored_and_named_in_a_warning(name: str) -> None:
    query = parsed((name, "x"), ("PatientID", "7"))
    assert [key.name for key in query.matching_keys] == ["PatientID"]
    assert query.warnings == (f"The parameter {name[:80]} is not supported and has been ignored.",)


def test_a_flood_of_unknown_parameters_makes_no_flood_of_warnings() -> None:
    query = parsed(*((f"x{number}", "1") for number in range(200)))
    assert len(query.warnings) == 9
    assert query.warnings[-1] == "192 more parameters are not supported and have been ignored."


@pytest.mark.parametrize(
    "name",
    [
        "00091001",  # private: no VR to match by
        "Modality",  # of a series; a study has ModalitiesInStudy
        "Rows",
    ],
)
def test_attributes_that_cannot_be_matched_are_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        parsed((name, "x"))
    assert caught.value.status == 400
    assert caught.value.name == name


@pytest.mark.parametrize(
    ("name", "level", "allowed"),
    [
        ("StudyDescription", STUDY, True),
        ("SeriesDescription", STUDY, False),
        ("SeriesDescription", SERIES, True),
        ("StudyDescription", SERIES, True),
        ("InstanceNumber", SERIES, False),
        ("InstanceNumber", IMAGE, True),
        ("PatientID", IMAGE, True),
        ("InstanceAvailability", STUDY, True),
    ],
)
def test_only_attributes_of_the_level_or_above(name: str, level: Level, allowed: bool) -> None:
    if allowed:
        assert parsed((name, "1"), level=level).matching_keys
    else:
        with pytest.raises(InvalidParameter, match=level.value):
            parsed((name, "1"), level=level)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("StudyInstanceUID", "1.2", ("1.2",)),
        ("StudyInstanceUID", "1.2,1.3", ("1.2", "1.3")),
        ("StudyInstanceUID", "1.2\\1.3", ("1.2", "1.3")),
        ("StudyInstanceUID", "1.2, 1.2", ("1.2",)),
        ("ModalitiesInStudy", "CT\\MR", ("CT", "MR")),
        ("ModalitiesInStudy", "C*", ("C*",)),
        ("PatientName", "Doe, John", ("Doe, John",)),
        ("PatientName", "山田^太郎", ("山田^太郎",)),
        ("PatientName", " Doe ", ("Doe",)),
        ("StudyTime", "10:30", ("1030",)),
        ("StudyTime", "10:30-11:00:00.5", ("1030-110000.5",)),
        ("StudyTime", "-12", ("-12",)),
        ("StudyDate", "20240229", ("20240229",)),
        ("StudyDate", "20240101-", ("20240101-",)),
        ("StudyDate", "-20240101", ("-20240101",)),
        ("PatientWeight", "70.5", ("70.5",)),
        ("NumberOfStudyRelatedInstances", " 7", ("7",)),
    ],
)
def test_values(name: str, value: str, expected: tuple[str, ...]) -> None:
    assert values(name, value) == expected


@pytest.mark.parametrize("value", ["", "*", "**", " "])
@pytest.mark.parametrize("name", ["PatientName", "StudyDate", "StudyInstanceUID", "PatientWeight"])
def test_universal(name: str, value: str) -> None:
    assert parsed((name, value)).matching_keys[0].is_universal


def test_a_sequence_can_be_asked_for_but_not_matched_by_a_value() -> None:
    assert parsed(("ReferencedStudySequence", "")).matching_keys[0].is_universal
    with pytest.raises(InvalidParameter, match="SQ"):
        parsed(("ReferencedStudySequence", "x"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("StudyInstanceUID", "abc"),
        ("StudyInstanceUID", "1.2,,1.3"),
        ("StudyInstanceUID", "1" * 65),
        ("StudyInstanceUID", "1.*"),
        ("StudyInstanceUID", ",".join(["1.2"] * 1001)),
        ("StudyDate", "2024"),
        ("StudyDate", "20240230"),
        ("StudyDate", "2024*"),
        ("StudyDate", "20240101-20230101"),
        ("StudyDate", "20240101-20240102-20240103"),
        ("StudyDate", "-"),
        ("StudyDate", "２０２４０１０１"),
        ("StudyTime", "25"),
        ("StudyTime", "1060"),
        ("StudyTime", "12-11"),
        ("PatientWeight", "heavy"),
        ("PatientWeight", "1e999999999"),
        ("PatientWeight", "nan"),
        ("PatientWeight", "1" * 65),
        ("NumberOfStudyRelatedInstances", "1.5"),
        ("PatientID", "a\\b"),
        ("PatientID", "x" * 1025),
        ("PatientName", "a\x00b"),
        ("PatientName", "a\r\nb"),
        ("PatientName", "a\x1b$Bb"),
        ("PatientName", "a\x85b"),
        ("PatientName", "a\ud800b"),
        ("PatientName", "x" * 1_000_000),
        ("limit", "-1"),
        ("limit", "1.5"),
        ("limit", ""),
        ("limit", "٣"),
        ("limit", "9" * 10),
        ("offset", "x"),
        ("fuzzymatching", "yes"),
        ("includefield", "Nonsense"),
        ("includefield", "00100010,nope"),
    ],
)
def test_bad_values_name_the_parameter(name: str, value: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        parsed((name, value))
    assert caught.value.name == name
    assert len(str(caught.value)) < 400


def test_a_datetime_with_its_offset() -> None:
    def at(value: str) -> tuple[str, ...]:
        return values("AcquisitionDateTime", value, IMAGE)

    assert at("20240101-0500") == ("20240101-0500",)
    assert at("20240101120000-0500-20240102-0500") == ("20240101120000-0500-20240102-0500",)
    with pytest.raises(InvalidParameter, match="datetime"):
        at("20241301")


def test_repeated_lists_come_together_whatever_they_are_called() -> None:
    query = parsed(("StudyInstanceUID", "1.2"), ("0020000D", "1.3"), ("StudyInstanceUID", "1.4"))
    assert [key.values for key in query.matching_keys] == [("1.2", "1.3", "1.4")]


def test_two_values_for_a_single_one_are_refused() -> None:
    with pytest.raises(InvalidParameter, match="PatientID"):
        parsed(("PatientID", "1"), ("PatientID", "2"))
    with pytest.raises(InvalidParameter, match="limit"):
        parsed(("limit", "1"), ("limit", "2"))
    assert parsed(("limit", "3"), ("limit", "3")).limit == 3


def test_includefield_as_list_and_repeated_and_all() -> None:
    query = parsed(
        ("includefield", "StudyDescription, 00080050"),
        ("includefield", "all"),
        ("includefield", "00091001"),
        ("includefield", "RequestAttributesSequence.ScheduledProcedureStepID"),
        ("includefield", ""),
    )
    assert query.include_all
    assert query.include_fields == {"00081030", "00080050", "00091001", "00400275"}


def test_empty_parameters_between_ampersands_are_nothing() -> None:
    assert parsed(("", ""), ("limit", "5")).limit == 5


def test_parameters_of_negotiation_are_not_the_searchs() -> None:
    assert parsed(("accept", "application/json"), ("charset", "utf-8")) == SearchQuery(STUDY)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "fuzzymatching",
            "The fuzzymatching parameter is not supported. "
            "Only literal matching has been performed.",
        ),
        (
            "emptyvaluematching",
            "The emptyvaluematching parameter is not supported. "
            "Empty Value Matching has not been performed.",
        ),
        (
            "multiplevaluematching",
            "The multiplevaluematching parameter is not supported. "
            "Multiple Value Matching has not been performed.",
        ),
    ],
)
def test_unsupported_kinds_of_matching_warn(name: str, text: str) -> None:
    assert parsed((name, "true")).warnings == (text,)
    assert parsed((name, "false")).warnings == ()


def test_too_many_parameters() -> None:
    with pytest.raises(InvalidParameter, match=str(MAX_PARAMETERS)):
        parse_search_query((("PatientID", "x") for _ in range(10_000)), STUDY)
    with pytest.raises(InvalidParameter, match=str(MAX_INCLUDE_FIELDS)):
        parsed(("includefield", ",".join(["00100010"] * (MAX_INCLUDE_FIELDS + 1))))
    with pytest.raises(InvalidParameter):
        parsed(("x" * 1_000_000, "1"))


_NAMES = st.sampled_from(
    [
        "PatientName",
        "StudyDate",
        "StudyTime",
        "StudyInstanceUID",
        "limit",
        "includefield",
        "ModalitiesInStudy",
        "PatientWeight",
        "AcquisitionDateTime",
        "fuzzymatching",
    ]
)


@given(st.lists(st.tuples(_NAMES | st.text(max_size=12), st.text(max_size=30)), max_size=6))
def test_any_query_is_understood_or_refused(pairs: list[tuple[str, str]]) -> None:
    try:
        query = parse_search_query(pairs, IMAGE)
    except InvalidParameter:
        return
    for key in query.matching_keys:
        assert all(value.isprintable() or not value.isascii() for value in key.values)
