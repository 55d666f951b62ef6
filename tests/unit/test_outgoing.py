"""Stored instances as they are sent: untouched, decompressed, or in another encoding."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate

from farsight.dicom.part10 import opening, parse_object, write_part10
from farsight.errors import ArchiveError, MalformedDicom, UnsupportedDicom
from farsight.imaging.jobs import Job
from farsight.imaging.perform import perform
from farsight.model import InstanceRef
from farsight.services.outgoing import StoredOutgoing
from farsight.services.transcoding import TranscodeService
from imaging_samples import format_of, ramp, round_trip
from multi_frame import encapsulated, slice_bytes

EXPLICIT, IMPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"
BIG, RLE, MPEG = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.102"


class InThisProcess:
    """The Imaging port without its processes."""

    def run(self, job: Job, frames: Sequence[bytes | memoryview] = ()) -> Sequence[bytes]:
        return perform(job, frames)


def outgoing(part10: bytes, announced: str | None = None) -> StoredOutgoing:
    found = parse_object(part10)
    ref = InstanceRef(found.study_instance_uid, found.series_instance_uid, found.sop_instance_uid)
    syntax = announced or found.transfer_syntax_uid
    transcoder = TranscodeService(InThisProcess())
    return StoredOutgoing(ref, found.sop_class_uid, syntax, lambda _ref: part10, transcoder)


def read(data_set: bytes | memoryview, syntax: str) -> pydicom.FileDataset:
    return pydicom.dcmread(io.BytesIO(write_part10("1.2", "1.2.3", syntax, bytes(data_set))))


def test_as_stored_nothing_is_copied_or_changed() -> None:
    data = slice_bytes(1)
    sent = outgoing(data).data_set(EXPLICIT)
    assert isinstance(sent, memoryview)
    assert sent.obj is data
    assert sent == data[opening(data)[0] :]


def test_implicit_from_explicit() -> None:
    data = slice_bytes(1)
    sent = read(outgoing(data).data_set(IMPLICIT), IMPLICIT)
    before = pydicom.dcmread(io.BytesIO(data))
    assert sent.PixelData == before.PixelData
    assert sent.PatientName == before.PatientName
    assert str(sent.RequestAttributesSequence) == str(before.RequestAttributesSequence)


def lossy() -> bytes:
    values = ramp(64, 64, 0, 255, np.uint8)
    jpeg = round_trip(values, format_of(values), "1.2.840.10008.1.2.4.50")[0]

    def change(made: pydicom.Dataset) -> None:
        made.BitsAllocated = made.BitsStored = 8
        made.HighBit = 7
        made.PixelData = encapsulate([jpeg])
        made["PixelData"].is_undefined_length = True
        made["PixelData"].VR = "OB"
        made.LossyImageCompression = "01"
        made.LossyImageCompressionRatio = "10"
        made.LossyImageCompressionMethod = "ISO_10918_1"
        made.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.50"

    return slice_bytes(1, change)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_what_was_lost_is_still_said_after_decompressing(syntax: str) -> None:
    data = lossy()
    sent = read(outgoing(data).data_set(syntax), syntax)
    before = pydicom.dcmread(io.BytesIO(data))
    assert len(sent.PixelData) == 64 * 64
    for keyword in ("SOPInstanceUID", "ImageType", "LossyImageCompression",
                    "LossyImageCompressionRatio", "LossyImageCompressionMethod"):  # fmt: skip
        assert sent.get(keyword) == before.get(keyword), keyword
    assert sent.LossyImageCompression == "01"


def test_what_cannot_be_decompressed() -> None:
    with pytest.raises(UnsupportedDicom):  # it was replaced by one in another syntax
        outgoing(encapsulated(1, 100), MPEG).data_set(MPEG)
    video = write_part10("1.2", "1.2.3", MPEG, b"\x08\0\x16\0UI\4\x001.2\0")
    with pytest.raises(UnsupportedDicom):
        outgoing(video).data_set(EXPLICIT)
    with pytest.raises(MalformedDicom):
        outgoing(encapsulated(2, 100)).data_set(EXPLICIT)


def test_bits_beside_the_stored_ones_are_not_lost_in_silence() -> None:
    def change(made: pydicom.Dataset) -> None:
        made.BitsStored, made.HighBit = 12, 11
        made.add_new(0x60000102, "US", 12)
        made.PixelData = encapsulate([b"\0" * 64 + b"\0" * 100])
        made["PixelData"].is_undefined_length = True
        made["PixelData"].VR = "OB"
        made.file_meta.TransferSyntaxUID = RLE

    with pytest.raises(UnsupportedDicom):
        outgoing(slice_bytes(1, change)).data_set(EXPLICIT)


def test_an_odd_length_is_padded() -> None:
    body = b"\x08\0\x16\0UI\4\x001.2\0" + b"\x08\0\x18\0UI\6\x001.2.3\0"
    odd = body + b"\x10\0\x20\0LO\3\x00abc"
    sent = outgoing(write_part10("1.2", "1.2.3", EXPLICIT, odd)).data_set(EXPLICIT)
    assert bytes(sent) == body + b"\x10\0\x20\0LO\4\x00abc "
    big = write_part10("1.2", "1.2.3", BIG, b"\0\x08\0\x18UI\0\x051.2.3")
    with pytest.raises(UnsupportedDicom, match="odd length"):
        outgoing(big).data_set(BIG)


def test_an_odd_deflated_stream_is_padded() -> None:
    body = b"\x08\0\x18\0UI\6\x001.2.3\0"
    squeezed = next(
        stream
        for extra in range(0, 40, 2)
        if len(stream := _deflated(body + b"\x10\0\x20\0LO" + bytes([extra, 0]) + b"7" * extra)) % 2
    )
    data = write_part10("1.2", "1.2.3", DEFLATED, squeezed)
    assert bytes(outgoing(data).data_set(DEFLATED)) == squeezed + b"\0"


def _deflated(body: bytes) -> bytes:
    squeezer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeezer.compress(body) + squeezer.flush()


def test_errors_of_the_store_go_through() -> None:
    def broken(_ref: InstanceRef) -> bytes:
        raise ArchiveError("broken")

    data = outgoing(slice_bytes(1))
    with pytest.raises(ArchiveError):
        StoredOutgoing(data.ref, "1.2", EXPLICIT, broken, data.transcoder).data_set(EXPLICIT)
