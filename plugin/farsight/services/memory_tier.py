"""Instances in memory: what just came from the PACS, and what was read lately.

Laws:
- Bytes held never exceed the budget, but for one object that alone is larger.
- What isn't stored yet is never evicted; whoever adds more waits until something is stored.
- What is stored goes by least recent use.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from farsight.dicom.elements import DicomObject
from farsight.model import InstanceRef, SeriesRef


class MemoryTier:
    """Parsed instances by reference, within `max_bytes`. Thread-safe."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self._stored: OrderedDict[InstanceRef, DicomObject] = OrderedDict()
        self._unstored: dict[InstanceRef, DicomObject] = {}
        self._series: dict[SeriesRef, set[str]] = {}
        self._bytes = 0

    @property
    def resident_bytes(self) -> int:
        with self._changed:
            return self._bytes

    def get(self, ref: InstanceRef) -> DicomObject | None:
        """The instance if it is here; counts as a use."""
        with self._changed:
            found = self._unstored.get(ref)
            if found is None and (found := self._stored.get(ref)) is not None:
                self._stored.move_to_end(ref)
            return found

    def peek(self, ref: InstanceRef) -> DicomObject | None:
        """The instance if it is here, for one that passes through once: no use of it."""
        with self._changed:
            return self._unstored.get(ref) or self._stored.get(ref)

    def has_room(self, size: int) -> bool:
        """Whether something of that size would drive nothing out."""
        with self._changed:
            return self._bytes + size <= self._max_bytes

    def __contains__(self, ref: InstanceRef) -> bool:
        with self._changed:
            return ref in self._unstored or ref in self._stored

    def instances(self, series: SeriesRef) -> frozenset[str]:
        """SOPInstanceUIDs of the series that are here."""
        with self._changed:
            return frozenset(self._series.get(series, ()))

    def unstored(self, series: SeriesRef) -> frozenset[str]:
        """Those of them that are still to be stored."""
        with self._changed:
            return frozenset(ref.sop_instance_uid for ref in self._unstored if ref.series == series)

    def add_unstored(self, ref: InstanceRef, instance: DicomObject) -> bool:
        """Takes what must be stored; waits while the budget is full of such.

        False: it is being stored already.
        """
        size = len(instance.data)
        with self._changed:
            while ref not in self._unstored and ref not in self._stored:
                if self._make_room(size) or not self._unstored:
                    self._unstored[ref] = instance
                    self._count(ref, size)
                    return True
                self._changed.wait()
            if ref in self._unstored:
                return False
            self._unstored[ref] = self._stored.pop(ref)  # the archive lost it
            return True

    def add_stored(self, ref: InstanceRef, instance: DicomObject) -> None:
        """Keeps what was read from the archive, if there is room for it."""
        size = len(instance.data)
        with self._changed:
            if size > self._max_bytes or ref in self._unstored or ref in self._stored:
                return
            if not self._make_room(size):
                return
            self._stored[ref] = instance
            self._count(ref, size)

    def mark_stored(self, ref: InstanceRef) -> None:
        """The archive has it now: it may be evicted."""
        with self._changed:
            instance = self._unstored.pop(ref, None)
            if instance is not None:
                self._stored[ref] = instance
                self._changed.notify_all()

    def forget(self, ref: InstanceRef) -> None:
        """Of what is stored; what is still to be stays."""
        with self._changed:
            if ref not in self._unstored:
                self.drop(ref)

    def drop(self, ref: InstanceRef) -> None:
        """Forgets an instance: storing it failed, or it was deleted or replaced."""
        with self._changed:
            instance = self._unstored.pop(ref, None) or self._stored.pop(ref, None)
            if instance is not None:
                self._discount(ref, len(instance.data))
                self._changed.notify_all()

    def discard(self, ref: InstanceRef, instance: DicomObject) -> None:
        """Forgets what add_stored took, unless it is another by now."""
        with self._changed:
            if self._stored.get(ref) is instance:
                del self._stored[ref]
                self._discount(ref, len(instance.data))
                self._changed.notify_all()

    def _make_room(self, size: int) -> bool:
        while self._bytes + size > self._max_bytes and self._stored:
            ref, evicted = self._stored.popitem(last=False)
            self._discount(ref, len(evicted.data))
        return self._bytes + size <= self._max_bytes

    def _count(self, ref: InstanceRef, size: int) -> None:
        self._bytes += size
        self._series.setdefault(ref.series, set()).add(ref.sop_instance_uid)

    def _discount(self, ref: InstanceRef, size: int) -> None:
        self._bytes -= size
        held = self._series[ref.series]
        held.discard(ref.sop_instance_uid)
        if not held:
            del self._series[ref.series]
