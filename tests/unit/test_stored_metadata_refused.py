"""Data sets that are wrong by mistake or on purpose: named, and the others are stored."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farsight.dicom.part10 import parse_object
from farsight.dicom.vr import LONG_VRS, SHORT_VRS
from farsight.ps318.assembled_instances import Assembled, AssemblyFailure, assemble
from farsight.ps318.store_reasons import FailureReason
from metadata_samples import UIDS, message, refused, store_xml, xml_of
from taken_apart import JSON


@pytest.mark.parametrize("wrong", [None, 1, "text", [], {}, {"vr": "UI"}, {"00080018": None}])
def test_one_that_is_wrong_does_not_take_the_others_away(wrong: Any) -> None:
    first, second, third = message([UIDS, wrong, UIDS]).instances
    assert isinstance(first, Assembled)
    assert isinstance(second, AssemblyFailure)
    assert isinstance(third, Assembled)


def test_an_attribute_that_stands_twice() -> None:
    text = json.dumps([UIDS])[1:-1]
    for twice in ('"00080018"', '"0008001\\u0038"'):
        document = f'[{text}, {text[:-1]}, {twice}: {{"vr": "UI", "Value": ["1.2"]}}}}]'
        first, second = assemble(JSON, [document.encode()], []).instances
        assert isinstance(first, Assembled)
        assert isinstance(second, AssemblyFailure)
        assert "'00080018' stands twice" in second.why
    assert "stands twice" in refused({"0008002A": {"vr": "DT"}, "0008002a": {"vr": "DT"}}).why
    value = '[{"00080018": {"vr": "UI", "Value": ["1.2"], "Value": ["1.3"]}}]'
    (found,) = assemble(JSON, [value.encode()], []).instances
    assert isinstance(found, AssemblyFailure)
    assert "has 'Value' twice" in found.why
    double = '<DicomAttribute tag="00080018" vr="UI"/>'
    assert isinstance(store_xml(xml_of(double)), AssemblyFailure)


@pytest.mark.parametrize(
    ("tag", "attribute"),
    [
        ("0010", {"vr": "LO"}),
        ("PatientID", {"vr": "LO"}),
        ("0010002G", {"vr": "LO"}),
        ("00100020\n", {"vr": "LO"}),
        ("٠٠١٠٠٠٢٠", {"vr": "LO"}),
        ("00000002", {"vr": "UI"}),
        ("FFFEE000", {"vr": "UN"}),
        ("00100020", None),
        ("00100020", "LO"),
        ("00100020", {}),
        ("00100020", {"vr": "XX"}),
        ("00100020", {"vr": ["LO"]}),
        ("00100020", {"vr": "LO", "value": ["A"]}),
        ("00100020", {"vr": "LO", "Value": "A"}),
        ("00100020", {"vr": "LO", "Value": {"0": "A"}}),
        ("00100020", {"vr": "LO", "Value": [["A"]]}),
        ("00100020", {"vr": "LO", "Value": [True]}),
        ("00100020", {"vr": "LO", "Value": ["A"], "InlineBinary": "QQ=="}),
        ("00100020", {"vr": "LO", "InlineBinary": "QQ=="}),
        ("00100020", {"vr": "LO", "Value": ["A\x1b(B"]}),
        ("00100020", {"vr": "LO", "Value": ["\ud800"]}),
        ("00080060", {"vr": "CS", "Value": ["ä"]}),
        ("00420011", {"vr": "OB", "InlineBinary": "QQ="}),
        ("00420011", {"vr": "OB", "InlineBinary": "Q Q=="}),
        ("00420011", {"vr": "OB", "InlineBinary": "QQ==\n"}),
        ("00420011", {"vr": "OB", "InlineBinary": "ＱＱ=="}),
        ("00420011", {"vr": "OB", "InlineBinary": 1234}),
        ("00420011", {"vr": "OB", "Value": [1, 2]}),
        ("00420011", {"vr": "OB", "BulkDataURI": "http://127.0.0.1/secret"}),
        ("00420011", {"vr": "OB", "BulkDataURI": 12}),
        ("00660129", {"vr": "OL", "InlineBinary": "AAAAAAAA"}),
        ("00081032", {"vr": "SQ", "Value": ["A"]}),
        ("00081032", {"vr": "SQ", "Value": [None, {}]}),
        ("00081032", {"vr": "SQ", "InlineBinary": ""}),
        ("00081032", {"vr": "SQ", "Value": [{"00020010": {"vr": "UI"}}]}),
        ("00081032", {"vr": "SQ", "Value": [{"7FE00010": {"vr": "OW", "InlineBinary": "AAAA"}}]}),
        ("7FE00010", {"vr": "OW"}),
        ("7FE00010", {"vr": "OW", "InlineBinary": "AAAA"}),
        ("00280010", {"vr": "US", "Value": [65536]}),
        ("00280010", {"vr": "US", "Value": [-1]}),
        ("00280010", {"vr": "US", "Value": [1.5]}),
        ("00280010", {"vr": "US", "Value": ["1e5000"]}),
        ("00280010", {"vr": "US", "Value": ["1_0"]}),
        ("00280010", {"vr": "US", "Value": [1, None]}),
        ("00089459", {"vr": "FL", "Value": [1e39]}),
        ("00089459", {"vr": "FL", "Value": ["1" * 100_000]}),
        ("00200013", {"vr": "IS", "Value": [1.5]}),
        ("00200013", {"vr": "IS", "Value": [10**12]}),
        ("00280030", {"vr": "DS", "Value": [float("nan")]}),
        ("00280009", {"vr": "AT", "Value": ["0028"]}),
        ("00100010", {"vr": "PN", "Value": [{"Alphabetic": "A", "family": "B"}]}),
        ("00100010", {"vr": "PN", "Value": [{"Alphabetic": "A=B"}]}),
        ("00100010", {"vr": "PN", "Value": [{"Alphabetic": ["A"]}]}),
    ],
)  # fmt: skip
def test_what_can_not_be_written_is_named(tag: str, attribute: Any) -> None:
    document = json.dumps([{**UIDS, tag: attribute}]).encode()
    (failure,) = assemble(JSON, [document], []).instances
    assert isinstance(failure, AssemblyFailure)
    assert failure.reason in (FailureReason.CANNOT_UNDERSTAND, FailureReason.DOES_NOT_MATCH)
    assert failure.sop_instance_uid in ("1.2.3.4", "")
    assert tag.strip() in failure.why or repr(tag)[1:-1] in failure.why


def test_huge_numbers() -> None:
    document = (
        json.dumps([UIDS])[:-2] + ', "00280010": {"vr": "US", "Value": [' + "9" * 10**6 + "]}}]"
    )
    (failure,) = assemble(JSON, [document.encode()], []).instances
    assert isinstance(failure, AssemblyFailure)
    assert len(failure.why) < 200


@pytest.mark.parametrize("tag", list(UIDS))
@pytest.mark.parametrize(
    ("attribute", "reason"),
    [
        (None, FailureReason.MISSING_ATTRIBUTE),
        ({"vr": "UI"}, FailureReason.MISSING_ATTRIBUTE),
        ({"vr": "UI", "Value": [None]}, FailureReason.MISSING_ATTRIBUTE),
        ({"vr": "UI", "Value": ["1.2", "1.3"]}, FailureReason.MISSING_ATTRIBUTE),
        ({"vr": "UI", "Value": [1.2]}, FailureReason.MISSING_ATTRIBUTE),
        ({"vr": "LO", "Value": ["1.2"]}, FailureReason.MISSING_ATTRIBUTE),
        ({"vr": "UI", "Value": ["Muster^Jürgen"]}, FailureReason.INVALID_INSTANCE),
        ({"vr": "UI", "Value": ["../1.2"]}, FailureReason.INVALID_INSTANCE),
        ({"vr": "UI", "Value": ["1" * 65]}, FailureReason.INVALID_INSTANCE),
    ],
)
def test_an_instance_needs_its_names(tag: str, attribute: Any, reason: FailureReason) -> None:
    changed = {**UIDS, tag: attribute}
    if attribute is None:
        del changed[tag]
    (failure,) = message([changed]).instances
    assert isinstance(failure, AssemblyFailure)
    assert failure.reason == reason
    assert "Muster" not in failure.why


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["1.2.3", "QQ==", "00100010", "SQ", "ä"]),
    lambda inside: st.lists(inside, max_size=3)
    | st.dictionaries(st.sampled_from(["Value", "vr", "InlineBinary", "BulkDataURI", "Alphabetic",
                                       "00081032", "00100010", "7FE00010"]), inside, max_size=3),
    max_leaves=8,
)  # fmt: skip
VRS = st.sampled_from(sorted({*SHORT_VRS.values(), *LONG_VRS.values()}))
ATTRIBUTES = st.builds(
    lambda vr, values: {"vr": vr, "Value": values}, VRS, st.lists(JSON_VALUES, max_size=3)
)


@settings(max_examples=400, deadline=None)
@given(
    st.dictionaries(
        st.integers(0, 2**32 - 1).map(lambda tag: f"{tag:08X}"),
        ATTRIBUTES | JSON_VALUES,
        max_size=4,
    )
)  # fmt: skip
def test_whatever_comes_is_written_readably_or_refused(changes: dict[str, Any]) -> None:
    (found,) = assemble(JSON, [json.dumps([{**UIDS, **changes}]).encode()], []).instances
    if isinstance(found, Assembled):
        back = parse_object(found.part10())
        assert back.sop_instance_uid == found.ref.sop_instance_uid
        expected = {int(tag, 16) for tag in {**UIDS, **changes}}
        expected -= {tag for tag in expected if tag >> 16 == 2 or not tag & 0xFFFF}
        assert set(back.elements) - {0x00080005} == expected - {0x00080005, 0x00083002}
