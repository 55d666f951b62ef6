"""Characters that mean something else in DICOM than in the text that was sent."""

from __future__ import annotations

from typing import Any

import pytest

from farsight.ps318.store_reasons import FailureReason
from metadata_samples import BULK, part, refused, store_xml, written, xml_of

TAG = "00091001"
SEVERAL = ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "TM", "UC", "UI")
ONE = ("LT", "ST", "UT", "UR")
CONTROLS = "".join(map(chr, (*range(32), 127)))


def of(vr: str, *values: Any) -> dict[str, Any]:
    return {TAG: {"vr": vr, "Value": list(values)}}


@pytest.mark.parametrize("vr", SEVERAL)
def test_a_backslash_within_a_value_would_make_two(vr: str) -> None:
    values: list[Any] = ["1\\2", "\\", "1\\"]
    if vr == "PN":
        values += [{"Alphabetic": "A\\B"}, {"Ideographic": "\\"}]
    for value in values:
        for told in ((value,), ("1", value)):
            failure = refused(of(vr, *told))
            assert failure.reason == FailureReason.CANNOT_UNDERSTAND
            assert TAG in failure.why
            assert "backslash" in failure.why
    assert written(of(vr, "1", "2")).raw(int(TAG, 16)).rstrip(b" \0") == b"1\\2"


@pytest.mark.parametrize("vr", ONE)
def test_what_has_one_value_has_no_second(vr: str) -> None:
    assert "one value" in refused(of(vr, "a", "b")).why
    assert "one value" in refused(of(vr, "a", None)).why
    assert written(of(vr, "a\\b")).raw(int(TAG, 16)).rstrip(b" ") == b"a\\b"


@pytest.mark.parametrize("vr", [*SEVERAL, *ONE])
def test_control_characters(vr: str) -> None:
    allowed = "\t\n\f\r" if vr in ("LT", "ST", "UT") else ""
    for control in CONTROLS:
        changes = of(vr, f"1{control}2")
        if control in allowed:
            assert written(changes).raw(int(TAG, 16))[:3] == f"1{control}2".encode()
        else:
            assert "control character" in refused(changes).why
    if vr == "PN":
        assert "control character" in refused(of(vr, {"Phonetic": "A\0"})).why


@pytest.mark.parametrize("vr", ["LT", "ST", "UT", "LO", "SH", "UC", "PN"])
def test_control_characters_in_a_part(vr: str) -> None:
    changes = {TAG: {"vr": vr, "BulkDataURI": BULK}}
    for control in ("\0", "\x1b", "\x08"):
        assert "control character" in refused(changes, part(f"1{control}2".encode())).why
    assert written(changes, part(b"1 2 ")).raw(int(TAG, 16)) == b"1 2 "


def test_padding_of_uids_is_no_part_of_them() -> None:
    assert written(of("UI", "1.2\0", "1.3.4\0")).raw(int(TAG, 16)) == b"1.2\\1.3.4\0"
    assert "control character" in refused(of("UI", "1.2\0.3")).why


def test_so_it_is_in_xml() -> None:
    value = '<DicomAttribute tag="00080060" vr="CS"><Value number="1">A\\B</Value></DicomAttribute>'
    assert "backslash" in getattr(store_xml(xml_of(value)), "why", "")
