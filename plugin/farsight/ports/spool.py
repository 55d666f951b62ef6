"""Where an upload waits until all of it is there."""

from __future__ import annotations

from typing import Protocol


class SpooledPart(Protocol):
    """One part of an upload. Readable until its spool is closed."""

    @property
    def size(self) -> int:
        """In bytes."""
        ...

    def read(self, start: int, length: int) -> bytes:
        """Exactly these bytes. Raises: ArchiveError."""
        ...

    def whole(self) -> bytes | memoryview:
        """All of it. Raises: ArchiveError."""
        ...


class InMemory:
    """A part that is kept in memory."""

    __slots__ = ("_data", "size")

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = data
        self.size = len(data)

    def read(self, start: int, length: int) -> bytes:
        """See SpooledPart."""
        return bytes(self._data[start : start + length])

    def whole(self) -> bytes | memoryview:
        """See SpooledPart."""
        return self._data


class Spool(Protocol):
    """One upload. For one thread while it is written; its parts may be read by several."""

    def write(self, data: bytes | memoryview) -> None:
        """More of the part that is being written. Raises: ArchiveError, ArchiveFull."""
        ...

    def end_part(self) -> SpooledPart:
        """The part is whole; what is written next belongs to the next."""
        ...

    def close(self) -> None:
        """Forgets all of it."""
        ...


class Spools(Protocol):
    """Where uploads are spooled, all together within limits."""

    def new(self) -> Spool: ...
