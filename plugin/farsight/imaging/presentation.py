"""What a Softcopy Presentation State says, as values for rendering (PS3.3 A.33, PS3.4 annex N).

Laws: what a state has replaces what the image has, and what it hasn't is the identity, whatever
the image says (PS3.4 N.2.1); PhotometricInterpretation MONOCHROME1 counts for nothing then. What
would change the picture and isn't done is refused by its name. How large a pixel is to be on a
screen (TRUE SIZE, MAGNIFY) is the client's business, who gives the viewport (PS3.18 8.3.5.1.3).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from farsight.dicom.elements import DataSet, Instance
from farsight.errors import InvalidUid, MalformedDicom, UnsupportedDicom
from farsight.imaging.describe import MAX_FRAME_BYTES, presentation_lut_of, voi_luts_of, windows_of
from farsight.imaging.jobs import Graphics
from farsight.imaging.luts import lut_in, palette_of
from farsight.imaging.picture import Display, Lut, Picture, PixelFormat, Window
from farsight.imaging.placement import Placement
from farsight.imaging.presentation_graphics import Layers, marks_of
from farsight.imaging.presentation_planes import (
    activated_overlays,
    bitmap_shutter_of,
    shutter_colour_of,
    shutters_of,
)
from farsight.imaging.presentation_values import (
    MOST_REFERENCES,
    item_for,
    references,
    whole_numbers,
)
from farsight.imaging.values import first_item, items, numbers, value
from farsight.model import checked_uid
from farsight.ps318.rendering_query import VoiFunction

GRAYSCALE_STATE: Final = "1.2.840.10008.5.1.4.1.1.11.1"
COLOR_STATE: Final = "1.2.840.10008.5.1.4.1.1.11.2"
PSEUDO_COLOR_STATE: Final = "1.2.840.10008.5.1.4.1.1.11.3"
_KINDS: Final = frozenset({GRAYSCALE_STATE, COLOR_STATE, PSEUDO_COLOR_STATE})
_REFUSED: Final = {
    "1.2.840.10008.5.1.4.1.1.11.4": "Blending Softcopy Presentation State",
    "1.2.840.10008.5.1.4.1.1.11.5": "XA/XRF Grayscale Softcopy Presentation State",
    "1.2.840.10008.5.1.4.1.1.11.8": "Advanced Blending Presentation State",
    "1.2.840.10008.5.1.4.1.1.11.12": "Variable Modality LUT Softcopy Presentation State",
}
_MODALITY_LUT: Final = 0x00283000
_SOFTCOPY_VOI: Final = 0x00283110
_PRESENTATION_LUT: Final = 0x20500010
_DISPLAYED_AREA: Final = 0x0070005A


@dataclass(frozen=True, slots=True)
class ReferencedImage:
    """An image that a state is for. frames: from 1; none is all of them."""

    series_instance_uid: str
    sop_instance_uid: str
    frames: tuple[int, ...]


def referenced_images(state: Instance) -> tuple[ReferencedImage, ...]:
    """What the state is for, in its order (PS3.3 C.11.11): these images are asked for by the UIDs
    that are here, so nothing else may be in them.

    Raises: MalformedDicom, UnsupportedDicom for too many.
    """
    images: list[ReferencedImage] = []
    for series in items(state, 0x00081115, most=MOST_REFERENCES):
        for uid, frames in references(series):
            images.append(_referenced(series.text(0x0020000E) or "", uid, frames))
        if len(images) > MOST_REFERENCES:
            raise UnsupportedDicom(
                f"a presentation state for more than {MOST_REFERENCES} images isn't shown"
            )
    return tuple(images)


def _referenced(
    series_instance_uid: str, sop_instance_uid: str, frames: tuple[int, ...]
) -> ReferencedImage:
    try:
        return ReferencedImage(
            checked_uid(series_instance_uid, "SeriesInstanceUID"),
            checked_uid(sop_instance_uid, "ReferencedSOPInstanceUID"),
            frames,
        )
    except InvalidUid as error:
        raise MalformedDicom(f"a presentation state is for no image: {error}") from error


def apply(
    state: Instance, picture: Picture, sop_instance_uid: str, frame_number: int
) -> tuple[Picture, Graphics]:
    """A frame's Picture as the state shows it, and what it puts over it. frame_number: from 1.

    Raises: UnsupportedDicom for states that aren't for this frame, of other kinds, or that say
    what can't be shown; MalformedDicom.
    """
    _check(state, picture, sop_instance_uid, frame_number)
    area_item = item_for(state, _DISPLAYED_AREA, sop_instance_uid, frame_number)
    aspect = _aspect(area_item, picture.display.aspect)
    area = _area(area_item, picture.pixels)
    rotation, flip = _turns(state)
    left, top, right, bottom = area or (0, 0, picture.pixels.columns, picture.pixels.rows)
    placement = Placement(left, top, right, bottom, rotation, flip)
    graphics = Graphics(
        marks=marks_of(state, sop_instance_uid, frame_number, placement, aspect),
        shutters=shutters_of(state, aspect),
        shutter_colour=shutter_colour_of(state),
        bitmap_shutter=bitmap_shutter_of(state, picture, frame_number),
        overlays=activated_overlays(state, picture, frame_number, Layers(state)),
        rotation=rotation,
        flip=flip,
        area=area,
        aspect=aspect,
    )
    display = _display(state, picture, sop_instance_uid, frame_number)
    return replace(picture, display=replace(display, overlays=())), graphics


def _check(state: Instance, picture: Picture, sop_instance_uid: str, frame_number: int) -> None:
    kind = state.sop_class_uid
    if kind not in _KINDS:
        name = _REFUSED.get(kind, f"an object of SOP class {kind[:64]}")
        raise UnsupportedDicom(f"images aren't shown by a presentation state that is {name}")
    if not any(
        image.sop_instance_uid == sop_instance_uid
        and (not image.frames or frame_number in image.frames)
        for image in referenced_images(state)
    ):
        raise UnsupportedDicom("the presentation state isn't for this image or frame")
    is_grey = picture.pixels.photometric.startswith("MONO")
    if is_grey and kind == COLOR_STATE:
        raise UnsupportedDicom("a color presentation state isn't for greyscale images")
    if not is_grey and kind == PSEUDO_COLOR_STATE:
        raise UnsupportedDicom("a pseudo-color presentation state isn't for color images")
    if any((item.text(0x00286101) or "") != "NONE" for item in items(state, 0x00286100)):
        raise UnsupportedDicom("mask subtraction of a presentation state isn't done")


# ---- greys and colours


def _display(
    state: Instance, picture: Picture, sop_instance_uid: str, frame_number: int
) -> Display:
    if not picture.pixels.photometric.startswith("MONO"):
        return _colour_display(state, picture)
    shown = replace(
        picture.display, slope=1.0, intercept=0.0, modality_lut=None, windows=(), voi_luts=()
    )
    shown, low, high = _modality(state, picture.pixels, shown)
    voi = item_for(state, _SOFTCOPY_VOI, sop_instance_uid, frame_number)
    shown = _voi(voi, picture.pixels, shown, low, high)
    if state.sop_class_uid == PSEUDO_COLOR_STATE:
        profile = value(state, 0x00282000)
        shown = replace(shown, palette=palette_of(state), icc_profile=profile)
        return replace(shown, inverse=False, presentation_lut=None)
    lut = presentation_lut_of(state)
    if lut is None and items(state, _PRESENTATION_LUT):
        raise MalformedDicom("a presentation state's Presentation LUT is not usable")
    return replace(shown, presentation_lut=lut, inverse=lut is None and _is_inverse(state))


def _is_inverse(state: DataSet) -> bool:
    shape = (state.text(0x20500020) or "IDENTITY").upper()
    if shape not in ("IDENTITY", "INVERSE"):
        raise UnsupportedDicom(f"PresentationLUTShape {shape[:16]!r} of a state isn't shown")
    return shape == "INVERSE"


def _colour_display(state: Instance, picture: Picture) -> Display:
    """Only their space may be given: grey transformations don't concern colours (N.2.2)."""
    if any(items(state, tag) for tag in (_MODALITY_LUT, _SOFTCOPY_VOI, _PRESENTATION_LUT)) or (
        _is_inverse(state)
    ):
        raise UnsupportedDicom("grey transformations of a state can't be applied to colors")
    return replace(
        picture.display, icc_profile=value(state, 0x00282000) or picture.display.icc_profile
    )


