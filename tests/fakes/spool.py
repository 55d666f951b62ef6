"""A spool in memory, without a limit."""

from __future__ import annotations

from farsight.ports.spool import InMemory


class MemorySpool:
    """The Spool port."""

    def __init__(self) -> None:
        self._pieces: list[bytes | memoryview] = []

    def write(self, data: bytes | memoryview) -> None:
        self._pieces.append(data)

    def end_part(self) -> InMemory:
        pieces, self._pieces = self._pieces, []
        return InMemory(b"".join(pieces))

    def close(self) -> None:
        self._pieces.clear()
