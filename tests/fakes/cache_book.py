"""The account of what is stored, in memory: the plainest thing that keeps the port's laws."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from farsight.model import InstanceRef, SeriesRef
from farsight.ports.cache_book import BookedInstance, BookedSeries, BookTotals


@dataclass
class BookState:
    """What is on the disk of the other one."""

    instances: dict[InstanceRef, BookedInstance]
    used_at: dict[SeriesRef, float]
    doubtful: set[InstanceRef]
    is_new: bool = True
    is_closed: bool = False


class FakeCacheBook:
    """The CacheBook port in dictionaries. Give it the state of another one to restart it."""

    def __init__(self, clock: Callable[[], float], state: BookState | None = None) -> None:
        self.state = state or BookState({}, {}, set())
        self._clock = clock
        self.ended_well, self.state.is_closed = self.state.is_closed, False
        self.has_caught_up = False
        self._lock = threading.RLock()
        there = self.state.instances.items()
        self._left = {ref for ref, one in there if not (one.resource_id or one.held_by)}

    def expect(self, ref: InstanceRef, size_bytes: int, pacs: str) -> None:
        with self._lock:
            self._left.discard(ref)
            before = self.state.instances.setdefault(ref, BookedInstance(ref, "", size_bytes, pacs))
            if before.resource_id:
                self.state.doubtful.add(ref)

    def claim(self, refs: Collection[InstanceRef]) -> None:
        with self._lock:
            self._left -= set(refs)
            for ref in refs:
                before = self.state.instances.get(ref, BookedInstance(ref, "", 0))
                self.state.instances[ref] = replace(before, held_by="")
                if before.resource_id:
                    self.state.doubtful.add(ref)

    def stored(self, ref: InstanceRef, resource_id: str, size_bytes: int) -> None:
        with self._lock:
            before = self.state.instances.get(ref, BookedInstance(ref, "", size_bytes))
            held_by = before.held_by if before.resource_id in ("", resource_id) else ""
            self.state.instances[ref] = BookedInstance(ref, resource_id, size_bytes, held_by)
            self.state.doubtful.discard(ref)
            self._used((ref.series,), self._clock())

    def gone(self, resource_ids: Collection[str]) -> None:
        wanted = set(resource_ids) - {""}
        with self._lock:
            there = self.state.instances.items()
            left = {ref: one for ref, one in there if one.resource_id not in wanted}
            series = {ref.series for ref in left}
            self.state.instances = left
            self.state.doubtful &= left.keys()
            self.state.used_at = {s: at for s, at in self.state.used_at.items() if s in series}

    def confirmed(self, refs: Collection[InstanceRef], pacs: str) -> None:
        with self._lock:
            for ref in refs:
                before = self.state.instances.get(ref)
                if before is not None and before.resource_id:
                    self.state.instances[ref] = replace(before, held_by=pacs)
                    self.state.doubtful.discard(ref)

    def touch(self, series: Iterable[SeriesRef], used_at: float) -> None:
        with self._lock:
            booked = {ref.series for ref in self.state.instances}
            self._used((one for one in series if one in booked), used_at)

    def _used(self, series: Iterable[SeriesRef], used_at: float) -> None:
        for one in series:
            before = self.state.used_at.get(one, 0.0)
            is_ahead = before > self._clock()
            self.state.used_at[one] = used_at if is_ahead else max(before, used_at)

    def _stored(self) -> list[BookedInstance]:
        with self._lock:
            return [one for one in self.state.instances.values() if one.resource_id]

    def _series(self) -> list[BookedSeries]:
        found: dict[SeriesRef, list[BookedInstance]] = {}
        for one in self._stored():
            found.setdefault(one.ref.series, []).append(one)
        return [
            BookedSeries(
                series,
                len(some),
                sum(one.size_bytes for one in some),
                sum(not one.held_by for one in some),
                self.state.used_at.get(series, 0.0),
            )
            for series, some in found.items()
        ]

    def instance(self, ref: InstanceRef) -> BookedInstance | None:
        return next((one for one in self._stored() if one.ref == ref), None)

    def one(self, series: SeriesRef) -> BookedSeries | None:
        return next((one for one in self._series() if one.series == series), None)

    def of_study(self, study_instance_uid: str) -> Sequence[BookedSeries]:
        found = [s for s in self._series() if s.series.study_instance_uid == study_instance_uid]
        return sorted(found, key=lambda one: one.series.series_instance_uid)

    def instances(self, series: SeriesRef) -> Sequence[BookedInstance]:
        return [one for one in self._stored() if one.ref.series == series]

    def evictable(self, most: int, *, used_before: float | None = None) -> Sequence[BookedSeries]:
        before = float("inf") if used_before is None else used_before
        found = [s for s in self._series() if not s.unconfirmed and s.used_at < before]
        return sorted(found, key=lambda one: one.used_at)[:most]

    def totals(self) -> BookTotals:
        stored = self._stored()
        unconfirmed = [one.size_bytes for one in stored if not one.held_by]
        return BookTotals(
            len({one.ref.series for one in stored}),
            len(stored),
            sum(one.size_bytes for one in stored),
            len(unconfirmed),
            sum(unconfirmed),
        )

    def resource_ids(self) -> frozenset[str]:
        return frozenset(one.resource_id for one in self._stored())

    def doubtful_ids(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self.state.instances[ref].resource_id for ref in self.state.doubtful)

    def left_claims(self) -> Sequence[InstanceRef]:
        with self._lock:
            there = self.state.instances
            return [ref for ref in self._left if ref in there and not there[ref].resource_id]

    def drop_left_claims(self) -> None:
        for ref in self.left_claims():
            with self._lock:
                del self.state.instances[ref]

    def expects(self, ref: InstanceRef, size_bytes: int) -> bool:
        one = self.state.instances.get(ref)
        return (
            one is not None
            and (one.resource_id, one.size_bytes) == ("", size_bytes)
            and bool(one.held_by)
        )

    @property
    def is_new(self) -> bool:
        return self.state.is_new

    def caught_up(self) -> None:
        self.state.is_new = False
        self.has_caught_up = True

    def close(self) -> None:
        self.state.is_closed = self.has_caught_up
