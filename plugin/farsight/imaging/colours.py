"""Colours into RGB of 8 bits: YBR, palettes, ICC profiles (PS3.3 C.7.6.3.1.2, C.7.9, C.11.15)."""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from farsight.errors import MalformedDicom
from farsight.imaging.decode import Array, Decoded
from farsight.imaging.icc import grey_profile_bytes, profile_bytes
from farsight.imaging.picture import Lut, PixelFormat, SegmentedLut
from farsight.imaging.shades import table_of
from farsight.ps318.rendering_query import IccProfile

Rgb = NDArray[np.uint8]
_MOST_ENTRIES: Final = 65536


def rgb(decoded: Decoded, pixels: PixelFormat) -> Rgb:
    """Three samples a pixel, whatever they are, as RGB. Raises: MalformedDicom."""
    values = decoded.values
    top = (1 << pixels.bits_stored) - 1
    if decoded.photometric == "YBR_FULL":
        return _from_ybr(values, top)
    if decoded.photometric == "YBR_PARTIAL":
        return _from_partial(values, top)
    if values.dtype.kind == "i":
        values = np.maximum(values, 0)
    if top == 255:
        return np.asarray(np.minimum(values, top).astype(np.uint8), order="C")
    return np.asarray(np.rint(np.minimum(values, top).astype(np.float32) * (255.0 / top)), np.uint8)


def _from_ybr(values: Array, top: int) -> Rgb:
    scaled = values.astype(np.float32) * (255.0 / top)
    y, cb, cr = scaled[..., 0], scaled[..., 1] - 128, scaled[..., 2] - 128
    return _clipped(y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb)


def _from_partial(values: Array, top: int) -> Rgb:
    """Luminance from 16 to 235, chrominance from 16 to 240 (ITU-R BT.601)."""
    scaled = values.astype(np.float32) * (255.0 / top)
    y, cb, cr = 1.1644 * (scaled[..., 0] - 16), scaled[..., 1] - 128, scaled[..., 2] - 128
    return _clipped(y + 1.5960 * cr, y - 0.3917 * cb - 0.8129 * cr, y + 2.0173 * cb)


def _clipped(red: Any, green: Any, blue: Any) -> Rgb:
    stacked = np.stack((red, green, blue), axis=-1)
    return np.asarray(np.rint(np.clip(stacked, 0, 255)), np.uint8)


# ---- palettes


def through_palette(values: Array, palette: tuple[Lut | SegmentedLut, ...]) -> Rgb:
    """Indices as colours. Raises: MalformedDicom for segments that make no table."""
    channels = []
    for lut in palette:
        table = _eight_bits(lut)
        index = np.clip(values.astype(np.int64) - lut.first, 0, len(table) - 1)
        channels.append(table[index])
    return np.stack(channels, axis=-1)


def in_pseudo_colour(shades: Rgb, palette: tuple[Lut | SegmentedLut, ...]) -> Rgb:
    """Greys of 8 bits over the whole of a palette, from its first entry to its last (PS3.3
    A.33.3). Raises: MalformedDicom for segments that make no table."""
    tables = (_eight_bits(lut) for lut in palette)
    steps = np.arange(256) / 255.0
    channels = [table[np.rint(steps * (len(table) - 1)).astype(np.int64)] for table in tables]
    return np.stack(channels, axis=-1)[shades]


def _eight_bits(lut: Lut | SegmentedLut) -> Rgb:
    table = _expanded(lut) if isinstance(lut, SegmentedLut) else table_of(lut)
    if table.max(initial=0) > 255:
        table = table // 256  # the upper byte: PS3.3 C.7.6.3.1.6 wants both alike
    return np.clip(table, 0, 255).astype(np.uint8)


def _expanded(lut: SegmentedLut) -> NDArray[np.float64]:
    """Discrete, linear and indirect segments (PS3.3 C.7.9.2)."""
    words = np.frombuffer(lut.data, "<u2" if lut.wide else np.uint8)[: 4 * _MOST_ENTRIES].tolist()
    table: list[float] = []
    _run(words, 0, len(words), table, wide=lut.wide)
    if len(table) < lut.entries:
        raise MalformedDicom("a segmented palette is shorter than it says")
    return np.asarray(table[: lut.entries], np.float64)


def _run(
    words: list[int], at: int, segments: int, table: list[float], *, wide: bool, depth: int = 0
) -> None:
    """So many segments from `at` on, or to the end. Within an indirect one is no other."""
    done = 0
    while at + 1 < len(words) and done < segments:
        code, length = words[at], words[at + 1]
        if not length or code > (1 if depth else 2):
            raise MalformedDicom("a segmented palette has a segment of no known kind")
        if code == 0:
            table += words[at + 2 : at + 2 + length]
            at += 2 + length
        elif code == 1 and at + 2 < len(words) and table:
            start, end = table[-1], words[at + 2]
            table += [start + (end - start) * step // length for step in range(1, length + 1)]
            at += 3
        elif code == 2 and at + (3 if wide else 5) < len(words):
            where = (
                words[at + 2] | words[at + 3] << 16
                if wide
                else int.from_bytes(bytes(words[at + 2 : at + 6]), "little")
            )
            _run(words, where // 2 if wide else where, length, table, wide=wide, depth=1)
            at += 4 if wide else 6
        else:
            raise MalformedDicom("a segmented palette has a segment of no known kind")
        if len(table) > _MOST_ENTRIES:
            raise MalformedDicom("a segmented palette is too long")
        done += 1


# ---- profiles


def with_profile(image: Image.Image, own: bytes, wanted: IccProfile) -> tuple[Image.Image, bytes]:
    """The image in the colour space asked for, and the profile to put into its file.

    own: the data set's profile; what has none counts as sRGB. Greys stay greys where the space
    asked for has sRGB's curve, and get a grey profile of it: one of colours isn't for them.
    """
    if wanted is IccProfile.NO:
        return image, b""
    if image.mode != "RGB" and wanted in (IccProfile.YES, IccProfile.SRGB):
        return image, grey_profile_bytes()
    if wanted is IccProfile.YES:
        return image, own or profile_bytes(IccProfile.SRGB)
    if image.mode != "RGB":
        image, own = image.convert("RGB"), b""
    target = profile_bytes(wanted)
    source = own or profile_bytes(IccProfile.SRGB)
    if source == target:
        return image, target
    try:
        converted = ImageCms.profileToProfile(image, io.BytesIO(source), io.BytesIO(target))
    except ImageCms.PyCMSError as error:
        raise MalformedDicom(f"the image's ICC profile can't be used: {error}"[:200]) from error
    assert converted is not None
    return converted, target
