"""Where the frames of an instance lie, and their bytes (PS3.5 A.4, PS3.3 C.7.6.3, PS3.18 8.7.3.3).

An index holds positions only, so it may be kept without the object; a frame's position is
found without reading any frame. Numbers of frames start at 1, as in WADO-RS.

What is handed out: native cells in little endian, 1-bit frames shifted to begin in the first
bit of the first byte; of encapsulated data the fragments joined, without item tags. A byte that
pads an encapsulated frame to even length is part of its fragment and stays, except where an
Extended Offset Table tells the true length: decoders stop at their end marker, and nobody else
can tell padding from data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from farsight.dicom.byte_order import swapped, word_bytes_of
from farsight.dicom.elements import DataSet, Instance
from farsight.dicom.encapsulated import fragments_of
from farsight.dicom.far_body import FarBody
from farsight.dicom.positions import Element
from farsight.dicom.scan import PIXELS
from farsight.dicom.transfer_syntax import (
    ENCAPSULATED_UNCOMPRESSED,
    EXPLICIT_VR_LITTLE_ENDIAN,
    NATIVE,
)
from farsight.errors import MalformedDicom, NotFound, UnsupportedDicom
from farsight.ps318.fragments import Extent, Frames, encapsulated_frames
from farsight.ps318.frame_media_type import OCTET_STREAM, frame_media_type

_NUMBER_OF_FRAMES: Final = 0x00280008
_FEW_BYTES: Final = 32_768
#: Extended Offset Table and its lengths (PS3.3 C.7.6.3.1.8).
_EXTENDED: Final = (0x7FE00001, 0x7FE00002)
#: An index of more stretches than that takes too much room to be kept beside its object.
_MOST_KEPT: Final = 50_000
_PLANES_422: Final = frozenset(("YBR_FULL_422", "YBR_PARTIAL_422"))


class FrameIndex(Protocol):
    """The frames of one instance.

    media_type and transfer_syntax_uid are those of the bytes handed out: native frames always
    are Explicit VR Little Endian. extents(n) are the stretches of `DicomObject.body` that frame
    n needs, which are stretches of the file too unless the object is deflated; assemble(chunks)
    makes the frame of their bytes.
    """

    @property
    def number_of_frames(self) -> int: ...
    @property
    def media_type(self) -> str: ...
    @property
    def transfer_syntax_uid(self) -> str: ...

    def extents(self, number: int) -> Sequence[Extent]:
        """Raises: NotFound for a number out of range, MalformedDicom if the pixels end early."""
        ...

    def assemble(self, chunks: Sequence[bytes | memoryview], number: int) -> bytes | memoryview:
        """The frame, from the bytes of its extents in order."""
        ...

    @property
    def number_of_extents(self) -> int:
        """How many stretches it remembers."""
        ...

    @property
    def may_be_kept(self) -> bool:
        """Whether it is small enough to be kept beside its object."""
        ...

    def bytes_in_place(self, number: int) -> int | None:
        """How long the frame is, where it lies in the object as it is sent; else None."""
        ...


@dataclass(frozen=True, slots=True)
class NativeFrames:
    """Frames as one array of cells: offset and length in bytes of the array, bits per frame."""

    number_of_frames: int
    offset: int
    length: int
    frame_bits: int
    word_bytes: int
    media_type: str = OCTET_STREAM
    transfer_syntax_uid: str = EXPLICIT_VR_LITTLE_ENDIAN

    def extents(self, number: int) -> Sequence[Extent]:
        _check(number, self.number_of_frames)
        first = (number - 1) * self.frame_bits // 8
        stop = -(-number * self.frame_bits // 8)
        if stop > self.length:
            raise MalformedDicom(f"pixel data ends within frame {number}")
        first -= first % self.word_bytes
        stop = min(stop + -stop % self.word_bytes, self.length)
        return (Extent(self.offset + first, stop - first),)

    def assemble(self, chunks: Sequence[bytes | memoryview], number: int) -> bytes | memoryview:
        chunk = memoryview(chunks[0])
        cells = chunk if self.word_bytes == 1 else memoryview(swapped(chunk, self.word_bytes))
        first_bit = (number - 1) * self.frame_bits
        if self.frame_bits % 8 == 0:
            skip = first_bit // 8 % self.word_bytes
            return cells[skip : skip + self.frame_bits // 8]
        bits = int.from_bytes(cells, "little") >> first_bit % (8 * self.word_bytes)
        size = -(-self.frame_bits // 8)
        return (bits & (1 << self.frame_bits) - 1).to_bytes(size, "little")

    @property
    def number_of_extents(self) -> int:
        return 1

    @property
    def may_be_kept(self) -> bool:
        return True

    def bytes_in_place(self, number: int) -> int | None:  # noqa: ARG002 - all are alike
        return self.frame_bits // 8 if self.word_bytes == 1 and self.frame_bits % 8 == 0 else None


@dataclass(frozen=True, slots=True)
class EncapsulatedFrames:
    """Frames in fragments: per frame where its bytes lie."""

    frames: tuple[tuple[Extent, ...], ...]
    media_type: str
    transfer_syntax_uid: str

    @property
    def number_of_frames(self) -> int:
        return len(self.frames)

    def extents(self, number: int) -> Sequence[Extent]:
        _check(number, len(self.frames))
        return self.frames[number - 1]

    def assemble(
        self,
        chunks: Sequence[bytes | memoryview],
        number: int,  # noqa: ARG002 - every fragment is used whole, whichever frame it is
    ) -> bytes | memoryview:
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    @property
    def number_of_extents(self) -> int:
        return sum(map(len, self.frames))

    @property
    def may_be_kept(self) -> bool:
        return self.number_of_extents <= _MOST_KEPT

    def bytes_in_place(self, number: int) -> int | None:
        extents = self.extents(number)
        return extents[0].length if len(extents) == 1 else None


def frame_index(
    instance: Instance, holder: DataSet | None = None, file: FarBody | None = None
) -> FrameIndex:
    """Find the frames. `holder`: the item that has the pixels, an icon's, if not the instance.

    `file`: where the pixels are if they were left out of the instance.

    Raises: UnsupportedDicom without pixel data, MalformedDicom.
    """
    pixels = instance if holder is None else holder
    element = _pixels(pixels)
    if element is None or element.length == 0:
        raise UnsupportedDicom("the instance has no pixel data")
    number_of_frames = pixels.number(_NUMBER_OF_FRAMES)
    count = max(int(number_of_frames), 1) if isinstance(number_of_frames, int) else 1
    syntax = instance.transfer_syntax_uid
    if not element.undefined:
        if syntax not in NATIVE:
            raise UnsupportedDicom(f"pixel data in transfer syntax {syntax} is not encapsulated")
        return _native(pixels, element, count)
    if file is None:
        walked = fragments_of(pixels.body, element)
        frames = encapsulated_frames(pixels, walked, count, syntax, pixels.body)
    else:
        frames = encapsulated_frames(pixels, file.fragments_of(element), count, syntax, file)
    return known_frames(instance, frames)


def known_frames(instance: Instance, frames: Frames) -> EncapsulatedFrames:
    """The index of encapsulated pixels whose frames were found before."""
    syntax = instance.transfer_syntax_uid
    if syntax == ENCAPSULATED_UNCOMPRESSED:
        syntax = EXPLICIT_VR_LITTLE_ENDIAN
    return EncapsulatedFrames(frames, frame_media_type(syntax), syntax)


def found_frames(instance: Instance) -> FrameIndex:
    """Looked for once per object, where that can be kept. Raises: as frame_index."""
    index = instance.recall(found_frames)
    if index is None:
        index = frame_index(instance)
        if index.may_be_kept:
            instance.keep(found_frames, index)
    return index


def is_quick(instance: Instance) -> bool:
    """Whether `frame_index` takes no time: there are no fragments, or few bytes of them."""
    element = _pixels(instance)
    if element is None or not element.undefined:
        return True
    tables = (instance.elements[tag].length for tag in _EXTENDED if tag in instance.elements)
    return element.length + sum(tables) <= _FEW_BYTES


def _pixels(holder: DataSet) -> Element | None:
    return next((holder.elements[tag] for tag in PIXELS if tag in holder.elements), None)


def frame_bytes(instance: DataSet, index: FrameIndex, number: int) -> bytes | memoryview:
    """One frame, without a copy where it lies in one piece.

    Raises: NotFound for a number out of range, MalformedDicom where the pixel data ends early.
    """
    body = memoryview(instance.body)
    chunks: list[bytes | memoryview] = []
    for at, length in index.extents(number):
        chunks.append(chunk := body[at : at + length])
        if len(chunk) != length:
            raise MalformedDicom(f"frame {number} isn't where it is said to be")
    return index.assemble(chunks, number)


def _native(instance: DataSet, element: Element, count: int) -> NativeFrames:
    cells = instance.count(0x00280010, "Rows") * instance.count(0x00280011, "Columns")
    samples = instance.count(0x00280002, "SamplesPerPixel")
    bits = instance.count(0x00280100, "BitsAllocated")
    frame_bits = cells * samples * bits
    if instance.text(0x00280004) in _PLANES_422 and count * frame_bits > 8 * element.length:
        frame_bits = frame_bits // samples * 2  # chrominance of two pixels at a time (C.7.6.3.1.2)
    return NativeFrames(
        number_of_frames=count,
        offset=element.value_offset,
        length=element.length,
        frame_bits=frame_bits,
        word_bytes=word_bytes_of(instance, element),
    )


def _check(number: int, number_of_frames: int) -> None:
    if not 1 <= number <= number_of_frames:
        raise NotFound(f"frame {number} does not exist: the instance has {number_of_frames}")
