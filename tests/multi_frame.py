"""Encapsulated multi-frame objects made on the spot; every frame is another."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from io import BytesIO
from itertools import pairwise
from typing import Any

from sample_files import ct_slice

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
_ITEM = 0xE000


def frame_of(number: int, size: int) -> bytes:
    """What frame `number` holds: begins and ends as a JPEG does, nothing in between is one."""
    noise = random.Random(number).randbytes(size - 9)
    return b"\xff\xd8\xff" + struct.pack("<L", number) + noise + b"\xff\xd9"


def encapsulated(
    frames: int, size: int, *, table: bool = False, fragments: int = 1, instance: int = 1
) -> bytes:
    """A DICOM file with JPEG frames of `size` bytes (even), each in so many fragments.

    `table`: the Basic Offset Table is filled.
    """
    offsets: list[int] = []
    items = bytearray()
    for number in range(1, frames + 1):
        offsets.append(len(items))
        data = frame_of(number, size)
        step = size // fragments & ~1
        cuts = [*range(0, step * fragments, step), size]
        for start, stop in pairwise(cuts):
            items += _item(data[start:stop])
    basic = struct.pack(f"<{frames}L", *offsets) if table else b""

    def change(made: Any) -> None:
        made.NumberOfFrames = frames
        made.PixelData = _item(basic) + bytes(items)  # pydicom adds the delimiter
        made["PixelData"].is_undefined_length = True
        made["PixelData"].VR = "OB"
        made.file_meta.TransferSyntaxUID = JPEG_BASELINE

    return slice_bytes(instance, change)


def slice_bytes(instance: int, change: Callable[..., None] = lambda _made: None) -> bytes:
    """A CT slice as a DICOM file, changed."""
    made = ct_slice(instance)
    change(made)
    written = BytesIO()
    made.save_as(written, enforce_file_format=True)
    return written.getvalue()


def _item(data: bytes) -> bytes:
    return struct.pack("<HHL", 0xFFFE, _ITEM, len(data)) + data
