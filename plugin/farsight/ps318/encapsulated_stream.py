"""Compressed pixels that were sent as they stand in a file: one value with all of its items.

PS3.18 wants one part a frame (8.7.3.3.2), but pydicom for one puts the whole value of a compressed
file into InlineBinary: the offset table, the fragments, at times the delimiter (PS3.5 A.4). No
codestream begins like an item, nor does a deflated frame, so that the two can be told apart.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from farsight.dicom.encapsulated import ITEM_LITTLE, MAX_FRAGMENTS
from farsight.dicom.writing import SEQUENCE_END, Piece
from farsight.ps318.refused import ValueUnfit

_LENGTH: Final = struct.Struct("<L")


def is_stream(value: Piece) -> bool:
    """Whether it begins with an item."""
    return bytes(value[:4]) == ITEM_LITTLE


def frames_within(value: Piece, count: int, *, is_video: bool) -> Sequence[Piece]:
    """`count` frames, padded as they were; video, and what is a single fragment, is one piece.

    Which fragments make up a frame is told by their number or by the Basic Offset Table, never
    guessed. Only a frame in several fragments is copied. Raises: ValueUnfit.
    """
    table, *fragments = _items(value)
    if not fragments:
        raise ValueUnfit("its items hold an offset table only")
    if is_video or count == 1 or len(fragments) == 1:
        return [_joined(fragments)]
    if len(fragments) == count:
        return fragments
    starts = _starts(bytes(table), fragments)
    if len(starts) != count:
        raise ValueUnfit(f"no offset table tells which of its fragments make up {count} frames")
    stops = [*starts[1:], len(fragments)]
    return [_joined(fragments[one:end]) for one, end in zip(starts, stops, strict=True)]


def _items(value: Piece) -> list[memoryview]:
    """Those up to the end of the value, or up to the delimiter that ends it."""
    view = memoryview(value)
    stop = len(view) - (len(SEQUENCE_END) if bytes(view[-8:]) == SEQUENCE_END else 0)
    found: list[memoryview] = []
    at = 0
    while at < stop:
        end = at + 8 + _LENGTH.unpack_from(view, at + 4)[0] if at + 8 <= stop else stop + 1
        if bytes(view[at : at + 4]) != ITEM_LITTLE or end > stop or end % 2:
            raise ValueUnfit("its items do not fill it")
        found.append(view[at + 8 : end])
        if len(found) > MAX_FRAGMENTS:
            raise ValueUnfit(f"it has more than {MAX_FRAGMENTS} items")
        at = end
    return found


def _starts(table: bytes, fragments: Sequence[memoryview]) -> list[int]:
    """Numbers of the fragments that frames begin with; empty where the table tells none."""
    numbers: dict[int, int] = {}
    at = 0
    for number, fragment in enumerate(fragments):
        numbers[at] = number
        at += 8 + len(fragment)
    offsets = struct.unpack(f"<{len(table) // 4}L", table[: len(table) // 4 * 4])
    starts = [numbers.get(offset, -1) for offset in offsets]
    ascend = all(one < other for one, other in pairwise(starts))
    return starts if starts[:1] == [0] and ascend else []


def _joined(fragments: Sequence[memoryview]) -> Piece:
    return fragments[0] if len(fragments) == 1 else b"".join(fragments)
