"""Presentation states: what they say of an image, seen in single pixels; beside DCMTK."""

from __future__ import annotations

import io
import random
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from farsight.dicom.part10 import parse_object
from farsight.errors import FarsightError, MalformedDicom, UnsupportedDicom
from farsight.imaging.describe import picture_of
from farsight.imaging.jobs import Graphics, ImageType, RenderJob
from farsight.imaging.perform import perform
from farsight.imaging.picture import Picture
from farsight.imaging.placement import Placement
from farsight.imaging.presentation import ReferencedImage, apply, referenced_images
from farsight.ps318.rendering_query import RenderingQuery
from tests.corpus import corpus_root, requires_corpus

GREY, COLOUR, PSEUDO = (f"1.2.840.10008.5.1.4.1.1.11.{n}" for n in (1, 2, 3))
IMAGE_UID, SERIES_UID, OTHER_UID = "1.2.3.4", "1.2.3", "1.2.3.5"
ROWS, COLUMNS = 40, 60
Change = Callable[[Dataset], Any]
Pixels = NDArray[Any]


def _file(sop_class_uid: str, sop_instance_uid: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = sop_class_uid
    meta.MediaStorageSOPInstanceUID = sop_instance_uid
    file = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = sop_class_uid, sop_instance_uid
    file.StudyInstanceUID, file.SeriesInstanceUID = "1.2", SERIES_UID
    file.PatientName, file.PatientID, file.StudyID = "Test", "1", "1"
    file.PatientBirthDate, file.PatientSex, file.StudyDate = "", "O", "20200101"
    file.StudyTime, file.AccessionNumber, file.Manufacturer = "120000", "", "Test"
    file.ReferringPhysicianName = ""
    file.SeriesNumber, file.InstanceNumber, file.SpecificCharacterSet = 1, 1, "ISO_IR 192"
    return file


def _image(pixels: Pixels, bits: int | None = None, **more: Any) -> FileDataset:
    file = _file("1.2.840.10008.5.1.4.1.1.7", IMAGE_UID)
    file.Modality, file.ConversionType = "OT", "WSD"
    file.Rows, file.Columns = pixels.shape[:2]
    file.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    file.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        file.PlanarConfiguration = 0
    file.BitsAllocated = 8 * pixels.dtype.itemsize
    file.BitsStored = bits or file.BitsAllocated
    file.HighBit = file.BitsStored - 1
    file.PixelRepresentation = int(pixels.dtype.kind == "i")
    for name, value in more.items():
        setattr(file, name, value)
    file.PixelData = pixels.tobytes()
    file["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    return file


def _state(*changes: Change, sop_class_uid: str = GREY, **more: Any) -> FileDataset:
    file = _file(sop_class_uid, "1.2.3.9")
    file.Modality, file.ContentLabel, file.ContentDescription = "PR", "STATE", ""
    file.SeriesInstanceUID, file.ContentCreatorName = "1.2.9", ""
    file.PresentationCreationDate, file.PresentationCreationTime = "20200101", "120000"
    series = _item(SeriesInstanceUID=SERIES_UID, ReferencedImageSequence=[_reference()])
    file.ReferencedSeriesSequence = [series]
    if sop_class_uid == GREY:
        file.PresentationLUTShape = "IDENTITY"
    file.DisplayedAreaSelectionSequence = [_area((1, 1), (COLUMNS, ROWS))]
    for name, value in more.items():
        setattr(file, name, value)
    for change in changes:
        change(file)
    return file


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return item


def _reference(uid: str = IMAGE_UID, frames: Sequence[int] = ()) -> Dataset:
    item = _item(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.7", ReferencedSOPInstanceUID=uid)
    if frames:
        item.ReferencedFrameNumber = list(frames)
    return item


def _area(first: tuple[int, int], last: tuple[int, int], **more: Any) -> Dataset:
    return _item(
        DisplayedAreaTopLeftHandCorner=list(first),
        DisplayedAreaBottomRightHandCorner=list(last),
        PresentationSizeMode="SCALE TO FIT",
        **({"PresentationPixelAspectRatio": [1, 1]} | more),
    )


def _lut(entries: Sequence[int], first: int = 0, bits: int = 8) -> Dataset:
    item = Dataset()
    item.add_new(0x00283002, "US", [len(entries), first & 0xFFFF, bits])
    item.add_new(0x00283006, "OW", np.asarray(entries, "<u2").tobytes())
    item.ModalityLUTType = "US"
    return item


def _bytes(file: FileDataset) -> bytes:
    out = io.BytesIO()
    file.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _applied(
    image: FileDataset, state: FileDataset, frame_number: int = 1
) -> tuple[Picture, Graphics]:
    picture = picture_of(parse_object(_bytes(image)), frame_number)
    return apply(parse_object(_bytes(state)), picture, IMAGE_UID, frame_number)


def _shown(image: FileDataset, state: FileDataset, query: RenderingQuery | None = None) -> Pixels:
    return _rendered(_bytes(image), _bytes(state), IMAGE_UID, query)


def _rendered(image: bytes, state: bytes, uid: str, query: RenderingQuery | None = None) -> Pixels:
    parsed = parse_object(image)
    picture, graphics = apply(parse_object(state), picture_of(parsed), uid, 1)
    frame = parsed.raw(0x7FE00010)
    job = RenderJob((picture,), query or RenderingQuery(), ImageType.PNG, graphics=graphics)
    (block,) = perform(job, [frame])
    return np.asarray(Image.open(io.BytesIO(block))).astype(int)


def _ramp() -> Pixels:
    """Each pixel another value: 0 to 2399, and what is shown tells where it is from."""
    return np.arange(ROWS * COLUMNS, dtype=np.uint16).reshape(ROWS, COLUMNS)


def _black() -> FileDataset:
    return _image(np.zeros((ROWS, COLUMNS), np.uint8))


def _grey() -> FileDataset:
    return _image(np.full((ROWS, COLUMNS), 100, np.uint8))


def _lit(image: Pixels) -> set[tuple[int, int]]:
    """Columns and rows of what isn't black."""
    return {(int(x), int(y)) for y, x in np.argwhere(image > 0)}


def _graphic(kind: str, points: Sequence[float], units: str = "PIXEL", **more: Any) -> Dataset:
    said = {"GraphicDimensions": 2, "NumberOfGraphicPoints": len(points) // 2, "GraphicFilled": "N"}
    return _item(
        GraphicAnnotationUnits=units, GraphicType=kind, GraphicData=list(points), **(said | more)
    )


def _annotated(*graphics: Dataset, **more: Any) -> FileDataset:
    group = _item(GraphicLayer="ONE", GraphicObjectSequence=list(graphics))
    layer = _item(GraphicLayer="ONE", GraphicLayerOrder=1)
    return _state(**(
        {"GraphicAnnotationSequence": [group], "GraphicLayerSequence": [layer]} | more
    ))  # fmt: skip


# ---- what a state is for


def test_referenced_images_in_order_with_their_frames() -> None:
    state = _state()
    state.ReferencedSeriesSequence = [
        _item(
            SeriesInstanceUID="1.7",
            ReferencedImageSequence=[_reference("1.7.2", (3, 1)), _reference("1.7.1")],
        ),
        _item(SeriesInstanceUID="1.6", ReferencedImageSequence=[_reference("1.6.1", (2,))]),
    ]
    assert referenced_images(parse_object(_bytes(state))) == (
        ReferencedImage("1.7", "1.7.2", (3, 1)),
        ReferencedImage("1.7", "1.7.1", ()),
        ReferencedImage("1.6", "1.6.1", (2,)),
    )


def test_a_state_is_for_the_images_and_frames_it_names() -> None:
    picture = picture_of(parse_object(_bytes(_grey())))
    state = _state()
    state.ReferencedSeriesSequence[0].ReferencedImageSequence = [_reference(IMAGE_UID, (2,))]
    parsed = parse_object(_bytes(state))
    apply(parsed, picture, IMAGE_UID, 2)
    for uid, frame_number in ((IMAGE_UID, 1), (OTHER_UID, 2)):
        with pytest.raises(UnsupportedDicom, match="isn't for this image"):
            apply(parsed, picture, uid, frame_number)


# ---- greys


def test_what_a_state_says_not_is_identity_whatever_the_image_says() -> None:
    pixels = np.linspace(0, 4095, ROWS * COLUMNS).astype(np.uint16).reshape(ROWS, COLUMNS)
    image = _image(
        pixels, 12, RescaleSlope=-3, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=80,
        PhotometricInterpretation="MONOCHROME1",
    )  # fmt: skip
    shown = _shown(image, _state())
    assert np.abs(shown - pixels / 4095 * 255).max() <= 0.51


def test_the_range_of_an_identity_is_that_of_the_bits_not_of_the_values() -> None:
    image = _image(np.full((ROWS, COLUMNS), -512, np.int16), 12)
    image.PixelData = np.linspace(-512, 511, ROWS * COLUMNS).astype(np.int16).tobytes()
    shown = _shown(image, _state())
    assert (shown.min(), shown.max()) == (96, 159)


def test_rescale_then_window() -> None:
    state = _state(
        RescaleSlope=2, RescaleIntercept=-1000, RescaleType="HU",
        SoftcopyVOILUTSequence=[_item(WindowCenter=1000, WindowWidth=2001)],
    )  # fmt: skip
    shown = _shown(_image(_ramp(), 12), state)
    modality = 2.0 * _ramp() - 1000
    expected = np.clip((modality - 999.5) / 2000 + 0.5, 0, 1) * 255
    assert np.abs(shown - expected).max() <= 0.51


def test_the_first_voi_that_applies_to_image_and_frame() -> None:
    image = _image(_ramp(), 12)
    windows = [
        _item(WindowCenter=1, WindowWidth=11, ReferencedImageSequence=[_reference(OTHER_UID)]),
        _item(
            WindowCenter=2, WindowWidth=12, ReferencedImageSequence=[_reference(IMAGE_UID, (2, 3))]
        ),
        _item(WindowCenter=3, WindowWidth=13),
    ]
    state = _state(SoftcopyVOILUTSequence=windows)
    centers = [_applied(image, state, frame)[0].display.windows[0].center for frame in (1, 2, 3, 4)]
    assert centers == [3, 2, 2, 3]


def test_presentation_lut_and_inverse() -> None:
    pixels = np.arange(256, dtype=np.uint8).repeat(10).reshape(40, 64)
    state = _state(DisplayedAreaSelectionSequence=[_area((1, 1), (64, 40))])
    state.PresentationLUTShape = "INVERSE"
    assert np.array_equal(_shown(_image(pixels), state), 255 - pixels.astype(int))
    del state.PresentationLUTShape
    table = [(7 * entry) % 256 for entry in range(256)]
    state.PresentationLUTSequence = [_lut(table)]
    assert np.array_equal(_shown(_image(pixels), state), np.asarray(table)[pixels])


# ---- colours


def test_pseudo_colours_of_the_whole_window() -> None:
    state = _state(
        sop_class_uid=PSEUDO,
        SoftcopyVOILUTSequence=[_item(WindowCenter=600.5, WindowWidth=1201)],
        ICCProfile=b"profile!",
    )
    for colour, number in (("Red", 0), ("Green", 1), ("Blue", 2)):
        setattr(state, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        table = np.roll(np.arange(256), 85 * number).astype("<u2") * 257
        setattr(state, f"{colour}PaletteColorLookupTableData", table.tobytes())
    image = _image(_ramp(), 12)
    shown = _shown(image, state)
    steps = np.rint(np.clip(_ramp() / 1200.0, 0, 1) * 255).astype(int)
    assert np.abs(shown[..., 0] - steps).max() <= 1
    assert np.array_equal(shown[..., 2], np.roll(np.arange(256), 170)[shown[..., 0]])
    assert _applied(image, state)[0].display.icc_profile == b"profile!"
    with pytest.raises(UnsupportedDicom, match="color images"):
        _applied(_image(np.zeros((ROWS, COLUMNS, 3), np.uint8)), state)


def test_a_colour_state_gives_its_profile_and_turns_the_image() -> None:
    pixels = np.zeros((ROWS, COLUMNS, 3), np.uint8)
    pixels[0, 0] = (10, 20, 30)
    state = _state(sop_class_uid=COLOUR, ICCProfile=b"of the state", ImageRotation=180)
    image = _image(pixels, ICCProfile=b"of the image")
    assert _applied(image, state)[0].display.icc_profile == b"of the state"
    assert tuple(_shown(image, state)[ROWS - 1, COLUMNS - 1]) == (10, 20, 30)
    with pytest.raises(UnsupportedDicom, match="greyscale"):
        _applied(_grey(), state)


def test_greys_of_a_state_are_not_for_colours() -> None:
    image = _image(np.zeros((ROWS, COLUMNS, 3), np.uint8))
    _applied(image, _state())
    with pytest.raises(UnsupportedDicom, match="grey transformations"):
        _applied(image, _state(PresentationLUTShape="INVERSE"))


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


def _plane(group: int, points: Sequence[tuple[int, int]], layer: str = "ONE") -> Change:
    bits = np.zeros(ROWS * COLUMNS, np.uint8)
    for x, y in points:
        bits[y * COLUMNS + x] = 1

    def change(file: Dataset) -> None:
        file.add_new(group << 16 | 0x0010, "US", ROWS)
        file.add_new(group << 16 | 0x0011, "US", COLUMNS)
        file.add_new(group << 16 | 0x0040, "CS", "G")
        file.add_new(group << 16 | 0x0050, "SS", [1, 1])
        file.add_new(group << 16 | 0x0100, "US", 1)
        file.add_new(group << 16 | 0x0102, "US", 0)
        file.add_new(group << 16 | 0x3000, "OW", np.packbits(bits, bitorder="little").tobytes())
        if layer:
            file.add_new(group << 16 | 0x1001, "CS", layer)

    return change


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


# ---- graphics and texts


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


def _text(**more: Any) -> Dataset:
    return _item(UnformattedTextValue="L", **more)


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


# ---- what is refused


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


@pytest.mark.parametrize("radius", [0, 199_999])
def test_shutters_of_any_size_are_drawn(radius: int) -> None:
    state = _state(
        ShutterShape=["CIRCULAR", "RECTANGULAR"], CenterOfCircularShutter=[-4000, 3000],
        RadiusOfCircularShutter=radius, ShutterPresentationValue=0xFFFF,
        ShutterLeftVerticalEdge=-150_000, ShutterRightVerticalEdge=150_000,
        ShutterUpperHorizontalEdge=-150_000, ShutterLowerHorizontalEdge=150_000,
    )  # fmt: skip
    assert set(_shown(_grey(), state).flat) == {100 if radius else 255}


# ---- beside DCMTK

requires_dcmtk = pytest.mark.skipif(
    shutil.which("dcmp2pgm") is None, reason="dcmp2pgm of DCMTK is not installed"
)


def _by_dcmtk(image: bytes, state: bytes, folder: Path) -> Pixels:
    paths = [folder / name for name in ("image.dcm", "state.dcm", "shown.pgm")]
    paths[0].write_bytes(image)
    paths[1].write_bytes(state)
    subprocess.run(
        ["dcmp2pgm", "--pstate", paths[1], paths[0], paths[2]], check=True, capture_output=True
    )
    return np.asarray(Image.open(paths[2])).astype(int)


def _signed() -> FileDataset:
    pixels = np.linspace(-2048, 2047, ROWS * COLUMNS).astype(np.int16).reshape(ROWS, COLUMNS)
    return _image(pixels, 12, WindowCenter=40, WindowWidth=400)


#: No steeper than the input: a rounding of one step stays one step.
_TABLE = [abs(entry - 128) for entry in range(256)]
_STATES: dict[str, dict[str, Any]] = {
    "identity": {},
    "inverse": {"PresentationLUTShape": "INVERSE"},
    "rescale": {"RescaleSlope": 1, "RescaleIntercept": -24, "RescaleType": "HU"},
    "window": {"SoftcopyVOILUTSequence": [_item(WindowCenter=40, WindowWidth=400)]},
    "rescale and window": {
        "RescaleSlope": 0.5, "RescaleIntercept": -24, "RescaleType": "HU",
        "SoftcopyVOILUTSequence": [_item(WindowCenter=-50.5, WindowWidth=1000)],
        "PresentationLUTShape": "INVERSE",
    },
    "voi lut": {
        "SoftcopyVOILUTSequence": [
            _item(VOILUTSequence=[_lut([x * 16 for x in range(256)], -128, 12)])
        ]
    },
    "modality lut": {
        "ModalityLUTSequence": [_lut([4095 - x for x in range(4096)], -2048, 12)]
    },
    "presentation lut": {"PresentationLUTSequence": [_lut(_TABLE)]},
    "turns": {"ImageRotation": 90, "ImageHorizontalFlip": "Y"},
    "turn": {"ImageRotation": 270, "ImageHorizontalFlip": "N"},
}  # fmt: skip


@requires_dcmtk
@pytest.mark.parametrize("name", _STATES)
def test_greys_and_geometry_as_dcmtk_shows_them(name: str, tmp_path: Path) -> None:
    state = _state(**_STATES[name])
    if "PresentationLUTSequence" in state:
        del state.PresentationLUTShape
    image = _signed()
    ours = _shown(image, state)
    theirs = _by_dcmtk(_bytes(image), _bytes(state), tmp_path)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1


@requires_corpus
def test_the_real_state_goes_through_all_three_tables() -> None:
    root = corpus_root()
    assert root is not None
    folder = root / "presentation" / "luts"
    image = (folder / "imageForPrLUTs.dcm").read_bytes()
    state = (folder / "prLUTs.dcm").read_bytes()
    parsed = parse_object(state)
    (one,) = referenced_images(parsed)
    assert one.sop_instance_uid == parse_object(image).sop_instance_uid
    shown = _rendered(image, state, one.sop_instance_uid)
    said = pydicom.dcmread(io.BytesIO(state))
    tables = [
        np.asarray(item.LUTData)
        for item in (
            said.ModalityLUTSequence[0],
            said.SoftcopyVOILUTSequence[0].VOILUTSequence[0],
            said.PresentationLUTSequence[0],
        )
    ]
    stored = pydicom.dcmread(io.BytesIO(image)).pixel_array
    assert np.array_equal(shown, tables[2][tables[1][tables[0][stored]]])
