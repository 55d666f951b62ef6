"""How fast and when: so many studies per minute, within hours of the local day.

Laws: over any time t no more is taken than the capacity and what t brings; hours are those of the
wall clock, so on the days it is changed an hour is left out or comes twice. Clocks come from
outside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from farsight.model_prefetch import Hours

#: The local wall clock, so many seconds from now.
LocalTime = Callable[[float], datetime]
_MINUTE_S = 60.0
#: What sums of fractions may be off by.
_ROUNDED = 1e-9
#: Two days, and the hour by which one of them may be longer.
_MOST_MINUTES = 49 * 60


class TokenBucket:
    """`per_minute` on average, and as many at once after a while without any. Not thread-safe.

    Moments are seconds of any clock that doesn't go back.
    """

    def __init__(self, per_minute: int, now: float) -> None:
        self._capacity = float(per_minute)
        self._per_s = per_minute / _MINUTE_S
        self._tokens = self._capacity
        self._at = now

    def take(self, now: float) -> float:
        """0.0: taken. Otherwise nothing is taken, and there is one in that many seconds."""
        self._refill(now)
        if self._tokens >= 1.0 - _ROUNDED:
            self._tokens = max(0.0, self._tokens - 1.0)
            return 0.0
        return (1.0 - self._tokens) / self._per_s

    def give_back(self) -> None:
        """What was taken wasn't needed."""
        self._tokens = min(self._capacity, self._tokens + 1.0)

    def _refill(self, now: float) -> None:
        came = max(0.0, now - self._at) * self._per_s
        self._tokens = min(self._capacity, self._tokens + came)
        self._at = max(self._at, now)


def is_open(hours: Sequence[Hours], local: datetime) -> bool:
    """Whether any of them covers that moment; none at all: always."""
    minute = local.hour * 60 + local.minute
    return not hours or any(one.cover(minute) for one in hours)


def seconds_until_open(hours: Sequence[Hours], local_time: LocalTime) -> float:
    """0.0 within the hours, else until the next minute that is; at most two days.

    Found by looking at each minute to come: right whatever the wall clock does meanwhile.
    """
    now = local_time(0.0)
    if is_open(hours, now):
        return 0.0
    to_next_minute_s = _MINUTE_S - now.second - now.microsecond / 1e6
    for minutes in range(_MOST_MINUTES):
        ahead_s = to_next_minute_s + minutes * _MINUTE_S
        # Within the minute, not at its very begin: what is rounded must not fall before it.
        if is_open(hours, local_time(ahead_s + 1.0)):
            return ahead_s
    return _MOST_MINUTES * _MINUTE_S
