"""Pixels in other syntaxes: where values lie in their cells, and what else lies there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from pydicom.encaps import encapsulate

from farsight.dicom.part10 import parse_object
from farsight.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from farsight.imaging.decode import decode
from farsight.imaging.describe import picture_of
from farsight.imaging.jobs import Job
from farsight.imaging.perform import perform
from farsight.imaging.syntaxes import JPEG_LS
from farsight.ps318.frames import frame_bytes, frame_index
from farsight.services.transcoding import TranscodeService
from imaging_samples import NATIVE, format_of, round_trip
from multi_frame import slice_bytes

VALUES = np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)
ENCAPSULATED = "1.2.840.10008.1.2.1.98"
RLE = "1.2.840.10008.1.2.5"


class InThisProcess:
    """The Imaging port without its processes."""

    def run(self, job: Job, frames: Sequence[bytes | memoryview] = ()) -> Sequence[bytes]:
        return perform(job, frames)


SERVICE = TranscodeService(InThisProcess())


def _image(high_bit: int | None, syntax: str = NATIVE, frame: bytes = b"", **more: Any) -> bytes:
    """12 bits stored of 16; those of a native one lie as high as `high_bit`."""

    def change(made: Any) -> None:
        made.Rows = made.Columns = 16
        made.BitsAllocated, made.BitsStored, made.PixelRepresentation = 16, 12, 0
        made.HighBit = high_bit
        if high_bit is None:
            del made.HighBit
        cells = frame or (VALUES << ((high_bit or 11) - 11)).tobytes()
        made.PixelData = cells if syntax == NATIVE else encapsulate([cells])
        made.file_meta.TransferSyntaxUID = syntax
        made["PixelData"].is_undefined_length = syntax != NATIVE
        made["PixelData"].VR = "OW" if syntax == NATIVE else "OB"
        for keyword, value in more.items():
            setattr(made, keyword, value)

    return slice_bytes(1, change)


@pytest.mark.parametrize("high_bit", [11, 15])
def test_a_whole_object_says_where_its_values_lie_now(high_bit: int) -> None:
    data = SERVICE.whole(parse_object(_image(high_bit)), JPEG_LS)
    made = parse_object(data)
    assert made.number(0x00280102) == 11
    frame = frame_bytes(made, frame_index(made), 1)
    assert np.array_equal(decode(picture_of(made), frame).values, VALUES)


@pytest.mark.parametrize("syntax", [NATIVE, ENCAPSULATED])
def test_what_decoding_would_move_is_not_offered(syntax: str) -> None:
    for high_bit, is_offered in ((11, True), (None, True), (15, False), (13, False)):
        instance = parse_object(_image(high_bit, syntax))
        assert bool(SERVICE.targets(instance)) == is_offered, high_bit
    moved = parse_object(_image(15))
    assert SERVICE.whole(moved, EXPLICIT_VR_LITTLE_ENDIAN) == moved.data


def test_what_codecs_have_written_lies_where_it_does() -> None:
    frame = round_trip(VALUES, format_of(VALUES, 12), JPEG_LS)[0]
    instance = parse_object(_image(15, JPEG_LS, frame))
    assert EXPLICIT_VR_LITTLE_ENDIAN in SERVICE.targets(instance)
    made = parse_object(SERVICE.whole(instance, EXPLICIT_VR_LITTLE_ENDIAN))
    assert made.number(0x00280102) == 11
    assert made.raw(0x7FE00010) == VALUES.tobytes()


def _overlay(position: int, *, of_its_own: bool) -> Any:
    def change(made: Any) -> None:
        made.add_new(0x60020010, "US", 16)
        made.add_new(0x60020011, "US", 16)
        made.add_new(0x60020100, "US", 1 if of_its_own else 16)
        made.add_new(0x60020102, "US", position)
        if of_its_own:
            made.add_new(0x60023000, "OW", bytes(32))

    return change


@pytest.mark.parametrize(
    ("position", "of_its_own", "is_offered"),
    [(12, False, False), (15, False, False), (0, True, True), (12, True, True)],
)
def test_overlays_among_the_pixels_are_not_lost(
    position: int, of_its_own: bool, is_offered: bool
) -> None:
    instance = parse_object(slice_bytes(1, _overlay(position, of_its_own=of_its_own)))
    assert bool(SERVICE.targets(instance)) == is_offered
