"""Metadata kept over restarts: the same answer from what was kept, or made anew, never stale."""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fakes.retrieving import retrieving
from fakes.series_source import MemoryArchive, SeriesSource
from farsight.dicom.part10 import parse_object
from farsight.model import InstanceRef, SeriesRef
from farsight.ps318 import dicom_json
from farsight.services import kept_metadata
from farsight.services.holdings import Holdings, RetrieveLimits
from farsight.services.memory_tier import MemoryTier
from farsight.services.presence import Presence
from farsight.services.serve import ServeService
from multi_frame import slice_bytes
from sample_files import ct_slice, instance_uid, series_uid, study_uid

SERIES = SeriesRef(study_uid(), series_uid())
HERE = Presence()
SLICES = 40
ROOT, OTHER_ROOT = "https://pacs.example.org/dicom-web/", "http://10.1.2.3:8043/pacs/a/dicom-web/"
Life = Callable[..., ServeService]


def ref(number: int) -> InstanceRef:
    return InstanceRef(study_uid(), series_uid(), instance_uid(number))


@pytest.fixture
def archive() -> MemoryArchive:
    """Holds a series that no PACS knows."""
    archive = MemoryArchive()
    for number in range(1, SLICES + 1):
        archive.store(ref(number), slice_bytes(number))
    return archive


@pytest.fixture
def life(archive: MemoryArchive) -> Iterator[Life]:
    """A service with nothing in memory, as after a start."""
    ends: list[Callable[[], None]] = []

    def start(*sources: SeriesSource, memory_bytes: int = 64 << 20) -> ServeService:
        tier = MemoryTier(memory_bytes)
        retrieve, persister = retrieving(sources, archive, tier, RetrieveLimits(wait_s=20))
        serve = ServeService(retrieve, archive, quiet_s=0.01)
        ends.extend(
            (retrieve.close, lambda: persister.close(5), lambda: serve.close(5)),
        )
        archive.pieces.clear()
        return serve

    yield start
    for end in ends:
        end()


def kept(archive: MemoryArchive, before: bytes | None = None) -> bytes:
    """What is kept with the series, once that is another record than before."""
    deadline = time.monotonic() + 10
    while (record := archive.records_kept.get(SERIES)) in (None, before):
        assert time.monotonic() < deadline, "nothing was kept"
        time.sleep(0.005)
    assert record is not None
    return record


def metadata(serve: ServeService, root: str = ROOT) -> bytes:
    answer = serve.series_metadata(SERIES, root, HERE)
    assert not answer.warnings
    return answer.json


def test_a_restart_reads_no_instance(life: Life, archive: MemoryArchive) -> None:
    first = metadata(life())
    assert len(json.loads(first)) == SLICES
    assert archive.pieces, "it was made of the instances"
    kept(archive)
    again = life()
    assert metadata(again) == first
    answer = again.series_metadata(SERIES, ROOT, HERE)
    assert gzip.decompress(again.zipped(SERIES, ROOT, answer)) == first
    assert metadata(again, OTHER_ROOT) == first.replace(ROOT.encode(), OTHER_ROOT.encode())
    study = again.study_metadata(study_uid(), ROOT, HERE)
    assert study.json == first
    assert archive.pieces == []


def test_it_is_kept_when_a_series_is_complete(life: Life, archive: MemoryArchive) -> None:
    """Nobody ever asked for it."""
    archive.stored.clear()
    source = SeriesSource([ct_slice(number) for number in range(1, SLICES + 1)])
    life(source)._retrieve.fetch_ahead(SERIES)
    kept(archive)
    again = life()
    assert len(json.loads(metadata(again))) == SLICES
    assert ROOT.encode() in metadata(again)
    assert archive.pieces == []


@pytest.mark.parametrize("event", ["replaced", "deleted", "added"])
def test_a_change_that_nobody_told_of(event: str, life: Life, archive: MemoryArchive) -> None:
    """Orthanc ran without Farsight meanwhile."""
    metadata(life())
    before = kept(archive)
    if event == "replaced":
        archive.replace(ref(3), slice_bytes(3, lambda made: setattr(made, "StudyID", "changed")))
    elif event == "deleted":
        archive.delete([ref(3)])
    else:
        archive.store(ref(SLICES + 1), slice_bytes(SLICES + 1))
    rows = json.loads(metadata(life()))
    assert len(rows) == {"replaced": SLICES, "deleted": SLICES - 1, "added": SLICES + 1}[event]
    study_ids = {row["00200010"]["Value"][0] for row in rows}
    assert ("changed" in study_ids) is (event == "replaced")
    kept(archive, before)
    again = life()
    assert json.loads(metadata(again)) == rows
    assert archive.pieces == []


