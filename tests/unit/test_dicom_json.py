"""DICOM JSON beside an independent reading (pydicom) over real files, and value by value."""

from __future__ import annotations

import base64
import io
import json
import math
import struct
from collections.abc import Iterator
from typing import Any

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_charset_files
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from corpus import CorpusFile, files_in, requires_corpus, storable_files
from dicom_json_comparison import BINARY, JUSTIFIED, NUMERIC_WORDS, Comparison
from farsight.dicom.charset import NAME_DELIMITERS, character_sets
from farsight.dicom.part10 import parse_dataset, parse_object
from farsight.errors import NotFound
from farsight.ps318.bulk_data import find_bulk_data
from farsight.ps318.dicom_json import (
    DicomJson,
    attributes_json,
    identifier_attributes,
    object_attributes,
    object_json,
    rebase,
    with_available_syntax,
)
from farsight.ps318.fragment_cache import FragmentCache
from farsight.ps318.json_values import value_json

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
ROOT = "https://host/dicom-web/studies/1/series/2/instances/3/bulkdata"


@requires_corpus
@pytest.mark.parametrize(
    "file",
    [*storable_files(), *files_in("ts-variants", "non-patient", "documents")],
    ids=lambda file: file.name,
)
def test_every_attribute_of_real_files(file: CorpusFile) -> None:
    data = file.read()
    comparison = Comparison(parse_object(data), ROOT)
    text = object_json(comparison.parsed, ROOT)
    ours = json.loads(text, parse_constant=pytest.fail)
    comparison.compare(ours, pydicom.dcmread(io.BytesIO(data)))
    assert comparison.seen <= set(JUSTIFIED)


@requires_corpus
def test_the_text_does_not_depend_on_what_was_converted_before() -> None:
    shared = DicomJson(cache_bytes=300_000)  # small: generations are dropped on the way
    for file in storable_files()[::3]:
        parsed = parse_object(file.read())
        fresh = DicomJson().encode(parsed, ROOT)
        assert shared.encode(parsed, ROOT) == fresh
        assert shared.encode(parsed, "http://other") == fresh.replace(ROOT, "http://other")


@pytest.mark.parametrize("path", sorted(get_charset_files("*.dcm")), ids=lambda p: p[-30:])
def test_names_in_every_character_set(path: str) -> None:
    with open(path, "rb") as file:
        data = file.read()
    theirs = pydicom.dcmread(io.BytesIO(data), force=True)
    parsed = parse_dataset(data[parse_offset(theirs, data) :], theirs.file_meta.TransferSyntaxUID)
    comparison = Comparison(parsed, ROOT)
    comparison.compare(json.loads(object_json(comparison.parsed, ROOT)), theirs)


def parse_offset(theirs: Dataset, data: bytes) -> int:
    """Where the data set of a file begins, by pydicom's account."""
    length = theirs.file_meta.get("FileMetaInformationGroupLength")
    assert length is not None
    return 132 + 12 + int(length)


# -- one value field --------------------------------------------------------------------------

UTF8, LATIN = character_sets(b"ISO_IR 192"), character_sets(b"")


def attribute(vr: str, raw: bytes, big: bool = False, tag: int = 0x00091001) -> dict[str, Any]:
    text = '{"vr":' + value_json(tag, vr, raw, big, UTF8) + "}"
    parsed: dict[str, Any] = json.loads(text, parse_constant=pytest.fail)
    return parsed


