"""A bounded cache of JSON fragments: elements repeat from slice to slice of a series."""

from __future__ import annotations

from collections.abc import Hashable


class FragmentCache:
    """Two generations: when the young one is full it becomes the old one, which is dropped.

    What is used survives, what isn't goes; no order is kept, so a hit costs one look-up.
    Threads may share it: at worst a fragment is made twice.
    """

    __slots__ = ("_max_bytes", "_old", "_young", "_young_bytes")

    def __init__(self, max_bytes: int) -> None:
        """`max_bytes` bounds both generations together, keys and Python's overhead included."""
        self._max_bytes = max_bytes // 2
        self._young: dict[Hashable, str] = {}
        self._old: dict[Hashable, str] = {}
        self._young_bytes = 0

    def get(self, key: Hashable) -> str | None:
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found, 2 * len(found))
        return found

    def put(self, key: Hashable, fragment: str, size_bytes: int) -> None:
        """Keep a fragment; `size_bytes` is what key and fragment weigh, roughly."""
        self._young_bytes += size_bytes + 350  # two strings, a tuple, a dict entry
        if self._young_bytes > self._max_bytes:
            self._old, self._young = self._young, {}
            self._young_bytes = size_bytes
        self._young[key] = fragment
