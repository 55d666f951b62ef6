"""Frames as pydicom and numpy cut them, to compare ours with."""

from __future__ import annotations

import numpy as np
import pydicom
from pydicom.encaps import generate_frames

from farsight.dicom.transfer_syntax import NATIVE


def expected_frames(theirs: pydicom.FileDataset) -> list[bytes]:
    """Frames as pydicom cuts them; native ones through numpy."""
    count = int(theirs.get("NumberOfFrames") or 1)
    keyword = next(
        (k for k in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if k in theirs), None
    )
    assert keyword is not None
    pixels = theirs[keyword].value
    if theirs.file_meta.TransferSyntaxUID not in NATIVE:
        return list(generate_frames(pixels, number_of_frames=count))
    if theirs.BitsAllocated == 1:
        return one_bit_frames(theirs, pixels, count)
    order = "<" if theirs.original_encoding[1] else ">"
    word = 2 if theirs[keyword].VR == "OW" and order == ">" else 1
    word = max(theirs.BitsAllocated // 8, word)
    cells = np.frombuffer(pixels, f"{order}u{word}")
    raw = cells.astype(f"<u{word}").tobytes()
    size = theirs.Rows * theirs.Columns * theirs.SamplesPerPixel * theirs.BitsAllocated // 8
    if "422" in theirs.PhotometricInterpretation:
        size = size // 3 * 2
    assert size * count <= len(raw)
    return [raw[at * size : (at + 1) * size] for at in range(count)]


def one_bit_frames(theirs: pydicom.Dataset, pixels: bytes, count: int) -> list[bytes]:
    """Bit by bit (PS3.5 8.1.1: the first pixel in the lowest bit), each frame from a byte on."""
    bits = "".join(f"{byte:08b}"[::-1] for byte in pixels)
    size = theirs.Rows * theirs.Columns
    frames = []
    for at in range(count):
        cut = bits[at * size : (at + 1) * size]
        padded = cut + "0" * (-size % 8)
        frames.append(bytes(int(padded[i : i + 8][::-1], 2) for i in range(0, len(padded), 8)))
    return frames