@pytest.mark.parametrize(
    ("vr", "raw", "values"),
    [
        ("CS", b"ORIGINAL\\PRIMARY \\ AXIAL", ["ORIGINAL", "PRIMARY", "AXIAL"]),
        ("CS", b"A\\\\B ", ["A", None, "B"]),
        ("CS", b"\\ ", [None, None]),
        ("CS", b"  ", None),
        ("UI", b"1.2.3\0", ["1.2.3"]),
        ("LO", b" a\\b \\", ["a", "b", None]),
        ("UC", b" a\\b \\", [" a", "b", None]),
        ("LO", b'quote " and \t tab', ['quote " and \t tab']),
        ("LT", b" a\\b\r\n ", [" a\\b\r\n"]),
        ("UT", "größer".encode(), ["größer"]),
        ("UR", b"http://h/a\\b ", ["http://h/a\\b"]),
        ("UC", b"a\\b ", ["a", "b"]),
        ("DA", b"20240229", ["20240229"]),
        ("TM", b"1200 ", ["1200"]),
        ("PN", "A^B=山^太=や^た".encode(), [
            {"Alphabetic": "A^B", "Ideographic": "山^太", "Phonetic": "や^た"}]),
        ("PN", "=山^太 \\C^D ".encode(), [{"Ideographic": "山^太"}, {"Alphabetic": "C^D"}]),
        ("PN", b"A\\\\B", [{"Alphabetic": "A"}, None, {"Alphabetic": "B"}]),
        ("PN", b"== ", None),
        ("IS", b"12\\-3 \\+4\\007", [12, -3, 4, 7]),
        ("IS", b"2.0\\1A\\2.5\\", [2, "1A", "2.5", None]),
        ("IS", b"12345678901234567890", ["12345678901234567890"]),
        ("DS", b"1.0\\-0.50\\+3\\.5\\5.\\1e3\\1E-3", [1.0, -0.5, 3, 0.5, 5, 1000, 0.001]),
        ("DS", b"007\\1,5\\NaN\\1e999\\1_0\\", [7, "1,5", "NaN", "1e999", "1_0", None]),
        ("DS", b"9" * 400, ["9" * 400]),
        ("AT", b"\x28\0\x10\0\xe0\x7f\x10\0", ["00280010", "7FE00010"]),
        ("US", b"\1\0\xff\xff", [1, 65535]),
        ("SS", b"\xff\xff", [-1]),
        ("UL", b"\xff\xff\xff\xff", [4294967295]),
        ("SV", struct.pack("<2q", -(2**53) + 1, 2**60), [-(2**53) + 1, str(2**60)]),
        ("UV", struct.pack("<Q", 2**64 - 1), [str(2**64 - 1)]),
        ("FD", struct.pack("<3d", 0.1, 1e300, -0.0), [0.1, 1e300, -0.0]),
        ("FL", struct.pack("<f", 0.1), [struct.unpack("<f", struct.pack("<f", 0.1))[0]]),
        ("FD", struct.pack("<3d", math.nan, math.inf, -math.inf), ["NaN", "Infinity", "-Infinity"]),
    ],
)  # fmt: skip
def test_values(vr: str, raw: bytes, values: list[Any] | None) -> None:
    expected = {"vr": vr} if values is None else {"vr": vr, "Value": values}
    assert attribute(vr, raw) == expected


@pytest.mark.parametrize("text", ["1.0", "-12.50", "0.488281250", "100"])
def test_digits_of_a_decimal_string_are_kept(text: str) -> None:
    assert value_json(1, "DS", text.encode(), False, LATIN) == f'"DS","Value":[{text}]'


@pytest.mark.parametrize(
    ("vr", "word"), [("OB", 1), ("OW", 2), ("OL", 4), ("OF", 4), ("OD", 8), ("OV", 8), ("UN", 1)]
)
def test_inline_binary_is_little_endian(vr: str, word: int) -> None:
    raw = bytes(range(16))
    turned = b"".join(raw[at : at + word][::-1] for at in range(0, 16, word))
    for big, expected in ((False, raw), (True, turned)):
        assert attribute(vr, raw, big)["InlineBinary"] == base64.b64encode(expected).decode()


@pytest.mark.parametrize("vr", ["US", "UL", "FD", "AT", "SV"])
def test_numbers_of_a_wrong_length_are_given_as_bytes(vr: str) -> None:
    assert attribute(vr, b"\1\2\3") == {"vr": "UN", "InlineBinary": "AQID"}


