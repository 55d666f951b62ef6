"""Presentation states: what is refused by its name; the same in implicit VR, and damaged."""

from __future__ import annotations

import io
import random
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import ImplicitVRLittleEndian

from farsight.errors import FarsightError, MalformedDicom, UnsupportedDicom
from presentation_samples import IMAGE_UID, Change
from presentation_samples import annotated_state as _annotated
from presentation_samples import applied as _applied
from presentation_samples import as_bytes as _bytes
from presentation_samples import displayed_area as _area
from presentation_samples import graphic_object as _graphic
from presentation_samples import grey_image as _grey
from presentation_samples import item_of as _item
from presentation_samples import lookup_table as _lut
from presentation_samples import overlay_plane as _plane
from presentation_samples import rendered as _rendered
from presentation_samples import shown as _shown
from presentation_samples import state_file as _state
from presentation_samples import text_object as _text


def _set(**values: Any) -> Change:
    return lambda state: [setattr(state, name, value) for name, value in values.items()]


def _curve(state: Dataset) -> None:
    state.add_new(0x50001001, "CS", "ONE")


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (_set(SOPClassUID="1.2.840.10008.5.1.4.1.1.11.4"), UnsupportedDicom, "Blending"),
        (_set(SOPClassUID="1.2.840.10008.5.1.4.1.1.4"), UnsupportedDicom, "SOP class"),
        (_set(MaskSubtractionSequence=[_item(MaskOperation="AVG_SUB")]), UnsupportedDicom, "mask"),
        (_set(PresentationLUTShape="LIN OD"), UnsupportedDicom, "LIN OD"),
        (_set(ShutterShape="HEXAGONAL"), UnsupportedDicom, "HEXAGONAL"),
        (_set(ShutterShape="BITMAP", ShutterOverlayGroup=0x6000), MalformedDicom, "bitmap"),
        (_set(ShutterShape="RECTANGULAR"), MalformedDicom, "Edge"),
        (_curve, UnsupportedDicom, "curves"),
        (_set(ImageRotation=45), MalformedDicom, "ImageRotation"),
        (_set(ImageHorizontalFlip="X"), MalformedDicom, "ImageHorizontalFlip"),
        (_set(SoftcopyVOILUTSequence=[_item(WindowCenter=1)]), MalformedDicom, "VOI"),
        (_set(ModalityLUTSequence=[_item(ModalityLUTType="US")]), MalformedDicom, "Modality LUT"),
        (_set(PresentationLUTSequence=[_item(LUTExplanation="")]), MalformedDicom, "Presentation"),
        (
            _set(DisplayedAreaSelectionSequence=[_area((1, 1), (30_000, 9))]),
            UnsupportedDicom,
            "far beyond",
        ),
        (
            _set(DisplayedAreaSelectionSequence=[
                _area((1, 1), (9, 9), PresentationPixelAspectRatio=[0, 1])
            ]),
            MalformedDicom,
            "ratio",
        ),
    ],
)  # fmt: skip
def test_what_is_not_done_is_refused_by_its_name(
    change: Change, error: type[FarsightError], words: str
) -> None:
    with pytest.raises(error, match=words):
        _applied(_grey(), _state(change))


@pytest.mark.filterwarnings("ignore:.*64:UserWarning")
@pytest.mark.parametrize(
    ("graphic", "error", "words"),
    [
        (_graphic("POLYLINE", [1, 1, 2, 2], "MATRIX"), UnsupportedDicom, "MATRIX"),
        (_graphic("SPIRAL", [1, 1, 2, 2]), UnsupportedDicom, "SPIRAL"),
        (_graphic("ELLIPSE", [1, 1, 2, 2]), MalformedDicom, "2 points"),
        (_graphic("POLYLINE", [1, 1, 2, 2], NumberOfGraphicPoints=3), MalformedDicom, "says 3"),
        (_graphic("POLYLINE", [1, 1, float("nan"), 2]), MalformedDicom, "nowhere near"),
        (_graphic("POLYLINE", [1, 1, 1e30, 2]), MalformedDicom, "nowhere near"),
        (_graphic("POLYLINE", [1e5, 1e5, 2, 2], "DISPLAY"), MalformedDicom, "nowhere near"),
        (_graphic("POLYLINE", [1, 1, 2, 2], GraphicDimensions=3), UnsupportedDicom, "Dimensions"),
        (
            _graphic("POLYLINE", [1.0] * 200_002, NumberOfGraphicPoints=9),
            UnsupportedDicom,
            "points",
        ),
    ],
)
def test_graphics_that_can_not_be_drawn(
    graphic: Dataset, error: type[FarsightError], words: str
) -> None:
    with pytest.raises(error, match=words):
        _applied(_grey(), _annotated(graphic))


