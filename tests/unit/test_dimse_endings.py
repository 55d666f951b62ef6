"""When the end of a C-GET is left to another thread, and when it isn't."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from fakes.scripted_pacs import wait_until
from farsight.adapters import dimse_endings
from farsight.adapters.dimse_endings import Endings
from farsight.errors import PacsFailure
from farsight.model import SubOperations

#: What the PACS says at the end, not what is told without it.
END = SubOperations(1, 0, 7, 0)
LEFT = SubOperations(1, 0, 0, 0)
Step = str | SubOperations | Exception | threading.Event


class Steps:
    """A C-GET as it goes: instances, waits, its end or an error."""

    def __init__(self, *steps: Step) -> None:
        self._steps: Iterator[Step] = iter(steps)
        self.threads: set[int] = set()

    def step(self) -> str | SubOperations:
        self.threads.add(threading.get_ident())
        step = next(self._steps)
        if isinstance(step, threading.Event):
            assert step.wait(10)
            return self.step()
        if isinstance(step, Exception):
            raise step
        return step


class Pool:
    """has_room: as long as it says so. free: nothing is held any more."""

    def __init__(self, *, has_room: bool = True) -> None:
        self.has_room = has_room
        self.free = threading.Event()
        self.free.set()
        self.endings = Endings("pacs", lambda: self.has_room)

    def got(self, only: str | None, *steps: Step) -> tuple[SubOperations, Steps]:
        getting = Steps(*steps)
        self.free.clear()
        with ExitStack() as held:
            held.callback(self.free.set)
            return self.endings.got(getting, only, held), getting  # type: ignore[arg-type]


@pytest.fixture
def said() -> Iterator[threading.Event]:
    said = threading.Event()
    yield said
    said.set()


def test_an_instance_that_somebody_waits_for(said: threading.Event) -> None:
    pool = Pool()
    outcome, getting = pool.got("1.1", "1.1", said, END)
    assert outcome == LEFT
    assert not pool.free.is_set(), "its association is in use"
    said.set()
    assert pool.free.wait(10)
    assert len(getting.threads) == 2


def test_where_nobody_waits_for_one_nothing_is_left() -> None:
    """An instance may come without its UID."""
    outcome, getting = Pool().got(None, "1.1", "", "1.2", END)
    assert outcome == END
    assert getting.threads == {threading.get_ident()}


def test_an_instance_that_never_comes() -> None:
    assert Pool().got("1.1", END)[0] == END
    with pytest.raises(PacsFailure):
        Pool().got("1.1", PacsFailure("pacs", "refused"))


def test_another_that_comes_first_is_not_what_was_waited_for() -> None:
    pool = Pool()
    assert pool.got("1.1", "1.2", "1.1", END)[0] == END
    assert pool.got("1.1", "1.1", END)[0] == END, "such a PACS is waited for"


def test_another_that_comes_afterwards() -> None:
    pool = Pool()
    assert pool.got("1.1", "1.1", "1.2", END)[0] == LEFT
    assert pool.free.wait(10)
    assert pool.got("1.1", "1.1", END)[0] == END, "such a PACS is waited for"


def test_without_room_a_quick_end_is_left_only(
    said: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dimse_endings, "_QUICK_S", 60)
    pool = Pool(has_room=False)
    assert pool.got("1.1", "1.1", END)[0] == END, "nothing is known of it yet"
    assert pool.got("1.1", "1.1", said, END)[0] == LEFT
    assert pool.got("1.1", "1.1", END)[0] == END, "the one before hasn't come to its end"
    said.set()


def test_without_room_a_slow_end_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dimse_endings, "_QUICK_S", 0)
    pool = Pool(has_room=False)
    for _ in range(3):
        assert pool.got("1.1", "1.1", END)[0] == END
    pool.has_room = True
    assert pool.got("1.1", "1.1", END)[0] == LEFT
    assert pool.free.wait(10)
    pool.has_room = False
    assert pool.got("1.1", "1.1", END)[0] == END


def test_an_end_that_fails_is_told_and_no_quick_one(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dimse_endings, "_QUICK_S", 60)
    pool = Pool()
    assert pool.got("1.1", "1.1", END)[0] == LEFT
    assert pool.free.wait(10)
    assert pool.got("1.1", "1.1", PacsFailure("pacs", "aborted"))[0] == LEFT
    wait_until(lambda: "aborted; after the instance" in caplog.text, what="the warning")
    pool.has_room = False
    assert pool.got("1.1", "1.1", END)[0] == END
