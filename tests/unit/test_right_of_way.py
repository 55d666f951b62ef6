"""Who waits for whom between the retrieves of one PACS."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fakes.scripted_pacs import wait_until
from farsight.adapters.right_of_way import RightOfWay
from farsight.errors import RetrieveInterrupted


def test_nothing_urgent_costs_nothing() -> None:
    way = RightOfWay("pacs", longest_s=60)
    way.begin()
    way.give(100)


def test_bulk_goes_on_when_the_urgent_is_over() -> None:
    way = RightOfWay("pacs", patience_s=60, longest_s=60)
    with ThreadPoolExecutor(1) as thread:
        with way.taken() as answered:
            pausing = thread.submit(way.give, 100)
            answered()
            assert not pausing.done()
        pausing.result(10)


def test_bulk_that_stands_in_the_way_gives_up_and_that_is_learned() -> None:
    learned: list[bool] = []
    way = RightOfWay("pacs", lambda: learned.append(True), patience_s=0.01)
    for times in range(1, 4):
        with way.taken(), pytest.raises(RetrieveInterrupted, match="gave way"):
            way.give(100)
        assert learned == [True] * (times == 3), "once may be chance"


@pytest.mark.parametrize(("before", "after"), [(True, True), (True, False), (False, True)])
def test_of_what_waits_for_an_association_of_ours_nothing_is_learned(
    before: bool, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: list[bool] = []
    waits = before
    way = RightOfWay("pacs", lambda: learned.append(True), lambda: waits, patience_s=0.01)
    pause = way._pause

    def paused() -> bool:
        nonlocal waits
        answered = pause()
        waits = after
        return answered

    monkeypatch.setattr(way, "_pause", paused)
    for _ in range(5):
        waits = before
        with way.taken(), pytest.raises(RetrieveInterrupted):
            way.give(100)
    assert learned == []


def test_known_to_serve_one_at_a_time_it_gives_up_at_once() -> None:
    learned: list[bool] = []
    way = RightOfWay("pacs", lambda: learned.append(True), patience_s=60)
    way.expect_no_answer()
    with way.taken(), pytest.raises(RetrieveInterrupted):
        way.give(100)
    assert learned == []


def test_bulk_brings_something_before_it_gives_way() -> None:
    way = RightOfWay("pacs", patience_s=0, at_least=4)
    with way.taken():
        for delivered in range(4):
            way.give(delivered)
        with pytest.raises(RetrieveInterrupted):
            way.give(4)


def _paused_and_answered(way: RightOfWay, delivered: int) -> None:
    """A bulk retrieve pauses, what is urgent comes meanwhile, and both go on."""
    with ThreadPoolExecutor(1) as thread:
        with way.taken() as answered:
            pausing = thread.submit(way.give, delivered)
            wait_until(lambda: way._pausing == 1, what="the pause")
            answered(1)
        assert pausing.exception(10) is None


def _goes_on(way: RightOfWay, delivered: int) -> None:
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(way.give, delivered).exception(10) is None


def test_a_pacs_that_answers_meanwhile_is_paused_for_from_the_first_instance_on() -> None:
    way = RightOfWay("pacs", patience_s=20, longest_s=20)
    with way.taken():
        _goes_on(way, 1)  # that isn't known yet
    _paused_and_answered(way, 100)
    _paused_and_answered(way, 1)


def test_until_it_does_not_any_more() -> None:
    way = RightOfWay("pacs", patience_s=20, longest_s=20)
    _paused_and_answered(way, 100)
    way.is_so_far_away(-0.0075)  # no patience left
    with way.taken():
        way.give(1)  # nothing is given up before it brought something
        way.is_so_far_away(5)
        _goes_on(way, 1)
        way.expect_no_answer()
        with pytest.raises(RetrieveInterrupted):
            way.give(4)


def test_what_fails_is_no_answer() -> None:
    way = RightOfWay("pacs", patience_s=20, longest_s=20)
    with ThreadPoolExecutor(1) as thread:
        with way.taken():
            pausing = thread.submit(way.give, 100)
            wait_until(lambda: way._pausing == 1, what="the pause")
        assert pausing.exception(10) is None
    with way.taken():
        _goes_on(way, 1)


def test_no_pause_lasts_longer_than_allowed() -> None:
    way = RightOfWay("pacs", patience_s=0.01, longest_s=0.02)
    with way.taken() as answered:
        answered()
        way.give(100)
        way.begin()


def test_what_fails_leaves_nobody_waiting() -> None:
    way = RightOfWay("pacs", patience_s=60, longest_s=60)
    with pytest.raises(KeyError), way.taken():
        raise KeyError("bug")
    done = threading.Event()
    threading.Thread(target=lambda: (way.begin(), way.give(9), done.set()), daemon=True).start()
    assert done.wait(10)


def test_a_far_pacs_is_given_the_time_its_line_takes() -> None:
    way = RightOfWay("pacs", patience_s=0, longest_s=0.05)
    way.is_so_far_away(15)
    with way.taken() as answered, ThreadPoolExecutor(1) as threads:
        timer = threading.Timer(0.2, answered)
        timer.start()
        assert threads.submit(way.give, 9).exception(10) is None, "it gave way and goes on"
