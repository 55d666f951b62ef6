"""Documents that are wrong by mistake or on purpose: refused in words, and nothing else happens."""

from __future__ import annotations

import json
import tracemalloc
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.dicom.scan import MAX_DEPTH
from farsight.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType
from farsight.ps318.assembled_instances import Assembled, assemble
from farsight.ps318.json_reader import MAX_VALUES, _structure, read_json
from farsight.ps318.xml_reader import read_xml
from metadata_samples import store, store_xml, written, xml_of
from taken_apart import JSON, XML


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"\xff\xfe",
        b"<a/>",
        b'"text"',
        b"12",
        b"[{",
        b"[{}] [{}]",
        b'[{"a": "\xff"}]',
        b'[{"a": "line\nbreak"}]',
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
        b'[{"a":"' + b"]" * 1000 + b'","b":' + b"[" * 1000 + b"]" * 1000 + b"}]",
    ],
    ids=range(13),
)
def test_what_is_no_json_is_a_bad_request(document: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        assemble(JSON, [document], [])
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "start", [b'"', b'["', b'\\"', b'["\\"', b'"a\\"', b"[\\", b'["\\\\"', b'[",']
)
def test_strings_without_an_end_take_no_time(start: bytes) -> None:
    with pytest.raises(BadRequest):
        read_json(start * 300_000)


def depth_by_reading(text: str) -> int:
    """Of brackets outside of strings, one character at a time."""
    depth = deepest = at = 0
    inside = False
    while at < len(text):
        if inside and text[at] == "\\":
            at += 1
        elif text[at] == '"':
            inside = not inside
        elif not inside:
            depth += (text[at] in "[{") - (text[at] in "]}")
            deepest = max(deepest, depth)
        at += 1
    return deepest


@given(st.recursive(st.text(alphabet='[]{},"\\ab', max_size=6), lambda inside: st.lists(inside),
                    max_leaves=20))  # fmt: skip
def test_nesting_is_told_from_brackets_in_strings(value: Any) -> None:
    text = json.dumps([value])
    steps = [1 if byte in b"[{" else -1 for byte in _structure(text.encode()) if byte != 0x2C]
    assert max(accumulate(steps)) == depth_by_reading(text)
    assert sum(steps) == 0


def test_brackets_in_strings_are_no_nesting() -> None:
    text = "[" * 5000 + '\\"' + "{" * 5000
    assert read_json(json.dumps([{"a": text}]).encode()) == [{"a": text}]


def nested(depth: int) -> dict[str, Any]:
    inside: dict[str, Any] = {"00080100": {"vr": "SH", "Value": ["X"]}}
    for _ in range(depth):
        inside = {"00081032": {"vr": "SQ", "Value": [inside]}}
    return inside


def test_sequences_nest_as_deep_as_can_be_read() -> None:
    assert written(nested(MAX_DEPTH)).elements[0x00081032].vr == "SQ"
    with pytest.raises(BadRequest):
        store(nested(MAX_DEPTH + 1))


def xml_nested(depth: int) -> bytes:
    opening = '<DicomAttribute tag="00081032" vr="SQ"><Item number="1">' * depth
    return xml_of(opening + "</Item></DicomAttribute>" * depth)


def test_so_they_do_in_xml() -> None:
    assert isinstance(store_xml(xml_nested(MAX_DEPTH)), Assembled)
    for depth in (MAX_DEPTH + 1, 100_000):
        with pytest.raises(BadRequest):
            assemble(XML, [xml_nested(depth)], [])


@pytest.mark.parametrize("value", [b"1,", b"[],", b'{"a":[]},', b'",",'])
def test_too_many_values_are_counted_before_they_are_built(value: bytes) -> None:
    document = b"[" + value * (MAX_VALUES + 1) + b"1]"
    tracemalloc.start()
    with pytest.raises(PayloadTooLarge):
        read_json(document)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * len(document)


def test_metadata_is_in_json_or_xml() -> None:
    with pytest.raises(UnsupportedMediaType):
        assemble("text/plain", [b"[]"], [])


BOMB = '<!ENTITY l0 "lol">' + "".join(
    f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10)
)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[{}]",
        b"<a/>",
        b"<NativeDicomModel>",
        b"<NativeDicomModel/><NativeDicomModel/>",
        b'<NativeDicomModel xmlns="urn:other"/>',
        b"<NativeDicomModel><Item/></NativeDicomModel>",
        b"<NativeDicomModel>text</NativeDicomModel>",
        b"<NativeDicomModel>&undefined;</NativeDicomModel>",
        b"<?php x?><NativeDicomModel/>",
        b"<NativeDicomModel><?xml-stylesheet href='x'?></NativeDicomModel>",
        b"<!DOCTYPE NativeDicomModel><NativeDicomModel/>",
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><NativeDicomModel/>',
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><NativeDicomModel/>',
        f"<!DOCTYPE a [{BOMB}]><NativeDicomModel>&l9;</NativeDicomModel>".encode(),
        b'<?xml version="1.0" encoding="idna"?><NativeDicomModel/>',
        b'<?xml version="1.0" encoding="unicode_escape"?><NativeDicomModel/>',
        xml_of('<DicomAttribute tag="0010" vr="LO"/>'),
        xml_of('<DicomAttribute tag="00100020" vr="LO" keyword="PatientName"/>'),
        xml_of('<DicomAttribute tag="00100020" vr="LO"><Value number="0"/></DicomAttribute>'),
        xml_of('<DicomAttribute tag="00100020" vr="LO"><Value number="1">A</Value>'
               '<Value number="1">B</Value></DicomAttribute>'),
        xml_of('<DicomAttribute tag="00420011" vr="OB"><BulkData/></DicomAttribute>'),
    ],
    ids=range(22),
)  # fmt: skip
def test_what_is_no_native_dicom_model_is_a_bad_request(document: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        assemble(XML, [document], [])
    assert len(str(caught.value)) < 200


def test_numbers_of_values_cost_no_memory() -> None:
    value = '<DicomAttribute tag="00080008" vr="CS"><Value number="{}">A</Value></DicomAttribute>'
    with pytest.raises(PayloadTooLarge):
        read_xml(xml_of(value.format(999_999_999)))