@pytest.mark.parametrize("event", ["replaced", "deleted"])
def test_a_change_while_it_runs(event: str, life: Life, archive: MemoryArchive) -> None:
    serve = life()
    metadata(serve)
    kept(archive)
    if event == "replaced":
        archive.replace(ref(3), slice_bytes(3, lambda made: setattr(made, "StudyID", "changed")))
    else:
        archive.delete([ref(3)])
    rows = json.loads(metadata(serve))
    assert {row["00200010"]["Value"][0] for row in rows} == (
        {"1", "changed"} if event == "replaced" else {"1"}
    )


def _other_writer(record: bytes) -> bytes:
    return record.replace(b'"writer":1', b'"writer":0')


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: b"",
        lambda record: record[:6],
        lambda record: record[:-20],
        lambda record: record[:200] + bytes(len(record) - 200),
        lambda record: b"FSMD\x02" + record[5:],
        lambda record: record[:5] + b"\xff\xff\xff\xff" + record[9:],
        lambda record: record[:9] + b"[" + record[10:],
        _other_writer,
    ],
)
def test_what_is_kept_may_be_damaged_or_of_another_version(
    damage: Callable[[bytes], bytes], life: Life, archive: MemoryArchive
) -> None:
    first = metadata(life())
    archive.records_kept[SERIES] = damage(kept(archive))
    assert metadata(life()) == first
    assert archive.pieces


def test_little_is_not_kept(life: Life, archive: MemoryArchive) -> None:
    for number in range(3, SLICES + 1):
        archive.delete([ref(number)])
    serve = life()
    metadata(serve)
    serve._keep_with_series(SERIES)
    assert archive.records_kept == {}


def in_memory(serve: ServeService) -> list[int]:
    found = {number: serve.at_hand(ref(number)) for number in range(1, SLICES + 1)}
    return [number for number, one in found.items() if one is not None and one.is_in_memory]


def test_a_stream_does_not_displace_what_is_in_use(life: Life, archive: MemoryArchive) -> None:
    """Memory for two: those that are looked at stay while forty pass."""
    size = len(archive.stored[ref(1)])
    serve = life(memory_bytes=2 * size + 100)
    for number in (7, 9):
        serve.instance(ref(number))
    holdings = serve.series(SERIES, HERE)
    passed = [file.instance().sop_instance_uid for file in serve.files(holdings)]
    assert sorted(passed) == sorted(instance_uid(number) for number in range(1, SLICES + 1))
    metadata(serve)
    assert in_memory(serve) == [7, 9]


def test_a_stream_fills_memory_that_is_free(life: Life, archive: MemoryArchive) -> None:
    size = len(archive.stored[ref(1)])
    serve = life(memory_bytes=5 * size + 100)
    serve.instance(ref(9))
    for _ in serve.files(serve.series(SERIES, HERE)):
        pass
    held = in_memory(serve)
    assert len(held) == 5
    assert 9 in held


def test_the_writers_version_goes_with_what_it_writes() -> None:
    """If this fails the text has changed: give WRITER_VERSION another number, then the digest."""

    def change(made: Any) -> None:
        made.add_new(0x00091001, "UN", b"private")
        made.PatientComments = "Zeile\r\nzwei"
        made.add_new(0x00431039, "OB", b"\0\1")

    text = dicom_json.object_json(parse_object(slice_bytes(1, change)), ROOT)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert (kept_metadata.WRITER_VERSION, digest) == (1, "b30b280806363a5e")


def test_what_is_in_memory_only_is_in_the_metadata_too(life: Life, archive: MemoryArchive) -> None:
    """Instances that aren't stored yet don't raise the version of their series."""
    serve = life()
    version = archive.series_version(SERIES)
    uids = tuple(instance_uid(number) for number in range(1, SLICES + 1))
    for count in (3, 10, 3):
        holdings = Holdings(SERIES, uids[:count], version)
        assert len(json.loads(serve._metadata_of(holdings, ROOT, 0).json)) == count


def test_at_once_only_where_no_pacs_would_be_asked(life: Life, archive: MemoryArchive) -> None:
    alone = life()
    assert alone.metadata_at_hand(SERIES, ROOT) is None
    text = metadata(alone)
    found = alone.metadata_at_hand(SERIES, ROOT)
    assert found is not None
    assert found.metadata.json == text
    assert alone.metadata_at_hand(SERIES, OTHER_ROOT) is None
    before_pacs = life(SeriesSource([]))
    before_pacs.series_metadata(SERIES, ROOT, HERE)
    assert before_pacs.metadata_at_hand(SERIES, ROOT) is None


@pytest.mark.parametrize("event", ["replaced", "deleted"])
def test_at_once_only_while_nothing_changes(event: str, life: Life, archive: MemoryArchive) -> None:
    serve = life()
    before = metadata(serve)
    if event == "replaced":
        archive.replace(ref(3), slice_bytes(3, lambda made: setattr(made, "PatientID", "other")))
    else:
        archive.delete([ref(3)])
    assert serve.metadata_at_hand(SERIES, ROOT) is None
    assert metadata(serve) != before