def test_more_graphics_than_can_be_drawn_in_time_are_refused() -> None:
    line = _graphic("POLYLINE", [1, 1, 2, 2])
    _applied(_grey(), _annotated(*[line] * 2_000))
    with pytest.raises(UnsupportedDicom, match="that many graphics"):
        _applied(_grey(), _annotated(*[line] * 2_001))


def _full() -> FileDataset:
    """A state with something of everything."""
    text = _text(
        BoundingBoxAnnotationUnits="PIXEL", BoundingBoxTopLeftHandCorner=[5, 5],
        BoundingBoxBottomRightHandCorner=[35, 25], AnchorPointAnnotationUnits="DISPLAY",
        AnchorPoint=[0.75, 0.25], AnchorPointVisibility="Y",
    )  # fmt: skip
    group = _item(
        GraphicLayer="ONE",
        TextObjectSequence=[text],
        GraphicObjectSequence=[
            _graphic("CIRCLE", [15.5, 15.5, 25.5, 15.5]),
            _graphic("ELLIPSE", [40.5, 5.5, 40.5, 25.5, 35.5, 15.5, 45.5, 15.5], GraphicFilled="Y"),
            _graphic("INTERPOLATED", [0.1, 0.1, 0.5, 0.7, 0.9, 0.2], "DISPLAY"),
        ],
    )
    return _state(
        _plane(0x6000, [(3, 4)]),
        GraphicAnnotationSequence=[group],
        GraphicLayerSequence=[_item(GraphicLayer="ONE", GraphicLayerOrder=1)],
        ModalityLUTSequence=[_lut(list(range(256)))],
        SoftcopyVOILUTSequence=[_item(VOILUTSequence=[_lut(list(range(256)))])],
        ShutterShape=["RECTANGULAR", "CIRCULAR", "POLYGONAL"],
        ShutterLeftVerticalEdge=11, ShutterRightVerticalEdge=50,
        ShutterUpperHorizontalEdge=6, ShutterLowerHorizontalEdge=35,
        CenterOfCircularShutter=[20, 30], RadiusOfCircularShutter=15,
        VerticesOfThePolygonalShutter=[6, 11, 6, 31, 26, 31], ShutterPresentationValue=500,
        ImageRotation=90, ImageHorizontalFlip="Y",
    )  # fmt: skip


def test_a_state_in_implicit_vr_says_the_same() -> None:
    state, out = _full(), io.BytesIO()
    explicit = _shown(_grey(), state)
    state.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    pydicom.dcmwrite(out, state, implicit_vr=True, little_endian=True)
    assert np.array_equal(_rendered(_bytes(_grey()), out.getvalue(), IMAGE_UID), explicit)


def test_damaged_states_fail_on_purpose_or_are_drawn() -> None:
    image, whole = _bytes(_grey()), _bytes(_full())
    begin = whole.index(b"\x08\x00\x05\x00")
    chance = random.Random(20)
    drawn = refused = 0
    for _ in range(600):
        state = bytearray(whole)
        for _ in range(chance.choice((1, 1, 2, 5))):
            state[chance.randrange(begin, len(state))] = chance.choice((0, 1, 0x7F, 0xFF, 0x41))
        try:
            _rendered(image, bytes(state), IMAGE_UID)
            drawn += 1
        except FarsightError:
            refused += 1
    assert drawn > 50
    assert refused > 50
