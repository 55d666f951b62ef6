"""The tokenizer beside pydicom: real files, generated data sets, damaged bytes."""

from __future__ import annotations

import io
import struct
import zlib
from collections import Counter
from typing import Any

import pydicom
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from corpus import CorpusFile, files_in, manifest, requires_corpus, storable_files
from farsight.dicom.elements import DataSet
from farsight.dicom.part10 import (
    IMPLEMENTATION_CLASS_UID,
    parse_dataset,
    parse_object,
    write_part10,
)
from farsight.dicom.positions import Elements
from farsight.dicom.scan import MAX_DEPTH, Scanner
from farsight.errors import MalformedDicom
from farsight.ps318.dicom_json import object_json

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
CT_SMALL = get_testdata_file("CT_small.dcm")

#: What happens to the files that are defective on purpose: the error's words, or None if they
#: can be read all the same.
DEFECTS: dict[str, str | None] = {
    "malformed/3gb-bulk-data-truncated": "3221225472 bytes long",
    "malformed/MR_truncated.dcm": "8130 are left",
    "malformed/emri_small_jpeg_2k_lossless_too_short.dcm": "has no end",
    "malformed/no_meta.dcm": "are left in its data set",
    "malformed/rtplan_truncated.dcm": "711 are left",
}


def encoded(data_set: Dataset, syntax: str) -> bytes:
    """A bare data set as pydicom writes it."""
    buffer = DicomBytesIO()
    buffer.is_little_endian = syntax != BIG
    buffer.is_implicit_VR = syntax == IMPLICIT
    write_dataset(buffer, data_set)
    return buffer.getvalue()


def assert_same_elements(ours: DataSet, theirs: Dataset) -> None:
    """Tags, VRs, raw values where pydicom still has them, and sequences item by item."""
    raw = {int(tag): theirs.get_item(tag) for tag in theirs.keys()}  # noqa: SIM118
    expected = {tag: element for tag, element in raw.items() if tag >> 16 != 2}
    assert list(ours.elements) == list(expected)
    for tag, element in ours.elements.items():
        if element.vr == "SQ":
            items = theirs[tag].value
            spans = ours.item_spans(element)
            assert len(spans) == len(items)
            for span, item in zip(spans, items, strict=True):
                assert_same_elements(ours.item(span), item)
        elif isinstance(expected[tag], pydicom.dataelem.RawDataElement):
            assert ours.raw(tag) == (expected[tag].value or b"")


@requires_corpus
@pytest.mark.parametrize(
    "file", [*storable_files(), *files_in("ts-variants", "non-patient")], ids=lambda f: f.name
)
def test_finds_the_elements_that_pydicom_finds(file: CorpusFile) -> None:
    data = file.read()
    ours = parse_object(data)
    theirs = pydicom.dcmread(io.BytesIO(data))
    assert ours.transfer_syntax_uid == theirs.file_meta.TransferSyntaxUID
    assert ours.sop_class_uid == theirs.get("SOPClassUID", "")
    assert ours.sop_instance_uid == theirs.get("SOPInstanceUID", "")
    assert ours.study_instance_uid == theirs.get("StudyInstanceUID", "")
    assert ours.series_instance_uid == theirs.get("SeriesInstanceUID", "")
    assert_same_elements(ours, theirs)


@requires_corpus
@pytest.mark.parametrize("file", files_in("malformed", "codec-only"), ids=lambda f: f.name)
def test_defective_files_are_read_or_refused(file: CorpusFile) -> None:
    data = file.read()
    words = DEFECTS.get(file.name)
    if file.name == "codec-only/JLSL_RGB_ILV1.dcm":
        words = "neither file meta information nor a SOP instance"
    if words is None:
        object_json(parse_object(data), "http://host")
    else:
        with pytest.raises(MalformedDicom, match=words):
            parse_object(data)


@requires_corpus
def test_cutting_a_file_anywhere_is_noticed_or_harmless() -> None:
    smallest = sorted(manifest(), key=lambda file: int(file.row["size"]))[:12]
    for file in smallest:
        data = file.read()
        for stop in range(0, len(data), 7):
            _read_all(data[:stop])


