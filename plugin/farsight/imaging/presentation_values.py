"""What all parts of a presentation state are written with: references, points, colours."""

from __future__ import annotations

import math
import struct
from typing import Final

from farsight.dicom.byte_order import little_endian
from farsight.dicom.elements import DataSet
from farsight.errors import MalformedDicom, UnsupportedDicom
from farsight.imaging.placement import Point
from farsight.imaging.values import items, numbers

Colour = tuple[int, int, int]

_REFERENCED_IMAGES: Final = 0x00081140
MOST_REFERENCES: Final = 10_000
_MOST_FRAMES: Final = 1_000_000
_MOST_POINTS: Final = 100_000
#: No image reaches further, nor what is drawn around one; keeps arithmetic within its range.
_FURTHEST: Final = 200_000.0
#: XYZ relative to D50 as linear sRGB (Bradford).
_TO_SRGB: Final = (
    (3.1338561, -1.6168667, -0.4906146),
    (-0.9787684, 1.9161415, 0.0334540),
    (0.0719453, -0.2289914, 1.4052427),
)
_WHITE_D50: Final = (0.9642, 1.0, 0.8249)


def references(data_set: DataSet) -> list[tuple[str, tuple[int, ...]]]:
    """UIDs and frame numbers of a Referenced Image Sequence; without frames, all of them.

    Raises: MalformedDicom, UnsupportedDicom for more than MOST_REFERENCES.
    """
    found = items(data_set, _REFERENCED_IMAGES, most=MOST_REFERENCES)
    return [(item.text(0x00081155) or "", _frames(item)) for item in found]


def _frames(item: DataSet) -> tuple[int, ...]:
    text = item.text(0x00081160)
    if not text:
        return ()
    try:
        frames = tuple(int(number[:16]) for number in text.split("\\", _MOST_FRAMES))
    except ValueError as error:
        raise MalformedDicom("a ReferencedFrameNumber is no number") from error
    if len(frames) > _MOST_FRAMES:
        raise UnsupportedDicom("a presentation state of that many frames isn't shown")
    return frames


def applies(item: DataSet, sop_instance_uid: str, frame_number: int) -> bool:
    """Whether an item is about a frame: it names it, or nothing at all (PS3.3 C.10.4)."""
    found = references(item)
    return not found or any(
        uid == sop_instance_uid and (not frames or frame_number in frames) for uid, frames in found
    )


def item_for(state: DataSet, tag: int, sop_instance_uid: str, frame_number: int) -> DataSet | None:
    """The first item of a sequence that is about a frame. Raises: MalformedDicom."""
    found = items(state, tag)
    return next((item for item in found if applies(item, sop_instance_uid, frame_number)), None)


def points_in(item: DataSet, tag: int) -> list[Point]:
    """Pairs of numbers of VR FL; from 64 KiB on those are written as UN (PS3.5 6.2.2).

    Raises: MalformedDicom, UnsupportedDicom for too many.
    """
    element = item.elements.get(tag)
    if element is None:
        return []
    if element.vr not in ("FL", "UN") or element.length % 8:
        raise MalformedDicom(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) has no pairs of FL")
    if element.length > 8 * _MOST_POINTS:
        raise UnsupportedDicom(f"a graphic of more than {_MOST_POINTS} points isn't drawn")
    raw = bytes(little_endian(item, element))
    return [checked(pair) for pair in struct.iter_unpack("<2f", raw)]


def checked(point: tuple[float, ...]) -> Point:
    """A point that can be drawn. Raises: MalformedDicom."""
    x, y = point
    if not (math.isfinite(x) and math.isfinite(y) and max(abs(x), abs(y)) <= _FURTHEST):
        raise MalformedDicom("a presentation state has a point that lies nowhere near an image")
    return float(x), float(y)


def point_in(item: DataSet, tag: int) -> Point | None:
    """One pair, column and row; None where there is none. Raises: as points_in."""
    points = points_in(item, tag)
    return points[0] if points else None


def whole_numbers(data_set: DataSet, tag: int, count: int, name: str) -> list[int]:
    """`count` numbers that have to be there, within reach of an image. Raises: MalformedDicom."""
    found = numbers(data_set, tag)
    if len(found) < count or any(abs(number) > _FURTHEST for number in found):
        raise MalformedDicom(f"{name} ({tag >> 16:04X},{tag & 0xFFFF:04X}) is not usable")
    return [int(number) for number in found]


def lab_colour(data_set: DataSet, tag: int) -> Colour | None:
    """A CIELab value as sRGB, out of gamut clipped (PS3.3 C.10.7.1.1); None where none is."""
    lab = numbers(data_set, tag)
    if len(lab) < 3:
        return None
    lightness, a, b = lab[0] / 65535 * 100, lab[1] / 257 - 128, lab[2] / 257 - 128
    y = (lightness + 16) / 116
    axes = (y + a / 500, y, y - b / 200)
    xyz = [
        white * (axis**3 if axis > 6 / 29 else 3 * (6 / 29) ** 2 * (axis - 4 / 29))
        for axis, white in zip(axes, _WHITE_D50, strict=True)
    ]
    linear = [sum(m * v for m, v in zip(row, xyz, strict=True)) for row in _TO_SRGB]
    red, green, blue = (_gamma(share) for share in linear)
    return red, green, blue


def _gamma(linear: float) -> int:
    share = min(max(linear, 0.0), 1.0)
    share = 12.92 * share if share <= 0.0031308 else 1.055 * share ** (1 / 2.4) - 0.055
    return round(share * 255)


def p_value(data_set: DataSet, tag: int) -> int | None:
    """A P-value of 16 bits as 0 (black) to 255; None where none is."""
    found = numbers(data_set, tag)
    return min(max(round(found[0] / 257), 0), 255) if found else None
