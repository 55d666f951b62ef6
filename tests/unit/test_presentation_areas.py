"""Presentation states: the area that is seen and its turns, shutters and overlays."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from farsight.imaging.placement import Placement
from farsight.ps318.rendering_query import RenderingQuery
from presentation_samples import COLUMNS, OTHER_UID, ROWS, Pixels
from presentation_samples import displayed_area as _area
from presentation_samples import grey_image as _grey
from presentation_samples import image_file as _image
from presentation_samples import overlay_plane as _plane
from presentation_samples import reference_to as _reference
from presentation_samples import shown as _shown
from presentation_samples import state_file as _state

# ---- area and turns


def _turned(pixels: Pixels, rotation: int, flip: str) -> Pixels:
    pixels = np.rot90(pixels, -rotation // 90)
    return pixels[:, ::-1] if flip == "Y" else pixels


@pytest.mark.parametrize("flip", ["N", "Y"])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_first_the_rotation_then_the_flip_of_the_area(rotation: int, flip: str) -> None:
    pixels = (np.arange(ROWS * COLUMNS) * 37 % 251).astype(np.uint8).reshape(ROWS, COLUMNS)
    expected = _turned(pixels[4:30, 9:50], rotation, flip)
    area = Placement(9, 4, 50, 30, rotation, flip == "Y")
    seen = [area.of_image((0.5, 0.5)), area.of_image((area.size[0] - 0.5, area.size[1] - 0.5))]
    first, last = ((int(x) + 1, int(y) + 1) for x, y in seen)
    state = _state(
        DisplayedAreaSelectionSequence=[_area(first, last)],
        ImageRotation=rotation, ImageHorizontalFlip=flip,
    )  # fmt: skip
    assert np.array_equal(_shown(_image(pixels), state), expected)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_placement_goes_there_and_back(rotation: int, flip: bool) -> None:
    placement = Placement(3, 5, 20, 40, rotation, flip)
    for point in ((3.5, 5.5), (19.25, 11.0), (-4.0, 60.0)):
        assert placement.of_image(placement.shown(point)) == pytest.approx(point)


def test_the_area_of_the_image_and_beyond_it() -> None:
    areas = [
        _area((5, 5), (6, 6), ReferencedImageSequence=[_reference(OTHER_UID)]),
        _area((-9, 1), (COLUMNS, ROWS), ReferencedImageSequence=[_reference()]),
    ]
    shown = _shown(_grey(), _state(DisplayedAreaSelectionSequence=areas))
    assert shown.shape == (ROWS, COLUMNS + 10)
    assert set(shown[:, :10].flat) == {0}
    assert set(shown[:, 10:].flat) == {100}


def test_the_aspect_of_the_state() -> None:
    area = _area((1, 1), (COLUMNS, ROWS), PresentationPixelAspectRatio=[2, 1])
    shown = _shown(
        _grey(),
        _state(DisplayedAreaSelectionSequence=[area], ImageRotation=90),
        RenderingQuery(rows=60, columns=800),
    )
    assert shown.shape == (60, 80)  # 60 columns by 40 rows of double height, turned


# ---- shutters and overlays


def test_several_shutters_hide_what_any_of_them_hides() -> None:
    state = _state(
        ShutterShape=["RECTANGULAR", "CIRCULAR"],
        ShutterLeftVerticalEdge=11, ShutterRightVerticalEdge=50,
        ShutterUpperHorizontalEdge=6, ShutterLowerHorizontalEdge=35,
        CenterOfCircularShutter=[20, 30], RadiusOfCircularShutter=15,
        ShutterPresentationValue=0x8080,
    )  # fmt: skip
    shown = _shown(_grey(), state)
    rows, columns = np.mgrid[1 : ROWS + 1, 1 : COLUMNS + 1]
    inside = (columns >= 11) & (columns <= 50) & (rows >= 6) & (rows <= 35)
    distance = np.hypot(columns - 30, rows - 20)
    assert set(shown[inside & (distance < 14.5)]) == {100}
    assert set(shown[~inside | (distance > 16)]) == {128}
    assert [shown[5, 29], shown[4, 29], shown[34, 29], shown[35, 29]] == [100, 128, 100, 128]
    assert [shown[19, 14], shown[19, 13], shown[19, 44], shown[19, 45]] == [100, 128, 100, 128]


def test_a_polygonal_shutter_in_colour() -> None:
    state = _state(
        ShutterShape="POLYGONAL", VerticesOfThePolygonalShutter=[6, 11, 6, 31, 26, 31, 26, 11],
        ShutterPresentationValue=0, ShutterPresentationColorCIELabValue=[35579, 53664, 50858],
    )  # fmt: skip
    shown = _shown(_grey(), state)
    assert np.abs(shown[2, 2] - (255, 0, 0)).max() <= 2
    box = (shown == 100).all(axis=2)
    assert box.sum() == 21 * 21
    assert box[5:26, 10:31].all()


def test_a_bitmap_shutter_and_overlays_that_are_activated() -> None:
    image = _grey()
    for group, point in ((0x6002, (20, 20)), (0x6004, (21, 21)), (0x6006, (22, 22))):
        _plane(group, [point], "")(image)

    def activate(state: Dataset) -> None:
        state.add_new(0x60021001, "CS", "ONE")

    state = _state(
        _plane(0x6000, [(3, 4), (5, 6)], ""), activate, _plane(0x6006, [(23, 23)]),
        ShutterShape="BITMAP", ShutterOverlayGroup=0x6000, ShutterPresentationValue=0xFFFF // 5,
    )  # fmt: skip
    shown = _shown(image, state)
    changed = {(int(x), int(y)): int(shown[y, x]) for y, x in np.argwhere(shown != 100)}
    assert changed == {(3, 4): 51, (5, 6): 51, (20, 20): 255, (23, 23): 255}


def test_overlays_come_over_shutters_and_are_turned_with_the_image() -> None:
    state = _state(
        _plane(0x6000, [(3, 4)]),
        ShutterShape="RECTANGULAR", ShutterLeftVerticalEdge=31, ShutterRightVerticalEdge=40,
        ShutterUpperHorizontalEdge=11, ShutterLowerHorizontalEdge=20,
        ShutterPresentationValue=0, ImageHorizontalFlip="Y", ImageRotation=0,
    )  # fmt: skip
    shown = _shown(_grey(), state)
    assert shown[4, COLUMNS - 4] == 255
    assert set(shown[10:20, 20:30].flat) == {100}
    assert (shown == 100).sum() == 100


@pytest.mark.parametrize("radius", [0, 199_999])
def test_shutters_of_any_size_are_drawn(radius: int) -> None:
    state = _state(
        ShutterShape=["CIRCULAR", "RECTANGULAR"], CenterOfCircularShutter=[-4000, 3000],
        RadiusOfCircularShutter=radius, ShutterPresentationValue=0xFFFF,
        ShutterLeftVerticalEdge=-150_000, ShutterRightVerticalEdge=150_000,
        ShutterUpperHorizontalEdge=-150_000, ShutterLowerHorizontalEdge=150_000,
    )  # fmt: skip
    assert set(_shown(_grey(), state).flat) == {100 if radius else 255}
