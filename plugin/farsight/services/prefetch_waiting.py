"""The studies that wait to be fetched ahead: a bounded list without duplicates.

It lives in memory only: it is a hint, and what is lost with the process is found again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum


class Haste(IntEnum):
    """Who goes first: what somebody is looking at needs its priors now."""

    OPENED = 0
    SCHEDULED = 1
    RECENT = 2


@dataclass(frozen=True, slots=True)
class Waiting:
    """A study to fetch. pacs: who told of it. instances: it is said to have; -1: not said."""

    study_instance_uid: str
    rule: str
    haste: Haste
    pacs: str = ""
    instances: int = -1
    attempts: int = 0


class WaitingList:
    """First come, first served within their haste. Not thread-safe.

    Laws: never more than `most`, never a study twice; of too many the last of those in least
    haste go.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lines: dict[Haste, dict[str, Waiting]] = {haste: {} for haste in Haste}

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __contains__(self, study_instance_uid: str) -> bool:
        return any(study_instance_uid in line for line in self._lines.values())

    def add(self, entry: Waiting) -> tuple[bool, Waiting | None]:
        """Whether it waits now and didn't before; and who had to go for it.

        One that waits already moves up where it is in more haste now, and counts as there before.
        """
        before = self._of(entry.study_instance_uid)
        if before is not None:
            if entry.haste < before.haste:
                del self._lines[before.haste][entry.study_instance_uid]
                moved = replace(entry, attempts=before.attempts)
                self._lines[entry.haste][entry.study_instance_uid] = moved
            return False, None
        gone = None
        if len(self) >= self._most:
            gone = self._last_beyond(entry.haste)
            if gone is None:
                return False, None
        self._lines[entry.haste][entry.study_instance_uid] = entry
        return True, gone

    def put_back(self, entry: Waiting) -> bool:
        """First of its line again; False where the list is full meanwhile."""
        if entry.study_instance_uid in self or len(self) >= self._most:
            return entry.study_instance_uid in self
        line = self._lines[entry.haste]
        self._lines[entry.haste] = {entry.study_instance_uid: entry, **line}
        return True

    def take(self, may: Callable[[Waiting], bool]) -> Waiting | None:
        """The first that may go, which waits no longer."""
        for line in self._lines.values():
            for uid, entry in line.items():
                if may(entry):
                    del line[uid]
                    return entry
        return None

    def _of(self, study_instance_uid: str) -> Waiting | None:
        found = (line.get(study_instance_uid) for line in self._lines.values())
        return next((entry for entry in found if entry is not None), None)

    def _last_beyond(self, haste: Haste) -> Waiting | None:
        """Takes out the last of those in less haste; None where there is none."""
        for other in reversed(Haste):
            if other > haste and self._lines[other]:
                return self._lines[other].popitem()[1]
        return None
