"""Arrays into frames of another transfer syntax. Runs in worker processes only.

Lossless syntaxes keep every value; what PS3.5 8.2 wants of the photometric interpretation is said
beside the bytes, because the codec may have turned RGB into something else.
"""

from __future__ import annotations

import math
from typing import Final

import imagecodecs
import numpy as np

from farsight.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from farsight.errors import UnsupportedDicom
from farsight.imaging import syntaxes
from farsight.imaging.decode import Array, Decoded
from farsight.imaging.picture import PixelFormat

#: Of lossy codecs, where the client doesn't say: visually lossless for most.
DEFAULT_QUALITY: Final = 90
_EVEN: Final = b"\0"
#: Images of fewer steps from darkest to brightest have nothing to lose: they are kept as they are.
_FEWEST_STEPS: Final = 16


def encode(
    decoded: Decoded, pixels: PixelFormat, transfer_syntax_uid: str, quality: int | None
) -> tuple[bytes, str]:
    """One frame, of even length, and its photometric interpretation. Raises: UnsupportedDicom."""
    values = np.ascontiguousarray(decoded.values)
    if transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN:
        return native(values, pixels), decoded.photometric
    frame, photometric = _encoded(
        values, decoded.photometric, pixels, transfer_syntax_uid, quality or DEFAULT_QUALITY
    )
    return frame + _EVEN if len(frame) % 2 else frame, photometric


def native(values: Array, pixels: PixelFormat) -> bytes:
    """Cells in little endian, colours by pixel; single bits packed from the lowest on."""
    if pixels.bits_allocated == 1:
        return np.packbits(values.reshape(-1) != 0, bitorder="little").tobytes()
    kind = "f" if pixels.cell != "int" else "i" if pixels.signed else "u"
    return values.astype(f"<{kind}{pixels.bits_allocated // 8}", copy=False).tobytes()


def _encoded(
    values: Array, photometric: str, pixels: PixelFormat, syntax: str, quality: int
) -> tuple[bytes, str]:
    if syntax in (syntaxes.JPEG_BASELINE, syntaxes.JPEG_EXTENDED):
        return _dct_jpeg(values, photometric, pixels, quality)
    if syntax in syntaxes.LOSSLESS_JPEG:
        raw = _unsigned(values, pixels)
        colours = None if raw.ndim == 2 else "RGB"
        frame = imagecodecs.jpeg8_encode(
            raw,
            lossless=True,
            predictor=1,
            bitspersample=max(2, _depth(raw, pixels)),
            colorspace=colours,
            outcolorspace=colours,
        )
        return bytes(frame), photometric
    if syntax in syntaxes.JPEG_LS_BOTH:
        near = 0 if syntax == syntaxes.JPEG_LS else _near(values, quality)
        return _jpeg_ls(_unsigned(values, pixels), pixels, near), photometric
    if syntax in (syntaxes.JPEG_2000_LOSSLESS, syntaxes.JPEG_2000):
        lossy = quality if syntax == syntaxes.JPEG_2000 else None
        return _jpeg_2000(values, photometric, pixels, lossy)
    if syntax in (syntaxes.HTJ2K_LOSSLESS, syntaxes.HTJ2K):
        return _htj2k(values, photometric, quality if syntax == syntaxes.HTJ2K else None)
    if syntax == syntaxes.RLE:
        return _rle(values, pixels), photometric
    if syntax == syntaxes.JPEG_XL_LOSSLESS:
        raw = _unsigned(values, pixels)
        frame = imagecodecs.jpegxl_encode(raw, lossless=True, usecontainer=False, effort=3)
        return bytes(frame), photometric
    raise UnsupportedDicom(f"pixels can't be encoded in {syntax}")


