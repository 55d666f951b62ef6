"""What was read before is at hand: from its file, without a disk to wait for; nothing stale is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pydicom.examples
import pytest
from pydicom.uid import ImplicitVRLittleEndian

from corpus import CorpusFile, manifest, requires_corpus
from fakes.memory_archive import MemoryArchive
from farsight.dicom.elements import DicomHead
from farsight.errors import FarsightError
from farsight.model import InstanceRef
from farsight.services.memory_tier import MemoryTier
from farsight.services.open_instance import OpenInstance
from farsight.services.stored_instances import LARGE_BYTES, StoredInstances
from multi_frame import encapsulated, frame_of, slice_bytes
from sample_files import instance_uid, series_uid, study_uid

Change = Callable[[Any], None]
REF = InstanceRef(study_uid(), series_uid(), instance_uid(1))
FRAMES, SIZE = 300, 20_000
THIRD = b"\3" * (64 * 64 * 2)
LARGE = encapsulated(FRAMES, SIZE, table=True)


def archive_with(data: bytes) -> tuple[MemoryArchive, StoredInstances]:
    """And memory for nothing at all: what is at hand comes out of the file."""
    archive = MemoryArchive()
    archive.stored[REF] = data
    return archive, StoredInstances(archive, MemoryTier(1))


def read_bytes(archive: MemoryArchive) -> int:
    return sum(length for _, length in archive.pieces)


def frame_at_hand(found: OpenInstance | None, number: int) -> bytes | None:
    assert found is not None
    index = found.frames_at_hand()
    assert index is not None
    frame = found.frame_at_hand(index, number)
    return None if frame is None else bytes(frame)


def native(made: Any) -> None:
    made.NumberOfFrames = 3
    made.PixelData = b"".join(bytes([number]) * (64 * 64 * 2) for number in (1, 2, 3))


def behind_much(made: Any) -> None:
    """As MR functional imaging has it: few pixels behind a long private header."""
    native(made)
    made.add_new(0x00290010, "LO", "SIEMENS CSA HEADER")
    made.add_new(0x00291020, "OB", b"\x0c" * 150_000)


def between_much(made: Any) -> None:
    behind_much(made)
    made.add_new(0x7FE10010, "LO", "FARSIGHT TEST")
    made.add_new(0x7FE11001, "OB", b"\xaa" * 90_000)


def with_a_lut(made: Any) -> None:
    """Whose data is told to be OW or US by its descriptor, while the head is made."""
    behind_much(made)
    made.add_new(0x00283002, "US", [256, 0, 8])
    made.add_new(0x00283006, "OW", bytes(512))
    made.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian


@pytest.mark.parametrize(
    ("data", "number", "frame"),
    [
        (LARGE, 200, frame_of(200, SIZE)),
        (encapsulated(30, SIZE), 7, frame_of(7, SIZE)),
        (slice_bytes(1, native), 3, THIRD),
    ],
    ids=["large", "small", "native"],
)
def test_what_was_opened_before(data: bytes, number: int, frame: bytes) -> None:
    """Without a look into the archive, and no more of the file than the frame."""
    archive, service = archive_with(data)
    assert service.at_hand(REF) is None
    service.open(REF)
    archive.pieces.clear()
    found = service.at_hand(REF)
    assert found is not None
    assert isinstance(found.header, DicomHead)
    assert frame_at_hand(found, number) == frame
    assert read_bytes(archive) == len(frame)


def test_whose_header_was_read() -> None:
    """As it is for metadata: the first frame of it is at hand then."""
    archive, service = archive_with(slice_bytes(1, native))
    head = service.header(REF)
    archive.pieces.clear()
    assert service.header(REF) is head
    assert not archive.pieces
    assert frame_at_hand(service.at_hand(REF), 3) == THIRD


@pytest.mark.parametrize("change", [behind_much, between_much, with_a_lut])
@pytest.mark.parametrize("shorter", [False, True])
def test_pixels_that_lie_elsewhere_in_the_head(change: Change, shorter: bool) -> None:
    def made_so(made: Any) -> None:
        change(made)
        if shorter:
            made.NumberOfFrames, made.PixelData = 1, THIRD

    _, service = archive_with(slice_bytes(1, made_so))
    number = 1 if shorter else 3
    opened = service.open(REF)
    assert bytes(opened.frame(opened.frames(), number)) == THIRD
    assert frame_at_hand(service.at_hand(REF), number) == THIRD
    found = service.at_hand(REF)
    assert found is not None
    assert bytes(found.frame(found.frames(), number)) == THIRD


def test_what_is_known_stays_known() -> None:
    """A new head would have a new tag: clients would load it again."""
    _, service = archive_with(slice_bytes(1, native))
    service.open(REF)
    first = service.at_hand(REF)
    service.open(REF)
    second = service.at_hand(REF)
    assert first is not None
    assert second is not None
    assert first.header is second.header


@pytest.mark.parametrize("data", [LARGE, slice_bytes(1, native)], ids=["large", "small"])
def test_what_has_to_be_waited_for(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    archive, service = archive_with(data)
    before = service.open(REF)
    monkeypatch.setattr("fakes.memory_archive.CountedFile.read_at_hand", lambda *_: None)
    found = service.at_hand(REF)
    assert frame_at_hand(found, 2) is None
    assert found is not None
    assert found.frame(found.frames(), 2) == before.frame(before.frames(), 2)
    monkeypatch.setattr(archive, "open_at_hand", lambda _: None)
    assert service.at_hand(REF) is None


@pytest.mark.parametrize("data", [LARGE, slice_bytes(1, native)], ids=["large", "small"])
def test_what_is_gone_or_another_by_now(data: bytes) -> None:
    archive, service = archive_with(data)
    service.open(REF)
    other = slice_bytes(1, lambda made: setattr(made, "PixelData", bytes(LARGE_BYTES)))
    archive.replace(REF, other)
    assert service.at_hand(REF) is None
    archive.replace(REF, data)
    assert service.at_hand(REF) is not None, "these very bytes are known"
    archive.delete([REF])
    assert service.at_hand(REF) is None


def test_one_that_is_replaced_while_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    archive, service = archive_with(slice_bytes(1, native))
    opened = archive.open

    def replaced_meanwhile(ref: InstanceRef) -> object:
        found = opened(ref)
        archive.replace(ref, encapsulated(30, SIZE))
        return found

    monkeypatch.setattr(archive, "open", replaced_meanwhile)
    service.open(REF)
    monkeypatch.setattr(archive, "open", opened)
    assert service.at_hand(REF) is None


def test_one_that_could_only_be_read_in_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read then may be of another file."""
    archive, service = archive_with(slice_bytes(1, native))

    def broken(*_: object) -> bytes:
        raise FarsightError("the disk is broken")

    archive.store(REF, slice_bytes(1, native))
    with monkeypatch.context() as patched:
        patched.setattr("fakes.memory_archive.CountedFile.read", broken)
        with pytest.raises(FarsightError):
            service.open(REF)
    assert service.at_hand(REF) is None


