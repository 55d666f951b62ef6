"""What every archive promises: the one in memory and Orthanc's store, kept in several ways."""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any, Protocol

import pytest

from fakes.series_source import MemoryArchive
from farsight import errors
from farsight.errors import ArchiveError, NotFound
from farsight.model import Completeness, InstanceRef, SeriesRef
from multi_frame import encapsulated, slice_bytes
from orthanc_process import COMMAND, PLUGINS, OrthancProcess
from sample_files import instance_uid, series_uid, study_uid

SERIES = SeriesRef(study_uid(), series_uid())
RECORD = Completeness(3, 3, "pacs", "2026-01-01T00:00:00+00:00")


def ref(number: int) -> InstanceRef:
    return InstanceRef(study_uid(), series_uid(), instance_uid(number))


class Subject(Protocol):
    """An archive under test, and what others do to the same store."""

    archive: Any
    in_pieces: bool

    def others_store(self, part10: bytes) -> None: ...
    def others_delete(self, ref: InstanceRef) -> None: ...


class InMemory:
    in_pieces = True

    def __init__(self) -> None:
        self.archive = MemoryArchive()

    def others_store(self, part10: bytes) -> None:
        from farsight.dicom.part10 import parse_object

        found = parse_object(part10)
        of = InstanceRef(
            found.study_instance_uid, found.series_instance_uid, found.sop_instance_uid
        )
        if self.archive.holds(of):
            self.archive.replace(of, part10)
        else:
            self.archive.store(of, part10)

    def others_delete(self, ref: InstanceRef) -> None:
        self.archive.delete([ref])


class RemoteObject:
    """The StoredObject port, each piece opened anew."""

    def __init__(self, archive: RemoteArchive, ref: InstanceRef) -> None:
        self._archive = archive
        self._ref = ref
        self.identity, self.size = archive.call("describe", ref)

    def read(self, start: int, length: int) -> bytes:
        return bytes(self._archive.call("piece", self._ref, start, length))


class RemoteArchive:
    """OrthancArchive in an Orthanc, by the test's plugin."""

    def __init__(self, process: OrthancProcess) -> None:
        self._process = process

    def call(self, method: str, *arguments: Any) -> Any:
        body = json.dumps([_encoded(argument) for argument in arguments]).encode()
        answer = json.loads(self._process.request("POST", f"/archive/{method}", body))
        if "error" in answer:
            raise getattr(errors, answer["error"], ArchiveError)(answer["error"])
        return _decoded(answer["result"])

    def open(self, ref: InstanceRef) -> RemoteObject:
        return RemoteObject(self, ref)

    def completeness(self, series: SeriesRef) -> Completeness | None:
        found = self.call("completeness", series)
        return None if found is None else Completeness(**found)

    def __getattr__(self, method: str) -> Callable[..., Any]:
        return lambda *arguments: self.call(method, *arguments)


def _encoded(argument: Any) -> Any:
    if isinstance(argument, bytes):
        return {"bytes": base64.b64encode(argument).decode()}
    if isinstance(argument, Completeness):
        return argument.to_json()
    return astuple(argument) if isinstance(argument, SeriesRef | InstanceRef) else argument


def _decoded(result: Any) -> Any:
    if isinstance(result, Mapping) and "bytes" in result:
        return base64.b64decode(result["bytes"])
    return result


class InOrthanc:
    """storage: "files", "compressed" ones, or "elsewhere": not where the archive looks."""

    def __init__(self, process: OrthancProcess, storage: str) -> None:
        self.process = process
        self.in_pieces = storage == "files"
        self.archive = RemoteArchive(process)

    def others_store(self, part10: bytes) -> None:
        self.process.store(part10)

    def others_delete(self, ref: InstanceRef) -> None:
        self.process.request("DELETE", f"/instances/{self.resource(ref)['ID']}")

    def resource(self, ref: InstanceRef) -> dict[str, Any]:
        for instance in self.process.json("/instances?expand"):
            if instance["MainDicomTags"]["SOPInstanceUID"] == ref.sop_instance_uid:
                return dict(instance)
        raise AssertionError("not in Orthanc")

    def file(self, ref: InstanceRef) -> Path:
        uuid = self.resource(ref)["FileUuid"]
        storage = Path(self.process.configuration["StorageDirectory"])
        return storage / uuid[:2] / uuid[2:4] / uuid


@pytest.fixture
def start_orthanc(tmp_path: Path) -> Iterator[Callable[..., OrthancProcess]]:
    running: list[OrthancProcess] = []

    def start(**options: Any) -> OrthancProcess:
        if not COMMAND or not (PLUGINS / "libOrthancPython.so").exists():
            pytest.skip("needs Orthanc and its Python plugin")
        configuration = {
            "Plugins": [str(PLUGINS / "libOrthancPython.so")],
            "PythonScript": str(Path(__file__).parent.parent / "archive_plugin.py"),
            "Python": {"AllowThreads": True},
            "OverwriteInstances": True,
            "MaximumStorageCacheSize": 0,
            **options,
        }
        process = OrthancProcess(tmp_path / "orthanc", configuration)
        process.start()
        running.append(process)
        return process

    yield start
    for process in running:
        process.stop()


@pytest.fixture(params=["memory", "files", "compressed"])
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "memory":
        return InMemory()
    start = request.getfixturevalue("start_orthanc")
    return InOrthanc(start(StorageCompression=request.param == "compressed"), request.param)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.05)


