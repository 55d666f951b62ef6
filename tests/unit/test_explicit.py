"""Objects re-encoded as Explicit VR Little Endian, beside what pydicom reads in the original."""

from __future__ import annotations

import io
import struct

import pydicom
import pytest

from corpus import CorpusFile, files_in, requires_corpus, storable_files
from farsight.dicom.elements import DicomObject
from farsight.dicom.explicit import as_explicit_little_endian
from farsight.dicom.part10 import parse_object, write_part10
from farsight.dicom.transfer_syntax import NATIVE
from farsight.errors import UnsupportedDicom
from farsight.ps318.dicom_json import object_attributes, object_json
from farsight.ps318.frames import frame_bytes, frame_index

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"


def convertible() -> list[CorpusFile]:
    files = [*storable_files(), *files_in("ts-variants")]
    syntaxes = NATIVE - {EXPLICIT}
    return [file for file in files if file.row["transfer_syntax_uid"] in syntaxes]


def assert_same_frames(instance: DicomObject, converted: DicomObject) -> None:
    if 0x7FE00010 not in instance.elements:
        return
    before, after = frame_index(instance), frame_index(converted)
    assert before.number_of_frames == after.number_of_frames
    for number in range(1, before.number_of_frames + 1):
        ours = bytes(frame_bytes(converted, after, number))
        assert ours == bytes(frame_bytes(instance, before, number))


@requires_corpus
@pytest.mark.parametrize("file", convertible(), ids=lambda file: file.name)
def test_nothing_is_lost(file: CorpusFile) -> None:
    instance = parse_object(file.read())
    data = as_explicit_little_endian(instance)
    converted = parse_object(data)
    assert (converted.transfer_syntax_uid, converted.implicit, converted.big_endian) == (
        EXPLICIT,
        False,
        False,
    )
    before, after = (
        object_attributes(instance, "http://h"),
        object_attributes(converted, "http://h"),
    )
    for tag in [tag for tag in before if instance.big_endian and before[tag]["vr"] == "UN"]:
        del before[tag], after[tag]  # little endian either way, and now its VR can be told
        assert converted.raw(int(tag, 16)) == instance.raw(int(tag, 16))
    assert after == before
    assert_same_frames(instance, converted)
    theirs = pydicom.dcmread(io.BytesIO(data))
    assert len(list(theirs.iterall())) > 0
    assert as_explicit_little_endian(converted) is converted.data


@requires_corpus
def test_the_collection_has_every_native_syntax() -> None:
    assert {file.row["transfer_syntax_uid"] for file in convertible()} == NATIVE - {EXPLICIT}


def test_compressed_objects_are_refused() -> None:
    body = b"\x10\0\x20\0LO\2\x0012"
    instance = parse_object(write_part10("1.2", "1.2.3", "1.2.840.10008.1.2.4.50", body))
    with pytest.raises(UnsupportedDicom, match="transcoding"):
        as_explicit_little_endian(instance)


def test_values_too_long_for_their_length_field_become_un() -> None:
    """PS3.5 6.2.2: a DS of more than 65534 bytes, as contour data in implicit VR has it."""
    value = b"\\".join([b"1.25"] * 20_000)
    value += b" " * (len(value) % 2)
    body = struct.pack("<HHL", 0x3006, 0x0050, len(value)) + value
    instance = parse_object(write_part10("1.2", "1.2.3", IMPLICIT, body))
    data = as_explicit_little_endian(instance)
    assert data.endswith(b"\x06\x30\x50\0UN\0\0" + struct.pack("<L", len(value)) + value)
    assert object_json(parse_object(data), "") == object_json(instance, "")


def test_an_unreadable_sequence_keeps_its_bytes() -> None:
    broken = b"\xfe\xff\0\xe0" + struct.pack("<L", 500) + b"rest"
    body = struct.pack("<HHL", 0x0008, 0x1140, len(broken)) + broken
    body += struct.pack("<HHL", 0x0010, 0x0020, 2) + b"12"
    instance = parse_object(write_part10("1.2", "1.2.3", IMPLICIT, body))
    converted = parse_object(as_explicit_little_endian(instance))
    assert converted.raw(0x00081140) == broken
    assert converted.text(0x00100020) == "12"
    assert object_json(converted, "") == object_json(instance, "")


def test_odd_lengths_are_padded_and_group_lengths_dropped() -> None:
    body = struct.pack("<HHLL", 0x0008, 0x0000, 4, 99)
    body += struct.pack("<HHL", 0x0008, 0x0018, 5) + b"1.2.3"
    body += struct.pack("<HHL", 0x0008, 0x0060, 1) + b"C"
    instance = parse_object(write_part10("1.2", "1.2.3", IMPLICIT, body))
    data = as_explicit_little_endian(instance)
    assert data.endswith(b"\x08\0\x18\0UI\6\x001.2.3\0" + b"\x08\0\x60\0CS\2\0C ")
