"""Single values as clients send them: into bytes, and the text of their character sets."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.dicom.charset import character_sets
from farsight.dicom.part10 import parse_object
from farsight.ps318.assembled_instances import Assembled, assemble
from farsight.ps318.json_reader import read_json
from farsight.ps318.json_values import value_json
from farsight.ps318.value_bytes import value_bytes
from metadata_samples import UIDS, message, store, store_xml, written, written_xml, xml_of
from taken_apart import JSON


def field(vr: str, text: str, tag: int = 0x00091001) -> bytes:
    """The bytes of an array of values, given as JSON text."""
    (values,) = read_json(f"[{text}]".encode())
    return value_bytes(tag, vr, values, str.encode)


@pytest.mark.parametrize(
    ("vr", "text", "raw"),
    [
        ("CS", '["ORIGINAL", "PRIMARY"]', b"ORIGINAL\\PRIMARY"),
        ("CS", '["A", null, "B"]', b"A\\\\B"),
        ("CS", "[null, null]", b"\\"),
        ("CS", "[null]", b""),
        ("CS", "[]", b""),
        ("LO", "[12345, 1.50]", b"12345\\1.50"),
        ("LT", '["a\\\\b\\r\\n"]', b"a\\b\r\n"),
        ("UT", '["größer"]', "größer".encode()),
        ("UR", '["http://h/a b"]', b"http://h/a b"),
        ("PN", '[{"Alphabetic": "A^B", "Ideographic": "山", "Phonetic": "や"}]',
         "A^B=山=や".encode()),
        ("PN", '[{"Ideographic": "山"}, null, {}]', "=山\\\\".encode()),
        ("PN", '[{"Alphabetic": "A", "Phonetic": null}]', b"A"),
        ("PN", '["A^B=C"]', b"A^B=C"),
        ("IS", '[12, "007", -3, 4.0, 1e3]', b"12\\007\\-3\\4\\1000"),
        ("DS", '[1.0, -0.50, 1e-7, "+3", 5]', b"1.0\\-0.50\\1e-7\\+3\\5"),
        ("DS", "[0.30000000000000004]", b"0.3"),
        ("DS", "[-0.12345678901234567]", b"-0.1234567890123"),
        ("AT", '["00280010", "7fe00010", "(0028,0010)"]', b"(\0\x10\0\xe0\x7f\x10\0(\0\x10\0"),
        ("US", '[1, "65535", 3.0]', b"\1\0\xff\xff\3\0"),
        ("SS", "[-1]", b"\xff\xff"),
        ("SV", f'["{-(2**63)}"]', struct.pack("<q", -(2**63))),
        ("UV", f"[{2**64 - 1}]", b"\xff" * 8),
        ("FL", '[0.5, "1e3"]', struct.pack("<2f", 0.5, 1000)),
        ("FD", '["NaN", NaN, "-Infinity", -inf]'.replace("-inf", "-Infinity"),
         struct.pack("<4d", math.nan, math.nan, -math.inf, -math.inf)),
    ],
)  # fmt: skip
def test_values(vr: str, text: str, raw: bytes) -> None:
    assert field(vr, text) == raw


@given(st.floats(-1e99, 1e99))
def test_decimals_keep_what_16_characters_can_hold(value: float) -> None:
    found = field("DS", json.dumps([value]))
    assert len(found) <= 16
    assert float(found) == pytest.approx(value, rel=1e-8, abs=1e-307)


def test_descriptors_of_luts_are_unsigned_in_front() -> None:
    assert field("SS", "[65535, -1, 16]", 0x00281101) == struct.pack("<3h", -1, -1, 16)


NUMBERS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
UTF8 = character_sets(b"ISO_IR 192")


@given(st.sampled_from(sorted(NUMBERS)), st.binary(min_size=8, max_size=32))
def test_numbers_come_back(vr: str, raw: bytes) -> None:
    size = struct.calcsize("<" + NUMBERS[vr])
    raw = raw[: len(raw) - len(raw) % size]
    text = '{"vr":' + value_json(0x00091001, vr, raw, False, UTF8) + "}"
    (attribute,) = read_json(text.encode())
    found = value_bytes(0x00091001, vr, attribute["Value"], str.encode)
    codes = f"<{len(raw) // size}{NUMBERS[vr]}"
    for ours, theirs in zip(struct.unpack(codes, found), struct.unpack(codes, raw), strict=True):
        assert ours == theirs or (math.isnan(ours) and math.isnan(theirs))


TEXT = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\\^= "), max_size=12
)


@given(st.sampled_from(["LO", "SH", "UC", "LT", "PN"]), st.lists(TEXT, min_size=1, max_size=3))
def test_text_comes_back(vr: str, values: list[str]) -> None:
    if vr == "LT":
        values = values[:1]
    told: list[Any] = [value or None for value in values]
    if vr == "PN":
        told = [{"Alphabetic": value} if value else None for value in values]
    data = written({"00091001": {"vr": vr, "Value": told}})
    text = '{"vr":' + value_json(0x00091001, vr, data.raw(0x00091001), False, UTF8) + "}"
    expected = {"vr": vr} if told == [None] else {"vr": vr, "Value": told}
    assert json.loads(text) == expected


# -- character sets ----------------------------------------------------------------------------


def named_set(*terms: str | None, name: str = "Müller") -> dict[str, Any]:
    return {
        "00080005": {"vr": "CS", "Value": list(terms)},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": name}]},
    }


@pytest.mark.parametrize(
    ("terms", "name", "raw"),
    [
        (("ISO_IR 100",), "Müller", "Müller".encode("latin-1")),
        (("ISO_IR 144",), "Люкceмбypг", "Люкceмбypг".encode("iso8859-5")),
        (("ISO_IR 192",), "山田", "山田".encode()),
        (("GB18030",), "王^小东", "王^小东".encode("gb18030")),
        (("ISO_IR 13",), "ﾔﾏﾀﾞ", "ﾔﾏﾀﾞ".encode("shift_jis")),
        ((None, "ISO 2022 IR 87"), "Yamada", b"Yamada"),
        (("ISO_IR 100",), "Muller", b"Muller"),
        (("anything",), "Muller", b"Muller"),
    ],
)
def test_the_set_that_is_named_is_kept(terms: tuple[str], name: str, raw: bytes) -> None:
    found = store(named_set(*terms, name=name))
    assert isinstance(found, Assembled)
    assert found.coercions == ()
    back = parse_object(found.part10())
    assert back.raw(0x00100010).rstrip(b" ") == raw
    assert back.text(0x00080005) == "\\".join(term or "" for term in terms)


@pytest.mark.parametrize(
    ("terms", "name"),
    [
        (("ISO_IR 100",), "山田"),
        (("ISO_IR 13",), "山田"),
        (("ISO_IR 13",), "A¥B"),
        (("ISO_IR 13",), "A‾B"),
        ((None, "ISO 2022 IR 87"), "Yamada=山田"),
        (("ISO_IR 6",), "Müller"),
        (("unicode_escape",), "Müller"),
        (("ISO_IR 100", "ISO_IR 144"), "Müller"),
        ((None,), "Müller"),
    ],
)
def test_text_that_does_not_fit_is_in_unicode_and_that_is_told(
    terms: tuple[str], name: str
) -> None:
    changes = named_set(*terms, name=name.replace("=", "^"))
    found = store(changes)
    assert isinstance(found, Assembled)
    told = [coercion.original["Value"] for coercion in found.coercions]
    assert told == [list(terms)]
    back = parse_object(found.part10())
    assert back.text(0x00080005) == "ISO_IR 192"
    assert back.raw(0x00100010).decode().rstrip(" ") == name.replace("=", "^")


def test_without_a_set_text_beyond_ascii_gets_one() -> None:
    changes = named_set(name="Müller")
    del changes["00080005"]
    found = store(changes)
    assert isinstance(found, Assembled)
    assert found.coercions == ()
    assert parse_object(found.part10()).text(0x00080005) == "ISO_IR 192"
    assert 0x00080005 not in written({}).elements


def test_items_have_sets_of_their_own() -> None:
    item = named_set("ISO_IR 144", name="Люкceмбypг")
    changes = {**named_set("ISO_IR 100"), "00081032": {"vr": "SQ", "Value": [item]}}
    back = written(changes)
    (span,) = back.item_spans(back.elements[0x00081032])
    assert back.item(span).raw(0x00100010) == "Люкceмбypг".encode("iso8859-5")
    item["00080005"]["Value"] = ["ISO_IR 100"]
    found = store(changes)
    assert isinstance(found, Assembled)
    assert [c.path for c in found.coercions] == ["00080005", "00081032/1/00080005"]
    back = parse_object(found.part10())
    (span,) = back.item_spans(back.elements[0x00081032])
    assert back.item(span).raw(0x00100010).decode() == "Люкceмбypг"


def test_decimals_that_are_too_long_are_told() -> None:
    found = store({"00280030": {"vr": "DS", "Value": [0.1 + 0.2, 1]}})
    assert isinstance(found, Assembled)
    assert [coercion.path for coercion in found.coercions] == ["00280030"]
    assert parse_object(found.part10()).text(0x00280030) == "0.3\\1"


# -- data sets ---------------------------------------------------------------------------------


def test_elements_ascend_and_what_is_no_part_of_a_data_set_goes() -> None:
    changes = {
        "00291001": {"vr": "UN", "InlineBinary": "QQ=="},
        "00290010": {"vr": "LO", "Value": ["ODD"]},
        "00080000": {"vr": "UL", "Value": [4]},
        "00020010": {"vr": "UI", "Value": ["1.2.840.10008.1.2.4.50"]},
        "00020013": {"vr": "SH", "Value": ["OTHER"]},
        "00083002": {"vr": "UI", "Value": ["1.2.840.10008.1.2.4.50"]},
        "00081032": {"vr": "SQ", "Value": [{}, {"00080100": {"vr": "SH", "Value": ["A"]}}]},
        "00081111": {"vr": "SQ"},
    }
    back = written(changes)
    assert list(back.elements) == sorted(back.elements)
    gone = {0x00080000, 0x00020010, 0x00020013, 0x00083002}
    assert set(back.elements) == {int(tag, 16) for tag in {**UIDS, **changes}} - gone
    assert len(back.item_spans(back.elements[0x00081032])) == 2
    assert back.transfer_syntax_uid == "1.2.840.10008.1.2.1"
    assert back.raw(0x00291001) == b"A\0"


def test_a_single_object_and_several_documents() -> None:
    assert len(message(UIDS).instances) == 1
    assert len(message([]).instances) == 0
    two = [
        json.dumps([UIDS, UIDS]).encode(),
        memoryview(b"\xef\xbb\xbf" + json.dumps(UIDS).encode()),
    ]
    assert [type(found) for found in assemble(JSON, two, []).instances] == [Assembled] * 3


# -- the Native DICOM Model --------------------------------------------------------------------


def test_numbers_of_values_count() -> None:
    back = written_xml(
        '<DicomAttribute tag="00080008" vr="CS" keyword="ImageType"><Value number="3">C</Value>'
        '<Value number="1">A</Value></DicomAttribute>\n'
        '<DicomAttribute tag="00104000" vr="LT"><Value number="1"> a &lt;b&gt;\n</Value>'
        "</DicomAttribute>"
    )
    assert back.text(0x00080008) == "A\\\\C"
    assert back.raw(0x00104000) == b" a <b>\n "


def test_names_in_parts() -> None:
    back = written_xml(
        '<DicomAttribute tag="00100010" vr="PN"><PersonName number="1"><SingleByte>'
        "<NameSuffix>V</NameSuffix><FamilyName>A</FamilyName></SingleByte><Ideographic>"
        '<FamilyName>山</FamilyName></Ideographic></PersonName><PersonName number="2"/>'
        "</DicomAttribute>"
    )
    assert back.raw(0x00100010).decode().rstrip(" ") == "A^^^^V=山\\"


@pytest.mark.parametrize(
    ("attributes", "encoding"),
    [
        (' xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM"', "utf-8"),
        ("", "iso-8859-1"),
        ("", "utf-16"),
    ],
)
def test_namespace_and_encoding(attributes: str, encoding: str) -> None:
    name = '<DicomAttribute tag="00100020" vr="LO"><Value number="1">Ü</Value></DicomAttribute>'
    text = xml_of(name, attributes).decode()
    found = store_xml(f'<?xml version="1.0" encoding="{encoding}"?>{text}'.encode(encoding))
    assert isinstance(found, Assembled)
    assert parse_object(found.part10()).raw(0x00100020) == "Ü".encode()


def private(tag: str, value: str, creator: str = "") -> str:
    by = f' privateCreator="{creator}"' if creator else ""
    inside = f'<Value number="1">{value}</Value>'
    return f'<DicomAttribute tag="{tag}" vr="LO"{by}>{inside}</DicomAttribute>'


def test_private_attributes_go_back_into_their_blocks() -> None:
    back = written_xml(
        private("00290010", "ONE") + private("00290012", "TWO") + private("00290013", "TWO")
        + private("00290008", "a", "TWO") + private("00290010", "b", "ONE")
        + private("00290008", "c", "TWO") + private("00291408", "d", "NEW")
        + private("00290009", "e", "FRESH") + private("002B0001", "f", "NEW")
    )  # fmt: skip
    found = {tag: back.text(tag) for tag in back.elements if tag >> 16 in (0x29, 0x2B)}
    assert found == {
        0x00290010: "ONE", 0x00290011: "FRESH", 0x00290012: "TWO", 0x00290013: "TWO",
        0x00290014: "NEW", 0x00291010: "b", 0x00291109: "e", 0x00291208: "a", 0x00291308: "c",
        0x00291408: "d", 0x002B0010: "NEW", 0x002B1001: "f",
    }  # fmt: skip
