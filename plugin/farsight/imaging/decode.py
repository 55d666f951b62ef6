"""Frames into arrays. Runs in worker processes only: numpy and the codecs are loaded here.

What comes out has shape (rows, columns) or (rows, columns, 3), holds the values as the data set
means them (signed where it says so), and the photometric interpretation they have now: codecs that
know of colour hand out RGB.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from farsight.dicom.transfer_syntax import (
    DEFLATED_IMAGE_FRAME,
    ENCAPSULATED_UNCOMPRESSED,
    NATIVE,
)
from farsight.errors import MalformedDicom, UnsupportedDicom
from farsight.imaging import syntaxes
from farsight.imaging.codestream import Codestream, read_jpeg, read_jpeg_2000, read_jpeg_xl
from farsight.imaging.picture import Picture, PixelFormat

Array = NDArray[Any]
_END_OF_IMAGE: Final = b"\xff\xd9"
_SUBSAMPLED: Final = frozenset(("YBR_FULL_422", "YBR_PARTIAL_422"))


@dataclass(frozen=True, slots=True)
class Decoded:
    """One frame's values and what they mean."""

    values: Array
    photometric: str


def decode(picture: Picture, frame: bytes | memoryview) -> Decoded:
    """Raises: MalformedDicom where the frame isn't what the data set says, UnsupportedDicom."""
    pixels, syntax = picture.pixels, picture.transfer_syntax_uid
    if syntax in NATIVE or syntax in (ENCAPSULATED_UNCOMPRESSED, DEFLATED_IMAGE_FRAME):
        if syntax == DEFLATED_IMAGE_FRAME:
            frame = _inflated(frame, pixels)
        return Decoded(_native(pixels, frame), _native_photometric(pixels))
    if pixels.cell != "int":
        raise UnsupportedDicom(f"pixels of real numbers in {syntax} can't be decoded")
    try:
        values, photometric = _decoded(picture, frame)
    except (MalformedDicom, UnsupportedDicom):
        raise
    except (RuntimeError, ValueError, TypeError, MemoryError, IndexError, OverflowError) as error:
        raise MalformedDicom(f"a frame in {syntax} can't be decoded: {_brief(error)}") from error
    return Decoded(_as_meant(_shaped(values, pixels), pixels), photometric)


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__} {error}"[:200]


def _decoded(picture: Picture, frame: bytes | memoryview) -> tuple[Array, str]:
    pixels, syntax = picture.pixels, picture.transfer_syntax_uid
    if syntax in syntaxes.DCT_JPEG:
        return _dct_jpeg(pixels, bytes(frame))
    if syntax in syntaxes.LOSSLESS_JPEG:
        return _lossless_jpeg(pixels, bytes(frame)), _raw_colours(pixels)
    if syntax in syntaxes.JPEG_LS_BOTH:
        _check_size(read_jpeg(frame), pixels)
        # CharLS never comes back from a frame that ends without its marker.
        return imagecodecs.jpegls_decode(bytes(frame) + _END_OF_IMAGE), _raw_colours(pixels)
    if syntax in syntaxes.ANY_JPEG_2000:
        _check_size(read_jpeg_2000(frame), pixels)
        return imagecodecs.jpeg2k_decode(bytes(frame)), _of_wavelets(pixels)
    if syntax in syntaxes.ANY_HTJ2K:
        # OpenJPEG reads these too, and clips what a lossy one overshoots; OpenJPH lets it wrap.
        _check_size(read_jpeg_2000(frame), pixels)
        return imagecodecs.jpeg2k_decode(bytes(frame)), _of_wavelets(pixels)
    if syntax in syntaxes.ANY_JPEG_XL:
        _check_size(read_jpeg_xl(frame), pixels)
        photometric = "RGB" if pixels.samples == 3 else pixels.photometric
        return imagecodecs.jpegxl_decode(bytes(frame)), photometric
    if syntax == syntaxes.RLE:
        return _rle(pixels, frame), _raw_colours(pixels)
    raise UnsupportedDicom(f"frames in transfer syntax {syntax} can't be decoded")


def _raw_colours(pixels: PixelFormat) -> str:
    """Of codecs that leave colours alone; none of them subsamples."""
    return "YBR_FULL" if pixels.photometric.startswith("YBR_") else pixels.photometric


