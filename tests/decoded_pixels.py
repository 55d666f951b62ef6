"""Pixels and pictures as others decode them: pydicom, DCMTK where pydicom can't, Pillow."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import FileDataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array
from pydicom.uid import ExplicitVRLittleEndian, JPEGLosslessSV1, JPEGLSLossless

DCMTK = {JPEGLosslessSV1: "dcmdjpeg", JPEGLSLossless: "dcmdjpls"}


def bundled(name: str) -> Path:
    """A file that comes with pydicom itself."""
    return Path(str(get_testdata_file(name, download=False)))


def identifiers(data_set: Dataset) -> tuple[str, str, str]:
    """Study, Series and SOP Instance UID."""
    return data_set.StudyInstanceUID, data_set.SeriesInstanceUID, data_set.SOPInstanceUID


def with_frames(original: FileDataset, frames: Sequence[bytes], syntax: str) -> FileDataset:
    """The original, had it been stored with these frames in that transfer syntax."""
    made = dcmread(original.filename)
    made.file_meta.TransferSyntaxUID = syntax
    native = syntax == ExplicitVRLittleEndian
    made.PixelData = b"".join(frames) if native else encapsulate(list(frames))
    made["PixelData"].is_undefined_length = not native
    made["PixelData"].VR = "OW" if native else "OB"
    return made


def decoded_pixels(image: FileDataset, directory: Path) -> NDArray[np.generic]:
    """Colours as RGB. directory: for files that DCMTK reads and writes."""
    tool = DCMTK.get(image.file_meta.TransferSyntaxUID)
    if tool is None:
        return pixel_array(image)
    stored, decoded = directory / "stored.dcm", directory / "decoded.dcm"
    image.save_as(stored, enforce_file_format=True)
    subprocess.run([tool, str(stored), str(decoded)], check=True, capture_output=True)
    return pixel_array(dcmread(decoded))


def picture(file: bytes, kind: str) -> NDArray[np.uint8]:
    """The pixels of an image file of that kind ("PNG")."""
    image = Image.open(io.BytesIO(file))
    assert image.format == kind
    return np.asarray(image)


def distance(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    """Mean difference of two pictures of one size."""
    assert one.shape == other.shape
    return float(np.abs(one.astype(float) - other.astype(float)).mean())
