"""Grey values on their way to a screen: modality, VOI, presentation (PS3.4 N.2, PS3.3 C.11).

Integers of up to 16 bits go through one table made for the frame; others through arithmetic.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from farsight.imaging.decode import Array
from farsight.imaging.picture import Display, Lut, PixelFormat, Window
from farsight.ps318.rendering_query import VoiFunction

_WHITE: Final = 255.0
Grey = NDArray[np.uint8]
Real = NDArray[Any]


def grey(values: Array, pixels: PixelFormat, display: Display, wanted: Window | None) -> Grey:
    """Stored values as 0 (black) to 255. wanted: a window in place of the data set's own."""
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
        low, high = int(values.min()), int(values.max())
        levels = np.arange(low, high + 1, dtype=np.float64)
        shades = _shades(levels, _extent(values, display, low, high), pixels, display, wanted)
        table = np.rint(shades).astype(np.uint8)
        # Differences that the type can't hold wrap, and are right as unsigned ones.
        places = values - values.dtype.type(low) if low else values
        return table.take(places.view(f"u{values.dtype.itemsize}"))
    real = values.astype(np.float64)
    finite = np.isfinite(real)
    seen = real[finite] if finite.any() else np.zeros(1)
    real = np.nan_to_num(real, nan=float(seen.min()), posinf=seen.max(), neginf=seen.min())
    extent = (float(seen.min()), float(seen.max()))
    return np.rint(_shades(real, extent, pixels, display, wanted)).astype(np.uint8)


def _extent(values: Array, display: Display, low: int, high: int) -> tuple[float, float]:
    """The smallest and the largest stored value that is image, not padding."""
    if display.padding is None or (display.windows or display.voi_luts):
        return low, high
    first, last = display.padding
    if last < low or first > high:
        return low, high
    image = values[(values < first) | (values > last)]
    if image.size == 0 or image.min() == image.max():
        return low, high  # one value would look like its padding
    return int(image.min()), int(image.max())


def _shades(
    stored: Real,
    extent: tuple[float, float],
    pixels: PixelFormat,
    display: Display,
    wanted: Window | None,
) -> Real:
    modality = _modality(stored, display)
    if wanted is not None:
        shades = windowed(modality, wanted)
    elif display.windows:
        shades = windowed(modality, display.windows[0])
    elif display.voi_luts:
        shades = _through(modality, display.voi_luts[0])
    else:
        shades = _whole_range(modality, extent, pixels, display)
    if display.presentation_lut is not None:
        lut = display.presentation_lut
        entries = len(lut.data) // (2 if lut.wide else 1)
        shades = _through(shades / _WHITE * (entries - 1) + lut.first, lut)
    return _WHITE - shades if display.inverse else shades


def _modality(stored: Real, display: Display) -> Real:
    if display.modality_lut is not None:
        return _entries(stored, display.modality_lut)
    if display.slope == 1.0 and display.intercept == 0.0:
        return stored
    return stored * display.slope + display.intercept


def windowed(values: Real, window: Window) -> Real:
    """0 to 255 by a VOI window (PS3.3 C.11.2.1.2, C.11.2.1.3)."""
    center, width = window.center, window.width
    if window.function is VoiFunction.SIGMOID:
        power = np.clip(-4.0 * (values - center) / width, -700.0, 700.0)
        return np.asarray(_WHITE / (1.0 + np.exp(power)))
    if window.function is VoiFunction.LINEAR_EXACT:
        return np.clip(((values - center) / width + 0.5) * _WHITE, 0.0, _WHITE)
    if width <= 1.0:
        return np.where(values <= center - 0.5, 0.0, _WHITE)
    scaled = ((values - (center - 0.5)) / (width - 1.0) + 0.5) * _WHITE
    return np.clip(scaled, 0.0, _WHITE)


def _whole_range(
    modality: Real, extent: tuple[float, float], pixels: PixelFormat, display: Display
) -> Real:
    """Without a window all there is: single bits as black and white, others from end to end."""
    if pixels.bits_stored == 1 and pixels.cell == "int":
        return modality * _WHITE
    if display.modality_lut is None:
        ends = _modality(np.asarray(extent, np.float64), display)
    else:
        ends = _modality(np.arange(math.floor(extent[0]), math.ceil(extent[1]) + 1), display)
    low, high = float(ends.min()), float(ends.max())
    if low == high:
        return np.full(modality.shape, 0.0 if low == 0 else _WHITE / 2)
    return np.clip((modality - low) / (high - low) * _WHITE, 0.0, _WHITE)


def table_of(lut: Lut) -> Real:
    """The entries of a table as numbers."""
    return np.frombuffer(lut.data, "<u2" if lut.wide else np.uint8).astype(np.float64)


def _entries(values: Real, lut: Lut) -> Real:
    """What a table has for values; beyond its ends it goes on as it ends (C.11.1.1.1)."""
    table = table_of(lut)
    index = np.clip(np.rint(values) - lut.first, 0, len(table) - 1).astype(np.int64)
    return np.asarray(table[index])


def _through(values: Real, lut: Lut) -> Real:
    """The same as 0 to 255, by the bits its entries are said to have, or more if they have."""
    found = _entries(values, lut)
    table_top = float(table_of(lut).max())
    top = float((1 << lut.bits) - 1)
    while table_top > top:
        top = top * 2 + 1
    return found / top * _WHITE
