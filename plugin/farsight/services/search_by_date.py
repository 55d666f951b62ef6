"""The newest studies of a large source, read by date (PS3.4 C.2.2.2.5.1).

A PACS sends matches in whatever order it likes, so the first page of many is known only once all
have come; some look for all of them before they send the first. Asked for the last days, the days
before them, and so on, it gives the newest at once.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum

from farsight.model import Attributes
from farsight.ps318.attribute_levels import (
    ACCESSION_NUMBER,
    PATIENT_ID,
    STUDY_DATE,
    STUDY_INSTANCE_UID,
)
from farsight.ps318.matching import values_of
from farsight.ps318.matching_key import MatchingKey
from farsight.ps318.temporal import interval, parse_range
from farsight.ps318.wildcard import has_wildcards

_GROWTH = 8
#: Where to begin with a source of which nothing is known; of what a search leaves there is less.
FIRST_DAYS, FIRST_DAYS_FILTERED = 7, 56
#: No study is older than radiology.
_FIRST_DAY = date(1895, 1, 1)
_NARROW = frozenset((STUDY_INSTANCE_UID, PATIENT_ID, ACCESSION_NUMBER))
_MOST_KEPT, _MOST_PAGES, _KEPT_S = 256, 64, 600.0


@dataclass(frozen=True, slots=True)
class Days:
    """From the first to the last, both included; last None: open, whatever is dated later."""

    first: date
    last: date | None

    def __str__(self) -> str:
        """As the value of a range (PS3.4 C.2.2.2.5.1)."""
        return f"{self.first:%Y%m%d}-" + ("" if self.last is None else f"{self.last:%Y%m%d}")


@dataclass(frozen=True, slots=True)
class ByDate:
    """One search at one source with more studies than are read at once.

    search: what it is known by, whatever page of it. bounds: the days it asks about. ask: rows of
    some days, at most
    so many. surely: those of them that match beyond doubt. needed: more than so many are enough.
    """

    search: Hashable
    bounds: Days
    ask: Callable[[Days, int], list[Attributes]]
    surely: Callable[[Sequence[Attributes]], list[Attributes]]
    needed: int
    max_rows: int

    def newest(self, today: date, days: int) -> list[Attributes] | None:
        """All rows from some day on, enough of them; begins with so many days, and goes back.

        None where that leads nowhere: one day has more than max_rows, rows don't tell their
        date, or there aren't enough that have one. Raises: FarsightError of the source.
        """
        last, top = self.bounds.last, self.top(today)
        found: list[Attributes] = []
        while True:
            room = (top - self.bounds.first).days
            first = self.bounds.first if days > room else top - timedelta(days - 1)
            rows = self._of(Days(first, last), today)
            if len(rows) > self.max_rows:
                if first >= top:
                    return None
                days = max(1, (top - first).days // _GROWTH)
                continue
            if any(not _is_of(row, Days(first, self.bounds.last)) for row in rows):
                return None
            found += rows
            if len(self.surely(found)) > self.needed:
                return found
            if first <= self.bounds.first or len(found) > self.max_rows:
                return None
            last = top = first - timedelta(1)
            days *= _GROWTH

    def _of(self, window: Days, today: date) -> list[Attributes]:
        rows = self.ask(window, self.max_rows + 1)
        if not rows and window.last is None:  # some take only ranges with two ends
            end = date(today.year + 100, 1, 1)
            rows = self.ask(Days(window.first, max(end, window.first)), self.max_rows + 1)
        return rows

    def top(self, today: date) -> date:
        """The day from which is counted backwards."""
        return min(self.bounds.last or today, today)


def days_with(rows: Sequence[Attributes], needed: int, top: date) -> int:
    """How many days up to `top` hold one more than so many of the rows; they all have a date."""
    dates = sorted(
        str(values_of(row.get(STUDY_DATE))[0]).strip(" ").replace(".", "") for row in rows
    )
    oldest = date.fromisoformat(dates[max(0, len(dates) - 1 - needed)])
    return max(1, (top - oldest).days + 1)


class Size(Enum):
    """SMALL: all that a source has was read in a moment lately. LARGE: a search for all of
    something took long, or found more than can be read; that isn't tried again soon."""

    UNKNOWN = 0
    SMALL = 1
    LARGE = 2


_LIVES_S = {Size.UNKNOWN: 0.0, Size.SMALL: 600.0, Size.LARGE: 3600.0}


class Spans:
    """How many days held enough of a search lately: where to begin the next time. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._size, self._size_until = Size.UNKNOWN, 0.0
        self._kept: OrderedDict[Hashable, tuple[float, dict[int, int]]] = OrderedDict()

    @property
    def size(self) -> Size:
        """What is known of the source as a whole."""
        with self._lock:
            return self._size if self._size_until > self._clock() else Size.UNKNOWN

    def note(self, size: Size) -> None:
        with self._lock:
            self._size, self._size_until = size, self._clock() + _LIVES_S[size]

    def of(self, search: Hashable, needed: int) -> int | None:
        """How many days for so many rows. None: nothing is known of it, it may be a small one."""
        with self._lock:
            until, known = self._kept.get(search, (0.0, {}))
            if until <= self._clock():
                return None
            if needed in known:
                return known[needed]
            nearest = min(known, key=lambda other: abs(other - needed))
            return -(-known[nearest] * (needed + 1) // (nearest + 1))

    def keep(self, search: Hashable, needed: int, days: int) -> None:
        with self._lock:
            _, known = self._kept.pop(search, (0.0, {}))
            if len(known) >= _MOST_PAGES:
                known.clear()
            known[needed] = days
            self._kept[search] = (self._clock() + _KEPT_S, known)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)


def _date_keys(keys: Sequence[MatchingKey]) -> list[MatchingKey]:
    return [key for key in keys if key.path == (STUDY_DATE,) and not key.is_universal]


def bounds_of(keys: Sequence[MatchingKey]) -> Days | None:
    """Between which days a search for studies looks; None where it names a day, or several, or
    one study or patient, of which there are few anyway."""
    if any(_is_narrow(key) for key in keys):
        return None
    dates = _date_keys(keys)
    if not dates:
        return Days(_FIRST_DAY, None)
    if len(dates) > 1 or len(dates[0].values) != 1 or "-" not in dates[0].values[0]:
        return None
    asked = parse_range("DA", dates[0].values[0])
    text_of_first, _, text_of_last = asked.text.replace(".", "").partition("-")
    first = date.fromisoformat(text_of_first) if text_of_first else _FIRST_DAY
    last = date.fromisoformat(text_of_last) if text_of_last else None
    return None if last is not None and last < first else Days(first, last)


def _is_narrow(key: MatchingKey) -> bool:
    if key.tag not in _NARROW or key.is_universal:
        return False
    return not has_wildcards("".join(key.values))


def _is_of(row: Attributes, days: Days) -> bool:
    said = values_of(row.get(STUDY_DATE))
    of_row = interval("DA", str(said[0])) if said else None
    return of_row is not None and parse_range("DA", str(days)).covers(of_row)
