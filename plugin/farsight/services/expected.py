"""What a source says a series holds: its instances, or at least their number."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Expected:
    """instances: SOPInstanceUID -> SOPClassUID, "" where it isn't told. count: how many there are.

    A source that doesn't list instances leaves `instances` empty and tells the count alone; then
    any so many instances of the series are all of them.
    """

    instances: Mapping[str, str]
    count: int

    @property
    def listed(self) -> bool:
        return bool(self.instances)

    def among(self, held: Set[str]) -> frozenset[str]:
        """Of those, the ones that belong to what is expected."""
        return frozenset(held & self.instances.keys() if self.listed else held)

    def lacks(self, here: Set[str]) -> int:
        """How many are missing."""
        return max(0, self.count - len(self.among(here)))


def listed(instances: Mapping[str, str]) -> Expected:
    """What a source lists one by one."""
    return Expected(instances, len(instances))