@pytest.mark.parametrize(("tag", "first"), [(0x00281101, 65535), (0x00280106, -1)])
def test_lut_descriptors_count_entries_without_sign(tag: int, first: int) -> None:
    raw = struct.pack("<3h", -1, -5, 16)
    assert attribute("SS", raw, tag=tag)["Value"] == [first, -5, 16]


@given(st.binary(max_size=60), st.sampled_from(sorted(NUMERIC_WORDS | BINARY | {
    "AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI",
    "UR", "UT"})), st.booleans())  # fmt: skip
def test_any_bytes_of_any_vr_become_valid_json(raw: bytes, vr: str, big: bool) -> None:
    for sets in (b"", b"ISO_IR 192", b"\\ISO 2022 IR 87\\ISO 2022 IR 149", b"GB18030"):
        text = '{"vr":' + value_json(0x00091001, vr, raw, big, character_sets(sets)) + "}"
        json.loads(text.encode("utf-8"), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("term", "raw", "text"),
    [
        (b"", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
        (b"ISO_IR 100 ", b"\xe4", "ä"),
        (b"ISO IR 100", b"\xe4", "ä"),
        (b"ISO-IR-100", b"\xe4", "ä"),
        (b"ISO_IR 192", "ä".encode(), "ä"),
        (b"UTF-8", "ä".encode(), "ä"),
        (b"ISO_IR 192\\ISO 2022 IR 87", "ä".encode(), "ä"),
        (b"GB18030", "王".encode("gb18030"), "王"),
        (b"ISO_IR 144", b"\xbb", "Л"),
        (b"ISO_IR 192", b"\xff", "\ufffd"),
        (b"unicode_escape", b"\\u0041", "\\u0041"),
        (b"utf-16", b"ab", "ab"),
        (b"ISO 2022 IR 100\\ISO 2022 IR 144", b"\xe4\x1b-L\xbb^\xe4", "äЛ^ä"),
    ],
)
def test_character_sets(term: bytes, raw: bytes, text: str) -> None:
    assert character_sets(term).decode(raw, NAME_DELIMITERS) == text


# -- objects ----------------------------------------------------------------------------------


def encoded(data_set: Dataset, syntax: str = EXPLICIT) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian = syntax != BIG
    buffer.is_implicit_VR = syntax == IMPLICIT
    write_dataset(buffer, data_set)
    return buffer.getvalue()


def sample() -> Dataset:
    inner = Dataset()
    inner.add_new(0x54001010, "OW", b"\1\2" * 1000)
    inner.add_new(0x54001006, "CS", "SS")
    data_set = Dataset()
    data_set.add_new(0x00080005, "CS", "ISO_IR 192")
    data_set.add_new(0x00100010, "PN", "Müller^Ä")
    data_set.add_new(0x00081115, "SQ", [])
    data_set.add_new(0x54000100, "SQ", [Dataset(), inner])
    data_set.add_new(0x7FE00010, "OW", b"\3\4")
    return data_set


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
def test_bulk_data_is_found_where_the_json_says(syntax: str) -> None:
    parsed = parse_dataset(encoded(sample(), syntax), syntax)
    attributes = object_attributes(parsed, ROOT)
    assert attributes["00081115"] == {"vr": "SQ"}
    empty, item = attributes["54000100"]["Value"]
    assert empty == {}
    uri = item["54001010"]["BulkDataURI"]
    assert uri == f"{ROOT}/54000100/2/54001010"
    found = find_bulk_data(parsed, uri.removeprefix(ROOT))
    expected = b"\1\2" * 1000 if syntax != BIG else b"\2\1" * 1000
    assert (bytes(found.value), found.vr, found.in_frames) == (expected, "OW", False)
    assert attributes["7FE00010"]["BulkDataURI"] == f"{ROOT}/7FE00010"
    assert attributes["00100010"]["Value"] == [{"Alphabetic": "Müller^Ä"}]


def fragmented(tag: int, *fragments: bytes) -> bytes:
    """An OB of undefined length, Explicit VR Little Endian."""
    items = b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<L", len(f)) + f for f in fragments)
    head = struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, b"OB", 0, 0xFFFFFFFF)
    return head + items + b"\xfe\xff\xdd\xe0" + bytes(4)