def _of_wavelets(pixels: PixelFormat) -> str:
    """RCT and ICT are undone by the decoder; YBR_FULL means it was done before the encoder."""
    return "RGB" if pixels.photometric in ("YBR_RCT", "YBR_ICT") else _raw_colours(pixels)


def _check_size(found: Codestream, pixels: PixelFormat) -> None:
    same = (found.rows, found.columns) == (pixels.rows, pixels.columns)
    if not same or found.components != pixels.samples:
        raise MalformedDicom(
            f"a frame says to be of {found.rows} x {found.columns} pixels in {found.components} "
            f"components, the data set {pixels.rows} x {pixels.columns} in {pixels.samples}"
        )
    if found.bits > pixels.bits_allocated:
        raise MalformedDicom(
            f"a frame says to have {found.bits} bits, the data set {pixels.bits_allocated}"
        )


def _dct_jpeg(pixels: PixelFormat, frame: bytes) -> tuple[Array, str]:
    found = read_jpeg(frame)
    _check_size(found, pixels)
    if found.components == 1:
        return imagecodecs.jpeg8_decode(frame), pixels.photometric
    is_ycc = found.transformed
    if is_ycc is None:
        is_ycc = pixels.photometric != "RGB"
    source = "YCBCR" if is_ycc else "RGB"
    return imagecodecs.jpeg8_decode(frame, colorspace=source, outcolorspace="RGB"), "RGB"


def _lossless_jpeg(pixels: PixelFormat, frame: bytes) -> Array:
    """As it is stored: whatever its markers say of colours, nothing is converted."""
    found = read_jpeg(frame)
    _check_size(found, pixels)
    if found.components == 3:
        return imagecodecs.jpeg8_decode(frame, colorspace="RGB", outcolorspace="RGB")
    return imagecodecs.jpeg8_decode(frame)


def _rle(pixels: PixelFormat, frame: bytes | memoryview) -> Array:
    """PS3.5 annex G: a segment per byte of a sample, the most significant first."""
    data = bytes(frame)
    count = int.from_bytes(data[:4], "little")
    if pixels.bits_allocated == 1:
        return _rle_bits(pixels, data, count)
    width = pixels.bits_allocated // 8
    if count != pixels.samples * width or len(data) < 64:
        raise MalformedDicom(f"an RLE frame has {count} segments of {pixels.samples * width}")
    starts = [int.from_bytes(data[4 * i : 4 * i + 4], "little") for i in range(1, count + 1)]
    planes = pixels.rows * pixels.columns
    out = np.empty((pixels.samples, planes, width), np.uint8)
    for index, start in enumerate(starts):
        stop = starts[index + 1] if index + 1 < count else len(data)
        segment = _unpacked(data[start:stop], planes)
        if len(segment) < planes:
            raise MalformedDicom("an RLE segment ends early")
        sample, byte = divmod(index, width)
        out[sample, :, width - 1 - byte] = np.frombuffer(segment, np.uint8, planes)
    values = _stored_bits(out.reshape(pixels.samples, -1).view(f"<u{width}"), pixels)
    return values.reshape(pixels.samples, pixels.rows, pixels.columns).transpose(1, 2, 0)


def _unpacked(segment: bytes, size: int) -> bytes | bytearray:
    """PackBits (PS3.5 G.3.2); what pads a segment may unpack to more, but not to any size."""
    return imagecodecs.packbits_decode(segment, out=size + len(segment) + 128)


