"""Names that are being given: who has to wait for whom, and that nobody waits for ever."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from random import Random

import pytest

from farsight.services.names_taken import NamesTaken

Names = Collection[str]
Owners = Mapping[str, Collection[str]]


class Holder:
    """Somebody who wants names, on a thread of its own, and lets go when told to."""

    def __init__(self, taken: NamesTaken, names: Names, owners: Owners | None = None) -> None:
        self._has = threading.Event()
        self._let_go = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(taken, names, owners or {}), daemon=True
        )
        self._thread.start()

    def _run(self, taken: NamesTaken, names: Names, owners: Owners) -> None:
        with taken.holding(names, owners):
            self._has.set()
            self._let_go.wait(30)

    def has_them(self, within_s: float = 10) -> bool:
        return self._has.wait(within_s)

    def lets_go(self) -> None:
        self._let_go.set()
        self._thread.join(10)
        assert not self._thread.is_alive()


Hold = Callable[..., Holder]


@pytest.fixture
def hold() -> Iterator[Hold]:
    taken = NamesTaken()
    with ExitStack() as stack:

        def start(names: Names, owners: Owners | None = None) -> Holder:
            holder = Holder(taken, names, owners)
            stack.callback(holder.lets_go)
            return holder

        yield start


WAITS = [
    pytest.param(("a",), {}, ("a",), {}, id="the same name"),
    pytest.param(("a", "b"), {}, ("b", "c"), {}, id="one of several"),
    pytest.param((), {"study": {"P"}}, (), {"study": {"Q"}}, id="another owner"),
    pytest.param((), {"study": {"P", "Q"}}, (), {"study": {"P"}}, id="two owners before"),
    pytest.param((), {"study": {"P"}}, (), {"study": {"P", "Q"}}, id="two owners after"),
    pytest.param((), {"study": {"P", "Q"}}, (), {"study": {"P", "Q"}}, id="two owners both"),
    pytest.param(("x",), {}, (), {"x": {"P"}}, id="a name that is to be shared"),
    pytest.param((), {"x": {"P"}}, ("x",), {}, id="a shared one that is to be had alone"),
]


@pytest.mark.parametrize(("names", "owners", "other_names", "other_owners"), WAITS)
def test_the_second_waits(
    hold: Hold, names: Names, owners: Owners, other_names: Names, other_owners: Owners
) -> None:
    first = hold(names, owners)
    assert first.has_them()
    second = hold(other_names, other_owners)
    assert not second.has_them(0.05)
    first.lets_go()
    assert second.has_them()


def test_nobody_waits_without_need(hold: Hold) -> None:
    assert hold(("a", "b"), {"study": {"P"}}).has_them()
    assert hold(("c",), {"study": {"P"}, "other": {"Q"}}).has_them()
    assert hold((), {}).has_them()
    assert hold(("d",), {"other": {"Q"}}).has_them()


def test_a_shared_name_is_free_when_all_have_let_go(hold: Hold) -> None:
    one, two = hold((), {"study": {"P"}}), hold((), {"study": {"P"}})
    assert one.has_them()
    assert two.has_them()
    other = hold((), {"study": {"Q"}})
    one.lets_go()
    assert not other.has_them(0.05)
    two.lets_go()
    assert other.has_them()


def test_an_error_lets_go() -> None:
    taken = NamesTaken()
    for _ in range(2):
        with pytest.raises(ValueError), taken.holding(("a",), {"study": {"P"}}):
            raise ValueError
    with taken.holding(("a", "study"), {}):
        pass


def test_many_at_once() -> None:
    """Names in any order: never two with one of them, and all get through."""
    taken, inside, wrong = NamesTaken(), Counter[str](), list[str]()
    lock = threading.Lock()

    def work(seed: int) -> None:
        random = Random(seed)
        for _ in range(100):
            names = random.sample("abcdef", 2)
            owner = random.choice("PQ")
            with taken.holding(names, {"study": {owner}}):
                with lock:
                    inside.update([*names, owner])
                    wrong.extend(name for name in names if inside[name] != 1)
                    wrong.extend("study" for _ in range(bool(inside["P"] and inside["Q"])))
                with lock:
                    inside.subtract([*names, owner])

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "somebody waits for ever"
    assert wrong == []
