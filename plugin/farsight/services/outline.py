"""What is remembered of a file, so that a frame of it costs a frame."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from farsight.dicom.elements import DicomHead, DicomObject
from farsight.dicom.far_body import FarBody
from farsight.dicom.head import head_in, head_of
from farsight.dicom.positions import Element
from farsight.dicom.scan import PIXELS
from farsight.errors import FarsightError
from farsight.ports.archive import StoredObject
from farsight.ps318.frames import (
    EncapsulatedFrames,
    FrameIndex,
    found_frames,
    frame_index,
    known_frames,
)
from farsight.services.kept_outline import KeptOutline, read_outline

#: What one stretch of a frame, and one element, weigh in Python's own terms.
_EXTENT_BYTES, _ELEMENT_BYTES = 200, 150
#: Fewer are found as fast as they are looked up.
_WORTH_KEEPING = 64


@dataclass(frozen=True, slots=True)
class Outline:
    """`frames`: where they are, if there are any. is_kept: with the instance."""

    head: DicomHead
    frames: FrameIndex | None
    is_kept: bool

    @property
    def bytes(self) -> int:
        """Roughly what it takes in memory."""
        extents = 0 if self.frames is None else self.frames.number_of_extents
        elements = len(self.head.elements)
        return sys.getsizeof(self.head.body) + _ELEMENT_BYTES * elements + _EXTENT_BYTES * extents

    @property
    def is_worth_keeping(self) -> bool:
        """Whether it was long to find, and isn't kept yet."""
        walked = self.frames is not None and self.frames.number_of_extents >= _WORTH_KEEPING
        return walked and not self.is_kept

    def record(self) -> KeptOutline | None:
        """What to keep of it."""
        element = _in_fragments(self.head)
        if element is None or not isinstance(self.frames, EncapsulatedFrames):
            return None
        start = element.value_offset
        return KeptOutline(start, start + element.length, self.frames.frames)


def outline_of(stored: StoredObject, kept: bytes | None) -> Outline | None:
    """None where it takes the whole file to tell. `kept`: what was kept with the instance.

    Raises: MalformedDicom, ArchiveError.
    """
    file = FarBody(stored.read, stored.size)
    record = None
    if kept is not None and stored.identity is not None:
        record = read_outline(kept, stored.identity, stored.size)
    if record is not None and not file.note_end(record.start, record.stop):
        record = None
    head = head_of(file)
    if head is None:
        return None
    element = _in_fragments(head)
    if record is not None and element is not None and element.value_offset == record.start:
        return Outline(head, known_frames(head, record.frames), is_kept=True)
    return Outline(head, _frames(lambda: frame_index(head, file=file)), is_kept=False)


def outline_in(whole: DicomObject) -> Outline | None:
    """Of an image that was read whole; None where it takes that to tell. Raises: MalformedDicom."""
    if not any(tag in whole.elements for tag in PIXELS):
        return None
    head = head_in(whole)
    if head is not None:
        return Outline(head, _frames(lambda: found_frames(whole)), is_kept=False)
    data = memoryview(whole.data)
    file = FarBody(lambda start, length: bytes(data[start : start + length]), len(data))
    head = head_of(file)
    if head is None:
        return None
    # Short pixels stay in the head, where they lie elsewhere than in the file.
    return Outline(head, _frames(lambda: frame_index(head, file=file)), is_kept=False)


def _in_fragments(head: DicomHead) -> Element | None:
    """The pixel data, if it is encapsulated."""
    tag = next((tag for tag in PIXELS if tag in head.elements), 0)
    return head.elements[tag] if tag in head.left_out and head.elements[tag].undefined else None


def _frames(find: Callable[[], FrameIndex]) -> FrameIndex | None:
    """What is wrong with them is told to who asks for one."""
    try:
        return find()
    except FarsightError:
        return None
