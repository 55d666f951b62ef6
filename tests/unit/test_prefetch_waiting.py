"""The waiting list: bounded, without duplicates, those in haste first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from farsight.services.prefetch_memory import Remembered
from farsight.services.prefetch_waiting import Haste, Waiting, WaitingList


def entry(uid: str, haste: Haste = Haste.RECENT) -> Waiting:
    return Waiting(uid, "rule", haste)


def taken(waiting: WaitingList) -> list[str]:
    found = []
    while (one := waiting.take(lambda _: True)) is not None:
        found.append(one.study_instance_uid)
    return found


def test_those_in_haste_first_then_first_come() -> None:
    waiting = WaitingList(10)
    for uid, haste in (("1", Haste.RECENT), ("2", Haste.SCHEDULED), ("3", Haste.OPENED)):
        assert waiting.add(entry(uid, haste)) == (True, None)
        assert waiting.add(entry(uid + "0", haste)) == (True, None)
    assert taken(waiting) == ["3", "30", "2", "20", "1", "10"]


def test_one_that_waits_moves_up_and_keeps_its_attempts() -> None:
    waiting = WaitingList(10)
    waiting.put_back(Waiting("1", "night", Haste.RECENT, attempts=2))
    assert waiting.add(Waiting("1", "priors", Haste.OPENED)) == (False, None)
    assert waiting.add(Waiting("1", "night", Haste.RECENT)) == (False, None)
    assert waiting.take(lambda _: True) == Waiting("1", "priors", Haste.OPENED, attempts=2)
    assert len(waiting) == 0


def test_of_too_many_the_last_of_those_in_least_haste_go() -> None:
    waiting = WaitingList(2)
    waiting.add(entry("1"))
    waiting.add(entry("2"))
    assert waiting.add(entry("3")) == (False, None)
    assert waiting.add(entry("4", Haste.OPENED)) == (True, entry("2"))
    assert taken(waiting) == ["4", "1"]


def test_what_is_put_back_is_first_again_unless_it_is_full() -> None:
    waiting = WaitingList(2)
    waiting.add(entry("1"))
    waiting.add(entry("2"))
    first = waiting.take(lambda _: True)
    assert first is not None
    assert waiting.put_back(first)
    assert waiting.take(lambda _: True) == first
    waiting.add(entry("3"))
    assert not waiting.put_back(first)
    assert taken(waiting) == ["2", "3"]


def test_who_may_not_go_waits() -> None:
    waiting = WaitingList(3)
    for uid in "123":
        waiting.add(entry(uid))
    assert waiting.take(lambda one: one.study_instance_uid == "2") == entry("2")
    assert waiting.take(lambda _: False) is None
    assert taken(waiting) == ["1", "3"]


@given(
    st.integers(1, 5),
    st.lists(st.tuples(st.integers(0, 8), st.sampled_from(Haste), st.booleans()), max_size=60),
)
def test_never_too_many_and_never_one_twice(
    most: int, steps: list[tuple[int, Haste, bool]]
) -> None:
    waiting = WaitingList(most)
    for uid, haste, takes in steps:
        if takes:
            waiting.take(lambda _: True)
        else:
            before = str(uid) in waiting
            is_new, gone = waiting.add(entry(str(uid), haste))
            assert not (is_new and before)
            assert gone is None or gone.study_instance_uid not in waiting
        assert len(waiting) <= most
    found = taken(waiting)
    assert len(found) == len(set(found))


def test_what_is_remembered_is_forgotten() -> None:
    now = [0.0]
    memory: Remembered[str, int] = Remembered(10.0, 2, lambda: now[0])
    memory.put("a", 0)
    assert memory.get("a") == 0
    now[0] = 10.0
    assert memory.get("a") is None
    for key in "abc":
        memory.put(key, 1)
    assert [memory.get(key) for key in "abc"] == [None, 1, 1]
    memory.forget("b")
    assert memory.get("b") is None
