"""Pixels in another transfer syntax than they are stored in (PS3.18 8.7.3.5, PS3.5 8.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from struct import pack

from farsight.dicom.elements import DicomObject, Instance
from farsight.dicom.explicit import Change, Changes, as_explicit_little_endian, rewritten
from farsight.dicom.scan import PIXEL_DATA, PIXELS
from farsight.dicom.transfer_syntax import (
    DEFLATED_IMAGE_FRAME,
    ENCAPSULATED_UNCOMPRESSED,
    EXPLICIT_VR_LITTLE_ENDIAN,
    LOSSY,
    NATIVE,
)
from farsight.errors import MalformedDicom, NotAcceptable, UnsupportedDicom
from farsight.imaging.describe import pixel_format
from farsight.imaging.jobs import TranscodeJob
from farsight.imaging.picture import Picture, PixelFormat
from farsight.imaging.syntaxes import ENCODABLE, RLE, can_decode, can_encode
from farsight.ports.imaging import Imaging
from farsight.ps318.frames import FrameIndex
from farsight.services.open_instance import OpenInstance

_ICONS = 0x00880200
_HIGH_BIT = 0x00280102
#: Cells of these have all bits allocated: the stored ones may lie anywhere among them.
_WHOLE_CELLS = NATIVE | {ENCAPSULATED_UNCOMPRESSED, DEFLATED_IMAGE_FRAME, RLE}
_METHODS = {
    "1.2.840.10008.1.2.4.50": b"ISO_10918_1 ", "1.2.840.10008.1.2.4.51": b"ISO_10918_1 ",
    "1.2.840.10008.1.2.4.81": b"ISO_14495_1 ", "1.2.840.10008.1.2.4.91": b"ISO_15444_1 ",
    "1.2.840.10008.1.2.4.203": b"ISO_15444_15",
}  # fmt: skip
#: Frames that are in a worker at once: an answer needn't hold all of an instance's.
_AT_ONCE = 8


class TranscodeService:
    """Thread-safe; calls block."""

    def __init__(self, imaging: Imaging) -> None:
        self._imaging = imaging

    def targets(self, instance: Instance) -> tuple[str, ...]:
        """The transfer syntaxes its pixels can be had in beside the one they are in, best first."""
        found = instance.recall(_targets)
        if found is None:
            found = _targets(instance)
            instance.keep(_targets, found)
        return found

    def frames(
        self, instance: OpenInstance, index: FrameIndex, numbers: Sequence[int], syntax: str
    ) -> Iterator[bytes]:
        """One by one. Raises: MalformedDicom, NotAcceptable, NotFound, ImagingBusy."""
        for at in range(0, len(numbers), _AT_ONCE):
            yield from self._run(instance, index, numbers[at : at + _AT_ONCE], syntax)[1]

    def _run(
        self, instance: OpenInstance, index: FrameIndex, numbers: Sequence[int], syntax: str
    ) -> tuple[str, Sequence[bytes]]:
        header = instance.header
        try:
            picture = Picture(header.transfer_syntax_uid, pixel_format(header))
            frames = [instance.frame(index, number) for number in numbers]
            photometric, *blocks = self._imaging.run(TranscodeJob(picture, syntax), frames)
        except UnsupportedDicom as error:
            raise NotAcceptable(str(error)) from error
        return photometric.decode("ascii"), blocks

    def whole(self, instance: DicomObject, syntax: str) -> bytes:
        """The object in another transfer syntax.

        What loses gets a SOP Instance UID of its own (PS3.3 C.7.6.1.1.5): two that differ must not
        go by one name. Raises: as frames.
        """
        if instance.transfer_syntax_uid in NATIVE and syntax == EXPLICIT_VR_LITTLE_ENDIAN:
            return as_explicit_little_endian(instance)
        opened = OpenInstance(instance)
        index = opened.frames()
        blocks: list[bytes] = []
        photometric = ""
        for at in range(1, index.number_of_frames + 1, _AT_ONCE):
            stop = min(at + _AT_ONCE, index.number_of_frames + 1)
            photometric, some = self._run(opened, index, range(at, stop), syntax)
            blocks += some
        return rewritten(instance, syntax, _changes(instance, syntax, photometric, blocks))


def _targets(instance: Instance) -> tuple[str, ...]:
    if not can_decode(instance.transfer_syntax_uid):
        return ()
    try:
        pixels = pixel_format(instance)
    except (UnsupportedDicom, MalformedDicom):
        return ()
    if _is_shifted(instance, pixels) or _has_embedded_overlay(instance):
        return ()
    return tuple(syntax for syntax in ENCODABLE if can_encode(pixels, syntax))


def _is_shifted(instance: Instance, pixels: PixelFormat) -> bool:
    """Whether decoded values are moved to where the data set doesn't say (PS3.5 8.1.1).

    Metadata is about the stored form: frames that are decoded can't have another HighBit.
    """
    if instance.transfer_syntax_uid not in _WHOLE_CELLS or pixels.cell != "int":
        return False
    return pixels.high_bit not in (-1, pixels.bits_stored - 1)


def _has_embedded_overlay(instance: Instance) -> bool:
    """Whether bits of the pixel cells beside the stored ones are an overlay (retired; PS3.5 8.1.2):
    it would be lost in decoding."""
    return any(
        tag >> 24 == 0x60
        and tag & 0xFFFF == 0x0102
        and instance.number(tag) not in (None, 0)
        and (tag & 0xFFFF0000 | 0x3000) not in instance.elements
        for tag in instance.elements
    )


def _changes(
    instance: DicomObject, syntax: str, photometric: str, blocks: Sequence[bytes]
) -> Changes:
    tag = next(tag for tag in PIXELS if tag in instance.elements)
    changes: dict[int, Change | None] = {
        0x00280004: _text("CS", photometric),
        0x7FE00001: None,
        0x7FE00002: None,
        tag: _pixels(instance, syntax, tag, blocks),
    }
    if _HIGH_BIT in instance.elements and tag == PIXEL_DATA:  # as decoded values are
        changes[_HIGH_BIT] = Change("US", pack("<H", pixel_format(instance).bits_stored - 1))
    if 0x00280006 in instance.elements:
        changes[0x00280006] = Change("US", b"\0\0")  # colours by pixel
    if _ICONS in instance.elements and syntax not in NATIVE | {instance.transfer_syntax_uid}:
        changes[_ICONS] = None  # its pixels would have to be in that syntax too
    elif _ICONS in instance.elements and instance.transfer_syntax_uid not in NATIVE:
        changes[_ICONS] = None
    if syntax in LOSSY:
        changes |= _lossy(instance, syntax, blocks)
    return changes


def _pixels(instance: DicomObject, syntax: str, tag: int, blocks: Sequence[bytes]) -> Change:
    if syntax != EXPLICIT_VR_LITTLE_ENDIAN:
        return Change("OB", fragments=tuple(blocks))
    bits = instance.number(0x00280100)
    if bits == 1:
        joined = _packed(instance, blocks)
    else:
        joined = b"".join(blocks)
    vr = {0x7FE00008: "OF", 0x7FE00009: "OD"}.get(tag, "OW" if bits and bits > 8 else "OB")
    return Change(vr, joined + b"\0" * (len(joined) % 2))


def _packed(instance: DicomObject, blocks: Sequence[bytes]) -> bytes:
    """Frames of single bits follow on each other without a gap (PS3.5 8.2.1)."""
    cells = instance.count(0x00280010, "Rows") * instance.count(0x00280011, "Columns")
    if cells % 8 == 0:
        return b"".join(blocks)
    bits = 0
    for number, block in enumerate(blocks):
        mask = (1 << cells) - 1
        bits |= (int.from_bytes(block, "little") & mask) << number * cells
    return bits.to_bytes(-(-cells * len(blocks) // 8), "little")


def _lossy(instance: DicomObject, syntax: str, blocks: Sequence[bytes]) -> dict[int, Change | None]:
    """PS3.3 C.7.6.1.1.5 and C.12.4: that it has lost, how much, and by what it was before."""
    before = instance.count(0x00280010, "Rows") * instance.count(0x00280011, "Columns")
    before *= instance.count(0x00280002, "SamplesPerPixel") * len(blocks)
    before *= max(instance.count(0x00280100, "BitsAllocated") // 8, 1)
    ratio = f"{before / max(sum(map(len, blocks)), 1):.2f}"
    digest = hashlib.sha256(f"{instance.sop_instance_uid} {syntax}".encode()).digest()
    image_type = (instance.text(0x00080008) or "ORIGINAL\\PRIMARY").split("\\")
    return {
        0x00080008: _text("CS", "\\".join(("DERIVED", *image_type[1:]))),
        0x00080018: _text("UI", f"2.25.{int.from_bytes(digest[:16], 'big')}"),
        0x00082111: _text("ST", f"Compressed on retrieval, from {instance.sop_instance_uid}"),
        0x00282110: _text("CS", "01"),
        0x00282112: _text("DS", _also(instance, 0x00282112, ratio)),
        0x00282114: _text("CS", _also(instance, 0x00282114, _METHODS[syntax].decode().strip())),
    }


def _also(instance: DicomObject, tag: int, value: str) -> str:
    """One value more: a lossy image may have lost before."""
    before = (instance.text(tag) or "").strip()
    return f"{before}\\{value}" if before else value


def _text(vr: str, text: str) -> Change:
    raw = text.encode("ascii", "replace")
    if len(raw) % 2:
        raw += b"\0" if vr == "UI" else b" "
    return Change(vr, raw)
