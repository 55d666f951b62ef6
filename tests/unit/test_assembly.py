"""Bytes under construction: exactly what was filled in, and nothing of it stays behind."""

from __future__ import annotations

import gc
import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.dimse.assembly import Assembly


@given(st.binary(max_size=50), st.integers(0, 5000), st.lists(st.binary(max_size=3000)))
def test_it_has_what_was_filled_in(head: bytes, reserve: int, pieces: list[bytes]) -> None:
    assembly = Assembly(head, reserve)
    for piece in pieces:
        assembly.append(piece)
    assert assembly.finish() == head + b"".join(pieces)


def test_of_a_room_only_what_was_filled_counts() -> None:
    assembly = Assembly(b"head", 10)
    with assembly.room(1000) as room:
        room[:3] = b"abc"
    assembly.filled(3)
    with assembly.room(2) as room:
        room[:] = b"de"
    assembly.filled(2)
    assert assembly.finish() == b"headabcde"


def test_too_much_is_a_memory_error() -> None:
    assembly = Assembly(b"head", 10)
    with pytest.raises(MemoryError):
        assembly.room(1 << 62)
    with pytest.raises(MemoryError):
        assembly.append(b"there is no object any more")


def test_finishing_leaves_nothing_to_collect() -> None:
    gc.collect()
    gc.disable()
    try:
        for _ in range(100):
            Assembly(b"head", 10).finish()
        assert gc.collect() < 10
    finally:
        gc.enable()


@pytest.mark.parametrize("finished", [True, False])
def test_nothing_stays_behind(finished: bool) -> None:
    content = random.Random(1).randbytes(100_000)
    tracemalloc.start()
    try:
        for _ in range(50):
            assembly = Assembly(b"head", 10)
            assembly.append(content)
            if finished:
                assert assembly.finish()[4:] == content
        del assembly
        assert tracemalloc.get_traced_memory()[0] < 200_000
    finally:
        tracemalloc.stop()
