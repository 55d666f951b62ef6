"""Presentation states: graphics and texts, seen in single pixels."""

from __future__ import annotations

import numpy as np
import pytest

from farsight.imaging.placement import Placement
from presentation_samples import COLUMNS, IMAGE_UID, OTHER_UID, ROWS
from presentation_samples import annotated_state as _annotated
from presentation_samples import applied as _applied
from presentation_samples import black_image as _black
from presentation_samples import displayed_area as _area
from presentation_samples import graphic_object as _graphic
from presentation_samples import grey_image as _grey
from presentation_samples import item_of as _item
from presentation_samples import lit_points as _lit
from presentation_samples import reference_to as _reference
from presentation_samples import shown as _shown
from presentation_samples import state_file as _state
from presentation_samples import text_object as _text


def test_a_line_through_the_pixels_it_names() -> None:
    state = _annotated(_graphic("POLYLINE", [10.5, 5.5, 14.5, 5.5, 14.5, 8.5]))
    line = {(x, 5) for x in range(10, 15)} | {(14, y) for y in range(5, 9)}
    assert _lit(_shown(_black(), state)) == line


def test_display_units_are_shares_of_what_is_seen() -> None:
    area = _area((11, 6), (50, 25))
    for rotation, flip in ((0, "N"), (90, "N"), (270, "Y"), (180, "N")):
        graphic = _graphic("POLYLINE", [0.1251, 0.2501, 0.626, 0.2501], "DISPLAY")
        state = _annotated(
            graphic, DisplayedAreaSelectionSequence=[area], ImageRotation=rotation,
            ImageHorizontalFlip=flip,
        )  # fmt: skip
        shown = _shown(_black(), state)
        rows, columns = shown.shape
        assert {rows, columns} == {20, 40}
        lit = _lit(shown)
        assert {y for _, y in lit} == {rows // 4}
        assert {x for x, _ in lit} == set(range(columns // 8, int(columns * 0.626) + 1))


@pytest.mark.parametrize("filled", ["N", "Y"])
def test_circles_and_ellipses(filled: str) -> None:
    graphics = (
        _graphic("CIRCLE", [15.5, 15.5, 25.5, 15.5], GraphicFilled=filled),
        _graphic("ELLIPSE", [40.5, 5.5, 40.5, 25.5, 35.5, 15.5, 45.5, 15.5], GraphicFilled=filled),
    )
    shown = _shown(_black(), _annotated(*graphics))
    for edge in ((5, 15), (25, 15), (15, 5), (15, 25), (40, 5), (40, 25), (35, 15), (45, 15)):
        assert edge in _lit(shown), edge
    for outside in ((4, 15), (26, 15), (15, 4), (34, 15), (46, 15), (40, 4)):
        assert outside not in _lit(shown), outside
    assert (((15, 15) in _lit(shown)), ((40, 15) in _lit(shown))) == (filled == "Y",) * 2


def test_a_circle_is_round_to_the_eye_where_pixels_are_not() -> None:
    area = _area((1, 1), (COLUMNS, ROWS), PresentationPixelAspectRatio=[2, 1])
    state = _annotated(
        _graphic("CIRCLE", [30.5, 20.5, 40.5, 20.5]), DisplayedAreaSelectionSequence=[area]
    )
    lit = _lit(_shown(_black(), state))
    assert (min(x for x, _ in lit), max(x for x, _ in lit)) == (20, 40)
    assert (min(y for _, y in lit), max(y for _, y in lit)) == (15, 25)


def test_interpolated_goes_through_its_points_and_is_filled_when_closed() -> None:
    points = [10.5, 10.5, 30.5, 5.5, 50.5, 10.5, 30.5, 35.5, 10.5, 10.5]
    state = _annotated(_graphic("INTERPOLATED", points, GraphicFilled="Y"))
    lit = _lit(_shown(_black(), state))
    assert {(10, 10), (30, 5), (50, 10), (30, 35), (30, 20)} <= lit
    assert (5, 5) not in lit
    assert (55, 35) not in lit


def test_layers_in_their_order_each_in_its_colour() -> None:
    square = [10.5, 10.5, 20.5, 10.5, 20.5, 20.5, 10.5, 20.5, 10.5, 10.5]
    groups = [
        _item(
            GraphicLayer=name,
            GraphicObjectSequence=[_graphic("POLYLINE", square, GraphicFilled="Y")],
        )
        for name in ("TOP", "DOWN")
    ]
    layers = [
        _item(GraphicLayer="DOWN", GraphicLayerOrder=1,
              GraphicLayerRecommendedDisplayGrayscaleValue=0x4040),
        _item(GraphicLayer="TOP", GraphicLayerOrder=2,
              GraphicLayerRecommendedDisplayCIELabValue=[35579, 53664, 50858]),
    ]  # fmt: skip
    state = _state(GraphicAnnotationSequence=groups, GraphicLayerSequence=layers)
    shown = _shown(_black(), state)
    assert np.abs(shown[15, 15] - (255, 0, 0)).max() <= 2
    layers[1].GraphicLayerOrder = 0
    shown = _shown(_black(), _state(GraphicAnnotationSequence=groups, GraphicLayerSequence=layers))
    assert tuple(shown[15, 15]) == (64, 64, 64)


def test_annotations_of_other_images_and_frames_are_not_drawn() -> None:
    group = _item(
        GraphicLayer="ONE",
        GraphicObjectSequence=[_graphic("POLYLINE", [1.5, 1.5, 9.5, 1.5])],
        ReferencedImageSequence=[_reference(IMAGE_UID, (2,)), _reference(OTHER_UID)],
    )
    state = _state(GraphicAnnotationSequence=[group])
    assert not _applied(_black(), state, 1)[1].marks
    assert len(_applied(_black(), state, 2)[1].marks) == 1


@pytest.mark.parametrize("flip", ["N", "Y"])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_text_stays_upright_in_its_box(rotation: int, flip: str) -> None:
    text = _text(
        BoundingBoxAnnotationUnits="PIXEL", BoundingBoxTopLeftHandCorner=[10, 10],
        BoundingBoxBottomRightHandCorner=[34, 34],
        BoundingBoxTextHorizontalJustification="LEFT",
    )  # fmt: skip
    group = _item(GraphicLayer="ONE", TextObjectSequence=[text])
    state = _state(
        GraphicAnnotationSequence=[group], ImageRotation=rotation, ImageHorizontalFlip=flip
    )
    shown = _shown(_black(), state)
    placement = Placement(0, 0, COLUMNS, ROWS, rotation, flip == "Y")
    (ax, ay), (bx, by) = placement.shown((10, 10)), placement.shown((34, 34))
    lit = np.argwhere(shown > 128)
    assert len(lit)
    assert lit[:, 1].min() >= min(ax, bx)
    assert lit[:, 1].max() <= max(ax, bx)
    assert lit[:, 0].min() >= min(ay, by)
    assert lit[:, 0].max() <= max(ay, by)
    left = (shown[:, : int((lit[:, 1].min() + lit[:, 1].max()) / 2)] > 128).sum()
    assert left > (shown > 128).sum() * 0.6, "an L has its weight on the left"


def test_text_at_an_anchor_and_the_line_to_it() -> None:
    boxed = _text(
        BoundingBoxAnnotationUnits="PIXEL", BoundingBoxTopLeftHandCorner=[5, 5],
        BoundingBoxBottomRightHandCorner=[15, 15], AnchorPointAnnotationUnits="DISPLAY",
        AnchorPoint=[0.75, 0.25], AnchorPointVisibility="Y",
    )  # fmt: skip
    alone = _text(AnchorPointAnnotationUnits="PIXEL", AnchorPoint=[3, 4], AnchorPointVisibility="N")
    group = _item(GraphicLayer="ONE", TextObjectSequence=[boxed, alone])
    marks = _applied(_black(), _state(GraphicAnnotationSequence=[group]))[1].marks
    assert [(mark.kind, mark.points) for mark in marks] == [
        ("POLYLINE", ((15, 10), (45, 10))),
        ("TEXT", ((5, 5), (15, 15))),
        ("TEXT", ((3, 4),)),
    ]


def test_compound_graphics_are_drawn_by_their_equivalent_or_named() -> None:
    compound = _item(CompoundGraphicInstanceID=1, CompoundGraphicType="RULER")
    line = _graphic("POLYLINE", [1.5, 1.5, 9.5, 1.5], CompoundGraphicInstanceID=1)
    group = _item(
        GraphicLayer="ONE", GraphicObjectSequence=[line], CompoundGraphicSequence=[compound]
    )
    state = _state(GraphicAnnotationSequence=[group])
    assert [mark.kind for mark in _applied(_black(), state)[1].marks] == ["POLYLINE"]
    compound.CompoundGraphicInstanceID = 2
    state = _state(GraphicAnnotationSequence=[group])
    assert "NOT SHOWN: RULER" in [mark.text for mark in _applied(_black(), state)[1].marks]


def test_styles_of_lines_areas_and_texts_before_the_colour_of_the_layer() -> None:
    red, grey = [35579, 53664, 50858], [35160, 32896, 32896]
    line = _graphic(
        "CIRCLE", [20, 20, 30, 20], GraphicFilled="Y",
        LineStyleSequence=[_item(PatternOnColorCIELabValue=red, LineThickness=3)],
        FillStyleSequence=[_item(PatternOnColorCIELabValue=grey)],
    )  # fmt: skip
    text = _text(
        AnchorPointAnnotationUnits="PIXEL", AnchorPoint=[3, 4],
        TextStyleSequence=[_item(TextColorCIELabValue=red)],
    )  # fmt: skip
    group = _item(GraphicLayer="ONE", GraphicObjectSequence=[line], TextObjectSequence=[text])
    circle, words = _applied(_grey(), _state(GraphicAnnotationSequence=[group]))[1].marks
    assert circle.thickness == 3
    assert np.abs(np.subtract(circle.colour, (255, 0, 0))).max() <= 2
    assert circle.fill is not None
    assert max(circle.fill) - min(circle.fill) <= 1, "no colour in it"
    assert words.colour == circle.colour
