"""Presentation states: the images they are for, their greys and colours; beside DCMTK."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset

from corpus import corpus_root, requires_corpus
from farsight.dicom.part10 import parse_object
from farsight.errors import UnsupportedDicom
from farsight.imaging.describe import picture_of
from farsight.imaging.presentation import ReferencedImage, apply, referenced_images
from presentation_samples import COLOUR, COLUMNS, IMAGE_UID, OTHER_UID, PSEUDO, ROWS, Pixels
from presentation_samples import applied as _applied
from presentation_samples import as_bytes as _bytes
from presentation_samples import displayed_area as _area
from presentation_samples import grey_image as _grey
from presentation_samples import image_file as _image
from presentation_samples import item_of as _item
from presentation_samples import lookup_table as _lut
from presentation_samples import ramp_values as _ramp
from presentation_samples import reference_to as _reference
from presentation_samples import rendered as _rendered
from presentation_samples import shown as _shown
from presentation_samples import state_file as _state

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