def test_fragments_of_something_that_is_no_pixels() -> None:
    """Each is served by its own address: the other's pixels must not come for it."""
    data = fragmented(0x00091010, b"ab", b"cdef") + fragmented(0x7FE00010, b"", b"\xff\xd8")
    parsed = parse_dataset(data, "1.2.840.10008.1.2.4.50")
    attributes = object_attributes(parsed, ROOT)
    assert attributes["00091010"] == {"vr": "OB", "BulkDataURI": f"{ROOT}/00091010"}
    found = find_bulk_data(parsed, "00091010")
    assert (bytes(found.value), found.in_frames) == (b"abcdef", False)
    assert find_bulk_data(parsed, "7FE00010").in_frames


def test_fragments_in_big_endian() -> None:
    head = struct.pack(">HH2sHL", 0x0009, 0x1010, b"OW", 0, 0xFFFFFFFF)
    item = b"\xff\xfe\xe0\x00" + struct.pack(">L", 4) + b"\1\2\3\4"
    parsed = parse_dataset(head + item + b"\xff\xfe\xe0\xdd" + bytes(4), BIG)
    assert bytes(find_bulk_data(parsed, "00091010").value) == b"\2\1\4\3"


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "7FE00011", "54000100/0/54001010", "54000100/3/54001010",
        "54000100/1/54001010", "54000100/2", "54000100/-1/54001010", "00100010/1/54001010",
        "xyz", "54000100/2/54001010/1", "54000100/99999999999/54001010",
        "../7FE00010", "7fe0001g",
    ],
)  # fmt: skip
def test_paths_to_nothing(path: str) -> None:
    parsed = parse_dataset(encoded(sample()), EXPLICIT)
    with pytest.raises(NotFound):
        find_bulk_data(parsed, path)


@pytest.mark.parametrize(
    ("said", "media_type"),
    [
        ("application/pdf", "application/pdf"),
        ("Model/STL", "model/stl"),
        ("text/html\r\nX: y", "application/octet-stream"),
        ("pdf", "application/octet-stream"),
    ],
)
def test_documents_have_the_media_type_they_say(said: str, media_type: str) -> None:
    data_set = Dataset()
    data_set.add_new(0x00420011, "OB", b"%PDF")
    data_set.add_new(0x00420012, "LO", said)
    parsed = parse_dataset(encoded(data_set), EXPLICIT)
    assert "BulkDataURI" in object_attributes(parsed, ROOT)["00420011"]
    assert find_bulk_data(parsed, "00420011").media_type == media_type


def test_group_lengths_and_command_groups_are_left_out() -> None:
    body = (
        struct.pack("<HHL", 0x0000, 0x0002, 2) + b"12"
        + struct.pack("<HHL", 0x0002, 0x0010, 2) + b"12"
        + struct.pack("<HHLL", 0x0008, 0x0000, 4, 10)
        + struct.pack("<HHL", 0x0008, 0x0060, 2) + b"CT"
    )  # fmt: skip
    assert list(object_attributes(parse_dataset(body, IMPLICIT))) == ["00080060"]


def test_attributes_are_sorted_whatever_their_order() -> None:
    body = b"\x10\0\x20\0LO\2\x0012" + b"\x08\0\x60\0CS\2\0CT"
    assert list(object_attributes(parse_dataset(body, EXPLICIT))) == ["00080060", "00100020"]


def test_items_inherit_or_override_the_character_set() -> None:
    own, inherited = Dataset(), Dataset()
    own.add_new(0x00080005, "CS", "ISO_IR 144")
    own.add_new(0x00081030, "LO", "Люкceмбypг")
    inherited.add_new(0x00081030, "LO", "größer")
    data_set = Dataset()
    data_set.add_new(0x00080005, "CS", "ISO_IR 192")
    data_set.add_new(0x00081140, "SQ", [own, inherited, own])
    texts = [
        item["00081030"]["Value"]
        for item in object_attributes(parse_dataset(encoded(data_set), EXPLICIT))["00081140"][
            "Value"
        ]
    ]
    assert texts == [["Люкceмбypг"], ["größer"], ["Люкceмбypг"]]