def test_the_life_of_a_series(subject: Subject) -> None:
    """All in one: starting an Orthanc is what takes the time."""
    archive = subject.archive
    assert archive.study_instances(study_uid()) == {}
    assert archive.fingerprint(SERIES) == ""
    assert archive.kept(SERIES) is None
    with pytest.raises(NotFound):
        archive.read(ref(1))
    with pytest.raises(NotFound):
        archive.open(ref(1))
    data = {n: slice_bytes(n) for n in (1, 2, 3)}
    for number in (1, 2):
        archive.store(ref(number), data[number])
    subject.others_store(data[3])
    until(lambda: bool(archive.holds(ref(3))))
    assert sorted(archive.study_instances(study_uid())[series_uid()]) == [
        instance_uid(n) for n in data
    ]
    for number, part10 in data.items():
        assert archive.read(ref(number)) == part10
        stored = archive.open(ref(number))
        assert stored.size == len(part10)
        assert stored.read(128, 4) == b"DICM"
        assert stored.read(stored.size - 10, 10) == part10[-10:]
        assert (stored.identity is not None) is subject.in_pieces
    _keeping(archive)
    _replacing(subject)
    _deleting(subject)


def _keeping(archive: Any) -> None:
    assert archive.completeness(SERIES) is None
    archive.mark_complete(SERIES, RECORD)
    assert archive.completeness(SERIES) == RECORD
    for owner in (SERIES, ref(2)):
        assert archive.kept(owner) is None
        archive.keep(owner, b"first")
        archive.keep(owner, b"\0second\xff")
        assert archive.kept(owner) == b"\0second\xff"
    unknown = InstanceRef(study_uid(), series_uid(), "1.2.3")
    assert archive.kept(unknown) is None


def _replacing(subject: Subject) -> None:
    archive = subject.archive
    version, fingerprint = archive.series_version(SERIES), archive.fingerprint(SERIES)
    assert archive.fingerprint(SERIES) == fingerprint != ""
    identity = archive.open(ref(1)).identity
    other = slice_bytes(1, lambda made: setattr(made, "StudyID", "another"))
    subject.others_store(other)
    assert archive.read(ref(1)) == other, "at once, whether or not Orthanc told of it yet"
    assert identity is None or archive.open(ref(1)).identity != identity
    until(lambda: archive.series_version(SERIES) != version)
    until(lambda: archive.fingerprint(SERIES) not in ("", fingerprint))
    until(lambda: bool(archive.holds(ref(1))))


def _deleting(subject: Subject) -> None:
    archive = subject.archive
    fingerprint = archive.fingerprint(SERIES)
    subject.others_delete(ref(1))
    with pytest.raises(NotFound):
        archive.read(ref(1))
    until(lambda: not archive.holds(ref(1)))
    assert archive.fingerprint(SERIES) != fingerprint
    assert archive.completeness(SERIES) is None
    with pytest.raises(NotFound):
        archive.open(ref(1))


def test_replacing_is_told_of(start_orthanc: Callable[..., OrthancProcess]) -> None:
    subject = InOrthanc(start_orthanc(), "files")
    archive = subject.archive
    archive.store(ref(1), slice_bytes(1))
    assert archive.holds(ref(1))
    subject.others_store(slice_bytes(1, lambda made: setattr(made, "StudyID", "another")))
    until(lambda: list(astuple(ref(1))) in archive.call("gone"))


def test_after_a_restart(start_orthanc: Callable[..., OrthancProcess]) -> None:
    process = start_orthanc()
    archive = InOrthanc(process, "files").archive
    for number in (1, 2):
        archive.store(ref(number), slice_bytes(number))
    fingerprint = archive.fingerprint(SERIES)
    archive.mark_complete(SERIES, RECORD)
    archive.keep(SERIES, b"of the series")
    archive.keep(ref(1), b"of an instance")
    identity = archive.open(ref(1)).identity
    process.stop()
    process.start()
    assert archive.fingerprint(SERIES) == fingerprint
    assert archive.completeness(SERIES) == RECORD
    assert (archive.kept(SERIES), archive.kept(ref(1))) == (b"of the series", b"of an instance")
    assert archive.open(ref(1)).identity == identity


def test_files_that_are_not_as_they_were(start_orthanc: Callable[..., OrthancProcess]) -> None:
    """Orthanc is asked where its file can't be taken; if it can't tell either that is an error."""
    subject = InOrthanc(start_orthanc(), "files")
    archive, data = subject.archive, {n: encapsulated(4, 2000, instance=n) for n in (1, 2, 3)}
    for number, part10 in data.items():
        archive.store(ref(number), part10)
    assert archive.read(ref(1)) == data[1]
    path = subject.file(ref(1))
    path.unlink()
    with pytest.raises(ArchiveError):
        archive.read(ref(1))
    subject.file(ref(2)).write_bytes(data[2] + b"more")
    assert archive.open(ref(2)).identity is None, "not the file that Orthanc described"
    loop = subject.file(ref(3))
    loop.unlink()
    loop.symlink_to(loop.name)
    with pytest.raises(ArchiveError):
        archive.read(ref(3))
    path.write_bytes(data[1])
    subject.others_delete(ref(2))
    with pytest.raises(NotFound):
        archive.read(ref(2))


def test_a_storage_that_is_no_directory_of_files(
    start_orthanc: Callable[..., OrthancProcess],
) -> None:
    """As with a storage plugin: all goes by Orthanc, and isn't looked for again and again."""
    process = start_orthanc()
    archive = InOrthanc(process, "elsewhere").archive
    data = slice_bytes(1)
    archive.store(ref(1), data)
    storage = Path(process.configuration["StorageDirectory"])
    uuid = InOrthanc(process, "files").resource(ref(1))["FileUuid"]
    moved = storage.parent / "moved"
    shutil.move(storage / uuid[:2], moved)
    with pytest.raises(ArchiveError):
        archive.read(ref(1))
    shutil.move(moved, storage / uuid[:2])
    assert archive.read(ref(1)) == data
    assert archive.open(ref(1)).identity is None
