"""The breaker: silence opens it, one trial at a time closes it again."""

from __future__ import annotations

import threading

import pytest

from farsight.adapters.circuit_breaker import BreakerLimits, CircuitBreaker
from farsight.errors import PacsFailure, PacsTimeout, PacsUnavailable


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker("pacs", BreakerLimits(threshold=2, open_s=2, longest_s=10), clock)


def silent(breaker: CircuitBreaker) -> None:
    with pytest.raises(PacsTimeout, match="no word"), breaker.guard():
        raise PacsTimeout("pacs", "no word")


def refused(breaker: CircuitBreaker) -> str:
    with pytest.raises(PacsTimeout) as caught, breaker.guard():
        raise AssertionError("must not get here")
    return str(caught.value)


def test_two_silences_open_it(breaker: CircuitBreaker) -> None:
    silent(breaker)
    assert not breaker.is_open
    silent(breaker)
    assert breaker.is_open
    assert "no word" in refused(breaker)
    assert "tried again in 2 s" in refused(breaker)


@pytest.mark.parametrize("error", [PacsUnavailable("pacs", "refused"), PacsFailure("pacs", "no")])
def test_a_refusal_is_an_answer(breaker: CircuitBreaker, error: Exception) -> None:
    silent(breaker)
    with pytest.raises(type(error)), breaker.guard():
        raise error
    silent(breaker)
    assert not breaker.is_open


def test_a_trial_that_succeeds_closes_it(breaker: CircuitBreaker, clock: Clock) -> None:
    silent(breaker)
    silent(breaker)
    clock.now = 2.1
    with breaker.guard():
        pass
    assert not breaker.is_open
    with breaker.guard():
        pass


def test_trials_that_fail_wait_longer_and_longer(breaker: CircuitBreaker, clock: Clock) -> None:
    silent(breaker)
    silent(breaker)
    for wait_s in (4, 8, 10, 10):
        clock.now += 10.1
        silent(breaker)
        assert f"tried again in {wait_s} s" in refused(breaker)


def test_one_trial_for_everyone(breaker: CircuitBreaker, clock: Clock) -> None:
    silent(breaker)
    silent(breaker)
    clock.now = 2.1
    inside, leave = threading.Event(), threading.Event()

    def trial() -> None:
        with breaker.guard():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=trial)
    thread.start()
    assert inside.wait(10)
    refused(breaker)
    leave.set()
    thread.join(10)
    with breaker.guard():
        pass


def test_a_bug_in_the_trial_leaves_no_trial_behind(breaker: CircuitBreaker, clock: Clock) -> None:
    silent(breaker)
    silent(breaker)
    clock.now = 2.1
    with pytest.raises(KeyError), breaker.guard():
        raise KeyError("bug")
    with breaker.guard():
        pass