def _rle_bits(pixels: PixelFormat, data: bytes, count: int) -> Array:
    """Pixels of one bit are packed into bytes, and those are one segment."""
    start = int.from_bytes(data[4:8], "little")
    if count != 1:
        raise MalformedDicom(f"an RLE frame of single bits has {count} segments")
    packed = np.frombuffer(_unpacked(data[start:], -(-pixels.cells // 8)), np.uint8)
    return _first(np.unpackbits(packed, bitorder="little"), pixels.cells)


def _inflated(frame: bytes | memoryview, pixels: PixelFormat) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return inflater.decompress(frame, -(-pixels.cells * pixels.bits_allocated // 8))
    except zlib.error as error:
        raise MalformedDicom(f"a deflated frame can't be inflated: {error}") from error


def _shaped(values: Array, pixels: PixelFormat) -> Array:
    wanted: tuple[int, ...] = (pixels.rows, pixels.columns)
    if pixels.samples > 1:
        wanted = (*wanted, pixels.samples)
    if values.size != pixels.cells:
        raise MalformedDicom(f"a frame has {values.size} values, the data set says {pixels.cells}")
    return values.reshape(wanted)


def _as_meant(values: Array, pixels: PixelFormat) -> Array:
    """As wide, and signed or not, as the data set says: codecs have their own idea of it."""
    if values.dtype.kind not in "iu":
        raise MalformedDicom(f"a frame's values are of type {values.dtype}")
    cell = f"{'i' if pixels.signed else 'u'}{max(pixels.bits_allocated // 8, 1)}"
    if pixels.signed != (values.dtype.kind == "i"):
        bits = pixels.bits_stored
        values = values.astype(np.int64) & ((1 << bits) - 1)
        if pixels.signed:
            values = np.where(values >= 1 << (bits - 1), values - (1 << bits), values)
    return values.astype(cell, copy=False)


# ---- native


def _native_photometric(pixels: PixelFormat) -> str:
    return "YBR_PARTIAL" if pixels.photometric.startswith("YBR_PARTIAL") else _raw_colours(pixels)


def _native(pixels: PixelFormat, frame: bytes | memoryview) -> Array:
    if pixels.bits_allocated == 1:
        cells = np.unpackbits(np.frombuffer(frame, np.uint8), bitorder="little")
        return _first(cells, pixels.cells).reshape(pixels.rows, pixels.columns)
    kind = {"int": "u", "float": "f", "double": "f"}[pixels.cell]
    width = pixels.bits_allocated // 8
    raw = np.frombuffer(frame, f"<{kind}{width}", len(frame) // width)
    if pixels.photometric in _SUBSAMPLED and raw.size < pixels.cells:
        return _whole_422(pixels, raw)
    values = _first(raw, pixels.cells)
    if pixels.samples == 1:
        values = values.reshape(pixels.rows, pixels.columns)
    elif pixels.by_plane:
        values = values.reshape(pixels.samples, pixels.rows, pixels.columns).transpose(1, 2, 0)
    else:
        values = values.reshape(pixels.rows, pixels.columns, pixels.samples)
    return values if pixels.cell != "int" else _stored_bits(values, pixels)


def _first(values: Array, count: int) -> Array:
    if values.size < count:
        raise MalformedDicom(f"a frame has {values.size} values, the data set says {count}")
    return values[:count]


def _stored_bits(values: Array, pixels: PixelFormat) -> Array:
    """Without what other bits of the cell hold, overlays say (PS3.5 8.1.1)."""
    width, bits = pixels.bits_allocated, pixels.bits_stored
    high = pixels.high_bit if bits - 1 <= pixels.high_bit < width else bits - 1
    below, above = high + 1 - bits, width - 1 - high
    if not pixels.signed:
        if above:
            values = values & values.dtype.type((1 << (high + 1)) - 1)
        return values >> below if below else values
    signed = values.view(f"<i{width // 8}")
    return (signed << above) >> (above + below) if above or below else signed


def _whole_422(pixels: PixelFormat, raw: Array) -> Array:
    """Y Y Cb Cr for two pixels after each other (PS3.3 C.7.6.3.1.2), as Y Cb Cr for each.

    A last pixel without another has no room for a chrominance of its own: it takes the one before.
    """
    count = pixels.rows * pixels.columns
    raw = _first(raw, 2 * count)
    pairs = raw[: 4 * (count // 2)].reshape(-1, 4)
    out = np.empty((count, 3), raw.dtype)
    paired = out[: 2 * (count // 2)].reshape(-1, 2, 3)
    paired[:, :, 0] = pairs[:, :2]
    paired[:, :, 1] = pairs[:, 2:3]
    paired[:, :, 2] = pairs[:, 3:4]
    if count % 2:
        out[-1, 0] = raw[-2]
        out[-1, 1:] = out[-2, 1:] if count > 1 else raw.dtype.type(1 << (pixels.bits_stored - 1))
    return out.reshape(pixels.rows, pixels.columns, 3)
