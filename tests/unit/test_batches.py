"""Chunks go together where that costs nobody anything."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.web import batches
from farsight.web.batches import in_batches


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(batches.time, "monotonic", lambda: now[0])
    return now


@given(st.lists(st.binary(max_size=20)))
def test_nothing_is_lost_and_nothing_out_of_turn(chunks: list[bytes]) -> None:
    made = list(in_batches(iter(chunks)))
    assert all(made)
    assert list(itertools.chain.from_iterable(made)) == chunks


def test_a_quick_source_is_asked_for_more_and_more(clock: list[float]) -> None:
    sizes = [len(batch) for batch in in_batches(iter([b"x"] * 100))]
    assert sizes[:4] == [1, 1, 1, 1]
    assert sizes[4:7] == [2, 4, 8]
    assert len(sizes) < 12


def test_a_batch_has_its_bounds(clock: list[float]) -> None:
    made = list(in_batches(iter([bytes(1 << 20)] * 64)))
    assert max(sum(map(len, batch)) for batch in made) == 2 << 20


def test_what_a_slow_source_made_is_not_kept_back(clock: list[float]) -> None:
    def slow() -> Iterator[bytes]:
        for _ in range(20):
            yield b"quick"
        for _ in range(5):
            clock[0] += 1
            yield b"slow"

    made = list(in_batches(slow()))
    assert [batch for batch in made if b"slow" in batch][1:] == [[b"slow"]] * 4


def test_closing_closes_the_source() -> None:
    closed = []

    def chunks() -> Iterator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            closed.append(True)

    batched = in_batches(chunks())
    next(batched)
    batched.close()
    assert closed
