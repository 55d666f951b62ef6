"""Large objects: a frame costs a frame; small ones are read whole; nothing stale is kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydicom.dataset import Dataset

from fakes.series_source import MemoryArchive
from farsight.dicom.elements import DicomHead, DicomObject
from farsight.errors import MalformedDicom, NotFound, UnsupportedDicom
from farsight.model import InstanceRef
from farsight.services.memory_tier import MemoryTier
from farsight.services.stored_instances import LARGE_BYTES, StoredInstances
from multi_frame import encapsulated, frame_of, slice_bytes
from sample_files import instance_uid, series_uid, study_uid

REF = InstanceRef(study_uid(), series_uid(), instance_uid(1))
FRAMES, SIZE = 300, 20_000


def stored(archive: MemoryArchive, data: bytes, max_bytes: int = 64 << 20) -> StoredInstances:
    archive.store(REF, data)
    return StoredInstances(archive, MemoryTier(max_bytes))


def read_bytes(archive: MemoryArchive) -> int:
    """How much was read since this was last asked."""
    total = sum(length for _, length in archive.pieces)
    archive.pieces.clear()
    return total


@pytest.mark.parametrize("table", [False, True])
def test_a_frame_costs_a_frame(table: bool) -> None:
    archive = MemoryArchive()
    service = stored(archive, encapsulated(FRAMES, SIZE, table=table))
    service.open(REF).frames()
    assert read_bytes(archive) < LARGE_BYTES // 10, "the pixels are not read to find the frames"
    for number in (1, 150, FRAMES):
        instance = service.open(REF)
        assert instance.frame(instance.frames(), number) == frame_of(number, SIZE)
        assert read_bytes(archive) == SIZE, f"frame {number}"
    with pytest.raises(NotFound):
        instance.frame(instance.frames(), FRAMES + 1)


def test_a_frame_in_fragments_is_read_in_one_go() -> None:
    archive = MemoryArchive()
    service = stored(archive, encapsulated(FRAMES, SIZE, table=True, fragments=3))
    instance = service.open(REF)
    index = instance.frames()
    archive.pieces.clear()
    assert instance.frame(index, 7) == frame_of(7, SIZE)
    assert len(archive.pieces) == 1
    assert read_bytes(archive) <= SIZE + 64


def test_native_frames() -> None:
    frames = [bytes([number]) * (64 * 64 * 2) for number in range(1, 250)] * 3

    def change(made: object) -> None:
        made.NumberOfFrames = len(frames)  # type: ignore[attr-defined]
        made.PixelData = b"".join(frames)  # type: ignore[attr-defined]

    archive = MemoryArchive()
    service = stored(archive, slice_bytes(1, change))
    assert isinstance(service.open(REF).header, DicomHead)
    read_bytes(archive)
    instance = service.open(REF)
    assert instance.frame(instance.frames(), 500) == frames[499]
    assert read_bytes(archive) == len(frames[0])


def test_bulk_data_of_a_large_file() -> None:
    def change(made: object) -> None:
        made.PixelData = b"ab" * LARGE_BYTES  # type: ignore[attr-defined]
        made.SpectroscopyData = b"\0\0\x80\x3f" * 30_000  # type: ignore[attr-defined]
        made.IconImageSequence = [_icon()]  # type: ignore[attr-defined]

    archive = MemoryArchive()
    instance = stored(archive, slice_bytes(1, change)).open(REF)
    read_bytes(archive)
    spectrum = instance.bulk_data("56000020")
    assert bytes(spectrum.value) == b"\0\0\x80\x3f" * 30_000
    assert read_bytes(archive) == 120_000
    assert bytes(instance.bulk_data("7FE00010").value) == b"ab" * LARGE_BYTES
    icon = instance.bulk_data("00880200/1/7FE00010")
    assert bytes(icon.value) == b"icon"
    with pytest.raises(NotFound):
        instance.bulk_data("7FE00008")


def _icon() -> object:
    icon = Dataset()
    icon.Rows = icon.Columns = 2
    icon.SamplesPerPixel, icon.BitsAllocated = 1, 8
    icon.PixelData = b"icon"
    icon["PixelData"].VR = "OB"
    return icon


def test_what_is_wrong_with_the_pixels_is_told() -> None:
    archive = MemoryArchive()
    broken = encapsulated(FRAMES, SIZE).replace(b"300 ", b"301 ", 1)  # NumberOfFrames
    instance = stored(archive, broken).open(REF)
    for _ in range(2):
        with pytest.raises(MalformedDicom):
            instance.frames()
    without = slice_bytes(1, _document)
    archive.replace(REF, without)
    with pytest.raises(UnsupportedDicom):
        StoredInstances(archive, MemoryTier(1 << 20)).open(REF).frames()


def _document(made: object) -> None:
    del made.PixelData  # type: ignore[attr-defined]
    made.EncapsulatedDocument = bytes(LARGE_BYTES)  # type: ignore[attr-defined]


def test_the_header_of_a_small_one() -> None:
    archive = MemoryArchive()
    service = stored(
        archive, slice_bytes(1, lambda made: setattr(made, "PixelData", bytes(1 << 20)))
    )
    assert service.header(REF).sop_instance_uid == instance_uid(1)
    assert read_bytes(archive) < 100_000


def test_where_there_are_no_pieces() -> None:
    archive = MemoryArchive()
    archive.in_pieces = False
    service = stored(archive, encapsulated(FRAMES, SIZE))
    instance = service.open(REF)
    assert isinstance(instance.header, DicomObject)
    assert instance.frame(instance.frames(), 9) == frame_of(9, SIZE)
    assert service.header(REF).sop_instance_uid == instance_uid(1)


def test_one_that_is_replaced_is_another() -> None:
    archive = MemoryArchive()
    service = stored(archive, encapsulated(FRAMES, SIZE))
    before = service.open(REF)
    archive.replace(REF, encapsulated(FRAMES, SIZE - 2))
    after = service.open(REF)
    assert after.frame(after.frames(), 3) == frame_of(3, SIZE - 2)
    assert before.frame(before.frames(), 3) == frame_of(3, SIZE), "who is reading gets all of one"


@pytest.mark.parametrize("event", ["replaced", "deleted"])
def test_what_changes_while_it_is_read_is_not_kept(
    event: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = MemoryArchive()
    archive.store(REF, slice_bytes(1))
    tier = MemoryTier(64 << 20)
    service = StoredInstances(archive, tier)
    read = archive.read

    def read_and_lose(ref: InstanceRef) -> bytes:
        data = read(ref)
        monkeypatch.setattr(archive, "read", read)
        if event == "deleted":
            archive.delete([ref])
        else:
            archive.replace(ref, slice_bytes(1, lambda made: setattr(made, "StudyID", "new")))
        tier.drop(ref)  # the event comes before what was read is kept
        return data

    monkeypatch.setattr(archive, "read", read_and_lose)
    assert service.whole(REF).text(0x00200010) == "1"
    assert REF not in tier
    assert tier.resident_bytes == 0


def test_outlines_stay_within_their_budget() -> None:
    archive = MemoryArchive()
    service = StoredInstances(archive, MemoryTier(1 << 20), max_outline_bytes=1)
    refs = [InstanceRef(study_uid(), series_uid(), instance_uid(n)) for n in (1, 2)]
    for number, ref in enumerate(refs, 1):
        archive.store(ref, encapsulated(FRAMES, SIZE, instance=number))
    for ref in (*refs, *refs):
        assert service.open(ref).frames().number_of_frames == FRAMES
        assert read_bytes(archive) > FRAMES * 8, "looked for again: there is room for one only"
        service.open(ref)
        assert read_bytes(archive) == 0


Change = Callable[[bytes], bytes]


def kept_by(archive: MemoryArchive) -> StoredInstances:
    service = stored(archive, encapsulated(FRAMES, SIZE))
    told: list[object] = []
    service.when_walked(told.append)
    service.open(REF)
    assert told == [REF.series], "so that it is kept when there is time"
    service.keep_outlines([REF])
    assert REF in archive.records_kept
    read_bytes(archive)
    return StoredInstances(archive, MemoryTier(1 << 20))


def test_after_a_restart_frames_are_not_looked_for() -> None:
    archive = MemoryArchive()
    service = kept_by(archive)
    instance = service.open(REF)
    assert instance.frame(instance.frames(), 200) == frame_of(200, SIZE)
    assert read_bytes(archive) < SIZE + 100_000
    assert instance.frames().media_type == "image/jpeg"


@pytest.mark.parametrize(
    "change",
    [
        lambda record: b"",
        lambda record: record[:40],
        lambda record: record[:-5],
        lambda record: record[:4] + b"\x09" + record[5:],
        lambda record: record[:80] + bytes(len(record) - 80),
        lambda record: b"something else altogether",
    ],
)
def test_what_is_kept_may_be_damaged(change: Change) -> None:
    archive = MemoryArchive()
    service = kept_by(archive)
    archive.records_kept[REF] = change(archive.records_kept[REF])
    instance = service.open(REF)
    assert instance.frame(instance.frames(), 200) == frame_of(200, SIZE)


def test_what_is_kept_is_of_one_file_only() -> None:
    archive = MemoryArchive()
    service = kept_by(archive)
    archive.replace(REF, encapsulated(FRAMES, SIZE + 4))
    instance = service.open(REF)
    assert instance.frame(instance.frames(), 200) == frame_of(200, SIZE + 4)
