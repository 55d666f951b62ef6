"""Look-up tables out of a data set: modality, VOI and presentation LUTs, palettes."""

from __future__ import annotations

from farsight.dicom.elements import DataSet
from farsight.errors import MalformedDicom
from farsight.imaging.picture import Lut, SegmentedLut
from farsight.imaging.values import numbers, value, whole

_DESCRIPTOR = 0x00283002
_DATA = 0x00283006
_COLOURS = (0x00281101, 0x00281102, 0x00281103)


def lut_in(item: DataSet, *, signed: bool) -> Lut | None:
    """The table of one item of a LUT sequence (PS3.3 C.11.1.1); None where it isn't usable.

    signed: whether the values it is for may be negative; then its first one is read so.
    """
    descriptor = numbers(item, _DESCRIPTOR)
    data = value(item, _DATA)
    if len(descriptor) < 3 or not data:
        return None
    return _lut(descriptor, data, signed=signed)


def _described(descriptor: list[float], *, signed: bool) -> tuple[int, int, int] | None:
    """Entries, the first value and bits; None where these aren't three words of 16 bits."""
    words = [whole(number) for number in descriptor[:3]]
    entries, first, bits = (
        word if word is not None and -0x8000 <= word <= 0xFFFF else None for word in words
    )
    if entries is None or first is None or bits is None or not 1 <= bits <= 16:
        return None
    if signed and first >= 0x8000:
        first -= 0x10000
    if not signed and first < 0:
        first += 0x10000
    return entries & 0xFFFF or 0x10000, first, bits


def _lut(descriptor: list[float], data: bytes, *, signed: bool) -> Lut | None:
    described = _described(descriptor, signed=signed)
    if described is None:
        return None
    entries, first, bits = described
    if len(data) >= 2 * entries:
        return Lut(first, bits, data[: 2 * entries])
    if len(data) >= entries:
        return Lut(first, min(bits, 8), data[:entries], wide=False)
    return None


def palette_of(instance: DataSet) -> tuple[Lut | SegmentedLut, ...]:
    """Red, green and blue (PS3.3 C.7.6.3.1.5, .6). Raises: MalformedDicom without them."""
    found = [_colour(instance, tag) for tag in _COLOURS]
    luts = tuple(lut for lut in found if lut is not None)
    if len(luts) < 3:
        raise MalformedDicom("PhotometricInterpretation is PALETTE COLOR, and a palette is missing")
    return luts


def _colour(instance: DataSet, tag: int) -> Lut | SegmentedLut | None:
    descriptor = numbers(instance, tag)
    if len(descriptor) < 3:
        return None
    signed = bool(instance.pixel_representation())
    data = value(instance, tag + 0x100)
    if data:
        return _lut(descriptor, data, signed=signed)
    segments = value(instance, tag + 0x120)
    described = _described(descriptor, signed=signed)
    if not segments or described is None:
        return None
    entries, first, bits = described
    return SegmentedLut(first, entries, bits, segments, wide=bits > 8)
