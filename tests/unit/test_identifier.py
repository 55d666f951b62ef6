"""C-FIND identifiers made from a search (PS3.4 C.4.1.1.3)."""

from __future__ import annotations

import pytest

from farsight.dimse.identifier import search_identifier
from farsight.model import Level
from farsight.ps318.attribute_levels import holds
from farsight.ps318.search_query import parse_search_query

STUDY, SERIES, IMAGE = Level.STUDY, Level.SERIES, Level.IMAGE


def sent(level: Level, *pairs: tuple[str, str], **options: object) -> dict[str, str]:
    query = parse_search_query(pairs, level)
    upper = {SERIES: {"0020000D": "1.2"}, IMAGE: {"0020000D": "1.2", "0020000E": "1.2.3"}}
    keys = search_identifier(query, level, upper.get(level, {}), **options)  # type: ignore[arg-type]
    tags = [key.tag for key in keys]
    assert tags == sorted(set(tags))
    return {key.tag: key.value for key in keys}


def test_a_study_asks_for_all_that_has_to_be_returned() -> None:
    assert set(sent(STUDY)) == {
        "00080020", "00080030", "00080050", "00080056", "00080061", "00080090", "00080201",
        "00100010", "00100020", "00100030", "00100040", "0020000D", "00200010", "00201206",
        "00201208",
    }  # fmt: skip
    assert set(sent(STUDY).values()) == {""}


def test_levels_below_carry_the_uids_above() -> None:
    series = sent(SERIES)
    assert series["0020000D"] == "1.2"
    assert {"00080060", "0020000E", "00200011", "00201209", "00400275"} <= set(series)
    image = sent(IMAGE)
    assert (image["0020000D"], image["0020000E"]) == ("1.2", "1.2.3")
    assert {"00080016", "00080018", "00200013", "00280008"} <= set(image)


@pytest.mark.parametrize(
    ("name", "value", "tag", "expected"),
    [
        ("PatientName", "*doe*", "00100010", "*doe*"),
        ("PatientName", "Doe^John^^", "00100010", "Doe*^*John*"),
        ("PatientName", "山田", "00100010", "*山田*"),
        ("PatientName", "=山田", "00100010", "*=山田*"),
        ("PatientName", "Doe=山田^太郎*", "00100010", "Doe*=*^*"),
        ("PatientName", "Müller^Jürgen", "00100010", "*M*ller*^*J*rgen*"),
        ("PatientName", "山田^太郎", "00100010", "*山田*^*太郎*"),
        ("PatientName", "Doe^*", "00100010", "Doe*"),
        ("PatientName", "doe^*^*", "00100010", "doe*"),
        ("PatientName", "Doe=", "00100010", "Doe*"),
        ("PatientName", "Doe=*", "00100010", "Doe*"),
        ("PatientName", "Doe ^John", "00100010", "Doe*^*John*"),
        ("StudyTime", "1030", "00080030", "1030-103059.999999"),
        ("StudyTime", "103015.1", "00080030", "103015.1-103015.199999"),
        ("StudyTime", "10-", "00080030", "10-"),
        ("PatientName", "Mu\u0308ller", "00100010", "*M*ller*"),
        ("StudyDescription", "Schädel?übersicht", "00081030", "Sch*del*bersicht"),
        ("StudyDescription", "Ωμέγα 3", "00081030", "Ωμέγα 3"),
        ("StudyDate", "20240101-20240131", "00080020", "20240101-20240131"),
        ("StudyTime", "10:30-11:00", "00080030", "1030-110059.999999"),
        ("StudyInstanceUID", "1.2,1.3", "0020000D", "1.2\\1.3"),
        ("ModalitiesInStudy", "CT", "00080061", "CT"),
        ("ModalitiesInStudy", "CT,MR", "00080061", ""),  # no form in DIMSE: matched here
        ("ReferencedStudySequence.ReferencedSOPInstanceUID", "1.2", "00081110", ""),
        ("InstanceAvailability", "ONLINE", "00080056", "ONLINE"),
        ("PatientWeight", "70", "00101030", ""),
    ],
)
def test_matching_keys_in_dimse_form(name: str, value: str, tag: str, expected: str) -> None:
    assert sent(STUDY, (name, value))[tag] == expected


def test_what_a_pacs_matches_badly_is_asked_for_only() -> None:
    badly = frozenset({"00080061", "00100010"})
    keys = sent(STUDY, ("ModalitiesInStudy", "CT"), ("PatientName", "x"), universal_tags=badly)
    assert (keys["00080061"], keys["00100010"]) == ("", "")


def test_keys_of_other_levels_stay_away() -> None:
    query = parse_search_query(
        [
            ("PatientName", "Doe"),
            ("Modality", "CT"),
            ("InstanceNumber", "1"),
            ("includefield", "StudyDescription,SeriesDescription,SliceLocation"),
        ],
        IMAGE,
    )
    upper = {"0020000D": "1.2", "0020000E": "1.2.3"}
    for level, uids in ((STUDY, {}), (SERIES, {"0020000D": "1.2"}), (IMAGE, upper)):
        tags = {key.tag for key in search_identifier(query, level, uids)} - set(uids)
        unique = {"0020000D", "0020000E", "00080018"}
        assert all(holds(level, tag) or tag in unique for tag in tags)
    study = {key.tag: key.value for key in search_identifier(query, STUDY, {})}
    assert study["00100010"] == "Doe*"
    assert "00081030" in study
    assert "0008103E" not in study


def test_all_asks_for_the_optional_keys_too() -> None:
    assert len(sent(STUDY, ("includefield", "all"))) > 90
    assert "00081190" not in sent(STUDY, ("includefield", "all"))  # made here


def test_never_less_than_the_level_of_the_uid_given() -> None:
    """A UID of the path stands, whatever the query says of it; the rows are matched again."""
    query = parse_search_query([("StudyInstanceUID", "9.9")], SERIES)
    keys = {k.tag: k.value for k in search_identifier(query, SERIES, {"0020000D": "1.2"})}
    assert keys["0020000D"] == "1.2"
