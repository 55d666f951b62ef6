"""What a data set says about its pixels, as a Picture.

Laws: what can't be drawn is said here, before a worker is given anything; sizes are checked before
anything of that size is made; values that are out of order are passed over as if absent, where
the image can be shown without them.
"""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import Final

from farsight.dicom.elements import DataSet, Instance
from farsight.dicom.positions import Span
from farsight.dicom.scan import PIXELS
from farsight.errors import MalformedDicom, UnsupportedDicom
from farsight.imaging.luts import lut_in, palette_of
from farsight.imaging.overlays import overlays_of
from farsight.imaging.picture import Display, Lut, Picture, PixelFormat, Window
from farsight.imaging.values import first_item, items, numbers, value
from farsight.ps318.rendering_query import VoiFunction

#: The largest frame that is decoded: 16,384 x 16,384 of 8 bits, or 11,585 x 11,585 of 16.
MAX_FRAME_BYTES: Final = 256 << 20
_SHARED_GROUPS: Final = 0x52009229
_GROUPS_PER_FRAME: Final = 0x52009230
_PIXEL_MEASURES: Final = 0x00289110
_FRAME_VOI: Final = 0x00289132
_VALUE_TRANSFORMATION: Final = 0x00289145
#: In a picture that is kept.
_MOST_WINDOWS: Final = 8
_CELLS: Final = {0x7FE00010: "int", 0x7FE00008: "float", 0x7FE00009: "double"}
_FUNCTIONS: Final = {
    "LINEAR_EXACT": VoiFunction.LINEAR_EXACT,
    "SIGMOID": VoiFunction.SIGMOID,
}
_DRAWN: Final = frozenset((
    "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422",
    "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT", "XYB",
))  # fmt: skip


def pixel_format(instance: DataSet) -> PixelFormat:
    """The Image Pixel module. Raises: UnsupportedDicom without pixels, or where nothing decodes
    them; MalformedDicom for what can't be."""
    tag = next((tag for tag in PIXELS if tag in instance.elements), None)
    if tag is None:
        raise UnsupportedDicom("the instance has no pixel data")
    bits = instance.count(0x00280100, "BitsAllocated")
    stored = _integer(instance, 0x00280101, "BitsStored")
    high = _integer(instance, 0x00280102, "HighBit")
    cell = _CELLS[tag]
    pixels = PixelFormat(
        rows=instance.count(0x00280010, "Rows"),
        columns=instance.count(0x00280011, "Columns"),
        samples=instance.count(0x00280002, "SamplesPerPixel"),
        photometric=instance.text(0x00280004) or "",
        bits_allocated=bits,
        bits_stored=stored if stored and cell == "int" else bits,
        signed=bool(instance.pixel_representation()) and cell == "int",
        by_plane=instance.number(0x00280006) == 1,
        cell=cell,
        high_bit=high if high is not None and cell == "int" else -1,
    )
    _check(pixels)
    return pixels


def _integer(instance: DataSet, tag: int, name: str) -> int | None:
    number = instance.number(tag)
    if isinstance(number, float):
        raise MalformedDicom(f"{name} ({tag >> 16:04X},{tag & 0xFFFF:04X}) is no integer")
    return number


