"""How fast and when: a token bucket, and hours of the local day through every change of clocks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.model_prefetch import Hours
from farsight.services.prefetch_pace import TokenBucket, is_open, seconds_until_open

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC")
HOURS = st.tuples(st.integers(0, 1439), st.integers(1, 1440)).filter(lambda h: h[0] != h[1] % 1440)


def local(zone: str, at: datetime) -> Callable[[float], datetime]:
    return lambda ahead_s: (at + timedelta(seconds=ahead_s)).astimezone(ZoneInfo(zone))


# ---- the bucket


def test_so_many_at_once_and_then_so_many_per_minute() -> None:
    bucket = TokenBucket(10, now=0.0)
    assert [bucket.take(0.0) for _ in range(10)] == [0.0] * 10
    assert bucket.take(0.0) == pytest.approx(6.0)
    assert bucket.take(5.0) == pytest.approx(1.0)
    assert bucket.take(6.0) == 0.0
    assert bucket.take(6.0) > 0


def test_what_was_not_needed_comes_back_and_never_more() -> None:
    bucket = TokenBucket(1, now=0.0)
    assert bucket.take(0.0) == 0.0
    bucket.give_back()
    bucket.give_back()
    assert bucket.take(0.0) == 0.0
    assert bucket.take(0.0) == pytest.approx(60.0)


@given(
    st.integers(1, 100),
    st.lists(st.floats(0, 120, allow_nan=False), min_size=1, max_size=200),
)
def test_never_more_than_the_capacity_and_what_time_brings(
    per_minute: int, pauses: list[float]
) -> None:
    bucket = TokenBucket(per_minute, now=0.0)
    now, taken = 0.0, []
    for pause in pauses:
        now += pause
        wait_s = bucket.take(now)
        if wait_s == 0.0:
            taken.append(now)
        else:
            assert 0 < wait_s <= 60 / per_minute + 1e-6
    for first, begin in enumerate(taken):
        for last in range(first, len(taken)):
            allowed = per_minute + (taken[last] - begin) * per_minute / 60
            assert last - first + 1 <= allowed + 1e-6


def test_a_clock_that_goes_back_brings_nothing() -> None:
    bucket = TokenBucket(1, now=100.0)
    assert bucket.take(100.0) == 0.0
    assert bucket.take(0.0) > 0
    assert bucket.take(101.0) > 0


# ---- the hours


def test_over_midnight() -> None:
    night = Hours(19 * 60, 7 * 60)
    assert str(night) == "19:00-07:00"
    assert [hour for hour in range(24) if night.cover(hour * 60)] == [*range(7), *range(19, 24)]
    assert not Hours(0, 1440).cover(1440)
    assert all(Hours(0, 1440).cover(minute) for minute in range(1440))


@given(HOURS, st.integers(0, 1439))
def test_either_a_time_is_covered_or_it_is_of_the_rest_of_the_day(
    ends: tuple[int, int], minute: int
) -> None:
    begin, end = ends[0], ends[1] % 1440
    assert Hours(begin, end).cover(minute) != Hours(end, begin).cover(minute)


@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime(2023, 1, 1), datetime(2027, 1, 1)),
    st.lists(HOURS, max_size=3),
)
def test_the_hours_open_when_it_is_said_and_not_a_minute_before(
    zone: str, at: datetime, ends: list[tuple[int, int]]
) -> None:
    hours = [Hours(*one) for one in ends]
    now = local(zone, at.replace(tzinfo=UTC))
    wait_s = seconds_until_open(hours, now)
    assert (wait_s == 0) == is_open(hours, now(0.0))
    assert is_open(hours, now(wait_s + 1e-3))
    for before_s in range(0, int(wait_s), 60):
        assert not is_open(hours, now(before_s))


@pytest.mark.parametrize(
    ("zone", "at", "hours", "opens"),
    [
        # 02:00 to 03:00 is left out: what would begin within begins when it is over, or not.
        ("Europe/Berlin", "2025-03-29T23:00+00:00", Hours(150, 240), "2025-03-30T01:00+00:00"),
        ("Europe/Berlin", "2025-03-29T23:00+00:00", Hours(125, 170), "2025-03-31T00:05+00:00"),
        # 02:00 to 03:00 comes twice: it is open at the first.
        ("Europe/Berlin", "2025-10-25T22:00+00:00", Hours(120, 180), "2025-10-26T00:00+00:00"),
        # Half an hour is all that Lord Howe Island changes.
        (
            "Australia/Lord_Howe",
            "2025-10-04T14:00+00:00",
            Hours(130, 140),
            "2025-10-05T15:10+00:00",
        ),
    ],
)
def test_when_the_clocks_change(zone: str, at: str, hours: Hours, opens: str) -> None:
    now = datetime.fromisoformat(at)
    wait_s = seconds_until_open([hours], local(zone, now))
    assert now + timedelta(seconds=wait_s) == datetime.fromisoformat(opens)


def test_an_hour_that_comes_twice_is_open_twice() -> None:
    now = local("Europe/Berlin", datetime(2025, 10, 26, 0, 0, tzinfo=UTC))
    opened = [is_open([Hours(120, 180)], now(minutes * 60)) for minutes in range(180)]
    assert sum(opened) == 120
