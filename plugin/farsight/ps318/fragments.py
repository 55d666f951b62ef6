"""Which fragments make up which frame of encapsulated pixel data (PS3.5 A.4, PS3.3 C.7.6.3.1.8)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from farsight.dicom.elements import DataSet
from farsight.dicom.encapsulated import Fragment
from farsight.dicom.positions import Body
from farsight.dicom.transfer_syntax import VIDEO
from farsight.errors import MalformedDicom

_EXTENDED_OFFSETS: Final = 0x7FE00001
_EXTENDED_LENGTHS: Final = 0x7FE00002

#: How a frame begins: JPEG and JPEG-LS, JPEG 2000 and HTJ2K codestreams, JP2 files, JPEG XL.
_STARTS: Final = (
    b"\xff\xd8\xff",
    b"\xff\x4f\xff\x51",
    b"\0\0\0\x0cjP  ",
    b"\xff\x0a",
    b"\0\0\0\x0cJXL ",
)
_LONGEST_START: Final = max(map(len, _STARTS))
_END: Final = b"\xff\xd9"


class Extent(NamedTuple):
    """A stretch of the body: offset and length in bytes."""

    offset: int
    length: int


Frames = tuple[tuple[Extent, ...], ...]


def encapsulated_frames(
    instance: DataSet,
    walked: Sequence[Fragment],
    count: int,
    transfer_syntax_uid: str,
    body: Body,
) -> Frames:
    """Where each of `count` frames lies. Video is one stream, hence one "frame".

    The Extended Offset Table goes before the Basic one; a table that contradicts the fragments
    or the number of frames is passed over, since broken ones are common. Without a table the
    numbers decide, then how compressed frames begin and end.

    `walked`: the fragments of the element, offset table included. `body` is where it lies; of it
    are read the table and, where the numbers leave it open, how the fragments begin and end.

    Raises: MalformedDicom where the fragments can't be told apart.
    """
    if len(walked) < 2:
        raise MalformedDicom("encapsulated pixel data has no fragments")
    table, *fragments = walked
    if transfer_syntax_uid in VIDEO:
        return (_extents(fragments),)
    return (
        _by_extended_table(instance, fragments, count)
        or _by_basic_table(body, table, fragments, count)
        or _by_number(body, fragments, count)
    )


def _extents(fragments: Sequence[Fragment]) -> tuple[Extent, ...]:
    return tuple(Extent(at, length) for at, length in fragments)


def _by_extended_table(
    instance: DataSet, fragments: Sequence[Fragment], count: int
) -> Frames | None:
    """One fragment per frame, with its true length before padding."""
    offsets, lengths = instance.raw(_EXTENDED_OFFSETS), instance.raw(_EXTENDED_LENGTHS)
    if not offsets or len(offsets) != 8 * count or len(lengths) != 8 * count:
        return None
    origin = fragments[0].offset
    by_offset = {fragment.offset - origin: fragment for fragment in fragments}
    frames: list[tuple[Extent, ...]] = []
    for offset, length in zip(_integers(offsets, "Q"), _integers(lengths, "Q"), strict=True):
        fragment = by_offset.get(offset)
        if fragment is None or length > fragment.length:
            return None
        frames.append((Extent(fragment.offset, length),))
    return tuple(frames)


def _by_basic_table(
    body: Body, table: Fragment, fragments: Sequence[Fragment], count: int
) -> Frames | None:
    """Offsets of the first item tag of each frame, counted from the first fragment's."""
    if table.length != 4 * count:
        return None
    offsets = _integers(body[table.offset : table.offset + table.length], "L")
    origin = fragments[0].offset
    position = {fragment.offset - origin: at for at, fragment in enumerate(fragments)}
    starts = [position.get(offset, -1) for offset in offsets]
    if starts[0] != 0:
        return None
    return _split(fragments, starts)


def _by_number(body: Body, fragments: Sequence[Fragment], count: int) -> Frames:
    if count == 1:
        return (_extents(fragments),)
    if len(fragments) == count:
        return _split(fragments, range(count)) or ()
    if len(fragments) < count:
        raise MalformedDicom(f"{count} frames, but only {len(fragments)} fragments")
    starts = [at for at, (offset, n) in enumerate(fragments) if _begins(body, offset, n)]
    if len(starts) != count or starts[0] != 0:
        ends = [at for at, (offset, n) in enumerate(fragments) if _ends_frame(body, offset, n)]
        starts = [0, *(at + 1 for at in ends[:-1])]
    frames = _split(fragments, starts) if len(starts) == count else None
    if frames is None:
        raise MalformedDicom(f"{len(fragments)} fragments can't be told apart into {count} frames")
    return frames


def _begins(body: Body, offset: int, length: int) -> bool:
    return body[offset : offset + min(length, _LONGEST_START)].startswith(_STARTS)


def _ends_frame(body: Body, offset: int, length: int) -> bool:
    """Whether the fragment has an end of image marker at its end, padding aside."""
    return body[max(offset, offset + length - 4) : offset + length].rstrip(b"\0").endswith(_END)


def _split(fragments: Sequence[Fragment], starts: Sequence[int]) -> Frames | None:
    """Frames that begin at the given fragments; None unless the starts ascend from 0."""
    stops = (*starts[1:], len(fragments))
    if any(start >= stop for start, stop in zip(starts, stops, strict=True)):
        return None
    pairs = zip(starts, stops, strict=True)
    return tuple(_extents(fragments[start:stop]) for start, stop in pairs)


def _integers(raw: bytes, code: str) -> tuple[int, ...]:
    return struct.unpack(f"<{len(raw) // struct.calcsize('<' + code)}{code}", raw)
