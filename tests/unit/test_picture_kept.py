"""What is kept of a picture once it was described: of one frame, never for another."""

from __future__ import annotations

from typing import Any

import pytest

from farsight.dicom.elements import DicomObject
from farsight.dicom.part10 import parse_object
from farsight.imaging import describe
from farsight.imaging.describe import picture_of
from multi_frame import slice_bytes

FRAMES = 3


def _made(**changes: Any) -> DicomObject:
    def change(made: Any) -> None:
        made.NumberOfFrames = FRAMES
        made.PixelData = made.PixelData * FRAMES
        for keyword, value in changes.items():
            setattr(made, keyword, value)

    return parse_object(slice_bytes(1, change))


def _with_overlay_from(first_frame: int) -> DicomObject:
    def change(made: Any) -> None:
        made.NumberOfFrames = FRAMES
        made.PixelData = made.PixelData * FRAMES
        made.add_new(0x60000010, "US", 8)
        made.add_new(0x60000011, "US", 8)
        made.add_new(0x60000015, "IS", 2)
        made.add_new(0x60000040, "CS", "G")
        made.add_new(0x60000050, "SS", [1, 1])
        made.add_new(0x60000051, "US", first_frame)
        made.add_new(0x60003000, "OW", b"\x01" * 8 + b"\x02" * 8)

    return parse_object(slice_bytes(1, change))


def test_a_second_look_gives_the_same() -> None:
    instance = _made()
    assert picture_of(instance) is picture_of(instance)
    assert picture_of(instance) == picture_of(_made())


@pytest.mark.parametrize("first_frame", [1, 2])
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (1, 1, 2, 3, 1)])
def test_each_frame_has_its_own_overlay(first_frame: int, order: tuple[int, ...]) -> None:
    instance = _with_overlay_from(first_frame)
    for frame in order:
        fresh = picture_of(_with_overlay_from(first_frame), frame)
        assert picture_of(instance, frame) == fresh
        assert len(fresh.display.overlays) == (first_frame <= frame < first_frame + 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"ICCProfile": b"profile " * 100},
        {"WindowCenter": [1] * 100, "WindowWidth": [2] * 100},
        {"PresentationLUTShape": "INVERSE"},
    ],
    ids=["profile", "windows", "shape"],
)
def test_what_is_heavy_is_not_kept(changes: dict[str, Any]) -> None:
    """They aren't counted as memory."""
    instance = _made(**changes)
    picture_of(instance)
    kept = instance.recall(describe._first_picture)
    assert (kept is None) == ("PresentationLUTShape" not in changes)