def _read_all(data: bytes) -> None:
    """Parse and convert; MalformedDicom is the one error there may be."""
    try:
        parsed = parse_object(data, max_inflated_bytes=1 << 20)
    except MalformedDicom:
        return
    object_json(parsed, "http://host")


# -- generated data sets --------------------------------------------------------------------

_TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\\"))
_LEAVES = st.one_of(
    st.tuples(st.just(0x00081030), st.just("LO"), _TEXTS.map(lambda t: t[:64])),
    st.tuples(st.just(0x00280010), st.just("US"), st.integers(0, 65535)),
    st.tuples(st.just(0x00189305), st.just("FD"), st.floats(allow_nan=False)),
    st.tuples(st.just(0x00204000), st.just("LT"), _TEXTS.map(lambda t: t[:1000])),
    st.tuples(st.just(0x7FE00010), st.just("OW"), st.binary(max_size=64).map(lambda b: b + b)),
    st.tuples(st.just(0x00400555), st.just("SQ"), st.just([])),
)


def _data_set(leaves: list[tuple[int, str, object]], items: list[Dataset]) -> Dataset:
    data_set = Dataset()
    for tag, vr, value in leaves:
        data_set.add_new(tag, vr, value)
    if items:
        data_set.add_new(0x00081140, "SQ", items)
        for at, item in enumerate(items):
            item.is_undefined_length_sequence_item = at % 2 == 0
        data_set[0x00081140].is_undefined_length = len(items) % 2 == 0
    return data_set


_DATA_SETS = st.recursive(
    st.builds(_data_set, st.lists(_LEAVES, max_size=5), st.just([])),
    lambda inner: st.builds(_data_set, st.lists(_LEAVES, max_size=5), st.lists(inner, max_size=3)),
    max_leaves=8,
)


@given(_DATA_SETS, st.sampled_from((IMPLICIT, EXPLICIT, BIG)))
def test_reads_what_pydicom_writes(data_set: Dataset, syntax: str) -> None:
    ours = parse_dataset(encoded(data_set, syntax), syntax)
    _assert_equal(ours, data_set, syntax)