def test_one_converter_keeps_equal_bytes_in_different_settings_apart() -> None:
    converter = DicomJson()
    raw = "ä".encode()
    texts = []
    for term in ("ISO_IR 192", "ISO_IR 100", "ISO_IR 144"):
        item = Dataset()
        item.add_new(0x00081030, "LO", raw)
        data_set = Dataset()
        data_set.add_new(0x00080005, "CS", term)
        data_set.add_new(0x00081140, "SQ", [item])
        parsed = parse_dataset(encoded(data_set), EXPLICIT)
        attributes = json.loads(converter.encode(parsed, ROOT))
        texts.append(attributes["00081140"]["Value"][0]["00081030"]["Value"][0])
    assert texts == ["ä", "Ã¤", "УЄ"]


def test_an_unreadable_sequence_is_given_as_bytes() -> None:
    broken = b"\xfe\xff\0\xe0" + struct.pack("<L", 500) + b"rest"
    body = b"\x09\0\x01\x10SQ\0\0" + struct.pack("<L", len(broken)) + broken
    body += b"\x10\0\x20\0LO\2\x0012"
    parsed = parse_dataset(body, EXPLICIT)
    attributes = object_attributes(parsed)
    assert attributes["00091001"]["vr"] == "UN"
    assert base64.b64decode(attributes["00091001"]["InlineBinary"]) == broken
    assert attributes["00100020"]["Value"] == ["12"]


def test_rebasing_moves_the_uris_and_nothing_else() -> None:
    data_set = sample()
    data_set.add_new(0x00104000, "LT", f'see "BulkDataURI":"{ROOT}/7FE00010"')
    parsed = parse_dataset(encoded(data_set), EXPLICIT)
    new = 'http://other/ä"/x'
    moved = rebase(object_json(parsed, ROOT).encode(), ROOT, new)
    assert moved == object_json(parsed, new).encode()
    assert json.loads(moved)["7FE00010"]["BulkDataURI"] == f"{new}/7FE00010"


def test_identifiers() -> None:
    whole = identifier_attributes(encoded(sample(), IMPLICIT), IMPLICIT)
    assert whole["00100010"]["Value"] == [{"Alphabetic": "Müller^Ä"}]


def test_rows_as_an_array() -> None:
    rows: Iterator[dict[str, Any]] = iter([{"00100020": {"vr": "LO", "Value": ["ä"]}}, {}])
    text = attributes_json(rows)
    assert text == '[{"00100020":{"vr":"LO","Value":["ä"]}},{}]'.encode()
    assert attributes_json([]) == b"[]"


def test_the_cache_is_bounded_and_keeps_what_is_used() -> None:
    cache = FragmentCache(max_bytes=100_000)
    cache.put("kept", "x", 10)
    for number in range(5000):
        cache.put(number, "y" * 10, 10)
        assert cache.get("kept") == "x"
    assert len(cache._young) + len(cache._old) < 100_000 / 350
    assert cache.get(0) is None


def test_of_video_it_is_told_what_can_be_had() -> None:
    plain = '{"00080018":{"vr":"UI","Value":["1.2"]},"00100010":{"vr":"PN"}}'
    told = json.loads(with_available_syntax(plain, "1.2.840.10008.1.2.4.102"))
    assert list(told) == ["00080018", "00083002", "00100010"]
    assert told["00083002"] == {"vr": "UI", "Value": ["1.2.840.10008.1.2.4.102"]}
    own = '{"00083002":{"vr":"UI","Value":["1.2.840.10008.1.2.1"]}}'
    assert with_available_syntax(own, "1.2.840.10008.1.2.4.102") == own
