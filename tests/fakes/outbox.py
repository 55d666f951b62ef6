"""The Outbox port in memory: what the one on disk has to agree with."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from farsight.model import InstanceRef
from farsight.ports.outbox import Consignment, Parcel, Stage

_UNDER_WAY = (Stage.WAITING, Stage.SENT)


class MemoryOutbox:
    """`before` is called with the name of each method, before it does anything; it may raise."""

    def __init__(self, before: Callable[[str], None] = lambda _: None) -> None:
        self.before = before
        self._lock = threading.Lock()
        self._parcels: dict[int, Parcel] = {}
        self._last = 0

    def announce(self, consignments: Sequence[Consignment]) -> Sequence[int]:
        self.before("announce")
        with self._lock:
            numbers = []
            for one in consignments:
                self._last += 1
                self._parcels[self._last] = Parcel(
                    self._last, one, Stage.ANNOUNCED, entered_at=time.time()
                )
                numbers.append(self._last)
            return numbers

    def promise(self, numbers: Sequence[int]) -> None:
        self.before("promise")
        with self._lock:
            for parcel in self._those(numbers, (Stage.ANNOUNCED,)):
                of_it = [one for one in self._parcels.values() if _same(one, parcel)]
                for other in of_it:
                    if other.stage is not Stage.ANNOUNCED:
                        del self._parcels[other.number]
                self._put(parcel, stage=Stage.WAITING, due_at=0.0)

    def withdraw(self, numbers: Sequence[int]) -> None:
        self.before("withdraw")
        with self._lock:
            for number in numbers:
                self._parcels.pop(number, None)

    def due(self, destination: str, now: float, most: int) -> Sequence[Parcel]:
        self.before("due")
        with self._lock:
            for head in self._heads(destination):
                if head.due_at <= now:
                    study = head.what.ref.study_instance_uid
                    return [
                        parcel
                        for parcel in self._in(Stage.WAITING, destination)
                        if parcel.what.ref.study_instance_uid == study
                    ][:most]
            return []

    def unconfirmed(self, destination: str, now: float, most: int) -> Sequence[Parcel]:
        self.before("unconfirmed")
        with self._lock:
            due = [one for one in self._in(Stage.SENT, destination) if one.due_at <= now]
            if not due:
                return []
            first = min(due, key=lambda one: (one.due_at, one.number))
            study = first.what.ref.study_instance_uid
            return [one for one in due if one.what.ref.study_instance_uid == study][:most]

    def next_due_at(self, destination: str, stage: Stage = Stage.WAITING) -> float | None:
        self.before("next_due_at")
        with self._lock:
            if stage is Stage.WAITING:
                return min((head.due_at for head in self._heads(destination)), default=None)
            if stage is Stage.SENT:
                sent = self._in(Stage.SENT, destination)
                return min((one.due_at for one in sent), default=None)
            return None

    def looked_for(self, numbers: Sequence[int], listed_before: bool | None) -> None:
        self.before("looked_for")
        with self._lock:
            for parcel in self._those(numbers, (Stage.WAITING,)):
                self._put(parcel, listed_before=listed_before)

    def sent(self, numbers: Sequence[int], due_at: float, remark: str = "") -> None:
        self.before("sent")
        with self._lock:
            for parcel in self._those(numbers, _UNDER_WAY):
                self._put(parcel, stage=Stage.SENT, due_at=due_at, error=remark)

    def failed(
        self, numbers: Sequence[int], error: str, due_at: float, *, counts: bool = True
    ) -> None:
        self.before("failed")
        with self._lock:
            for parcel in self._those(numbers, _UNDER_WAY):
                attempts = parcel.attempts + int(counts)
                self._put(
                    parcel, stage=Stage.WAITING, due_at=due_at, error=error, attempts=attempts
                )

    def bury(self, numbers: Sequence[int], error: str) -> None:
        self.before("bury")
        with self._lock:
            for parcel in self._those(numbers, _UNDER_WAY):
                attempts = parcel.attempts + 1
                self._put(parcel, stage=Stage.DEAD, error=error, attempts=attempts, due_at=0.0)

    def retry(self, numbers: Sequence[int]) -> int:
        self.before("retry")
        with self._lock:
            chosen = self._those(numbers, (Stage.DEAD, Stage.WAITING))
            for parcel in chosen:
                known = parcel.listed_before if parcel.stage is Stage.WAITING else None
                changes = {"attempts": 0, "due_at": 0.0, "listed_before": known}
                self._put(parcel, stage=Stage.WAITING, **changes)
            return len(chosen)

    def discard(self, numbers: Sequence[int]) -> int:
        self.before("discard")
        with self._lock:
            chosen = self._those(numbers, (Stage.DEAD,))
            for parcel in chosen:
                del self._parcels[parcel.number]
            return len(chosen)

    def numbered(self, numbers: Sequence[int]) -> Sequence[Parcel]:
        self.before("numbered")
        with self._lock:
            return self._those(sorted(set(numbers)), tuple(Stage))

    def concerning(self, refs: Collection[InstanceRef]) -> Sequence[Parcel]:
        self.before("concerning")
        with self._lock:
            return [parcel for parcel in self._parcels.values() if parcel.what.ref in refs]

    def parcels(
        self, stage: Stage, destination: str | None = None, *, most: int = 1000, after: int = 0
    ) -> Sequence[Parcel]:
        self.before("parcels")
        with self._lock:
            return [one for one in self._in(stage, destination) if one.number > after][:most]

    def counts(self) -> Mapping[str, Mapping[Stage, int]]:
        self.before("counts")
        with self._lock:
            counted: dict[str, Counter[Stage]] = {}
            for parcel in self._parcels.values():
                counted.setdefault(parcel.what.destination, Counter())[parcel.stage] += 1
            return {destination: dict(stages) for destination, stages in counted.items()}

    def close(self) -> None:
        """Nothing to close."""

    def _those(self, numbers: Iterable[int], stages: Collection[Stage]) -> list[Parcel]:
        found = [self._parcels[number] for number in numbers if number in self._parcels]
        return [parcel for parcel in found if parcel.stage in stages]

    def _put(self, parcel: Parcel, **changes: object) -> None:
        self._parcels[parcel.number] = replace(parcel, **changes)  # type: ignore[arg-type]

    def _in(self, stage: Stage, destination: str | None) -> list[Parcel]:
        """By number: they are entered in that order, and keep their place."""
        return [
            parcel
            for parcel in self._parcels.values()
            if parcel.stage is stage and destination in (None, parcel.what.destination)
        ]

    def _heads(self, destination: str) -> list[Parcel]:
        heads: dict[str, Parcel] = {}
        for parcel in self._in(Stage.WAITING, destination):
            heads.setdefault(parcel.what.ref.study_instance_uid, parcel)
        return list(heads.values())


def _same(one: Parcel, other: Parcel) -> bool:
    return (one.what.ref, one.what.destination) == (other.what.ref, other.what.destination)