def _check(pixels: PixelFormat) -> None:
    if pixels.photometric not in _DRAWN:
        raise UnsupportedDicom(
            f"pixels of PhotometricInterpretation {pixels.photometric[:40]!r} can't be drawn"
        )
    wanted = (1,) if pixels.photometric.startswith(("MONO", "PALETTE")) else (3,)
    if pixels.samples not in wanted:
        raise MalformedDicom(f"SamplesPerPixel is {pixels.samples} for {pixels.photometric}")
    if pixels.cell != "int" and not pixels.photometric.startswith("MONO"):
        raise UnsupportedDicom(f"real numbers in {pixels.photometric} can't be drawn")
    sizes = {"int": (1, 8, 16, 32), "float": (32,), "double": (64,)}[pixels.cell]
    if pixels.bits_allocated not in sizes:
        raise UnsupportedDicom(f"pixels of {pixels.bits_allocated} bits can't be drawn")
    if not 1 <= pixels.bits_stored <= pixels.bits_allocated:
        raise MalformedDicom(
            f"BitsStored is {pixels.bits_stored} of {pixels.bits_allocated} allocated"
        )
    if pixels.cells * max(pixels.bits_allocated // 8, 1) > MAX_FRAME_BYTES:
        raise UnsupportedDicom(
            f"a frame of {pixels.rows} x {pixels.columns} pixels is too large to be decoded"
        )


def picture_of(instance: Instance, frame_number: int = 1) -> Picture:
    """One frame's encoding and display. Raises: as pixel_format, MalformedDicom."""
    if frame_number != 1:
        return _picture(instance, frame_number)
    picture = instance.recall(_first_picture)
    if picture is None:
        picture = _first_picture(instance)
        if _is_light(picture.display):
            instance.keep(_first_picture, picture)
    return picture


def _first_picture(instance: Instance) -> Picture:
    return _picture(instance, 1)


def _picture(instance: Instance, frame_number: int) -> Picture:
    pixels = pixel_format(instance)
    return Picture(instance.transfer_syntax_uid, pixels, _display(instance, pixels, frame_number))


def _is_light(display: Display) -> bool:
    """Whether it has no tables, profiles, bit planes or many windows: nobody counts the bytes."""
    tables = (display.modality_lut, display.presentation_lut, display.voi_luts, display.palette)
    heavy = (*tables, display.icc_profile, display.overlays, display.windows[_MOST_WINDOWS:])
    return not any(heavy)


def varies(instance: Instance) -> bool:
    """Whether frames are shown in different ways, and each needs a Picture of its own."""
    return _GROUPS_PER_FRAME in instance.elements


def _display(instance: Instance, pixels: PixelFormat, frame_number: int) -> Display:
    common = instance.recall(_common)
    if common is None:
        common = _common(instance, pixels)
        if varies(instance):
            instance.keep(_common, common)
    transformation = _group(instance, _VALUE_TRANSFORMATION, frame_number) or instance
    voi = _group(instance, _FRAME_VOI, frame_number) or instance
    slope, intercept = numbers(transformation, 0x00281053), numbers(transformation, 0x00281052)
    below_zero = pixels.signed or bool(intercept and intercept[0] < 0)
    return replace(
        common,
        slope=slope[0] if slope and slope[0] else 1.0,
        intercept=intercept[0] if intercept else 0.0,
        windows=windows_of(voi),
        voi_luts=voi_luts_of(voi, signed=below_zero),
        aspect=_aspect(instance, frame_number),
        overlays=overlays_of(instance, pixels, frame_number),
    )


def _common(instance: Instance, pixels: PixelFormat) -> Display:
    """What all frames have in common: tables that needn't be there once for each."""
    modality = first_item(instance, 0x00283000)
    return Display(
        modality_lut=None if modality is None else lut_in(modality, signed=pixels.signed),
        inverse=_is_inverse(instance, pixels),
        presentation_lut=presentation_lut_of(instance),
        palette=palette_of(instance) if pixels.photometric == "PALETTE COLOR" else (),
        icc_profile=_icc_profile(instance),
        padding=_padding(instance, pixels),
    )


def _group(instance: Instance, tag: int, frame_number: int) -> DataSet | None:
    """An item of the functional groups of a frame, its own or the shared one (C.7.6.16)."""
    places = instance.recall(_places)
    if places is None:
        places = _places(instance)
        instance.keep(_places, places)
    own, shared = places
    for packed, at in ((own, frame_number - 1), (shared, 0)):
        if not 0 <= 2 * at < len(packed):
            continue
        start, stop = packed[2 * at : 2 * at + 2]
        span = Span(start >> 2, stop, bool(start & 2), bool(start & 1))
        found = first_item(instance.item(span), tag)
        if found is not None:
            return found
    return None


def _places(instance: Instance) -> tuple[array[int], array[int]]:
    """Where the functional groups of each frame lie, and the shared ones: there may be as many as
    there are frames. Two numbers for each item: where it starts, by 4, with what is known of its
    encoding; and where it stops."""
    return _packed(instance, _GROUPS_PER_FRAME), _packed(instance, _SHARED_GROUPS)


def _packed(instance: Instance, tag: int) -> array[int]:
    packed = array("Q")
    element = instance.elements.get(tag)
    if element is not None and element.vr == "SQ":
        for start, stop, implicit, big_endian in instance.item_spans(element):
            packed.extend((start << 2 | implicit << 1 | big_endian, stop))
    return packed


def windows_of(data_set: DataSet) -> tuple[Window, ...]:
    """The VOI windows (PS3.3 C.11.2), those of impossible width left out."""
    function = _FUNCTIONS.get((data_set.text(0x00281056) or "").upper(), VoiFunction.LINEAR)
    least = 1.0 if function is VoiFunction.LINEAR else 0.0
    pairs = zip(numbers(data_set, 0x00281050), numbers(data_set, 0x00281051), strict=False)
    return tuple(
        Window(center, width, function) for center, width in pairs if width >= least and width > 0
    )


def voi_luts_of(data_set: DataSet, *, signed: bool) -> tuple[Lut, ...]:
    """The VOI LUTs. Raises: MalformedDicom."""
    luts = (lut_in(item, signed=signed) for item in items(data_set, 0x00283010))
    return tuple(lut for lut in luts if lut is not None)


def presentation_lut_of(data_set: DataSet) -> Lut | None:
    """The Presentation LUT, where there is a table (PS3.3 C.11.6). Raises: MalformedDicom."""
    item = first_item(data_set, 0x20500010)
    return None if item is None else lut_in(item, signed=False)


def _is_inverse(instance: DataSet, pixels: PixelFormat) -> bool:
    shape = (instance.text(0x20500020) or "").upper()
    if shape in ("INVERSE", "IDENTITY") and not pixels.is_colour:
        return shape == "INVERSE"
    return pixels.photometric == "MONOCHROME1"


def _icc_profile(instance: DataSet) -> bytes:
    own = value(instance, 0x00282000)
    if own:
        return own
    path = first_item(instance, 0x00480105)  # Optical Path Sequence
    return b"" if path is None else value(path, 0x00282000)


def _aspect(instance: Instance, frame_number: int) -> float:
    """Height of a pixel by its width (PS3.3 C.7.6.3.1.7, 10.7.1.3)."""
    measures = _group(instance, _PIXEL_MEASURES, frame_number) or instance
    for data_set, tag in (
        (measures, 0x00280030),
        (instance, 0x00181164),
        (instance, 0x00182010),
        (instance, 0x00280034),
    ):
        pair = numbers(data_set, tag)
        if len(pair) >= 2 and pair[0] > 0 and pair[1] > 0:
            ratio = pair[0] / pair[1]
            return ratio if 0.01 < ratio < 100 else 1.0
    return 1.0


def _padding(instance: DataSet, pixels: PixelFormat) -> tuple[int, int] | None:
    """Stored values that are no image (PS3.3 C.7.5.1.1.2)."""
    first = numbers(instance, 0x00280120)
    if pixels.cell != "int" or not first:
        return None
    last = numbers(instance, 0x00280121) or first
    low, high = sorted((_as_stored(first[0], pixels), _as_stored(last[0], pixels)))
    return low, high


def _as_stored(number: float, pixels: PixelFormat) -> int:
    """Written as unsigned or signed whatever the pixels are: read as the pixels are."""
    cell = int(number) & ((1 << pixels.bits_allocated) - 1)
    top = 1 << (pixels.bits_allocated - 1)
    return cell - 2 * top if pixels.signed and cell >= top else cell
