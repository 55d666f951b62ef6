"""The Native DICOM Model (PS3.19 A.1), read back with another parser."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.ps318.dicom_xml import NAMESPACE, native_dicom_model


def attributes_of(document: bytes) -> dict[str, ElementTree.Element]:
    root = ElementTree.fromstring(document)
    assert root.tag == f"{{{NAMESPACE}}}NativeDicomModel"
    return {element.attrib["tag"]: element for element in root}


def only(attribute: dict[str, Any], tag: str = "00080020", **around: Any) -> ElementTree.Element:
    return attributes_of(native_dicom_model({tag: attribute, **around}))[tag]


def texts(element: ElementTree.Element) -> list[tuple[str, str, str | None]]:
    """Name without namespace, number, text of each child."""
    return [(e.tag.partition("}")[2], e.attrib.get("number", ""), e.text) for e in element]


def test_an_attribute_has_tag_vr_keyword_and_numbered_values() -> None:
    element = only({"vr": "CS", "Value": ["ORIGINAL", "PRIMARY"]}, "00080008")
    assert element.attrib == {"tag": "00080008", "vr": "CS", "keyword": "ImageType"}
    assert texts(element) == [("Value", "1", "ORIGINAL"), ("Value", "2", "PRIMARY")]


def test_an_empty_one_has_no_content_and_an_empty_value_keeps_its_number() -> None:
    assert texts(only({"vr": "DA"})) == []
    element = only({"vr": "CS", "Value": [None, "ISO 2022 IR 87"]}, "00080005")
    assert texts(element) == [("Value", "1", None), ("Value", "2", "ISO 2022 IR 87")]


def test_numbers() -> None:
    element = only({"vr": "DS", "Value": [1, -0.5, 1e-7]}, "00280030")
    assert [float(text or "") for _, _, text in texts(element)] == [1, -0.5, 1e-7]


def test_names_are_taken_apart() -> None:
    value = {"Alphabetic": "Yamada^Tarou^^Dr", "Ideographic": "山田^太郎", "Phonetic": ""}
    (name,) = only({"vr": "PN", "Value": [value]}, "00100010")
    assert name.attrib == {"number": "1"}
    groups = {group.tag.partition("}")[2]: texts(group) for group in name}
    assert groups == {
        "Alphabetic": [
            ("FamilyName", "", "Yamada"), ("GivenName", "", "Tarou"), ("NamePrefix", "", "Dr"),
        ],
        "Ideographic": [("FamilyName", "", "山田"), ("GivenName", "", "太郎")],
    }  # fmt: skip


def test_sequences_hold_numbered_items() -> None:
    items = [{"00080100": {"vr": "SH", "Value": ["A"]}}, {}]
    element = only({"vr": "SQ", "Value": items}, "00081032")
    assert [item.attrib["number"] for item in element] == ["1", "2"]
    assert [child.attrib["tag"] for child in element[0]] == ["00080100"]
    assert list(element[1]) == []


def test_binary_is_inline_or_elsewhere() -> None:
    assert texts(only({"vr": "OB", "InlineBinary": "AAE="})) == [("InlineBinary", "", "AAE=")]
    (bulk,) = only({"vr": "OW", "BulkDataURI": "http://h/a?b=1&c=2"}, "7FE00010")
    assert bulk.attrib == {"uri": "http://h/a?b=1&c=2"}


def test_private_attributes_name_their_creator_and_lose_their_block() -> None:
    document = native_dicom_model(
        {
            "00290010": {"vr": "LO", "Value": ['A & B "C"']},
            "00291008": {"vr": "CS", "Value": ["X"]},
            "00292001": {"vr": "UN", "InlineBinary": "AA=="},
        }
    )
    found = attributes_of(document)
    assert found["00290010"].attrib == {"tag": "00290010", "vr": "LO"}
    assert found["00290008"].attrib == {
        "tag": "00290008", "vr": "CS", "privateCreator": 'A & B "C"',
    }  # fmt: skip
    assert "00292001" in found, "without a creator nothing is made up"


@pytest.mark.parametrize("text", ["a\x1b$Bb", "\ud800", "\x00", "￾"])
def test_what_xml_cannot_carry_is_replaced(text: str) -> None:
    ((_, _, read),) = texts(only({"vr": "LO", "Value": [text]}, "00081030"))
    assert read is not None
    assert "\ufffd" in read


@given(
    st.text(
        st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="￾￿")
        | st.sampled_from("\t\n\r<&>")
    )
)
def test_any_text_comes_back(text: str) -> None:
    ((_, _, read),) = texts(only({"vr": "LT", "Value": [text]}, "00204000"))
    assert (read or "") == text
