"""Pixel data put together from the parts it came in (PS3.5 8.1, A.4; PS3.18 8.7.3.3).

Laws: pixels are not copied, but where one frame came in several fragments; what the attributes
say of rows, columns and frames has to agree with what came; one fragment holds one frame, except
of video, which is one stream; fragments that came in items are taken out of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from farsight.dicom.transfer_syntax import VIDEO
from farsight.dicom.writing import EXTENDED_LENGTHS, MAX_LENGTH, Piece, basic_table_fits
from farsight.model import JsonAttribute
from farsight.ps318.bulk_parts import BulkPart
from farsight.ps318.encapsulated_stream import frames_within, is_stream
from farsight.ps318.frame_media_type import OCTET_STREAM
from farsight.ps318.part_syntax import check_frame, compressed_syntax, syntax_of
from farsight.ps318.refused import ValueUnfit
from farsight.ps318.store_reasons import FailureReason

PIXEL_DATA: Final = 0x7FE00010
#: Of the other pixels (PS3.3 C.7.6.24, C.7.6.25), native always.
FLOAT_VRS: Final = {0x7FE00008: "OF", 0x7FE00009: "OD"}

_NUMBER_OF_FRAMES: Final = 0x00280008
_PHOTOMETRIC_INTERPRETATION: Final = 0x00280004
_DESCRIPTION: Final = {
    "SamplesPerPixel": 0x00280002,
    "Rows": 0x00280010,
    "Columns": 0x00280011,
    "BitsAllocated": 0x00280100,
}
_PLANES_422: Final = (["YBR_FULL_422"], ["YBR_PARTIAL_422"])
#: JPEG 2000 with components beyond a frame: one codestream may hold several (PS3.5 A.4.4).
_MULTI_COMPONENT: Final = frozenset(("1.2.840.10008.1.2.4.92", "1.2.840.10008.1.2.4.93"))

#: One level of a data set: attributes by tag.
Level = Mapping[int, JsonAttribute]


@dataclass(frozen=True, slots=True)
class Pixels:
    """transfer_syntax_uid: of the frames, "" for plain cells, which `chunks` then are in order.

    in_frames: each chunk is one frame, so that there may be a table of their offsets. has_lengths:
    the metadata has an Extended Offset Table, which is the only one to tell lengths that are odd.
    """

    vr: str
    chunks: tuple[Piece, ...]
    transfer_syntax_uid: str = ""
    in_frames: bool = True
    has_lengths: bool = False

    @property
    def needs_extended_table(self) -> bool:
        """Instead of the basic one (PS3.3 C.7.6.3.1.8)."""
        if not self.transfer_syntax_uid or not self.in_frames:
            return False
        return self.has_lengths or not basic_table_fits(self.chunks)


def pixels_of(tag: int, level: Level, parts: Sequence[BulkPart], declared: str) -> Pixels:
    """`level`: the attributes around the pixels. `declared`: transfer syntax by the metadata.

    Raises: ValueUnfit.
    """
    was_stream, parts = _out_of_items(tag, level, parts, declared)
    chunks = tuple(part.data for part in parts)
    if any(len(chunk) > MAX_LENGTH for chunk in chunks):
        raise ValueUnfit("a part is longer than a value can be")
    syntaxes = {syntax_of(part, declared) for part in parts}
    if len(syntaxes) != 1:
        raise ValueUnfit("its frames are of several transfer syntaxes")
    described = {name: number_at(level, number) for name, number in _DESCRIPTION.items()}
    for name, value in described.items():
        if value is None or value < 1:
            raise _mismatch(f"{name} is missing or not usable")
    syntax = syntaxes.pop()
    if tag in FLOAT_VRS or not syntax:
        if _is_native(level, chunks):
            vr = _native_vr(tag, level[tag]["vr"], described["BitsAllocated"] or 0)
            return Pixels(vr, chunks)
        syntax = _unsaid(tag, parts, declared)
    count = frame_count(level)
    is_one = syntax in VIDEO or (syntax in _MULTI_COMPONENT and len(chunks) == 1)
    if len(chunks) != (1 if is_one else count):
        raise _mismatch(f"it came in {len(chunks)} parts, while NumberOfFrames is {count}")
    for chunk in chunks:
        check_frame(syntax, chunk)
    in_frames = not is_one or (count == 1 and syntax not in VIDEO)
    has_lengths = EXTENDED_LENGTHS in level and not was_stream  # fragments came padded
    return Pixels("OB", chunks, syntax, in_frames, has_lengths)


def _out_of_items(
    tag: int, level: Level, parts: Sequence[BulkPart], declared: str
) -> tuple[bool, Sequence[BulkPart]]:
    """One part a frame where a compressed value came whole, in its one part; and whether it did."""
    syntax = compressed_syntax(parts[0].transfer_syntax or declared)
    if tag != PIXEL_DATA or len(parts) > 1 or not syntax or not is_stream(parts[0].data):
        return False, parts
    count = frame_count(level)
    frames = frames_within(parts[0].data, count, is_video=syntax in VIDEO)
    told = f"{parts[0].media_type}; transfer-syntax={syntax}"
    return True, [BulkPart(told, parts[0].content_location, frame) for frame in frames]


def frame_count(level: Level) -> int:
    """By the attributes; 1 where they say nothing."""
    return number_at(level, _NUMBER_OF_FRAMES) or 1


def number_at(level: Level, tag: int) -> int | None:
    """The first value of an attribute, where that is a whole number."""
    values = level.get(tag, {}).get("Value")
    value = values[0] if isinstance(values, list) and values else None
    text = value.strip() if isinstance(value, str) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else None


def _is_native(level: Level, chunks: Sequence[Piece]) -> bool:
    """Whether the cells described are as many as came, with or without padding."""
    samples, rows, columns, bits = (number_at(level, tag) or 0 for tag in _DESCRIPTION.values())
    count = frame_count(level)
    sizes = [samples * rows * columns * bits]
    photometric = level.get(_PHOTOMETRIC_INTERPRETATION, {}).get("Value")
    if photometric in _PLANES_422:  # chrominance of two pixels at a time (C.7.6.3.1.2)
        sizes.append(sizes[0] // samples * 2)
    if len(chunks) > 1:
        return len(chunks) == count and any(
            size % 8 == 0 and all(8 * len(chunk) == size for chunk in chunks) for size in sizes
        )
    totals = [-(-count * size // 8) for size in sizes]
    return any(len(chunks[0]) in (total, total + total % 2) for total in totals)


def _unsaid(tag: int, parts: Sequence[BulkPart], declared: str) -> str:
    """Of octets that aren't as many as the cells: compressed, if the metadata says so."""
    compressed = "" if tag in FLOAT_VRS else compressed_syntax(declared)
    if not compressed or any(
        part.transfer_syntax or part.media_type != OCTET_STREAM for part in parts
    ):
        raise _mismatch("its length is not what Rows, Columns, NumberOfFrames and so on make")
    return compressed


def _native_vr(tag: int, vr: str, bits: int) -> str:
    if tag in FLOAT_VRS:
        return FLOAT_VRS[tag]
    if bits > 8:
        return "OW"
    return vr if vr in ("OB", "OW") else "OB"


def _mismatch(why: str) -> ValueUnfit:
    return ValueUnfit(why, FailureReason.DOES_NOT_MATCH)
