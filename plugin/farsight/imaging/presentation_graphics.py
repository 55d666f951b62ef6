"""The Graphic Annotation Sequence of a presentation state as marks (PS3.3 C.10.5, C.10.7, C.10.12).

Compound graphics come with an equivalent of simple graphics and texts that share their instance
ID (C.10.5.1.3.1): that is drawn; one that comes without is named in the picture. Fonts, dashes,
shadows and patterns are drawn plainly: colours, thickness and justification are followed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from farsight.dicom.charset import TEXT_DELIMITERS
from farsight.dicom.elements import DataSet
from farsight.errors import MalformedDicom, UnsupportedDicom
from farsight.imaging.jobs import Mark
from farsight.imaging.placement import Placement, Point
from farsight.imaging.presentation_values import (
    Colour,
    applies,
    checked,
    lab_colour,
    p_value,
    point_in,
    points_in,
)
from farsight.imaging.values import first_item, items, numbers

_ANNOTATIONS: Final = 0x00700001
_LAYERS: Final = 0x00700060
_WHITE: Final = (255, 255, 255)
_LEAST_POINTS: Final = {"POINT": 1, "POLYLINE": 1, "INTERPOLATED": 2, "CIRCLE": 2, "ELLIPSE": 4}
#: All of a frame's together: some seconds of drawing at most.
_MOST_MARKS: Final = 2_000
_MOST_POINTS: Final = 100_000
_MOST_LETTERS: Final = 20_000
_THICKEST: Final = 32.0


class Layers:
    """The graphic layers of a state: which comes first, and in what colour (C.10.7)."""

    def __init__(self, state: DataSet) -> None:
        self._places: dict[str, float] = {}
        self._colours: dict[str, Colour] = {}
        for item in items(state, _LAYERS):
            name = item.text(0x00700002) or ""
            order = item.number(0x00700062)
            self._places[name] = math.inf if order is None else order
            self._colours[name] = _layer_colour(item)

    def place(self, name: str) -> float:
        """Lower ones are drawn first; a layer that isn't there comes last."""
        return self._places.get(name, math.inf)

    def colour(self, name: str) -> Colour:
        return self._colours.get(name, _WHITE)


def _layer_colour(item: DataSet) -> Colour:
    colour = lab_colour(item, 0x00700401)
    if colour is not None:
        return colour
    retired = numbers(item, 0x00700067)
    if len(retired) >= 3:
        red, green, blue = (min(max(round(level / 257), 0), 255) for level in retired[:3])
        return red, green, blue
    grey = p_value(item, 0x00700066)
    return _WHITE if grey is None else (grey, grey, grey)


def marks_of(
    state: DataSet, sop_instance_uid: str, frame_number: int, placement: Placement, aspect: float
) -> tuple[Mark, ...]:
    """What is drawn over a frame, in the order of drawing; aspect: height of a pixel by its width.

    Raises: MalformedDicom; UnsupportedDicom for units, types and amounts that can't be drawn.
    """
    layers = Layers(state)
    groups = [
        item for item in items(state, _ANNOTATIONS) if applies(item, sop_instance_uid, frame_number)
    ]
    groups.sort(key=lambda item: layers.place(item.text(0x00700002) or ""))
    marks: list[Mark] = []
    points = letters = 0
    for group in groups:
        colour = layers.colour(group.text(0x00700002) or "")
        for mark in _marks(group, colour, placement, aspect):
            marks.append(mark)
            points += len(mark.points)
            letters += len(mark.text)
            if len(marks) > _MOST_MARKS or points > _MOST_POINTS or letters > _MOST_LETTERS:
                raise UnsupportedDicom("a presentation state with that many graphics isn't drawn")
    return tuple(marks)


def _marks(group: DataSet, colour: Colour, placement: Placement, aspect: float) -> Iterator[Mark]:
    graphics, texts = items(group, 0x00700009), items(group, 0x00700008)
    for item in graphics:
        yield _graphic(item, colour, placement, aspect)
    for item in texts:
        yield from _text(item, colour, placement)
    simple = {item.number(0x00700226) for item in (*graphics, *texts)}
    left_out = sorted({
        (item.text(0x00700294) or "")[:16]
        for item in items(group, 0x00700209)
        if item.number(0x00700226) not in simple or item.number(0x00700226) is None
    })  # fmt: skip
    if left_out:
        yield Mark(
            "TEXT", (placement.of_image((0.0, 0.0)),), text="NOT SHOWN: " + ", ".join(left_out)
        )


# ---- graphics