def test_without_pieces_nothing_is() -> None:
    archive, service = archive_with(LARGE)
    archive.in_pieces = False
    service.open(REF)
    assert service.at_hand(REF) is None


def assert_as_whole(data: bytes) -> bool:
    """Whether it is at hand; then every frame is that of the file read whole."""
    _, service = archive_with(data)
    try:
        before = service.open(REF)
    except FarsightError:
        assert service.at_hand(REF) is None
        return False
    found = service.at_hand(REF)
    if found is None:
        return False
    try:
        index = before.frames()
    except FarsightError as error:
        with pytest.raises(type(error)):
            found.frames()
        return True
    for number in range(1, min(index.number_of_frames, 20) + 1):
        try:
            frame = bytes(before.frame(index, number))
        except FarsightError as error:
            with pytest.raises(type(error)):
                found.frame(found.frames(), number)
            continue
        assert bytes(found.frame(found.frames(), number)) == frame
        if index.bytes_in_place(number) is not None:
            assert frame_at_hand(found, number) in (None, frame)
    return True


@pytest.mark.parametrize("name", ["ct", "mr", "rgb_color", "palette_color", "ybr_color", "jpeg2k"])
def test_examples(name: str) -> None:
    assert assert_as_whole(pydicom.examples.get_path(name).read_bytes())


@requires_corpus
@pytest.mark.parametrize("file", manifest(), ids=lambda file: file.name)
def test_real_files(file: CorpusFile) -> None:
    assert_as_whole(file.read())