def _modality(state: DataSet, pixels: PixelFormat, shown: Display) -> tuple[Display, float, float]:
    """The Modality LUT or rescale, and the range of what comes out of it (N.2.1.1)."""
    low, high = _stored_range(pixels)
    item = first_item(state, _MODALITY_LUT)
    if item is not None:
        lut = lut_in(item, signed=pixels.signed)
        if lut is None:
            raise MalformedDicom("a presentation state's Modality LUT is not usable")
        return replace(shown, modality_lut=lut), 0.0, _top(lut)
    slopes, intercepts = numbers(state, 0x00281053), numbers(state, 0x00281052)
    slope = slopes[0] if slopes and slopes[0] else 1.0
    intercept = intercepts[0] if intercepts else 0.0
    ends = sorted((low * slope + intercept, high * slope + intercept))
    return replace(shown, slope=slope, intercept=intercept), ends[0], ends[1]


def _stored_range(pixels: PixelFormat) -> tuple[float, float]:
    if pixels.signed:
        half = float(1 << (pixels.bits_stored - 1))
        return -half, half - 1
    return 0.0, float((1 << pixels.bits_stored) - 1)


def _top(lut: Lut) -> float:
    return float((1 << lut.bits) - 1)


def _voi(
    item: DataSet | None, pixels: PixelFormat, shown: Display, low: float, high: float
) -> Display:
    """The state's VOI, or else the whole range, not that of the image's own values (N.2.1.3)."""
    if item is not None:
        windows = windows_of(item)
        luts = voi_luts_of(item, signed=low < 0)
        if windows or luts:
            return replace(shown, windows=windows, voi_luts=luts)
        raise MalformedDicom("a presentation state's VOI window or LUT is not usable")
    if pixels.cell != "int":
        return shown
    whole = Window((low + high) / 2, max(high - low, 1e-6), VoiFunction.LINEAR_EXACT)
    return replace(shown, windows=(whole,))


