"""Pixels as others read them, to compare ours with: numpy, pydicom, DCMTK, Pillow, zlib.

Cells are arrays of shape (rows, columns, samples), masked to BitsStored and with their sign.
"""

from __future__ import annotations

import io
import subprocess
import tempfile
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import numpy.typing as npt
import pydicom
from PIL import Image
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.rle import _rle_decode_frame

from expected_frames import expected_frames
from farsight.dicom.transfer_syntax import NATIVE

Cells = npt.NDArray[np.generic]

EXPLICIT = "1.2.840.10008.1.2.1"
RLE = "1.2.840.10008.1.2.5"
_JPEG = "1.2.840.10008.1.2.4."
_DCMTK = {_JPEG + n: "dcmdjpeg" for n in ("50", "51", "53", "55", "57", "70")} | {
    _JPEG + n: "dcmdjpls" for n in ("80", "81")
}
_LOSSLESS_JPEG = {_JPEG + "57", _JPEG + "70"}
_JPEG_2000 = {_JPEG + n for n in ("90", "91", "201", "202", "203")}
_JPEG_XL = {_JPEG + n for n in ("110", "111", "112")}


def stored_frame(theirs: pydicom.FileDataset, number: int) -> bytes:
    """Frame `number`, from 1, as it is stored; native ones in little endian."""
    if theirs.file_meta.TransferSyntaxUID in NATIVE:
        return expected_frames(theirs)[number - 1]
    count = int(theirs.get("NumberOfFrames") or 1)
    return list(generate_frames(theirs.PixelData, number_of_frames=count))[number - 1]


def decoded(theirs: pydicom.Dataset, syntax: str, frame: bytes) -> Cells:
    """One frame in `syntax` of an object described by `theirs`; colours as DCMTK has them: RGB
    out of every lossy JPEG."""
    if syntax in _DCMTK:
        return _by_dcmtk(theirs, syntax, frame)
    if syntax in _JPEG_2000:
        return _signed(_by_pillow(frame), theirs)
    if syntax in _JPEG_XL:
        cells = imagecodecs.jpegxl_decode(frame)
        return _signed(cells.reshape(theirs.Rows, theirs.Columns, -1), theirs)
    if syntax == RLE:
        shape = (theirs.Rows, theirs.Columns, theirs.SamplesPerPixel, theirs.BitsAllocated)
        if theirs.BitsAllocated == 1:
            packed = _rle_decode_frame(frame, 1, -(-theirs.Rows * theirs.Columns // 8), 1, 8)
            return native_cells(theirs, bytes(packed), planar=0)
        return native_cells(theirs, bytes(_rle_decode_frame(frame, *shape)), planar=1)
    if syntax == "1.2.840.10008.1.2.8.1":
        frame = zlib.decompressobj(-15).decompress(frame)
    return native_cells(theirs, frame)


def native_cells(theirs: pydicom.Dataset, frame: bytes, planar: int | None = None) -> Cells:
    """Little-endian octets as cells."""
    rows, columns, samples = theirs.Rows, theirs.Columns, theirs.get("SamplesPerPixel", 1)
    size = rows * columns * samples
    if theirs.BitsAllocated == 1:
        bits = np.unpackbits(np.frombuffer(frame, "u1"), bitorder="little")
        return bits[:size].reshape(rows, columns, 1)
    width = theirs.BitsAllocated // 8
    kind = "u"
    if "FloatPixelData" in theirs or "DoubleFloatPixelData" in theirs:
        kind = "f"
    cells = np.frombuffer(frame, f"<{kind}{width}")[:size]
    if planar is None:
        planar = theirs.get("PlanarConfiguration", 0) or 0
    if samples > 1 and planar:
        cells = cells.reshape(samples, rows, columns).transpose(1, 2, 0)
    cells = cells.reshape(rows, columns, samples)
    return cells if kind == "f" else _signed(cells, theirs)


def _signed(cells: Cells, theirs: pydicom.Dataset) -> Cells:
    """The BitsStored bits alone, in their sign."""
    bits = theirs.BitsStored
    values = cells.astype(np.int64) & ((1 << bits) - 1)
    if theirs.get("PixelRepresentation", 0):
        values = values - ((values >> (bits - 1)) << bits)
    return values


def _by_dcmtk(theirs: pydicom.Dataset, syntax: str, frame: bytes) -> Cells:
    """DCMTK's decoders, on a file with this frame alone."""
    alone = pydicom.Dataset()
    for keyword in ("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "HighBit",
                    "BitsAllocated", "BitsStored", "PixelRepresentation"):  # fmt: skip
        setattr(alone, keyword, theirs[keyword].value)
    if alone.SamplesPerPixel > 1:
        alone.PlanarConfiguration = 0
    alone.SOPClassUID, alone.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    alone.PixelData = encapsulate([frame])
    alone["PixelData"].VR = "OB"
    alone["PixelData"].is_undefined_length = True
    alone.file_meta = pydicom.dataset.FileMetaDataset()
    alone.file_meta.TransferSyntaxUID = syntax
    with tempfile.TemporaryDirectory() as folder:
        alone.save_as(Path(folder) / "in", enforce_file_format=True)
        return _decompressed(Path(folder) / "in", syntax)


def _decompressed(path: Path, syntax: str) -> Cells:
    """The first frame; colours are converted only where the compression is lossy."""
    plain = path.with_name("plain")
    colours = {"dcmdjpls": [], "dcmdjpeg": ["+cn" if syntax in _LOSSLESS_JPEG else "+cl"]}
    command = [_DCMTK[syntax], *colours[_DCMTK[syntax]], str(path), str(plain)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    theirs = pydicom.dcmread(plain)
    return native_cells(theirs, expected_frames(theirs)[0])


def _by_pillow(frame: bytes) -> Cells:
    """JPEG 2000 and HTJ2K by the OpenJPEG of Pillow, which shifts cells up to whole bytes."""
    at = frame.index(b"\xff\x51")
    size = frame[at + 40]
    depth, is_signed = (size & 0x7F) + 1, size >> 7
    with Image.open(io.BytesIO(frame)) as picture:
        cells = np.asarray(picture).astype(np.int64)
    wide = 8 if depth <= 8 else 16
    cells = cells >> (wide - depth)
    if is_signed:
        cells = cells - (1 << (depth - 1))
    return cells.reshape(*cells.shape[:2], -1)


def rgb(photometric: str, cells: Cells) -> Cells:
    """YBR_FULL as RGB (PS3.3 C.7.6.3.1.2), 8 bits; anything else as it is."""
    if photometric != "YBR_FULL":
        return cells
    y, b, r = (cells[..., i].astype(float) for i in range(3))
    b, r = b - 128, r - 128
    planes = (y + 1.402 * r, y - 0.344136 * b - 0.714136 * r, y + 1.772 * b)
    return np.clip(np.rint(np.stack(planes, axis=-1)), 0, 255)
