"""Uploads in memory as long as there is room for them, else in a file that nobody sees."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

from farsight.errors import ArchiveError, ArchiveFull
from farsight.ports.spool import InMemory

_MOST_AT_ONCE = 1 << 30
_ROOM_STEP_BYTES = 64 << 20
Data = bytes | memoryview


class UploadSpools:
    """All uploads together keep at most `memory_bytes` in memory. Thread-safe."""

    def __init__(
        self, directory: Path, memory_bytes: int, room: Callable[[int], bool] = lambda _: True
    ) -> None:
        """`directory`: where files may be; it is made when it is needed. `room`: makes room on the
        disk for so many bytes, False where it can't."""
        self._directory = directory
        self.room = room
        self._lock = threading.Lock()
        self._free = memory_bytes

    def new(self) -> UploadSpool:
        return UploadSpool(self)

    def take(self, size: int) -> bool:
        """Whether so much more may be kept in memory."""
        with self._lock:
            if size > self._free:
                return False
            self._free -= size
            return True

    def give_back(self, size: int) -> None:
        with self._lock:
            self._free += size

    def file(self) -> IO[bytes]:
        """A file without a name. Raises: ArchiveError, ArchiveFull."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            return tempfile.TemporaryFile(dir=self._directory, buffering=0)
        except OSError as error:
            raise _wrapped(error) from error


class InFile:
    """A part that is kept in the file of its spool."""

    __slots__ = ("_file", "_start", "size")

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self._file = file
        self._start = start
        self.size = size

    def read(self, start: int, length: int) -> bytes:
        """See ports.SpooledPart."""
        pieces: list[bytes] = []
        at = self._start + start
        try:
            while length > 0:
                piece = os.pread(self._file.fileno(), min(length, _MOST_AT_ONCE), at)
                if not piece:
                    raise ArchiveError("what was uploaded can't be read back")
                pieces.append(piece)
                at += len(piece)
                length -= len(piece)
        except OSError as error:
            raise _wrapped(error) from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def whole(self) -> bytes:
        """See ports.SpooledPart."""
        return self.read(0, self.size)


class UploadSpool:
    """One upload: every part in memory or, from where memory did not suffice, in the file."""

    def __init__(self, spools: UploadSpools) -> None:
        self._spools = spools
        self._kept = 0
        self._pieces: list[Data] = []
        self._file: IO[bytes] | None = None
        self._in_file = False
        self._start = self._stop = 0
        self._room_until = 0

    def write(self, data: Data) -> None:
        """See ports.Spool. What is written must not change afterwards."""
        if not self._in_file and self._spools.take(len(data)):
            self._kept += len(data)
            self._pieces.append(data)
            return
        if not self._in_file:
            self._move_to_file()
        self._append(data)

    def _move_to_file(self) -> None:
        if self._file is None:
            self._file = self._spools.file()
        self._in_file = True
        pieces, self._pieces = self._pieces, []
        for piece in pieces:
            self._append(piece)
        self._give_back(sum(map(len, pieces)))

    def _append(self, data: Data) -> None:
        assert self._file is not None
        rest = memoryview(data)
        self._ask_for_room(self._stop + len(rest))
        try:
            while rest:
                written = os.pwrite(self._file.fileno(), rest[:_MOST_AT_ONCE], self._stop)
                self._stop += written
                rest = rest[written:]
        except OSError as error:
            raise _wrapped(error) from error

    def _ask_for_room(self, stop: int) -> None:
        """Now and then: what others need the disk for must not run out over an upload."""
        if stop > self._room_until:
            needed = stop - self._room_until + _ROOM_STEP_BYTES
            if not self._spools.room(needed):
                raise ArchiveFull("there is no room left to take this upload")
            self._room_until = stop + _ROOM_STEP_BYTES

    def end_part(self) -> InMemory | InFile:
        """See ports.Spool."""
        if self._in_file:
            assert self._file is not None
            part: InMemory | InFile = InFile(self._file, self._start, self._stop - self._start)
            self._start, self._in_file = self._stop, False
            return part
        pieces, self._pieces = self._pieces, []
        return InMemory(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def close(self) -> None:
        """See ports.Spool."""
        self._pieces.clear()
        self._give_back(self._kept)
        if self._file is not None:
            self._file.close()

    def _give_back(self, size: int) -> None:
        self._spools.give_back(size)
        self._kept -= size


def _wrapped(error: OSError) -> ArchiveError:
    name = errno.errorcode.get(error.errno or 0, "unknown error")
    kind = ArchiveFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else ArchiveError
    return kind(f"the upload can't be kept until it is stored: {name}")
