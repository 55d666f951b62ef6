"""Synthetic pixels and what describes them: pictures without a DICOM file, and files of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from farsight.imaging.decode import Decoded, decode
from farsight.imaging.encode import encode
from farsight.imaging.picture import Display, Picture, PixelFormat

NATIVE = str(ExplicitVRLittleEndian)
Pixels = NDArray[Any]


def format_of(values: Pixels, bits: int | None = None, photometric: str = "") -> PixelFormat:
    """The format that says what an array of (rows, columns) or (rows, columns, 3) is."""
    cell = 8 * values.dtype.itemsize
    is_real = values.dtype.kind == "f"
    return PixelFormat(
        rows=values.shape[0],
        columns=values.shape[1],
        samples=1 if values.ndim == 2 else 3,
        photometric=photometric or ("MONOCHROME2" if values.ndim == 2 else "RGB"),
        bits_allocated=cell,
        bits_stored=bits or cell,
        signed=values.dtype.kind == "i",
        cell={4: "float", 8: "double"}[values.dtype.itemsize] if is_real else "int",
    )


def picture_from(values: Pixels, display: Display | None = None, **of: Any) -> Picture:
    """A native picture; its frame is `values.tobytes()`."""
    return Picture(NATIVE, format_of(values, **of), display or Display())


def round_trip(
    values: Pixels, pixels: PixelFormat, syntax: str, quality: int | None = None
) -> tuple[bytes, str, Decoded]:
    """Encoded and decoded again: the frame, its photometric interpretation, the values."""
    frame, photometric = encode(Decoded(values, pixels.photometric), pixels, syntax, quality)
    picture = Picture(syntax, pixels_as(pixels, photometric))
    return frame, photometric, decode(picture, frame)


def pixels_as(pixels: PixelFormat, photometric: str) -> PixelFormat:
    return replace(pixels, photometric=photometric)


def write_file(
    path: Path, pixels: PixelFormat, frame: bytes, syntax: str = NATIVE, **elements: Any
) -> Path:
    """A Secondary Capture of one frame, for tools that read files."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    meta.TransferSyntaxUID = syntax
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID, image.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3.4"
    image.StudyInstanceUID, image.SeriesInstanceUID = "1.2", "1.2.3"
    image.Rows, image.Columns = pixels.rows, pixels.columns
    image.SamplesPerPixel, image.PhotometricInterpretation = pixels.samples, pixels.photometric
    if pixels.samples > 1:
        image.PlanarConfiguration = int(pixels.by_plane)
    image.BitsAllocated, image.BitsStored = pixels.bits_allocated, pixels.bits_stored
    image.HighBit, image.PixelRepresentation = pixels.bits_stored - 1, int(pixels.signed)
    image.PixelData = frame + b"\0" * (len(frame) % 2)
    if syntax != NATIVE:
        image.PixelData = encapsulate([frame])
        image["PixelData"].is_undefined_length = True
    image["PixelData"].VR = "OW" if pixels.bits_allocated > 8 and syntax == NATIVE else "OB"
    for keyword, value in elements.items():
        setattr(image, keyword, value)
    image.save_as(path, enforce_file_format=True)
    return path


def ramp(rows: int, columns: int, low: int, high: int, kind: type) -> Pixels:
    """Every value from low to high, as evenly as they go in."""
    return np.linspace(low, high, rows * columns).round().astype(kind).reshape(rows, columns)