def _near(values: Array, quality: int) -> int:
    """How far a value may be off: a hundredth of their range at quality 90, 255 at most."""
    return min(_range(values) * (100 - quality) // 1000, 255)


def _jpeg_ls(values: Array, pixels: PixelFormat, near: int) -> bytes:
    """The codec knows cells only: its values may come back above what the stored bits hold."""
    top = (1 << pixels.bits_stored) - 1
    if near and pixels.bits_stored < 8 * values.dtype.itemsize:
        values = np.minimum(values, values.dtype.type(max(top - near, 0)))
    room = 2 * values.nbytes + 1024  # noise gets larger, and a small image has no less of a head
    return bytes(imagecodecs.jpegls_encode(values, level=near, out=room))


def _depth(values: Array, pixels: PixelFormat) -> int:
    """BitsStored, or more where a value doesn't keep to it: lossless frames have it, too."""
    low, high = int(values.min()), int(values.max())
    needed = max((low if low >= 0 else ~low).bit_length(), high.bit_length())
    return max(pixels.bits_stored, needed + (values.dtype.kind == "i"))


def _range(values: Array) -> int:
    return int(values.max()) - int(values.min())


def _unsigned(values: Array, pixels: PixelFormat) -> Array:
    """Two's complement in as many bits as are stored: these codecs know no sign."""
    if values.dtype.kind != "i":
        return values
    kind = np.uint8 if pixels.bits_allocated == 8 else np.uint16
    mask = (1 << pixels.bits_stored) - 1
    return np.asarray(values.astype(np.int32) & mask).astype(kind)


def _dct_jpeg(
    values: Array, photometric: str, pixels: PixelFormat, quality: int
) -> tuple[bytes, str]:
    bits = 12 if pixels.bits_stored > 8 else 8
    if values.ndim == 2:
        return bytes(
            imagecodecs.jpeg8_encode(values, level=quality, bitspersample=bits)
        ), photometric
    source = "RGB" if photometric == "RGB" else "YCBCR"
    frame = imagecodecs.jpeg8_encode(
        values,
        level=quality,
        colorspace=source,
        outcolorspace="YCBCR",
        subsampling="422",
        bitspersample=bits,
    )
    return bytes(frame), "YBR_FULL_422"


def _jpeg_2000(
    values: Array, photometric: str, pixels: PixelFormat, quality: int | None
) -> tuple[bytes, str]:
    """quality: None for lossless."""
    mixes = values.ndim == 3 and photometric == "RGB"
    quality = quality if _range(values) >= _FEWEST_STEPS else None
    bits = _depth(values, pixels)
    frame = imagecodecs.jpeg2k_encode(
        values,
        level=0 if quality is None else _psnr(quality, _share(values, bits)),
        codecformat="j2k",
        reversible=quality is None,
        mct=mixes,
        bitspersample=bits,
    )
    return bytes(frame), _mixed(photometric, mixes, lossless=quality is None)


def _htj2k(values: Array, photometric: str, quality: int | None) -> tuple[bytes, str]:
    mixes = values.ndim == 3 and photometric == "RGB"
    quality = quality if _range(values) >= _FEWEST_STEPS else None
    # Step of quantization, as a part of what the cells could hold.
    bits = 8 * values.dtype.itemsize
    level = None if quality is None else (101 - quality) / 1000 * _share(values, bits)
    frame = imagecodecs.htj2k_encode(
        values,
        level=level,
        reversible=quality is None,
        rgb=mixes if values.ndim == 3 else None,
    )
    return bytes(frame), _mixed(photometric, mixes, lossless=quality is None)


def _share(values: Array, bits: int) -> float:
    """How much of what so many bits could hold an image makes use of."""
    return _range(values) / ((1 << bits) - 1)


def _mixed(photometric: str, mixes: bool, *, lossless: bool) -> str:
    if not mixes:
        return photometric
    return "YBR_RCT" if lossless else "YBR_ICT"


def _psnr(quality: int, share: float) -> int:
    """Signal to noise in decibels: 30 at quality 1, 55 at 100, within the range made use of."""
    return round(30 + quality / 4 - 20 * math.log10(share))


def _rle(values: Array, pixels: PixelFormat) -> bytes:
    """PS3.5 annex G: rows are packed one by one, bytes of a sample from the highest on."""
    width = pixels.bits_allocated // 8
    samples = values.reshape(pixels.rows, pixels.columns, pixels.samples)
    segments = []
    for sample in range(pixels.samples):
        cells = np.ascontiguousarray(samples[:, :, sample]).astype(values.dtype.newbyteorder("<"))
        octets = cells.view(np.uint8).reshape(pixels.rows, pixels.columns, width)
        for byte in reversed(range(width)):
            # A single column has strides of its own that the codec takes amiss: made anew.
            plane = np.frombuffer(octets[:, :, byte].tobytes(), np.uint8)
            plane = plane.reshape(pixels.rows, pixels.columns)
            packed = bytes(imagecodecs.packbits_encode(plane, axis=-1))
            segments.append(packed + _EVEN if len(packed) % 2 else packed)
    starts, at = [], 64
    for segment in segments:
        starts.append(at)
        at += len(segment)
    header = np.zeros(16, "<u4")
    header[0] = len(segments)
    header[1 : 1 + len(starts)] = starts
    return header.tobytes() + b"".join(segments)
