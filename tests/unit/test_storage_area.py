"""Reading Orthanc's files where they lie: only what is certainly the file meant."""

from __future__ import annotations

import errno
import os
import uuid
import zlib
from pathlib import Path

import pytest

from farsight.adapters.openat2 import open_cached
from farsight.adapters.storage_area import Attachment, StorageArea, StorageError
from multi_frame import slice_bytes

NAME = str(uuid.UUID(int=0xABCD << 112))
DATA = slice_bytes(1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / NAME[:2] / NAME[2:4] / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    return path


def test_any_piece(tmp_path: Path, path: Path) -> None:
    stored = StorageArea(tmp_path).open(Attachment(NAME, len(DATA)))
    assert stored is not None
    assert (stored.identity, stored.size) == (NAME, len(DATA))
    assert stored.read(0, len(DATA)) == DATA
    assert stored.read(128, 4) == b"DICM"
    assert stored.read(len(DATA), 0) == b""
    with pytest.raises(StorageError):
        stored.read(len(DATA) - 1, 2)


def test_a_deleted_file_stays_readable_while_open(tmp_path: Path, path: Path) -> None:
    area = StorageArea(tmp_path)
    stored = area.open(Attachment(NAME, len(DATA)))
    assert stored is not None
    path.unlink()
    assert stored.read(0, len(DATA)) == DATA
    assert area.open(Attachment(NAME, len(DATA))) is None


def test_descriptors_are_closed(tmp_path: Path, path: Path) -> None:
    area = StorageArea(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    for size in (len(DATA), len(DATA) + 1):
        for _ in range(20):
            area.open(Attachment(NAME, size))
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_not_the_file_as_it_came(tmp_path: Path, path: Path) -> None:
    area = StorageArea(tmp_path)
    assert area.open(Attachment(NAME, len(DATA) + 1)) is None, "of another size"
    assert area.open(Attachment(NAME, len(DATA), is_file=False)) is None
    assert area.open(Attachment("../../etc/passwd", len(DATA))) is None, "no UUID"
    path.write_bytes(zlib.compress(DATA))
    assert area.open(Attachment(NAME, len(DATA))) is None, "compressed"
    path.write_bytes(bytes(len(DATA)))
    assert area.open(Attachment(NAME, len(DATA))) is None, "no DICOM"
    path.write_bytes(b"short")
    assert area.open(Attachment(NAME, 5)) is None
    assert StorageArea(tmp_path / "nowhere").open(Attachment(NAME, len(DATA))) is None


def test_what_is_there_and_cannot_be_read(tmp_path: Path, path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)  # a loop: ELOOP
    with pytest.raises(StorageError, match="ELOOP"):
        StorageArea(tmp_path).open(Attachment(NAME, len(DATA)))


def test_a_file_that_shrinks(tmp_path: Path, path: Path) -> None:
    stored = StorageArea(tmp_path).open(Attachment(NAME, len(DATA)))
    assert stored is not None
    os.truncate(path, 1000)
    with pytest.raises(StorageError, match="ends too early"):
        stored.read(0, len(DATA))


def test_a_file_is_opened_without_a_wait_or_not_at_all(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    area, known = StorageArea(tmp_path), Attachment(NAME, len(DATA))
    assert area.open(known) is not None
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        found = area.open_at_hand(known)
        assert found is None or found.read(0, len(DATA)) == DATA, "not every system can tell"
        del found
    assert area.open_at_hand(Attachment("../../etc/passwd", len(DATA))) is None
    assert area.open_at_hand(Attachment(NAME, len(DATA), is_file=False)) is None
    with monkeypatch.context() as patched:
        patched.setattr("farsight.adapters.openat2._syscall", lambda *_: -1)
        assert area.open_at_hand(known) is None
    with monkeypatch.context() as patched:
        patched.setattr("farsight.adapters.openat2._IS_NUMBERED_SO", False)
        assert area.open_at_hand(known) is None
    path.unlink()
    assert area.open_at_hand(known) is None
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_system_that_cannot_tell_is_not_asked(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To open a file there may be to ask a server."""

    def refused(*_: object) -> int:
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(os, "preadv", refused)
    area = StorageArea(tmp_path)
    assert area.open(Attachment(NAME, len(DATA))) is not None
    monkeypatch.setattr("farsight.adapters.storage_area.open_cached", pytest.fail)
    assert area.open_at_hand(Attachment(NAME, len(DATA))) is None


@pytest.mark.skipif(
    tuple(map(int, os.uname().release.split(".")[:2])) < (5, 12), reason="needs Linux 5.12"
)
def test_what_was_just_opened_is_opened_without_a_wait(path: Path) -> None:
    assert path.read_bytes() == DATA
    descriptor = open_cached(str(path))
    assert descriptor is not None
    os.close(descriptor)


def test_what_the_system_has_in_memory_is_at_hand(tmp_path: Path, path: Path) -> None:
    """Just written, it has; beyond the end there is nothing to be had."""
    stored = StorageArea(tmp_path).open(Attachment(NAME, len(DATA)))
    assert stored is not None
    assert path.read_bytes() == DATA
    found = stored.read_at_hand(3, 100)
    assert found is None or bytes(found) == DATA[3:103], "not every file system can tell"
    assert stored.read_at_hand(len(DATA) - 5, 10) is None


@pytest.fixture(params=["at hand", "not at hand", "known file system", "unknown"])
def area(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> StorageArea:
    """Of which files are read in one of the ways there are: whichever it is, the same is found."""
    area = StorageArea(tmp_path)
    if request.param != "unknown":
        other = str(uuid.UUID(int=0xFACE << 112))
        (tmp_path / other[:2] / other[2:4]).mkdir(parents=True)
        (tmp_path / other[:2] / other[2:4] / other).write_bytes(DATA)
        assert area.read(Attachment(other, len(DATA))) == DATA
    if request.param == "at hand":  # also where this system can't tell
        monkeypatch.setattr(area, "_tells", True)
        monkeypatch.setattr("farsight.adapters.storage_area.open_cached", _opened)
    if request.param == "not at hand":
        monkeypatch.setattr("farsight.adapters.storage_area.open_cached", lambda _path: None)
    return area


def _opened(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:
        return None


def test_a_whole_file(area: StorageArea, path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        assert area.read(Attachment(NAME, len(DATA))) == DATA
    assert len(os.listdir("/proc/self/fd")) == before


def test_of_what_is_not_the_file_as_it_came_nothing_is_read(area: StorageArea, path: Path) -> None:
    assert area.read(Attachment(NAME, len(DATA) + 1)) is None, "shorter"
    assert area.read(Attachment(NAME, len(DATA) - 1)) is None, "longer"
    assert area.read(Attachment(NAME, len(DATA), is_file=False)) is None
    assert area.read(Attachment("../../etc/passwd", len(DATA))) is None, "no UUID"
    path.write_bytes(bytes(len(DATA)))
    assert area.read(Attachment(NAME, len(DATA))) is None, "no DICOM"
    path.write_bytes(b"short")
    assert area.read(Attachment(NAME, 5)) is None
    path.unlink()
    assert area.read(Attachment(NAME, len(DATA))) is None
    path.symlink_to(path.name)
    with pytest.raises(StorageError, match="ELOOP"):
        area.read(Attachment(NAME, len(DATA)))


def test_a_whole_file_that_cannot_be_read(
    area: StorageArea, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(os.listdir("/proc/self/fd"))

    def failing(*_: object) -> bytes:
        raise OSError(errno.EIO, "the disk")

    monkeypatch.setattr(os, "pread", failing)
    with pytest.raises(StorageError, match="EIO"):
        area.read(Attachment(NAME, len(DATA)))
    assert len(os.listdir("/proc/self/fd")) == before
