"""What a compressed frame says of its own size and colours, read before any codec is.

A codec allocates what its input claims; so the claim is compared with the data set's first.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import unpack_from
from typing import Final

from farsight.errors import MalformedDicom

#: Start of frame: every process but the arithmetic markers' neighbours DHT, JPG and DAC.
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_ALONE: Final = frozenset((0x01, *range(0xD0, 0xD9)))
_SIGNATURE_JP2: Final = b"\x00\x00\x00\x0cjP  "


@dataclass(frozen=True, slots=True)
class Codestream:
    """rows, columns and components as the codestream has them; bits: precision of a component.

    transformed: whether its colours are known to be YCbCr (True) or not to be (False).
    """

    rows: int
    columns: int
    components: int
    bits: int
    transformed: bool | None = None


def read_jpeg(data: bytes | memoryview) -> Codestream:
    """JPEG and JPEG-LS (ITU-T T.81 B.2, T.87 C.2). Raises: MalformedDicom."""
    at, transformed = 2, None
    if bytes(data[:2]) != b"\xff\xd8":
        raise MalformedDicom("the frame is no JPEG codestream")
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _ALONE:
            at += 2
            continue
        (length,) = unpack_from(">H", data, at + 2)
        body = bytes(data[at + 4 : at + 2 + min(length, 24)])
        if marker in _FRAMES and len(body) >= 6:
            bits, rows, columns, components = unpack_from(">BHHB", body)
            if components == 3 and body[6::3][:3] == b"RGB":
                transformed = False
            return Codestream(rows, columns, components, bits, transformed)
        if marker == 0xEE and body[:5] == b"Adobe" and len(body) >= 12:
            transformed = body[11] != 0
        elif marker == 0xE0 and body[:4] == b"JFIF" and transformed is None:
            transformed = True
        at += 2 + length
    raise MalformedDicom("the frame's JPEG codestream has no size")


def read_jpeg_2000(data: bytes | memoryview) -> Codestream:
    """JPEG 2000 and HTJ2K, bare or in a JP2 file: SIZ (ITU-T T.800 A.5.1, I.5.4).

    Raises: MalformedDicom.
    """
    at = _boxed(data, {b"jp2c": 0}) if bytes(data[:8]) == _SIGNATURE_JP2 else 0
    raw = bytes(data[at : at + 44])
    if len(raw) < 44 or raw[:4] != b"\xff\x4f\xff\x51":
        raise MalformedDicom("the frame is no JPEG 2000 codestream")
    right, bottom, left, top = unpack_from(">LLLL", raw, 8)
    (components,) = unpack_from(">H", raw, 40)
    bits = (raw[42] & 0x7F) + 1
    return Codestream(max(bottom - top, 0), max(right - left, 0), components, bits)


def _boxed(data: bytes | memoryview, wanted: dict[bytes, int]) -> int:
    """Where the first box of a wanted type has its codestream, so many bytes into its content."""
    at = 0
    while at + 8 <= len(data):
        size, kind = unpack_from(">L4s", data, at)
        head = 8
        if size == 1 and at + 16 <= len(data):
            head, (size,) = 16, unpack_from(">Q", data, at + 8)
        if kind in wanted:
            return at + head + wanted[kind]
        if size < head:
            break
        at += size
    raise MalformedDicom("the frame is a file without a codestream")


# ---- JPEG XL

_SIGNATURE_JXL: Final = b"\x00\x00\x00\x0cJXL "
_RATIOS: Final = ((1, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_Choice = tuple[int, int]
_SIZES: Final[tuple[_Choice, ...]] = ((1, 9), (1, 13), (1, 18), (1, 30))
_DEPTHS: Final[tuple[_Choice, ...]] = ((8, 0), (10, 0), (12, 0), (1, 6))
_ENUMERATED: Final[tuple[_Choice, ...]] = ((0, 0), (1, 0), (2, 4), (18, 6))
_EXTRA_CHANNELS: Final[tuple[_Choice, ...]] = ((0, 0), (1, 0), (2, 4), (1, 12))
_GREY: Final = 1


class _Bits:
    """Bits of a byte string, the lowest first; beyond its end MalformedDicom."""

    def __init__(self, data: bytes) -> None:
        self._bits, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise MalformedDicom("the frame's JPEG XL codestream has no size")
        found = self._bits & ((1 << count) - 1)
        self._bits >>= count
        self._left -= count
        return found

    def choose(self, choices: tuple[_Choice, ...]) -> int:
        """One of four ways to write a number: what is added, and how many bits follow."""
        base, count = choices[self.take(2)]
        return base + self.take(count)


def read_jpeg_xl(data: bytes | memoryview) -> Codestream:
    """JPEG XL, bare or in its container: SizeHeader and ImageMetadata (ISO/IEC 18181-1 D.2, D.3).

    Frames are still pictures of grey or colour: animations, previews and channels beside are
    refused. Raises: MalformedDicom.
    """
    boxed = bytes(data[:8]) == _SIGNATURE_JXL
    at = _boxed(data, {b"jxlc": 0, b"jxlp": 4}) if boxed else 0
    raw = bytes(data[at : at + 64])
    if raw[:2] != b"\xff\x0a":
        raise MalformedDicom("the frame is no JPEG XL codestream")
    bits = _Bits(raw[2:])
    rows, columns = _jpeg_xl_size(bits)
    if bits.take(1):  # all by default
        return Codestream(rows, columns, 3, 8)
    if bits.take(1):
        orientation, has_size = 1 + bits.take(3), bits.take(1)
        if has_size:
            _jpeg_xl_size(bits)
        if bits.take(2):
            raise MalformedDicom("the frame's JPEG XL codestream has a preview, or is an animation")
        if orientation > 4:
            rows, columns = columns, rows
    if bits.take(1):
        raise MalformedDicom("the frame's JPEG XL codestream has no whole numbers")
    depth = bits.choose(_DEPTHS)
    bits.take(1)
    if bits.choose(_EXTRA_CHANNELS):
        raise MalformedDicom("the frame's JPEG XL codestream has channels beside its colours")
    bits.take(1)
    is_grey = not bits.take(1) and not bits.take(1) and bits.choose(_ENUMERATED) == _GREY
    return Codestream(rows, columns, 1 if is_grey else 3, depth)


def _jpeg_xl_size(bits: _Bits) -> tuple[int, int]:
    is_small = bits.take(1)
    rows = 8 * (1 + bits.take(5)) if is_small else bits.choose(_SIZES)
    ratio = bits.take(3)
    if ratio:
        times, by = _RATIOS[ratio]
        return rows, rows * times // by
    return rows, 8 * (1 + bits.take(5)) if is_small else bits.choose(_SIZES)
