"""Whether an instance that came in was stored by us, whichever is heard of first."""

from __future__ import annotations

import threading

import pytest

from farsight.adapters import own_stores
from farsight.adapters.own_stores import OwnStores


def asked(stores: OwnStores, resource_id: str) -> tuple[threading.Thread, list[bool]]:
    """The event, on the archive's thread."""
    said: list[bool] = []
    thread = threading.Thread(target=lambda: said.append(stores.settle(resource_id)), daemon=True)
    thread.start()
    return thread, said


def test_others_stored_it() -> None:
    stores = OwnStores()
    assert not stores.settle("a")
    with stores.storing():
        stores.note("b")
    assert not stores.settle("a")


def test_the_answer_comes_before_the_event() -> None:
    stores = OwnStores()
    with stores.storing():
        stores.note("a")
        assert stores.settle("a")
    with stores.storing():
        stores.note("a")
    assert stores.settle("a")
    assert not stores.settle("a"), "the next event is of another store"


def test_the_event_comes_before_the_answer() -> None:
    """It waits for the stores that are under way: one of them may be it."""
    stores = OwnStores()
    with stores.storing():
        thread, said = asked(stores, "a")
        thread.join(0.05)
        assert said == []
        stores.note("a")
    thread.join(10)
    assert said == [True]


def test_it_waits_for_no_later_store() -> None:
    stores = OwnStores()
    first = stores.storing()
    first.__enter__()
    thread, said = asked(stores, "a")
    thread.join(0.05)
    with stores.storing():  # begun after the event: it can't be it
        first.__exit__(None, None, None)
        thread.join(10)
        assert said == [False]


def test_a_store_that_fails_is_none() -> None:
    stores = OwnStores()
    store = stores.storing()
    store.__enter__()
    thread, said = asked(stores, "a")
    assert not store.__exit__(ValueError, ValueError(), None)
    thread.join(10)
    assert said == [False]


def test_a_store_that_hangs_holds_up_no_event_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_stores, "_LONGEST_WAIT_S", 0.05)
    stores = OwnStores()
    with stores.storing():
        assert not stores.settle("a")


def test_one_whose_event_was_given_up_on_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its event has been: the next is of one that somebody else stored in its place."""
    monkeypatch.setattr(own_stores, "_LONGEST_WAIT_S", 0.05)
    stores = OwnStores()
    with stores.storing():
        assert not stores.settle("a")
        stores.note("a")
    assert not stores.settle("a")
    with stores.storing():
        stores.note("a")
    assert stores.settle("a"), "that was of the one store only"


def test_what_is_gone_is_forgotten() -> None:
    stores = OwnStores()
    with stores.storing():
        stores.note("a")
    stores.forget("a")
    stores.forget("b")
    assert not stores.settle("a")


def test_what_no_event_ever_told_of_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The latest are known."""
    monkeypatch.setattr(own_stores, "_MOST_REMEMBERED", 3)
    stores = OwnStores()
    with stores.storing():
        for number in range(10):
            stores.note(str(number))
    assert [stores.settle(str(number)) for number in range(10)] == [False] * 7 + [True] * 3


def test_many_at_once() -> None:
    stores = OwnStores()
    ours: list[bool] = []

    def work(worker: int) -> None:
        for number in range(200):
            with stores.storing():
                stores.note(f"{worker}-{number}")
            ours.append(stores.settle(f"{worker}-{number}"))
            ours.append(not stores.settle(f"{worker}-{number}-of-others"))

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert ours == [True] * 2400
