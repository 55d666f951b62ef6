"""The graphics of a presentation state, drawn over an image (PS3.3 C.10.5, C.11.7, C.7.6.11)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from PIL import Image, ImageDraw

from farsight.imaging.annotate import draw_overlay, font, ink, letter_size, plane_mask
from farsight.imaging.jobs import Graphics, Mark
from farsight.imaging.placement import Placement, Point

Area = tuple[int, int, int, int]
_TURNS: Final = {
    90: Image.Transpose.ROTATE_270,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}
_POINT_ARM: Final = 3
_STEPS: Final = 8


def draw_graphics(
    image: Image.Image, graphics: Graphics, aspect: float
) -> tuple[Image.Image, float]:
    """The image with shutters, overlays, displayed area, turns and marks, and its aspect then."""
    if image.mode == "L" and _has_colours(graphics):
        image = image.convert("RGB")
    for shutter in graphics.shutters:
        image = _covered(image, _outside_of(shutter, image.size), graphics.shutter_colour)
    if graphics.bitmap_shutter is not None:
        plane = graphics.bitmap_shutter
        mask = Image.new("L", image.size, 0)
        mask.paste(255, (plane.left - 1, plane.top - 1), plane_mask(plane))
        image = _covered(image, mask, graphics.shutter_colour)
    for overlay in graphics.overlays:
        draw_overlay(image, overlay)
    area = _area(image.size, graphics.area)
    if area != (0, 0, *image.size):
        image = image.crop(area)
    if graphics.rotation in _TURNS:
        image = image.transpose(_TURNS[graphics.rotation])
    if graphics.flip:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    placement = Placement(*area, graphics.rotation, graphics.flip)
    draw = ImageDraw.Draw(image)
    for mark in graphics.marks:
        _draw(draw, image, mark, placement)
    aspect = graphics.aspect or aspect
    return image, 1 / aspect if graphics.rotation in (90, 270) else aspect


def _has_colours(graphics: Graphics) -> bool:
    inks = [graphics.shutter_colour, *(overlay.colour for overlay in graphics.overlays)]
    for mark in graphics.marks:
        inks += [mark.colour, mark.fill or mark.colour]
    return any(len(set(colour)) > 1 for colour in inks)


def _area(size: tuple[int, int], area: Area | None) -> Area:
    """The displayed area, no further from the image than its own size; all of it for none."""
    width, height = size
    if area is None:
        return 0, 0, width, height
    left, top = max(int(area[0]), -width), max(int(area[1]), -height)
    right, bottom = min(int(area[2]), 2 * width), min(int(area[3]), 2 * height)
    return (left, top, right, bottom) if left < right and top < bottom else (0, 0, width, height)


# ---- shutters


def _outside_of(shutter: Mark, size: tuple[int, int]) -> Image.Image:
    mask = Image.new("L", size, 255)
    draw = ImageDraw.Draw(mask)
    points = list(shutter.points)
    if shutter.kind == "CIRCLE":
        (x, y), radius = points[0], math.dist(points[0], points[1])
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)
    elif shutter.kind == "RECTANGLE":
        draw.rectangle((points[0], points[1]), fill=0)
    else:
        draw.polygon(_ellipse(points) if shutter.kind == "ELLIPSE" else points, fill=0)
    return mask


def _covered(image: Image.Image, mask: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    cover = Image.new(image.mode, image.size, ink(image, colour))
    return Image.composite(cover, image, mask)


# ---- marks


def _draw(draw: ImageDraw.ImageDraw, image: Image.Image, mark: Mark, placement: Placement) -> None:
    # Pillow cuts fractions off, which leads to the pixel that a continuous point lies in.
    points = [placement.shown(point) for point in mark.points]
    colour, fill = ink(image, mark.colour), ink(image, mark.fill or mark.colour)
    width = max(1, round(mark.thickness))
    if mark.kind == "TEXT":
        _write(draw, image, mark, points)
    elif mark.kind == "POINT":
        for x, y in points:
            draw.line((x - _POINT_ARM, y, x + _POINT_ARM, y), colour, width)
            draw.line((x, y - _POINT_ARM, x, y + _POINT_ARM), colour, width)
    elif mark.kind == "CIRCLE" and len(points) >= 2:
        (x, y), radius = points[0], math.dist(points[0], points[1])
        box = (x - radius, y - radius, x + radius, y + radius)
        draw.ellipse(box, fill=fill if mark.filled else None, outline=colour, width=width)
    else:
        line = list(_line(mark.kind, points))
        if mark.filled and len(line) > 2 and line[0] == line[-1]:
            draw.polygon(line, fill=fill)
        draw.line(line if len(line) > 1 else line * 2, colour, width)


def _line(kind: str, points: Sequence[Point]) -> Iterator[Point]:
    if kind == "ELLIPSE" and len(points) >= 4:
        outline = _ellipse(points)
        yield from (*outline, outline[0])
    elif kind == "INTERPOLATED" and len(points) >= 3:
        yield from _smooth(points)
    else:
        yield from points


def _write(
    draw: ImageDraw.ImageDraw, image: Image.Image, mark: Mark, points: Sequence[Point]
) -> None:
    """From a point on, or within a box: whichever corners it was given by."""
    size = letter_size(image)
    rim = (0, 0, 0) if sum(mark.colour) > 3 * 64 else (255, 255, 255)
    left, top = min(x for x, _ in points), min(y for _, y in points)
    room = max(x for x, _ in points) - left
    share = {"CENTER": 0.5, "RIGHT": 1.0}.get(mark.justify, 0.0) if len(points) > 1 else 0.0
    wide = draw.multiline_textbbox((0, 0), mark.text, font(size), stroke_width=1)[2]
    draw.multiline_text(
        (left + (room - wide) * share, top),
        mark.text,
        ink(image, mark.colour),
        font(size),
        align="center" if share == 0.5 else "right" if share else "left",
        stroke_width=1,
        stroke_fill=ink(image, rim),
    )


def _ellipse(points: Sequence[Point]) -> list[Point]:
    """Ends of the major, then of the minor axis (PS3.3 C.10.5.2)."""
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = points[:4]
    x, y = (ax + bx) / 2, (ay + by) / 2
    major, minor = ((bx - ax) / 2, (by - ay) / 2), ((dx - cx) / 2, (dy - cy) / 2)
    turns = [2 * math.pi * step / 180 for step in range(180)]
    return [
        (
            x + major[0] * math.cos(turn) + minor[0] * math.sin(turn),
            y + major[1] * math.cos(turn) + minor[1] * math.sin(turn),
        )
        for turn in turns
    ]


def _smooth(points: Sequence[Point]) -> Iterator[Point]:
    """A curve through all points (Catmull-Rom)."""
    for i in range(len(points) - 1):
        before, a, b = points[max(i - 1, 0)], points[i], points[i + 1]
        after = points[min(i + 2, len(points) - 1)]
        for step in range(_STEPS):
            at = step / _STEPS
            yield (
                _spline(before[0], a[0], b[0], after[0], at),
                _spline(before[1], a[1], b[1], after[1], at),
            )
    yield points[-1]


def _spline(before: float, a: float, b: float, after: float, at: float) -> float:
    return 0.5 * (
        2 * a
        + (b - before) * at
        + (2 * before - 5 * a + 4 * b - after) * at**2
        + (3 * a - before - 3 * b + after) * at**3
    )
