"""The bit planes that a data set lays over its image (PS3.3 C.9.2)."""

from __future__ import annotations

from typing import Final

from farsight.dicom.elements import DataSet
from farsight.imaging.picture import Overlay, PixelFormat
from farsight.imaging.values import numbers, value_in_place, whole

#: Where an overlay may begin, from its image: words of 16 bits.
_FURTHEST: Final = 0xFFFF


def overlays_of(instance: DataSet, pixels: PixelFormat, frame_number: int) -> tuple[Overlay, ...]:
    """The bit planes of groups 6000 to 601E that have bits of their own (PS3.3 C.9.2)."""
    found = []
    for group in range(0x6000, 0x6020, 2):
        base = group << 16
        data = value_in_place(instance, base | 0x3000)
        rows, columns = instance.number(base | 0x10), instance.number(base | 0x11)
        if not data or not isinstance(rows, int) or not isinstance(columns, int):
            continue
        if (instance.text(base | 0x40) or "G") != "G":
            continue  # a region of interest is no graphic
        if not (0 < rows <= pixels.rows * 4 and 0 < columns <= pixels.columns * 4):
            continue
        origin = [whole(number) for number in [*numbers(instance, base | 0x50), 1, 1][:2]]
        top, left = (at if at is not None and abs(at) <= _FURTHEST else None for at in origin)
        if top is None or left is None:
            continue
        plane = _plane_of_frame(instance, base, frame_number)
        first = plane * rows * columns
        if plane < 0 or first + rows * columns > 8 * len(data):
            continue
        stretch = bytes(data[first // 8 : -(-(first + rows * columns) // 8)])
        if first % 8:
            bits = int.from_bytes(stretch, "little") >> first % 8
            stretch = bits.to_bytes(len(stretch), "little")
        found.append(Overlay(rows, columns, top, left, stretch, group))
    return tuple(found)


def _plane_of_frame(instance: DataSet, base: int, frame_number: int) -> int:
    """Which of an overlay's planes belongs to a frame, from 0; below 0 for none (C.9.2.1.4)."""
    count = instance.number(base | 0x15)
    if not isinstance(count, int) or count <= 1:
        return 0
    first = instance.number(base | 0x51)
    plane = frame_number - (first if isinstance(first, int) and first else 1)
    return plane if plane < count else -1