def _assert_equal(ours: DataSet, theirs: Dataset, syntax: str) -> None:
    assert sorted(ours.elements) == [int(element.tag) for element in theirs]
    for element in theirs:
        tag = int(element.tag)
        found = ours.elements[tag]
        assert found.vr == element.VR
        if element.VR == "SQ":
            spans = ours.item_spans(found)
            assert len(spans) == len(element.value)
            for span, item in zip(spans, element.value, strict=True):
                _assert_equal(ours.item(span), item, syntax)
        elif element.VR in ("US", "FD"):
            assert ours.number(tag) == element.value
        elif element.VR == "OW":
            assert ours.raw(tag) == (element.value or b"")
        else:
            assert (ours.text(tag) or "") == (element.value or "").strip(" \0")


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(_DATA_SETS, st.sampled_from((IMPLICIT, EXPLICIT, BIG)), st.data())
def test_damage_is_malformed_dicom_or_a_result(
    data_set: Dataset, syntax: str, data: st.DataObject
) -> None:
    body = bytearray(write_part10("1.2.3", "1.2.3.4", syntax, encoded(data_set, syntax)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(132, len(body) - 1))
        body[at] = data.draw(st.integers(0, 255))
    _read_all(bytes(body[: data.draw(st.integers(100, len(body)))]))


@given(st.binary(max_size=400))
@example(b"")
@example(b"\0" * 128 + b"DICM")
@example(b"\xff" * 64)
def test_noise_is_malformed_dicom_or_a_result(noise: bytes) -> None:
    _read_all(noise)
    _read_all(b"\0" * 128 + b"DICM" + noise)
    for syntax in (IMPLICIT, EXPLICIT, BIG):
        _read_all(write_part10("1.2", "1.2.3", syntax, noise))


# -- laws -------------------------------------------------------------------------------------


def test_undefined_length_sequences_may_nest_up_to_the_limit_and_no_deeper() -> None:
    def nested(depth: int) -> bytes:
        opening = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff"
        closing = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
        return opening * depth + closing * depth

    assert len(parse_dataset(nested(MAX_DEPTH), EXPLICIT).elements) == 1
    with pytest.raises(MalformedDicom, match="nested"):
        parse_dataset(nested(MAX_DEPTH + 1), EXPLICIT)
    with pytest.raises(MalformedDicom, match="nested"):
        parse_dataset(nested(200_000), EXPLICIT)


def test_sequences_of_defined_length_that_nest_too_deep_end_as_bytes() -> None:
    body = b""
    for _ in range(MAX_DEPTH + 20):
        item = b"\xfe\xff\0\xe0" + struct.pack("<L", len(body)) + body
        body = b"\x08\0\x40\x11SQ\0\0" + struct.pack("<L", len(item)) + item
    text = object_json(parse_dataset(body, EXPLICIT), "http://host")
    assert text.count('"vr":"SQ"') == MAX_DEPTH
    assert text.count('"vr":"UN"') == 1


def test_nested_undefined_lengths_are_walked_twice_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once to find the end, once to be read: not once per level."""
    walked = []
    scan = Scanner._scan

    def counting(self: Scanner, *args: Any, **options: Any) -> tuple[Elements, int]:
        walked.append(args[0])
        return scan(self, *args, **options)

    monkeypatch.setattr(Scanner, "_scan", counting)
    item = b"\xfe\xff\0\xe0\xff\xff\xff\xff%b\xfe\xff\x0d\xe0\0\0\0\0"
    sequence = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff%b\xfe\xff\xdd\xe0\0\0\0\0"
    body = b"\x08\0\x16\0UI\2\x001\0"
    for _ in range(MAX_DEPTH):
        body = sequence % (item % body)
    assert object_json(parse_dataset(body, EXPLICIT), "").count("SQ") == MAX_DEPTH
    assert max(Counter(walked).values()) == 2
    assert len(walked) == 2 * MAX_DEPTH + 1


@pytest.mark.parametrize(
    ("body", "syntax", "words"),
    [
        (b"\x10\0\x10\0UT\0\0\xff\xff\xff\xff", EXPLICIT, "undefined length"),
        (b"\x10\0\x10\0\xff\xff\xff\xff", IMPLICIT, "undefined length"),
        (b"\x10\0\x10\0LO\x10\0abc", EXPLICIT, "3 are left"),
        (b"\x10\0\x10\0OB\0\0\x01", EXPLICIT, "ends within the header"),
        (b"\x10\0\x10\0LO\2\0ab\x01", EXPLICIT, "1 bytes are left over"),
        (b"\xfe\xff\0\xe0\0\0\0\0", EXPLICIT, "outside a sequence"),
        (b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\0" * 8, EXPLICIT, "not an item"),
        (b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff", EXPLICIT, "has no end"),
        (
            b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff",
            EXPLICIT,
            "item of undefined length has no end",
        ),
        (
            b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff",
            EXPLICIT,
            "encapsulated data has no end",
        ),
    ],
)
def test_refuses(body: bytes, syntax: str, words: str) -> None:
    with pytest.raises(MalformedDicom, match=words):
        parse_dataset(body, syntax)


def test_too_many_elements_are_refused() -> None:
    body = b"".join(struct.pack("<HH2sH", 8 + at // 60000, at % 60000, b"LO", 0)
                    for at in range(100_002))  # fmt: skip
    with pytest.raises(MalformedDicom, match="more than"):
        parse_dataset(body, EXPLICIT)


def test_tolerates_zeros_at_the_end_and_stray_delimiters() -> None:
    body = (
        b"\x10\0\x10\0PN\4\0A^B "
        + b"\xfe\xff\xdd\xe0\0\0\0\0"
        + b"\x10\0\x20\0LO\2\x0012"
        + b"\0" * 4
    )
    assert parse_dataset(body, EXPLICIT).text(0x00100020) == "12"


def test_un_of_undefined_length_is_a_sequence_in_implicit_vr() -> None:
    """PS3.5 6.2.2, note 4."""
    item = b"\x10\0\x10\0\4\0\0\0A^B "
    body = (
        b"\x09\0\x10\0LO\4\0ACME"
        + b"\x09\0\x01\x10UN\0\0\xff\xff\xff\xff"
        + b"\xfe\xff\0\xe0\xff\xff\xff\xff" + item + b"\xfe\xff\x0d\xe0\0\0\0\0"
        + b"\xfe\xff\xdd\xe0\0\0\0\0"
        + b"\x10\0\x20\0LO\2\x0012"
    )  # fmt: skip
    data_set = parse_dataset(body, EXPLICIT)
    element = data_set.elements[0x00091001]
    assert (element.vr, element.undefined) == ("SQ", True)
    (span,) = data_set.item_spans(element)
    assert data_set.item(span).text(0x00100010) == "A^B"
    assert data_set.text(0x00100020) == "12"


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(("code", "vr"), [(b"LO", "LO"), (b"OB", "OB"), (b"ZZ", "UN")])
def test_explicit_headers(code: bytes, vr: str, big: bool) -> None:
    order = ">" if big else "<"
    if code == b"LO":
        head = struct.pack(order + "HH2sH", 8, 0x1FFE, code, 2)
    else:
        head = struct.pack(order + "HH2sHL", 8, 0x1FFE, code, 0, 2)
    data_set = parse_dataset(head + b"ab", BIG if big else EXPLICIT)
    assert data_set.elements[0x00081FFE].vr == vr
    assert data_set.raw(0x00081FFE) == b"ab"


@pytest.mark.parametrize(("signed", "vr"), [(0, "US"), (1, "SS")])
def test_pixel_representation_settles_ambiguous_vrs_also_from_above(signed: int, vr: str) -> None:
    item = Dataset()
    item.add_new(0x00283002, "US", [1, 0, 16])
    data_set = _data_set([(0x00280103, "US", signed), (0x00280106, "US", 3)], [item])
    ours = parse_dataset(encoded(data_set, IMPLICIT), IMPLICIT)
    assert ours.elements[0x00280106].vr == vr
    (span,) = ours.item_spans(ours.elements[0x00081140])
    assert ours.item(span).elements[0x00283002].vr == vr


@pytest.mark.parametrize(("entries", "vr"), [(1, "US"), (256, "OW")])
def test_lut_data_is_a_number_or_a_table(entries: int, vr: str) -> None:
    data_set = Dataset()
    data_set.add_new(0x00283002, "US", [entries, 0, 16])
    data_set.add_new(0x00283006, "OW", b"\0\0" * entries)
    assert parse_dataset(encoded(data_set, IMPLICIT), IMPLICIT).elements[0x00283006].vr == vr


def test_private_vrs_come_from_the_dictionary_of_their_creator() -> None:
    data_set = Dataset()
    block = data_set.private_block(0x0009, "GEMS_IDEN_01", create=True)
    block.add_new(0x27, "SL", 1234)
    unknown = data_set.private_block(0x0009, "NOBODY KNOWS", create=True)
    unknown.add_new(0x27, "SL", 1234)
    ours = parse_dataset(encoded(data_set, IMPLICIT), IMPLICIT)
    assert {tag: element.vr for tag, element in ours.elements.items()} == {
        0x00090010: "LO",
        0x00090011: "LO",
        0x00091027: "SL",
        0x00091127: "UN",
    }


def test_numbers_and_texts() -> None:
    data_set = Dataset()
    data_set.add_new(0x00280010, "US", [512, 7])
    data_set.add_new(0x00200013, "IS", "12 ")
    data_set.add_new(0x00180050, "DS", ["1.25", "3"])
    data_set.add_new(0x00280008, "IS", "")
    data_set.add_new(0x00080060, "CS", "CT")
    for syntax in (IMPLICIT, EXPLICIT, BIG):
        ours = parse_dataset(encoded(data_set, syntax), syntax)
        assert ours.number(0x00280010) == 512
        assert ours.number(0x00200013) == 12
        assert ours.number(0x00180050) == 1.25
        assert ours.number(0x00280008) is None
        assert ours.number(0x00281052) is None
        assert ours.text(0x00080060) == "CT"
        assert ours.text(0x00280008) == ""
        assert ours.text(0x00281052) is None
        with pytest.raises(MalformedDicom, match="NumberOfFrames"):
            ours.count(0x00280008, "NumberOfFrames")


# -- files ------------------------------------------------------------------------------------


@given(_DATA_SETS, st.sampled_from((IMPLICIT, EXPLICIT, BIG)), st.integers(1, 64))
def test_files_we_write_are_read_by_pydicom(data_set: Dataset, syntax: str, length: int) -> None:
    body = encoded(data_set, syntax)
    uid = ("1." * 32)[:length].rstrip(".")
    pieces = (body[:5], memoryview(body)[5:])
    data = write_part10("1.2.840.10008.5.1.4.1.1.2", uid, syntax, pieces)
    assert data == write_part10("1.2.840.10008.5.1.4.1.1.2", uid, syntax, body)
    assert data.endswith(body)
    read = pydicom.dcmread(io.BytesIO(data))
    meta = read.file_meta
    assert meta.MediaStorageSOPInstanceUID == uid
    assert meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    assert meta.TransferSyntaxUID == syntax
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert meta.ImplementationVersionName == "FARSIGHT"
    assert 132 + 12 + meta.FileMetaInformationGroupLength == len(data) - len(body)
    ours = parse_object(data)
    assert (ours.dataset_offset, ours.transfer_syntax_uid) == (len(data) - len(body), syntax)
    assert ours.data is data
    assert ours.body is data


def test_a_uid_that_cannot_be_written_is_refused() -> None:
    for uid in ("1." * 40, "1.2.ü"):
        with pytest.raises(MalformedDicom):
            write_part10("1.2", uid, EXPLICIT, b"")


def _deflated(body: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return write_part10("1.2", "1.2.3", DEFLATED, deflater.compress(body) + deflater.flush())


def test_deflated_objects_are_inflated_up_to_a_limit() -> None:
    body = b"\x10\0\x20\0LO\2\x0012" + b"\xe0\x7f\x10\0OB\0\0" + struct.pack("<L", 1 << 20)
    data = _deflated(body + b"\0" * (1 << 20))
    parsed = parse_object(data)
    assert parsed.text(0x00100020) == "12"
    assert parsed.elements[0x7FE00010].length == 1 << 20
    assert len(parsed.body) == len(body) + (1 << 20)
    with pytest.raises(MalformedDicom, match="more than 1000000 bytes"):
        parse_object(data, max_inflated_bytes=1_000_000)
    with pytest.raises(MalformedDicom, match="cut off"):
        parse_object(data[:-20])
    with pytest.raises(MalformedDicom, match="inflated"):
        parse_object(write_part10("1.2", "1.2.3", DEFLATED, b"\xff" * 30))


@pytest.mark.parametrize("cut", ["preamble", "preamble and file meta"])
def test_files_without_preamble_or_meta_are_read_if_they_are_instances(cut: str) -> None:
    assert CT_SMALL is not None
    with open(CT_SMALL, "rb") as file:
        data = file.read()
    whole = parse_object(data)
    start = 132 if cut == "preamble" else whole.dataset_offset
    parsed = parse_object(data[start:])
    assert parsed.sop_instance_uid == whole.sop_instance_uid
    assert parsed.transfer_syntax_uid == EXPLICIT
    assert list(parsed.elements) == list(whole.elements)


@pytest.mark.parametrize(("said", "found"), [(EXPLICIT, IMPLICIT), (IMPLICIT, EXPLICIT)])
def test_the_first_element_is_believed_about_explicit_vr(said: str, found: str) -> None:
    data_set = _data_set([(0x00081030, "LO", "chest"), (0x00280010, "US", 3)], [])
    ours = parse_dataset(encoded(data_set, found), said)
    assert (ours.implicit, ours.text(0x00081030)) == (found == IMPLICIT, "chest")
