"""What the serving benchmark stores: CT slices and an angiographic run with noise like theirs."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset
from pydicom.encaps import generate_frames
from pydicom.uid import XRayAngiographicImageStorage

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from sample_files import ct_slice

SIZE = 512
FRAMES = 500
#: Numbers of one length, so that all paths and answers have one length too.
FIRST_SLICE = 1001
RUN_SERIES = 2


def slice_numbers(count: int) -> range:
    return range(FIRST_SLICE, FIRST_SLICE + count)


def slices(count: int, *, series: int = 1, study: int = 1) -> Iterator[bytes]:
    """Part-10 files of CT slices of 512 x 512, 12 bits: a body in air."""
    chance = np.random.default_rng(1)
    for number in slice_numbers(count):
        image = ct_slice(number, series=series, study=study, size=SIZE)
        image.BitsStored, image.HighBit = 12, 11
        image.WindowCenter, image.WindowWidth = 40, 400
        body = np.where(_disc(210), 1064.0, 24.0) + 60 * _disc(60)
        noisy = body + chance.normal(0, 12, (SIZE, SIZE))
        image.PixelData = noisy.clip(0, 4095).astype("<u2").tobytes()
        yield _part10(image)


def run(directory: Path) -> tuple[bytes, list[bytes]]:
    """A run of 500 frames of 8 bits, JPEG-LS lossless by DCMTK: the file, and its frames."""
    chance = np.random.default_rng(2)
    image = ct_slice(FIRST_SLICE, series=RUN_SERIES, size=SIZE)
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = XRayAngiographicImageStorage
    image.Modality, image.NumberOfFrames, image.FrameTime = "XA", FRAMES, 66.7
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit = 7
    for keyword in ("RescaleSlope", "RescaleIntercept", "ImagePositionPatient", "SliceThickness"):
        delattr(image, keyword)
    frames = (
        180 - 60.0 * _disc(40 + number % 20) + chance.normal(0, 2, (SIZE, SIZE))
        for number in range(FRAMES)
    )
    image.PixelData = b"".join(frame.clip(0, 255).astype("u1").tobytes() for frame in frames)
    native, encoded = directory / "native.dcm", directory / "encoded.dcm"
    image.save_as(native, enforce_file_format=True)
    subprocess.run(["dcmcjpls", "--encode-lossless", "--uid-never", native, encoded], check=True)
    file = encoded.read_bytes()
    native.unlink()
    encoded.unlink()
    pixels = pydicom.dcmread(io.BytesIO(file)).PixelData
    return file, list(generate_frames(pixels, number_of_frames=FRAMES))


def _disc(radius: int) -> np.ndarray:
    rows, columns = np.ogrid[:SIZE, :SIZE]
    return (rows - SIZE // 2) ** 2 + (columns - SIZE // 2) ** 2 < radius**2


def _part10(image: FileDataset) -> bytes:
    buffer = io.BytesIO()
    image.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
