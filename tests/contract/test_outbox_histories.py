"""The outbox on disk beside the one in memory: whatever is done to both, they agree."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fakes.outbox import MemoryOutbox
from farsight.adapters.sqlite_outbox import SqliteOutbox
from farsight.model import InstanceRef
from farsight.ports.outbox import Consignment, Outbox, Parcel, Stage

DESTINATIONS = ("near", "far")
CONSIGNMENTS = st.builds(
    lambda destination, study, instance: Consignment(
        destination, InstanceRef(f"1.{study}", f"1.{study}.0", f"1.{instance}"), "1.2", "1.3"
    ),
    st.sampled_from(DESTINATIONS),
    st.integers(1, 3),
    st.integers(1, 4),
)
#: Which of those numbers that were ever given.
CHOSEN = st.lists(st.integers(0, 30), max_size=6)
TIMES = st.integers(0, 5).map(float)
WORDS = st.sampled_from(["", "refused", "schweigt – still"])


def seen(parcels: Sequence[Parcel]) -> list[Parcel]:
    return [replace(parcel, entered_at=0.0) for parcel in parcels]


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "outbox.db"
        self.disk = SqliteOutbox(self.path)
        self.model = MemoryOutbox()

    def both(self, act: Callable[[Outbox], Any]) -> Any:
        one, other = act(self.disk), act(self.model)
        assert one == other
        return one

    @rule(items=st.lists(CONSIGNMENTS, max_size=5), promise=st.booleans())
    def announce(self, items: list[Consignment], promise: bool) -> None:
        numbers = self.both(lambda outbox: outbox.announce(items))
        if promise:
            self.both(lambda outbox: outbox.promise(numbers))

    @rule(numbers=CHOSEN)
    def promise(self, numbers: list[int]) -> None:
        self.both(lambda outbox: outbox.promise(numbers))

    @rule(numbers=CHOSEN)
    def withdraw(self, numbers: list[int]) -> None:
        self.both(lambda outbox: outbox.withdraw(numbers))

    @rule(destination=st.sampled_from(DESTINATIONS), now=TIMES, at=TIMES, remark=WORDS)
    def send(self, destination: str, now: float, at: float, remark: str) -> None:
        due = self.both(lambda outbox: seen(outbox.due(destination, now, 3)))
        self.both(lambda outbox: outbox.sent([one.number for one in due], at, remark))

    @rule(numbers=CHOSEN, error=WORDS, at=TIMES, counts=st.booleans())
    def fail(self, numbers: list[int], error: str, at: float, counts: bool) -> None:
        self.both(lambda outbox: outbox.failed(numbers, error, at, counts=counts))

    @rule(numbers=CHOSEN, listed=st.sampled_from([None, False, True]))
    def look(self, numbers: list[int], listed: bool | None) -> None:
        self.both(lambda outbox: outbox.looked_for(numbers, listed))

    @rule(numbers=CHOSEN, error=WORDS)
    def bury(self, numbers: list[int], error: str) -> None:
        self.both(lambda outbox: outbox.bury(numbers, error))

    @rule(numbers=CHOSEN)
    def retry(self, numbers: list[int]) -> None:
        self.both(lambda outbox: outbox.retry(sorted(set(numbers))))

    @rule(numbers=CHOSEN)
    def discard(self, numbers: list[int]) -> None:
        self.both(lambda outbox: outbox.discard(sorted(set(numbers))))

    @rule()
    def restart(self) -> None:
        self.disk.close()
        self.disk = SqliteOutbox(self.path)

    @invariant()
    def they_agree(self) -> None:
        self.both(lambda outbox: outbox.counts())
        for stage in Stage:
            self.both(lambda outbox, stage=stage: seen(outbox.parcels(stage)))  # type: ignore[misc]
        for destination in DESTINATIONS:
            for now in (0.0, 2.0, 5.0):
                self.both(lambda o, d=destination, n=now: seen(o.due(d, n, 2)))  # type: ignore[misc]
                self.both(lambda o, d=destination, n=now: seen(o.unconfirmed(d, n, 2)))  # type: ignore[misc]
            self.both(lambda o, d=destination: o.next_due_at(d))  # type: ignore[misc]
            self.both(lambda o, d=destination: o.next_due_at(d, Stage.SENT))  # type: ignore[misc]

    def teardown(self) -> None:
        self.disk.close()
        self.folder.cleanup()


Histories.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestHistories = Histories.TestCase
