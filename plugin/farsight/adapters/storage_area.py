"""Orthanc's files, read where they lie, without Orthanc between.

Orthanc keeps an attachment as StorageDirectory/ab/cd/abcd…, named by its UUID, unless a plugin
keeps it elsewhere. A file is believed to be the DICOM file it stands for only if it has the size
Orthanc tells and begins as such files do: compressed ones don't. A UUID is never given twice, so
an open file keeps what it was, also when its instance is deleted or replaced meanwhile.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path

from farsight.adapters.openat2 import open_cached
from farsight.errors import ArchiveError

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_MAGIC, _MAGIC_AT = b"DICM", 128
#: Linux reads 2 GiB less a page at once, at most.
_MOST_AT_ONCE = 1 << 30


class StorageError(ArchiveError):
    """A file of the storage area can't be read, though it is there."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """What Orthanc tells of a stored file: its UUID and how many bytes it has uncompressed.

    `is_file`: False once it turned out not to lie in the storage area as it is.
    """

    uuid: str
    size: int
    is_file: bool = True


class StoredFile:
    """One file, open as long as anybody refers to it. Thread-safe: reading has no position."""

    __slots__ = ("_descriptor", "identity", "size")

    def __init__(self, descriptor: int, attachment: Attachment) -> None:
        """Takes the descriptor over."""
        self._descriptor = descriptor
        self.identity = attachment.uuid
        self.size = attachment.size

    def __del__(self) -> None:
        os.close(self._descriptor)

    def read(self, start: int, length: int) -> bytes:
        """Bytes from `start`, all of them. Raises: StorageError."""
        pieces: list[bytes] = []
        while length > 0:
            try:
                piece = os.pread(self._descriptor, min(length, _MOST_AT_ONCE), start)
            except OSError as error:
                raise StorageError(f"a stored file can't be read: {_name(error)}") from error
            if not piece:
                raise StorageError("a stored file ends too early")
            pieces.append(piece)
            start += len(piece)
            length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_at_hand(self, start: int, length: int) -> memoryview | None:
        """What the system has in memory; None where it hasn't, or can't tell."""
        piece = bytearray(length)
        try:
            count = os.preadv(self._descriptor, [piece], start, os.RWF_NOWAIT)
        except OSError:
            return None  # said by `read`, if it is more than that
        return memoryview(piece) if count == length else None


class StoredBytes:
    """An object that Orthanc can only give as a whole."""

    __slots__ = ("_data", "identity", "size")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.identity = None
        self.size = len(data)

    def read(self, start: int, length: int) -> bytes:
        """As StoredFile.read; the whole of it is not copied. Raises: StorageError."""
        if start + length > self.size:
            raise StorageError("a stored object ends too early")
        return self._data[start : start + length]

    def read_at_hand(self, start: int, length: int) -> memoryview | None:
        """Of what is in memory."""
        piece = memoryview(self._data)[start : start + length]
        return piece if len(piece) == length else None


class StorageArea:
    """A directory laid out as Orthanc does."""

    def __init__(self, directory: Path) -> None:
        self._directory = str(directory)
        #: Whether its file system can tell what it has in memory; network file systems can't, and
        #: ask their server to open a file. None: nothing was opened yet.
        self._tells: bool | None = None

    def open(self, attachment: Attachment) -> StoredFile | None:
        """The file; None where it isn't there, or isn't a plain DICOM file of that size.

        Raises: StorageError where it is there and can't be read.
        """
        path = self._path(attachment)
        if path is None:
            return None
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StorageError(f"a stored file can't be opened: {_name(error)}") from error
        stored = StoredFile(descriptor, attachment)
        if not _is_plain(stored, descriptor):
            return None
        if self._tells is None:
            self._tells = _tells(descriptor)
        return stored

    def read(self, attachment: Attachment) -> bytes | None:
        """All of the file; None as `open`. Raises: StorageError.

        By one call, if it is what it should be: after each the interpreter has to be waited for.
        """
        path = self._path(attachment) if self._tells else None
        if path is not None and attachment.size < _MOST_AT_ONCE:
            data = _read_cached(path, attachment.size)
            if data is not None:
                return data
        stored = self.open(attachment)
        return None if stored is None else stored.read(0, stored.size)

    def open_at_hand(self, attachment: Attachment) -> StoredFile | None:
        """One that was opened before, where no disk has to be waited for; it isn't looked at again:
        what has that UUID doesn't change."""
        path = self._path(attachment) if self._tells else None
        descriptor = None if path is None else open_cached(path)
        return None if descriptor is None else StoredFile(descriptor, attachment)

    def _path(self, attachment: Attachment) -> str | None:
        uuid = attachment.uuid
        if not attachment.is_file or not _UUID.match(uuid):
            return None
        return f"{self._directory}/{uuid[:2]}/{uuid[2:4]}/{uuid}"

    def free_bytes(self) -> int | None:
        """What others than root may still write; None where there is no such directory."""
        try:
            found = os.statvfs(self._directory)
        except OSError:
            return None
        return found.f_bavail * found.f_frsize


def _read_cached(path: str, size: int) -> bytes | None:
    """A plain DICOM file of that size; None where it is something else, or not to be had so."""
    descriptor = open_cached(path)
    if descriptor is None:
        return None
    try:
        data = os.pread(descriptor, size + 1, 0)  # it may be longer
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return data if len(data) == size and data.startswith(_MAGIC, _MAGIC_AT) else None


def _tells(descriptor: int) -> bool:
    try:
        os.preadv(descriptor, [bytearray(1)], 0, os.RWF_NOWAIT)
    except BlockingIOError:  # not now
        return True
    except OSError:
        return False
    return True


def _is_plain(stored: StoredFile, descriptor: int) -> bool:
    """Orthanc stores no DICOM file without its preamble; where one came, others read it."""
    try:
        size = os.fstat(descriptor).st_size
    except OSError as error:
        raise StorageError(f"a stored file can't be read: {_name(error)}") from error
    if size != stored.size or size < _MAGIC_AT + len(_MAGIC):
        return False
    return stored.read(_MAGIC_AT, len(_MAGIC)) == _MAGIC


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "unknown error")
