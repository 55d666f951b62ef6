"""The process ends at any call of a port: what was promised arrives all the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.commitments import FakeCommitments
from fakes.forwarding import Site, ref, uids
from fakes.outbox import MemoryOutbox
from fakes.receiving import ReceivingPacs
from farsight.adapters.sqlite_outbox import SqliteOutbox
from farsight.errors import CacheBookError, FarsightError, OutboxError
from farsight.ports.outbox import Consignment, Outbox, Stage

MOST_CALLS = 400


class Crash(BaseException):
    """Nothing catches it, as nothing catches the end of a process."""


class Watched:
    """Any port: each call is told before it is made, and again when it was made."""

    def __init__(self, port: object, tell: Callable[[str], None]) -> None:
        self._port = port
        self._tell = tell

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not callable(found):
            return found

        def watched(*arguments: Any, **named: Any) -> Any:
            self._tell(name)
            result = found(*arguments, **named)
            self._tell(name)
            return result

        return watched


class Fuse:
    """Raises from the n-th call on, for so many calls; None: never."""

    def __init__(self, error: type[BaseException], calls: float) -> None:
        self._error = error
        self._most = calls
        self.at: int | None = None
        self.calls = 0

    def __call__(self, _name: str) -> None:
        self.calls += 1
        if self.at is not None and 0 <= self.calls - self.at < self._most:
            raise self._error("now")


@pytest.fixture(params=["memory", "disk"])
def outbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outbox]:
    made: Outbox
    made = MemoryOutbox() if request.param == "memory" else SqliteOutbox(tmp_path / "outbox.db")
    yield made
    made.close()


def site_over(outbox: Outbox, tell: Callable[[str], None]) -> Site:
    answers: dict[str, list[Any]] = {uids(1, 2)[0]: [0xA700], uids(1, 3)[0]: [0xC000] * 9}
    pacs = ReceivingPacs(answers=answers, before=tell)
    site = Site(pacs, outbox=Watched(outbox, tell))  # type: ignore[arg-type]
    site.book.before = tell
    return site


def empty(outbox: Outbox) -> None:
    for stage in Stage:
        outbox.withdraw([parcel.number for parcel in outbox.parcels(stage)])


def test_a_crash_at_any_call(outbox: Outbox) -> None:
    for at in range(1, MOST_CALLS):
        fuse = Fuse(Crash, math.inf)
        site = site_over(outbox, fuse)
        site.enter(1, 1, 2, 3, 4)
        fuse.calls, fuse.at = 0, at
        crashed = False
        try:
            site.pass_time(3600)
        except Crash:
            crashed = True
        fuse.at = None
        if crashed:
            site.restart()
            site.pass_time(7200)
        _everything_has_come_to_its_end(site)
        empty(outbox)
        if not crashed:
            break
    else:
        raise AssertionError("more calls than expected")
    assert at > 100


def _everything_has_come_to_its_end(site: Site) -> None:
    pacs = site.pacs["pacs"]
    arrived = {ref(1, n) for n in (1, 2, 4)}
    assert set(pacs.kept) == arrived
    assert site.book.held == dict.fromkeys(arrived, "pacs")
    (dead,) = site.outbox.parcels(Stage.DEAD)
    assert dead.what.ref == ref(1, 3)
    assert "0xC000" in dead.error
    assert site.outbox.counts() == {"pacs": {Stage.DEAD: 1}}
    for n in (1, 2, 4):
        assert pacs.sent.count(uids(1, n)[0]) <= 3, "again only where it wasn't known"


@pytest.mark.parametrize("error", [OutboxError, CacheBookError])
def test_a_disk_that_fails_at_any_call_and_heals(error: type[FarsightError]) -> None:
    for at in range(1, MOST_CALLS):
        fuse = Fuse(error, 2)
        outbox = MemoryOutbox()
        site = site_over(outbox, lambda _: None)
        site.enter(1, 1, 2, 3, 4)
        outbox.before = site.book.before = fuse
        fuse.at = at
        for _ in range(4):
            try:
                site.pass_time(3600)
            except error as raised:
                site.forwarder.couriers["pacs"].stumbled(raised)
        calls, fuse.at = fuse.calls, None
        _everything_has_come_to_its_end(site)
        if calls < at:
            return
    raise AssertionError("more calls than expected")


def test_what_was_announced_when_it_ended() -> None:
    site = Site()
    items = [
        Consignment("pacs", ref(1, n), "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1")
        for n in (1, 2)
    ]
    stored, missing = site.entrance.announce(items)
    site.archive.content[ref(1, 1)] = b"first"
    site.restart()
    assert site.stages([stored, missing]) == ["waiting", "gone"]
    site.pass_time(3)
    assert site.book.held == {ref(1, 1): "pacs"}


def test_what_is_announced_in_this_run_is_left_alone() -> None:
    site = Site()
    item = Consignment("pacs", ref(1, 1), "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1")
    (number,) = site.entrance.announce([item])
    site.forwarder.recover(site.archive)  # type: ignore[arg-type]
    assert site.stage(number) == "announced"


def test_what_was_asked_about_when_it_ended() -> None:
    """The report on it is lost: it isn't waited for."""
    commitments = FakeCommitments("pacs")
    commitments.silent = True
    site = Site(commitments=commitments)
    (number,) = site.enter(1, 1)
    site.pass_time(10)
    assert site.stage(number) == "sent"
    asked_until = site.parcel(number).due_at
    assert asked_until > site.clock.now
    commitments.silent = False
    commitments.restart()
    commitments.holds = set(uids(1, 1))
    site.restart()
    assert site.parcel(number).due_at <= site.clock.now
    site.pass_time(5)
    assert site.clock.now < asked_until
    assert site.book.held == {ref(1, 1): "pacs"}
