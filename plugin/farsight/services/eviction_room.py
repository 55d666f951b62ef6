"""How much room there is, and whether more has to be made."""

from __future__ import annotations

from collections.abc import Callable

from farsight.ports.archive import Archive

#: Whether more has to go, of who has freed so many bytes already.
Wanted = Callable[[int], bool]


class Room:
    """Of the disk the archive is on."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def lacking(self, wanted_bytes: int) -> int:
        """By how much there is less than that; 0 or less where there is enough."""
        free = self._archive.free_bytes()
        return 0 if free is None else wanted_bytes - free

    def short_of(self, wanted_bytes: int) -> Wanted:
        """Until there is so much, or as much was freed as ever was lacking: not every storage gives
        room back at once, and what it gives back late must not cost a series more."""
        most = 0

        def is_short(freed_bytes: int) -> bool:
            nonlocal most
            lacking = self.lacking(wanted_bytes)
            most = max(most, lacking)
            return lacking > 0 and freed_bytes < most

        return is_short
