"""One instance to read frames and bulk data of, whether it is in memory or in its file."""

from __future__ import annotations

from collections.abc import Sequence

from farsight.dicom.elements import DataSet, DicomObject, Instance
from farsight.dicom.far_body import FarBody
from farsight.dicom.scan import PIXELS
from farsight.ports.archive import StoredObject
from farsight.ps318.bulk_data import BulkData, find_bulk_data
from farsight.ps318.fragments import Extent
from farsight.ps318.frames import (
    FrameIndex,
    found_frames,
    frame_bytes,
    frame_index,
    is_quick,
)

#: What lies between two stretches costs less to read along than another call.
_NEAR_BYTES = 4096


class OpenInstance:
    """Stays what it was, also when the instance is replaced or deleted meanwhile.

    `header`: the instance; of one in a file the long values are missing.
    """

    __slots__ = ("_file", "_frames", "header")

    def __init__(
        self,
        header: Instance,
        file: StoredObject | None = None,
        frames: FrameIndex | None = None,
    ) -> None:
        """`file`: where the long values are, if they are not in `header`; `frames`: if known."""
        self.header = header
        self._file = file
        self._frames = frames

    @property
    def is_in_memory(self) -> bool:
        return self._file is None

    def frames(self, holder: DataSet | None = None) -> FrameIndex:
        """Where the frames are; `holder` as for frame_index.

        Raises: UnsupportedDicom without pixel data, MalformedDicom, ArchiveError.
        """
        if holder is not None and holder is not self.header:
            return frame_index(self.header, holder)
        if self._frames is None:
            if isinstance(self.header, DicomObject):
                self._frames = found_frames(self.header)
            else:
                self._frames = frame_index(self.header, file=self._far_body())
        return self._frames

    def frame(self, index: FrameIndex, number: int) -> bytes | memoryview:
        """One frame of what `frames` found; of a file not more than the frame is read.

        Raises: NotFound for a number out of range, MalformedDicom where the pixel data ends early,
        ArchiveError.
        """
        if self._file is None or index is not self._frames or not self._has_pixels_in_file():
            return frame_bytes(self.header, index, number)
        return index.assemble(_read(self._file, index.extents(number)), number)

    def frames_at_hand(self) -> FrameIndex | None:
        """The same, where it takes no time to tell. Raises: UnsupportedDicom, MalformedDicom."""
        if self._frames is None:
            if self._file is not None:
                return None
            if not is_quick(self.header) and self.header.recall(found_frames) is None:
                return None
        return self.frames()

    def frame_at_hand(self, index: FrameIndex, number: int) -> bytes | memoryview | None:
        """A frame in one piece, where no disk has to be waited for; else None. Raises: as frame."""
        if self._file is None or not self._has_pixels_in_file():
            return self.frame(index, number)
        (extent,) = index.extents(number)
        chunk = self._file.read_at_hand(*extent)
        return None if chunk is None else index.assemble([chunk], number)

    def frame_bytes(self, index: FrameIndex, number: int) -> int:
        """How long a frame in fragments is: a video is one, and longer than memory."""
        return sum(extent.length for extent in index.extents(number))

    def stretch(self, index: FrameIndex, number: int, start: int, length: int) -> bytes:
        """Bytes of a frame in fragments, of a file no more than those are read.

        Raises: as frame.
        """
        pieces: list[bytes] = []
        for at, size in index.extents(number):
            first, last = max(start, 0), min(start + length, size)
            if first < last:
                pieces.append(self._read_at(at + first, last - first))
            start -= size
        return b"".join(pieces)

    def _read_at(self, start: int, length: int) -> bytes:
        if self._file is None or not self._has_pixels_in_file():
            return bytes(memoryview(self.header.body)[start : start + length])
        return self._file.read(start, length)

    def bulk_data(self, path: str) -> BulkData:
        """Raises: as find_bulk_data, ArchiveError."""
        return find_bulk_data(self.header, path, self._far_body())

    def _has_pixels_in_file(self) -> bool:
        here = next((tag for tag in PIXELS if tag in self.header.elements), 0)
        return here in self.header.left_out

    def _far_body(self) -> FarBody | None:
        return None if self._file is None else FarBody(self._file.read, self._file.size)


def _read(file: StoredObject, extents: Sequence[Extent]) -> list[bytes | memoryview]:
    """The stretches, in one go where they follow on each other."""
    first, last = extents[0], extents[-1]
    stop = last.offset + last.length
    between = stop - first.offset - sum(extent.length for extent in extents)
    if len(extents) == 1 or not 0 <= between <= _NEAR_BYTES + 8 * len(extents):
        return [file.read(*extent) for extent in extents]
    chunk = memoryview(file.read(first.offset, stop - first.offset))
    return [chunk[at - first.offset : at - first.offset + length] for at, length in extents]
