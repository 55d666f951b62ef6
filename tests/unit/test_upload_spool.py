"""Uploads in memory and in a file: what was written is read, and all of it is let go."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import IO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farsight.adapters.upload_spool import InFile, UploadSpool, UploadSpools
from farsight.errors import ArchiveError, ArchiveFull
from farsight.ports.spool import InMemory


def write(spool: UploadSpool, *pieces: bytes) -> InMemory | InFile:
    for piece in pieces:
        spool.write(piece)
    return spool.end_part()


def is_free(spools: UploadSpools, size: int) -> bool:
    """Whether exactly so much may be kept in memory now."""
    if not spools.take(size):
        return False
    more = spools.take(1)
    spools.give_back(size + more)
    return not more


def open_files(directory: Path) -> int:
    links = [Path("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
    return sum(
        os.path.lexists(link) and str(directory) in os.readlink(link)
        for link in links
        if link.is_symlink()
    )


def test_in_memory_while_there_is_room(tmp_path: Path) -> None:
    spools = UploadSpools(tmp_path / "later", 10)
    spool = spools.new()
    part = write(spool, b"abc", b"", b"defg")
    assert isinstance(part, InMemory)
    assert (part.size, bytes(part.whole()), part.read(2, 3)) == (7, b"abcdefg", b"cde")
    assert is_free(spools, 3)
    assert not (tmp_path / "later").exists(), "made when it is needed"
    spool.close()
    assert is_free(spools, 10)


def test_in_a_file_from_there_on(tmp_path: Path) -> None:
    """What was in memory of that part moves along; the next is in memory again, if it fits."""
    spools = UploadSpools(tmp_path / "made", 10)
    spool = spools.new()
    first = write(spool, b"abc")
    second = write(spool, b"defg", b"hijk", b"l")
    third = write(spool, b"mnopqrs")
    fourth = write(spool, b"t")
    parts = (first, second, third, fourth)
    assert [type(part) for part in parts] == [InMemory, InFile, InMemory, InFile]
    assert [bytes(part.whole()) for part in parts] == [b"abc", b"defghijkl", b"mnopqrs", b"t"]
    assert second.read(3, 4) == b"ghij"
    assert second.read(9, 0) == b""
    assert list((tmp_path / "made").iterdir()) == [], "nobody sees the file"
    assert open_files(tmp_path) == 1
    spool.close()
    assert open_files(tmp_path) == 0
    assert is_free(spools, 10)


def test_uploads_share_the_memory(tmp_path: Path) -> None:
    spools = UploadSpools(tmp_path, 10)
    one, other = spools.new(), spools.new()
    assert isinstance(write(one, b"abcdef"), InMemory)
    assert isinstance(write(other, b"ghijk"), InFile)
    one.close()
    assert isinstance(write(other, b"ghijk"), InMemory)
    other.close()
    assert is_free(spools, 10)


def test_an_empty_part(tmp_path: Path) -> None:
    spool = UploadSpools(tmp_path, 0).new()
    parts = [write(spool), write(spool, b"a"), write(spool), write(spool, b"bc")]
    assert [bytes(part.whole()) for part in parts] == [b"", b"a", b"", b"bc"]
    spool.close()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.binary(max_size=9), max_size=5), max_size=6), st.integers(0, 60))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[bytes]], memory_bytes: int
) -> None:
    spools = UploadSpools(tmp_path_factory.getbasetemp() / "spool", memory_bytes)
    spool = spools.new()
    written = [write(spool, *pieces) for pieces in parts]
    for part, pieces in zip(written, parts, strict=True):
        whole = b"".join(pieces)
        assert bytes(part.whole()) == whole
        assert part.size == len(whole)
        for start in range(len(whole)):
            assert part.read(start, len(whole) - start) == whole[start:]
    spool.close()
    assert is_free(spools, memory_bytes)


def test_parts_are_read_by_several_at_once(tmp_path: Path) -> None:
    spool = UploadSpools(tmp_path, 0).new()
    contents = [Random(number).randbytes(50_000) for number in range(8)]
    parts = [write(spool, content[:999], content[999:]) for content in contents]
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda part: part.whole(), parts * 4))
    assert read == contents * 4
    spool.close()


class FullDisk(UploadSpools):
    """Its files have no room at all."""

    def file(self) -> IO[bytes]:
        return open("/dev/full", "r+b", buffering=0)


def test_a_full_disk(tmp_path: Path) -> None:
    spools = FullDisk(tmp_path, 4)
    spool = spools.new()
    spool.write(b"abcd")
    with pytest.raises(ArchiveFull, match="ENOSPC"):
        spool.write(b"e")
    spool.close()
    assert is_free(spools, 4), "also of what was on its way to the file"


@contextmanager
def files_of_100_bytes() -> Iterator[None]:
    """No file of this process may become longer, what it prints to included."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    spool = UploadSpools(tmp_path, 0).new()
    part = write(spool, b"a" * 90)
    with files_of_100_bytes(), pytest.raises(ArchiveError, match=errno.errorcode[errno.EFBIG]):
        spool.write(b"b" * 90)
    assert part.whole() == b"a" * 90
    spool.close()


def test_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    spool = UploadSpools(tmp_path / "file" / "below", 0).new()
    with pytest.raises(ArchiveError, match="ENOTDIR"):
        spool.write(b"a")
    spool.close()


def test_room_is_asked_for_before_the_disk_is_full(tmp_path: Path) -> None:
    asked: list[int] = []

    def room(needed: int) -> bool:
        asked.append(needed)
        return len(asked) < 2

    spool = UploadSpools(tmp_path, 0, room).new()
    spool.write(b"x" * (1 << 20))
    for _ in range(64):
        spool.write(b"x" * (1 << 20))
    assert len(asked) == 1, "not for every piece"
    with pytest.raises(ArchiveFull):
        spool.write(b"x")
    assert asked[0] > 64 << 20
    spool.close()
