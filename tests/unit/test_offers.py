"""What a client wants stored, looked at: is it an instance, and is it the same as another?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.filereader import data_element_generator
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from farsight.model import InstanceRef
from farsight.ports.spool import InMemory
from farsight.ps318.store_reasons import FailureReason
from farsight.services.offers import (
    Offer,
    Refusal,
    _plain,
    examine,
    is_of_another,
    same_content,
    same_content_sent,
)
from sample_files import ct_slice, instance_uid, series_uid, study_uid
from stowing import part10

SIZES = pytest.mark.parametrize("size", [8, 600], ids=["small", "larger than a head"])


class Counted(InMemory):
    """Tells how much of it was read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.read_bytes = 0

    def read(self, start: int, length: int) -> bytes:
        found = super().read(start, length)
        assert len(found) == length, "beyond the end"
        self.read_bytes += length
        return found

    def whole(self) -> bytes | memoryview:
        self.read_bytes += self.size
        return super().whole()


class Stored(InMemory):
    """As the archive gives it."""

    identity = None


def offered(file: bytes) -> Offer:
    found = examine(InMemory(file), None)
    assert isinstance(found, Offer), found
    return found


@SIZES
def test_an_instance(size: int) -> None:
    image = ct_slice(3, size=size)
    file = part10(image)
    part = Counted(file)
    found = examine(part, study_uid())
    assert isinstance(found, Offer)
    assert found.ref == InstanceRef(study_uid(), series_uid(), instance_uid(3))
    assert found.sop_class_uid == image.SOPClassUID
    assert found.transfer_syntax_uid == image.file_meta.TransferSyntaxUID
    assert found.patient_id == "PAT1"
    assert found.part is part
    assert file[found.data_at :].startswith(b"\x08\x00\x05\x00CS")
    if size > 100:
        assert part.read_bytes < 200_000 < len(file), "not the pixels"


@SIZES
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_other_encodings(size: int, syntax: str) -> None:
    image = ct_slice(1, size=size)
    image.file_meta.TransferSyntaxUID = syntax
    assert offered(part10(image)).transfer_syntax_uid == syntax


@pytest.mark.parametrize("text", ["PAT1", "PÄT1", "患者", "A\\B"])
def test_patients_are_told_by_what_they_are_called(text: str) -> None:
    """In whatever character set, with or without padding."""
    image = ct_slice(1)
    image.PatientID = text
    assert offered(part10(image)).patient_id == text
    image["PatientID"].value = text + " "
    assert offered(part10(image)).patient_id == text


def test_another_study() -> None:
    found = examine(InMemory(part10(ct_slice(1))), "1.2.3")
    assert isinstance(found, Refusal)
    assert found.reason is FailureReason.OTHER_STUDY
    assert found.sop_instance_uid == instance_uid(1)
    assert "1.2.3" in found.why


@SIZES
def test_cut_off_anywhere(size: int) -> None:
    """Refused, but where an element has ended: that is a file, if a short one."""
    file = part10(ct_slice(1, size=size))
    begins = offered(file).data_at
    elements = data_element_generator(BytesIO(file[begins:]), False, True)
    ends = {begins + one.value_tell + one.length for one in elements}  # type: ignore[union-attr]
    places = [*range(0, 900, 7), *range(900, len(file), 10_007), len(file) - 2, len(file) - 1]
    for at in places:
        found = examine(InMemory(file[:at]), None)
        if isinstance(found, Offer):
            end = max(one for one in ends if one <= at)
            assert set(file[end:at]) <= set(b" \0"), "padding at most"
            continue
        assert found.reason in (FailureReason.CANNOT_UNDERSTAND, FailureReason.MISSING_ATTRIBUTE)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_anywhere(data: st.DataObject) -> None:
    """Taken or refused; whatever it says of its names is fit to be a name."""
    file = bytearray(part10(ct_slice(1, size=8)))
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    found = examine(InMemory(bytes(file)), None)
    if isinstance(found, Offer):
        uids = (*found.ref.__getstate__(), found.sop_class_uid)  # type: ignore[attr-defined]
        assert all(set(uid) <= set("0123456789.") and 0 < len(uid) <= 64 for uid in uids)
    else:
        assert "\n" not in found.sop_instance_uid


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_anything_at_all(junk: bytes, is_file: bool) -> None:
    part = InMemory(bytes(128) + b"DICM" + junk if is_file else junk)
    assert isinstance(examine(part, None), Refusal)


def _another_writer(image: FileDataset) -> None:
    image.file_meta.SourceApplicationEntityTitle = "SOMEBODY"
    image.preamble = b"II*\0" + bytes(124)


def _other_pixels(image: FileDataset) -> None:
    image.PixelData = image.PixelData[:-2] + b"\x12\x34"


def _another_value(image: FileDataset) -> None:
    image.PatientBirthDate = "19700102"


def _more(image: FileDataset) -> None:
    image.PatientComments = "more"


def _another_syntax(image: FileDataset) -> None:
    image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian


@SIZES
@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda image: None, True),
        (_another_writer, True),
        (_other_pixels, False),
        (_another_value, False),
        (_more, False),
        (_another_syntax, False),
    ],
    ids=["nothing", "writer", "pixels", "value", "more", "syntax"],
)
def test_the_same_content(size: int, change: Callable[[FileDataset], None], same: bool) -> None:
    file = part10(ct_slice(1, size=size))
    image = dcmread(BytesIO(file))
    change(image)
    other = part10(image)
    assert same_content(offered(file), Stored(other)) is same
    assert same_content(offered(other), Stored(file)) is same
    assert same_content_sent(offered(file), offered(other)) is same


def test_a_stored_file_that_cannot_be_read_is_another() -> None:
    file = part10(ct_slice(1))
    for other in (b"", b"junk", file[:-1], file[:140], bytes(len(file))):
        assert not same_content(offered(file), Stored(other))


def test_without_preamble() -> None:
    file = part10(ct_slice(1))
    found = offered(file[132:])
    assert found.part.whole() == bytes(128) + b"DICM" + file[132:]
    assert found.part.size == len(file)
    for start, length in ((0, 10), (100, 60), (130, 2), (131, 5), (132, 9), (500, 300), (0, 0)):
        assert found.part.read(start, length) == bytes(found.part.whole())[start : start + length]
    assert same_content(found, Stored(file))


@pytest.mark.parametrize(
    ("told", "stored", "another"),
    [
        ("PAT1", {"PAT1"}, False), ("PAT1", {"PAT2"}, True), ("PAT1", set(), False),
        ("PAT1\n", {"PAT1"}, False), ("PAT1\0X", {"PAT1"}, False), ("", {""}, False),
        ("", {"PAT1"}, True), ("PAT\ufffd", {"PAT\xe4"}, False), ("PAT1", {"PAT\ufffd"}, False),
    ],
)  # fmt: skip
def test_whose_it_is_is_told_by_what_both_can_read(
    told: str, stored: set[str], another: bool
) -> None:
    image = ct_slice(1)
    image.PatientID = "PAT1"
    found = examine(InMemory(part10(image)), None)
    assert isinstance(found, Offer)
    assert is_of_another(replace(found, patient_id=_plain(told)), stored) is another
