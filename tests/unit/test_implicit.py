"""Objects re-encoded as Implicit VR Little Endian, beside what pydicom reads in the original."""

from __future__ import annotations

import io
import re
import struct

import pydicom
import pytest

from corpus import CorpusFile, files_in, requires_corpus, storable_files
from data_set_comparison import differences
from farsight.dicom.byte_order import little_endian
from farsight.dicom.elements import DataSet, DicomObject
from farsight.dicom.implicit import as_implicit_little_endian
from farsight.dicom.part10 import parse_object, write_part10
from farsight.dicom.transfer_syntax import NATIVE
from farsight.errors import UnsupportedDicom

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"


#: Same bytes, other reading: VRs that were not what the dictionary says; "US or SS", "US or OW",
#: padding that an odd length had not.
_READ_ANOTHER_WAY = re.compile(r" is \w\w, not \w\w$|(00280120|3006|7FE00010) has another value$")


def convertible() -> list[CorpusFile]:
    files = [*storable_files(), *files_in("ts-variants")]
    return [file for file in files if file.row["transfer_syntax_uid"] in NATIVE]


def converted(instance: DicomObject) -> bytes:
    data_set = as_implicit_little_endian(instance)
    return write_part10(instance.sop_class_uid, instance.sop_instance_uid, IMPLICIT, data_set)


def unlike(before: DataSet, after: DataSet, where: str = "") -> list[str]:
    """Elements of the two that differ in more than their VR: values by their bytes."""
    kept = {tag for tag in before.elements if tag >> 16 > 2 and tag & 0xFFFF}
    told = [f"{where}{tag:08X} is on one side only" for tag in kept ^ after.elements.keys()]
    for tag in sorted(kept & after.elements.keys()):
        one, other = before.elements[tag], after.elements[tag]
        if "SQ" in (one.vr, other.vr):
            told += _unlike_items(before, after, tag, f"{where}{tag:08X}")
            continue
        value = bytes(little_endian(before, one))
        if one.vr == "UN":
            value = before.raw(tag)
        if after.raw(tag)[: len(value)] != value or len(after.raw(tag)) - len(value) not in (0, 1):
            told.append(f"{where}{tag:08X} has another value")
    return told


def _unlike_items(before: DataSet, after: DataSet, tag: int, where: str) -> list[str]:
    if "UN" in (before.elements[tag].vr, after.elements[tag].vr):
        same = before.raw(tag) == after.raw(tag)
        return [] if same else [f"{where} is no sequence any more, and has other bytes"]
    spans = before.item_spans(before.elements[tag]), after.item_spans(after.elements[tag])
    if len(spans[0]) != len(spans[1]):
        return [f"{where} has another number of items"]
    told: list[str] = []
    for number, (one, other) in enumerate(zip(*spans, strict=True)):
        told += unlike(before.item(one), after.item(other), f"{where}/{number}/")
    return told


@requires_corpus
@pytest.mark.parametrize("file", convertible(), ids=lambda file: file.name)
def test_nothing_is_lost(file: CorpusFile) -> None:
    instance = parse_object(file.read())
    data = converted(instance)
    after = parse_object(data)
    assert (after.implicit, after.big_endian) == (True, False)
    assert unlike(instance, after) == []
    before, again = (pydicom.dcmread(io.BytesIO(read), force=True) for read in (file.read(), data))
    for read in (before, again):  # without a dictionary they have no VR in implicit encoding
        read.remove_private_tags()
    told = differences(before, again)
    assert [what for what in told if not _READ_ANOTHER_WAY.search(what)] == []


@requires_corpus
def test_the_collection_has_every_native_syntax() -> None:
    assert {file.row["transfer_syntax_uid"] for file in convertible()} == NATIVE


def test_compressed_objects_are_refused() -> None:
    body = b"\x10\0\x20\0LO\2\x0012"
    instance = parse_object(write_part10("1.2", "1.2.3", "1.2.840.10008.1.2.4.50", body))
    with pytest.raises(UnsupportedDicom, match="transcoding"):
        as_implicit_little_endian(instance)


def _explicit(tag: int, vr: bytes, value: bytes) -> bytes:
    if vr in (b"SQ", b"UN", b"OB"):
        return struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def _item(value: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<L", len(value)) + value


def test_a_private_sequence_still_looks_like_one() -> None:
    inner = _explicit(0x00091002, b"LO", b"ab")
    body = _explicit(0x00090010, b"LO", b"NOBODY KNOWS")
    body += _explicit(0x00091001, b"SQ", _item(_explicit(0x00090010, b"LO", b"WHO!") + inner))
    body += _explicit(0x00091003, b"UN", b"\1\2\3\4")
    written = as_implicit_little_endian(parse_object(write_part10("1.2", "1.2.3", EXPLICIT, body)))
    item = b"\x09\0\x10\0\4\0\0\0WHO!" + b"\x09\0\x02\x10\2\0\0\0ab"
    assert written == (
        b"\x09\0\x10\0\x0c\0\0\0NOBODY KNOWS"
        + b"\x09\0\x01\x10\xff\xff\xff\xff" + _item(item) + b"\xfe\xff\xdd\xe0\0\0\0\0"
        + b"\x09\0\x03\x10\4\0\0\0\1\2\3\4"
    )  # fmt: skip
    read = pydicom.dcmread(io.BytesIO(write_part10("1.2", "1.2.3", IMPLICIT, written)))
    assert read[0x00091001].VR == "SQ"
    assert read[0x00091001][0][0x00091002].value == b"ab"


def test_an_unreadable_sequence_keeps_its_bytes_and_odd_lengths_are_padded() -> None:
    broken = b"\xfe\xff\0\xe0" + struct.pack("<L", 500) + b"rest"
    body = _explicit(0x00080000, b"UL", b"\1\2\3\4") + _explicit(0x00080060, b"CS", b"C")
    body += _explicit(0x00081140, b"SQ", broken)
    written = as_implicit_little_endian(parse_object(write_part10("1.2", "1.2.3", EXPLICIT, body)))
    assert written == (
        b"\x08\0\x60\0\2\0\0\0C " + b"\x08\0\x40\x11\x0c\0\0\0" + broken
    )  # fmt: skip
