"""Shutters and overlay planes of a presentation state (PS3.3 C.7.6.11, C.7.6.15, C.11.7)."""

from __future__ import annotations

from typing import Final

from farsight.dicom.elements import DataSet
from farsight.errors import MalformedDicom, UnsupportedDicom
from farsight.imaging.jobs import Mark
from farsight.imaging.overlays import overlays_of
from farsight.imaging.picture import Overlay, Picture
from farsight.imaging.placement import Point
from farsight.imaging.presentation_graphics import Layers
from farsight.imaging.presentation_values import Colour, lab_colour, p_value, whole_numbers

_SHUTTER_SHAPE: Final = 0x00181600
_OVERLAY_GROUPS: Final = range(0x6000, 0x6020, 2)
_CURVE_GROUPS: Final = range(0x5000, 0x5020, 2)
_ACTIVATION_LAYER: Final = 0x1001
_EDGES: Final = {
    0x00181602: "ShutterLeftVerticalEdge",
    0x00181606: "ShutterUpperHorizontalEdge",
    0x00181604: "ShutterRightVerticalEdge",
    0x00181608: "ShutterLowerHorizontalEdge",
}


def shutters_of(state: DataSet, aspect: float) -> tuple[Mark, ...]:
    """The shapes outside of which nothing is shown; of several, outside of any.

    Rows and columns are counted from 1 there, from 0 in the marks. Raises: MalformedDicom,
    UnsupportedDicom for shapes that nobody knows.
    """
    found = []
    for shape in _shapes(state):
        if shape == "RECTANGULAR":
            edges = [whole_numbers(state, tag, 1, name)[0] - 1 for tag, name in _EDGES.items()]
            left, top, right, bottom = edges
            if right < left or bottom < top:
                raise MalformedDicom("a rectangular shutter's edges are in no order")
            found.append(Mark("RECTANGLE", ((left, top), (right, bottom))))
        elif shape == "CIRCULAR":
            found.append(_circle(state, aspect))
        elif shape == "POLYGONAL":
            found.append(Mark("POLYGON", _vertices(state)))
        elif shape != "BITMAP":
            raise UnsupportedDicom(f"a shutter of shape {shape[:16]!r} can't be drawn")
    return tuple(found)


def _shapes(state: DataSet) -> list[str]:
    text = state.text(_SHUTTER_SHAPE) or ""
    return list(dict.fromkeys(shape.strip() for shape in text.split("\\") if shape.strip()))


def _circle(state: DataSet, aspect: float) -> Mark:
    """The radius is a number of columns: where pixels aren't square, it has other rows."""
    row, column = whole_numbers(state, 0x00181610, 2, "CenterOfCircularShutter")[:2]
    radius = whole_numbers(state, 0x00181612, 1, "RadiusOfCircularShutter")[0]
    if radius < 0:
        raise MalformedDicom("RadiusOfCircularShutter (0018,1612) is not usable")
    x, y, down = column - 1, row - 1, radius / aspect
    if aspect == 1.0:
        return Mark("CIRCLE", ((x, y), (x + radius, y)))
    return Mark("ELLIPSE", ((x - radius, y), (x + radius, y), (x, y - down), (x, y + down)))


def _vertices(state: DataSet) -> tuple[Point, ...]:
    pairs = whole_numbers(state, 0x00181620, 6, "VerticesOfThePolygonalShutter")
    if len(pairs) % 2:
        raise MalformedDicom("VerticesOfThePolygonalShutter (0018,1620) is not usable")
    return tuple((column - 1, row - 1) for row, column in zip(pairs[::2], pairs[1::2], strict=True))


def shutter_colour_of(state: DataSet) -> Colour:
    """What is shown in place of what a shutter hides; black where it isn't said (C.11.12)."""
    colour = lab_colour(state, 0x00181624)
    if colour is not None:
        return colour
    grey = p_value(state, 0x00181622) or 0
    return grey, grey, grey


def bitmap_shutter_of(state: DataSet, picture: Picture, frame_number: int) -> Overlay | None:
    """The plane whose bits hide the image. Raises: MalformedDicom without such a plane."""
    if "BITMAP" not in _shapes(state):
        return None
    group = _shutter_group(state)
    for plane in overlays_of(state, picture.pixels, frame_number):
        if plane.group == group:
            return plane
    raise MalformedDicom("a bitmap shutter has no usable overlay plane")


def _shutter_group(state: DataSet) -> int:
    group = state.number(0x00181623)
    return group if isinstance(group, int) else 0


def activated_overlays(
    state: DataSet, picture: Picture, frame_number: int, layers: Layers
) -> tuple[Overlay, ...]:
    """The planes that the state shows, its own rather than the image's of the same group (C.11.7).

    Raises: MalformedDicom for a plane of its own that can't be read, UnsupportedDicom for curves.
    """
    if any(state.text(group << 16 | _ACTIVATION_LAYER) for group in _CURVE_GROUPS):
        raise UnsupportedDicom("curves of a presentation state aren't drawn")
    own = {plane.group: plane for plane in overlays_of(state, picture.pixels, frame_number)}
    images = {plane.group: plane for plane in picture.display.overlays}
    found = []
    for group in _OVERLAY_GROUPS:
        layer = state.text(group << 16 | _ACTIVATION_LAYER)
        if not layer or ("BITMAP" in _shapes(state) and group == _shutter_group(state)):
            continue
        has_own = (group << 16 | 0x3000) in state.elements
        plane = own.get(group) if has_own else images.get(group)
        if plane is not None:
            found.append((layers.place(layer), plane, layers.colour(layer)))
        elif has_own and not _is_of_frames(state, group):
            raise MalformedDicom(f"the overlay plane {group:04X} can't be read or isn't a graphic")
    found.sort(key=lambda entry: entry[0])
    return tuple(_coloured(plane, colour) for _, plane, colour in found)


def _is_of_frames(state: DataSet, group: int) -> bool:
    """Whether there is a plane for some frames, perhaps not for all."""
    count = state.number(group << 16 | 0x15)
    return count is not None and count > 1


def _coloured(plane: Overlay, colour: Colour) -> Overlay:
    return Overlay(
        plane.rows, plane.columns, plane.top, plane.left, plane.data, plane.group, colour
    )