def _graphic(item: DataSet, colour: Colour, placement: Placement, aspect: float) -> Mark:
    kind = (item.text(0x00700023) or "").upper()
    least = _LEAST_POINTS.get(kind)
    if least is None:
        raise UnsupportedDicom(f"a presentation state's GraphicType {kind[:16]!r} isn't drawn")
    if item.number(0x00700020) not in (None, 2):
        raise UnsupportedDicom("a presentation state's GraphicDimensions are not 2")
    points = _graphic_points(item, placement)
    if len(points) < least:
        raise MalformedDicom(f"a presentation state's {kind} has {len(points)} points")
    kind, points = _circle(points, aspect) if kind == "CIRCLE" else (kind, points)
    line, fill = first_item(item, 0x00700232), first_item(item, 0x00700233)
    thickness = numbers(line, 0x00700253) if line is not None else []
    return Mark(
        kind,
        tuple(points[:1] if kind == "POINT" else points),
        filled=item.text(0x00700024) == "Y",
        colour=(lab_colour(line, 0x00700251) if line is not None else None) or colour,
        fill=lab_colour(fill, 0x00700251) if fill is not None else None,
        thickness=min(max(thickness[0], 0.0), _THICKEST) if thickness else 1.0,
    )


def _graphic_points(item: DataSet, placement: Placement) -> list[Point]:
    said = item.number(0x00700021)
    points = points_in(item, 0x00700022)
    if isinstance(said, int) and said != len(points):
        raise MalformedDicom(
            f"a presentation state says {said} graphic points and has {len(points)}"
        )
    return _in_image(points, item.text(0x00700005), placement)


def _in_image(points: Sequence[Point], units: str | None, placement: Placement) -> list[Point]:
    """PIXEL: of the image; DISPLAY: shares of the displayed area as it is shown (C.10.5)."""
    if units == "PIXEL":
        return list(points)
    if units == "DISPLAY":
        width, height = placement.size
        return [checked(placement.of_image((x * width, y * height))) for x, y in points]
    raise UnsupportedDicom(f"annotations in units of {(units or '')[:16]!r} aren't drawn")


def _circle(points: Sequence[Point], aspect: float) -> tuple[str, list[Point]]:
    """Round as it is seen: where pixels aren't square, an ellipse of them."""
    (x, y), (edge_x, edge_y) = points[:2]
    if aspect == 1.0:
        return "CIRCLE", list(points[:2])
    across = math.hypot(edge_x - x, (edge_y - y) * aspect)
    down = across / aspect
    return "ELLIPSE", [(x - across, y), (x + across, y), (x, y - down), (x, y + down)]


# ---- texts


def _text(item: DataSet, colour: Colour, placement: Placement) -> Iterator[Mark]:
    """A text, and the line from it to what it is about, or where it has no box, a point there."""
    words = item.character_sets().decode(item.raw(0x00700006), TEXT_DELIMITERS)
    words = "".join(c if c.isprintable() or c == "\n" else " " for c in _lines(words)).rstrip()
    box = _box(item, placement)
    anchor = point_in(item, 0x00700014)
    if anchor is not None:
        (anchor,) = _in_image([anchor], item.text(0x00700004), placement)
    if not box and anchor is None:
        raise MalformedDicom("a presentation state's text has neither box nor anchor point")
    style = first_item(item, 0x00700231)
    colour = (lab_colour(style, 0x00700241) if style is not None else None) or colour
    if anchor is not None and item.text(0x00700015) == "Y":
        yield _pointer(box, anchor, colour)
    places = box or ((anchor,) if anchor is not None else ())
    justify = (item.text(0x00700012) or "LEFT").upper()
    yield Mark("TEXT", places, text=words, colour=colour, justify=justify)


def _lines(words: str) -> str:
    return words.rstrip("\0 ").replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n")


def _box(item: DataSet, placement: Placement) -> tuple[Point, ...]:
    first, last = point_in(item, 0x00700010), point_in(item, 0x00700011)
    if first is None or last is None:
        return ()
    return tuple(_in_image([first, last], item.text(0x00700003), placement))


def _pointer(box: Sequence[Point], anchor: Point, colour: Colour) -> Mark:
    if not box:
        return Mark("POINT", (anchor,), colour=colour)
    (ax, ay), (bx, by) = box
    near = (
        min(max(anchor[0], min(ax, bx)), max(ax, bx)),
        min(max(anchor[1], min(ay, by)), max(ay, by)),
    )
    return Mark("POLYLINE", (near, anchor), colour=colour)