# ---- area and turns


def _turns(state: DataSet) -> tuple[int, bool]:
    """Degrees clockwise, and whether it is flipped from left to right thereafter (C.10.6)."""
    rotation = state.number(0x00700042) or 0
    if rotation not in (0, 90, 180, 270):
        raise MalformedDicom("ImageRotation (0070,0042) is no quarter of a turn")
    flip = state.text(0x00700041) or "N"
    if flip not in ("Y", "N"):
        raise MalformedDicom("ImageHorizontalFlip (0070,0041) is neither Y nor N")
    return int(rotation), flip == "Y"


def _area(item: DataSet | None, pixels: PixelFormat) -> tuple[int, int, int, int] | None:
    """The displayed area. Its corners are named as they are seen, turned, and numbered as they
    are stored, from 1: so they come in any order (C.10.4)."""
    if item is None:
        return None
    first = whole_numbers(item, 0x00700052, 2, "DisplayedAreaTopLeftHandCorner")
    last = whole_numbers(item, 0x00700053, 2, "DisplayedAreaBottomRightHandCorner")
    left, right = sorted((first[0], last[0]))
    top, bottom = sorted((first[1], last[1]))
    area = (left - 1, top - 1, right, bottom)
    if area == (0, 0, pixels.columns, pixels.rows):
        return None
    if min(left + pixels.columns, top + pixels.rows) < 1 or (
        right > 2 * pixels.columns
        or bottom > 2 * pixels.rows
        or (right - left) * (bottom - top) > MAX_FRAME_BYTES
    ):
        raise UnsupportedDicom("a displayed area that reaches far beyond the image isn't shown")
    return area


def _aspect(item: DataSet | None, of_image: float) -> float:
    """Height of a pixel by its width, before turns: as spacing or as ratio (C.10.4)."""
    for tag in (0x00700101, 0x00700102):
        pair = numbers(item, tag) if item is not None else []
        if len(pair) >= 2:
            if min(pair[:2]) <= 0 or not 0.01 < pair[0] / pair[1] < 100:
                raise MalformedDicom("a presentation state's pixel spacing or ratio is unusable")
            return pair[0] / pair[1]
    return of_image
