"""Where the frames of a large file are, as it is kept with the instance: found once, by a walk.

A record is: four bytes that name it, the version of its format, the length of the identity of the
file it is of, that identity, and zipped: where the encapsulated pixel data begins and ends, how
many stretches each frame has, and the stretches. It counts for that very file only.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from farsight.ps318.fragments import Extent, Frames

_NAME: Final = b"FSFO"
_FORMAT: Final = 1
_START: Final = struct.Struct("<4sBH")
_PIXELS: Final = struct.Struct("<QQL")
_MAX_BYTES: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class KeptOutline:
    """The pixels lie in the file from `start` to their delimiter at `stop`."""

    start: int
    stop: int
    frames: Frames

    def to_bytes(self, identity: str) -> bytes:
        """`identity`: what names the file for ever."""
        name = identity.encode("utf-8")
        places = list(chain.from_iterable(chain.from_iterable(self.frames)))
        body = b"".join(
            (
                _PIXELS.pack(self.start, self.stop, len(self.frames)),
                struct.pack(f"<{len(self.frames)}L", *map(len, self.frames)),
                struct.pack(f"<{len(places)}Q", *places),
            )
        )
        return _START.pack(_NAME, _FORMAT, len(name)) + name + zlib.compress(body, 1)


def read_outline(data: bytes, identity: str, size: int) -> KeptOutline | None:
    """The record if it is one of this file of `size` bytes, and can be true of it."""
    name = identity.encode("utf-8")
    head = _START.pack(_NAME, _FORMAT, len(name)) + name
    if not data.startswith(head):
        return None
    try:
        body = zlib.decompressobj().decompress(data[len(head) :], _MAX_BYTES)
        start, stop, count = _PIXELS.unpack_from(body)
        counts = struct.unpack_from(f"<{count}L", body, _PIXELS.size)
        at = _PIXELS.size + 4 * count
        places = struct.unpack(f"<{(len(body) - at) // 8}Q", body[at:])
    except (zlib.error, struct.error):
        return None
    if sum(counts) * 2 != len(places) or not all(counts) or not 0 < start <= stop <= size - 8:
        return None
    stretches = list(map(Extent, places[::2], places[1::2]))
    if any(not start < at <= at + length <= stop for at, length in stretches):
        return None
    each = iter(stretches)
    return KeptOutline(start, stop, tuple(tuple(islice(each, n)) for n in counts))
