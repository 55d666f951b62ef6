"""A file that isn't in memory, for looking at a few bytes in many places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from farsight.dicom.encapsulated import SEQUENCE_ENDS, Fragment, walk_fragments
from farsight.dicom.positions import Element

#: Reads a stretch of the file: position and length in bytes, all of which are there.
Read = Callable[[int, int], bytes]

#: What is read at least: the headers of small fragments come many at a time, and of large ones a
#: page has to be fetched anyway.
_WINDOW_BYTES: Final = 512


class FarBody:
    """The Body of a file. Remembers the fragments it walked along. Not thread-safe."""

    __slots__ = ("_read", "_start", "_stop", "_walked", "_window", "size")

    def __init__(self, read: Read, size: int) -> None:
        """`size` of the file in bytes."""
        self._read = read
        self.size = size
        self._start = self._stop = 0
        self._window = b""
        self._walked: dict[int, tuple[list[Fragment], int]] = {}

    def __getitem__(self, stretch: slice, /) -> bytes:
        start, stop = stretch.start, stretch.stop
        if start < self._start or stop > self._stop:
            stop = min(stop, self.size)
            if start >= stop:
                return b""
            self._window = self._read(
                start, min(max(stop - start, _WINDOW_BYTES), self.size - start)
            )
            self._start, self._stop = start, start + len(self._window)
        return self._window[start - self._start : stop - self._start]

    def read(self, start: int, length: int) -> bytes:
        """All of a stretch that is there."""
        return self._read(start, length)

    def walk(self, start: int) -> tuple[list[Fragment], int]:
        """The fragments of a value that begins at `start`, and where their delimiter stands.

        Raises: MalformedDicom.
        """
        if start not in self._walked:
            self._walked[start] = walk_fragments(self, start, self.size)
        return self._walked[start]

    def note_end(self, start: int, stop: int) -> bool:
        """Says where the delimiter of the fragments at `start` is, if it is there.

        Their fragments aren't known by that.
        """
        is_there = self[stop : stop + 4] in SEQUENCE_ENDS
        if is_there:
            self._walked[start] = ([], stop)
        return is_there

    def fragments_of(self, element: Element) -> list[Fragment]:
        """The fragments of a value of undefined length. Raises: MalformedDicom."""
        return self.walk(element.value_offset)[0]
