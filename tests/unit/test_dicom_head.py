"""Heads of files: the same as the whole file says, and none of its long values read."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from corpus import CorpusFile, manifest, requires_corpus
from farsight.dicom import head as head_module
from farsight.dicom.elements import DicomHead, DicomObject
from farsight.dicom.far_body import FarBody
from farsight.dicom.head import head_in, head_of
from farsight.dicom.part10 import parse_object
from farsight.errors import FarsightError, MalformedDicom
from farsight.ps318.dicom_json import object_json
from farsight.ps318.frames import frame_index
from multi_frame import encapsulated, slice_bytes

PIXELS = 0x7FE00010
ROOT = "https://pacs.example.org/bulkdata"


class Counted:
    """A file; tells how many bytes of it were read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.bytes = 0

    def read(self, start: int, length: int) -> bytes:
        assert 0 <= start <= start + length <= len(self.data), "read beyond the end"
        self.bytes += length
        return self.data[start : start + length]

    def body(self) -> FarBody:
        return FarBody(self.read, len(self.data))


def agrees(data: bytes) -> bool:
    """Whether there is a head; then it says what the whole file says."""
    try:
        whole = parse_object(data)
    except MalformedDicom:
        whole = None
    file = Counted(data).body()
    if whole is not None and (inner := head_in(whole)) is not None:
        assert_same(inner, whole, file)
    try:
        head = head_of(file)
    except MalformedDicom:
        assert whole is None, "only what can't be read may be refused"
        return False
    if head is None:
        return False
    assert whole is not None, "what can't be read has no head"
    assert_same(head, whole, file)
    return True


def assert_same(head: DicomHead, whole: DicomObject, file: FarBody) -> None:
    assert object_json(head, ROOT) == object_json(whole, ROOT)
    assert head.transfer_syntax_uid == whole.transfer_syntax_uid
    for tag in head.left_out:
        assert head.elements[tag] == whole.elements[tag]
        with pytest.raises(LookupError):
            head.raw(tag)
        with pytest.raises(LookupError):
            head.view(tag)
    if PIXELS in head.left_out:
        assert _index(head, file) == _index(whole, None)


def _index(instance: Any, file: FarBody | None) -> object:
    try:
        return frame_index(instance, file=file)
    except FarsightError as error:
        return type(error), str(error)


@requires_corpus
@pytest.mark.parametrize("file", manifest(), ids=lambda file: file.name)
def test_real_files(file: CorpusFile, monkeypatch: pytest.MonkeyPatch) -> None:
    data = file.read()
    agrees(data)
    monkeypatch.setattr(head_module, "_STEP_BYTES", 777)  # what is cut is cut in many places
    agrees(data)


def test_what_is_in_a_file_that_was_read_whole() -> None:
    """All before the pixels, and not a byte of them; where something comes behind them, nothing."""
    whole = parse_object(slice_bytes(1, _large))
    head = head_in(whole)
    assert head is not None
    assert head.left_out == {PIXELS}
    assert len(head.body) == whole.elements[PIXELS].value_offset < 5_000

    def trail(made: Any) -> None:
        _large(made)
        made.add_new(0xFFFCFFFC, "OB", b"\1" * 10)

    assert head_in(parse_object(slice_bytes(1, trail))) is None
    small = parse_object(slice_bytes(1, lambda made: setattr(made, "PixelData", bytes(100))))
    assert head_in(small) is None, "it is no longer than its head"


@pytest.mark.parametrize("table", [False, True])
def test_frames_are_not_read(table: bool) -> None:
    data = encapsulated(300, 20_000, table=table)
    file = Counted(data)
    body = file.body()
    head = head_of(body)
    assert head is not None
    assert head.left_out == {PIXELS}
    frame_index(head, file=body)
    assert file.bytes < 300 * 600 + 200_000 < len(data) // 10
    assert agrees(data)


def test_elements_behind_the_pixels() -> None:
    def change(made: Any) -> None:
        made.PixelData = bytes(300_000)
        made.add_new(0xFFFCFFFC, "OB", b"\1" * 100_000)
        made.add_new(0x7FE10010, "LO", "FARSIGHT TEST")
        made.add_new(0x7FE11001, "OB", b"\2" * 80_000)
        made.add_new(0x7FE11002, "LO", "after both")

    data = slice_bytes(1, change)
    file = Counted(data)
    head = head_of(file.body())
    assert head is not None
    assert head.left_out == {PIXELS, 0x7FE11001, 0xFFFCFFFC}
    assert head.text(0x7FE11002) == "after both"
    assert agrees(data)


def test_a_tag_that_comes_again() -> None:
    """As everywhere the last one counts, also if it is short and the first one was left out."""
    data = slice_bytes(1, lambda made: setattr(made, "PixelData", bytes(300_000)))
    data += struct.pack("<HH2sHL", 0x7FE0, 0x10, b"OW", 0, 4) + b"abcd"
    head = head_of(Counted(data).body())
    assert head is not None
    assert not head.left_out
    assert head.raw(PIXELS) == b"abcd"
    assert agrees(data)


def test_a_vr_of_the_future() -> None:
    """Its length of 32 bits is believed where the value fits into the file, not the buffer."""
    data = slice_bytes(1)
    at = data.index(struct.pack("<HH", 0x7FE0, 0x10) + b"OW")
    value = bytes(100_000)
    strange = struct.pack("<HH2sHL", 0x7FD1, 0x1001, b"ZZ", 0, len(value)) + value
    assert agrees(data[:at] + strange + data[at:])


def test_long_text_is_kept() -> None:
    data = slice_bytes(1, lambda made: made.add_new(0x0040A160, "UT", "ä" * 200_000))
    head = head_of(Counted(data).body())
    assert head is not None
    assert not head.left_out
    assert agrees(data)


@pytest.mark.parametrize("keep", [10, 131, 140, 200, 400, 700, 5_000, 200_000, 599_000])
def test_files_that_are_cut_off(keep: int) -> None:
    """Never another answer than the whole file would give."""
    for whole in (encapsulated(30, 20_000), slice_bytes(1, _large)):
        agrees(whole[: min(keep, len(whole) - 1)])


def _large(made: Any) -> None:
    made.PixelData = bytes(600_000)


def test_a_length_beyond_the_file() -> None:
    data = bytearray(slice_bytes(1, _large))
    at = data.index(struct.pack("<HH", 0x7FE0, 0x10) + b"OW")
    data[at + 8 : at + 12] = struct.pack("<L", 0xFFFFFFF0)
    assert not agrees(bytes(data))


def test_fragments_without_end() -> None:
    data = encapsulated(30, 20_000)
    assert not agrees(data[:-8])


def test_more_values_than_anybody_has_are_left_to_who_reads_all() -> None:
    def change(made: Any) -> None:
        made.add_new(0x00290010, "LO", "FARSIGHT TEST")
        for number in range(40):
            made.add_new(0x00291000 + number, "OB", bytes(100_000))

    file = Counted(slice_bytes(1, change))
    assert head_of(file.body()) is None
    assert file.bytes < len(file.data), "it doesn't go on for ever"
