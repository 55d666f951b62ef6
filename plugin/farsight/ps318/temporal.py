"""Dates, times and datetimes of queries as intervals (PS3.4 C.2.2.2.1, C.2.2.2.5; PS3.5 6.2).

Law: a value of less than full precision is the whole interval it leaves open ("1030" is the
minute), both ends inclusive; a query matches when its interval and the value's overlap, so that
nothing which might be meant is lost. A range is inclusive and may be open at one end.

Units: microseconds, of the day for TM, since year 1 otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

_DA = re.compile(r"(\d{4})(\d{2})(\d{2})\Z", re.ASCII)
_DA_ACR_NEMA = re.compile(r"(\d{4})\.(\d{2})\.(\d{2})\Z", re.ASCII)
_TM = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.(\d{1,6}))?)?)?\Z", re.ASCII)
_DT = re.compile(
    r"(\d{4})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:\.(\d{1,6}))?)?)?)?)?)?"
    r"([+-]\d{4})?\Z",
    re.ASCII,
)
#: A hyphen and four digits that can be an offset from UTC are one (PS3.5 6.2: -1200 to +1400).
_DT_RANGE = re.compile(r"(\d{4,14}(?:\.\d{1,6})?(?:[+-](?:0\d|1[0-4])\d{2})?)?-(.*)\Z", re.ASCII)
_SECOND = 1_000_000
_LAST = 2**63


@dataclass(frozen=True, slots=True)
class Interval:
    """Inclusive, in microseconds. offset_us: from UTC, None where the value doesn't say."""

    first: int
    last: int
    offset_us: int | None = None

    def overlaps(self, other: Interval) -> bool:
        """In UTC where both know their offset, by the wall clock otherwise."""
        shift = 0
        if self.offset_us is not None and other.offset_us is not None:
            shift = other.offset_us - self.offset_us
        return self.first + shift <= other.last and other.first <= self.last + shift


@dataclass(frozen=True, slots=True)
class TemporalRange:
    """A query value: a single interval, or from the first to the last, None for an open end."""

    first: Interval | None
    last: Interval | None
    text: str  # in DIMSE's form

    def covers(self, value: Interval) -> bool:
        """Whether the value can lie in the range, ends included."""
        if self.first is not None and self.first is self.last:
            return self.first.overlaps(value)
        if self.first is not None:
            after = Interval(self.first.first, _LAST, self.first.offset_us)
            if not after.overlaps(value):
                return False
        if self.last is not None:
            before = Interval(-_LAST, self.last.last, self.last.offset_us)
            return before.overlaps(value)
        return True


def parse_range(vr: str, text: str) -> TemporalRange:
    """A DA, TM or DT query value, single or `a-b`, `a-`, `-b`.

    Raises: ValueError with the reason, fit for the client.
    """
    ends = _split(vr, text)
    if ends is None:
        single = interval(vr, text)
        if single is None:
            raise ValueError(_EXPECTED[vr])
        return TemporalRange(single, single, _dimse(vr, text))
    first_text, last_text = ends
    first = interval(vr, first_text) if first_text else None
    last = interval(vr, last_text) if last_text else None
    if not (first_text or last_text):
        raise ValueError("a range needs at least one end")
    if (first_text and first is None) or (last_text and last is None):
        raise ValueError(_EXPECTED[vr])
    if first and last and _inverted(first, last):
        raise ValueError("the range ends before it begins")
    return TemporalRange(first, last, f"{_dimse(vr, first_text)}-{_dimse(vr, last_text)}")


def interval(vr: str, text: str) -> Interval | None:
    """A stored or single value as an interval; None where it is no date, time or datetime."""
    text = text.strip(" ")
    try:
        return {"DA": _date, "TM": _time, "DT": _datetime}[vr](text)
    except (ValueError, OverflowError):
        return None


def offset_us(text: str) -> int | None:
    """`&ZZXX` as microseconds from UTC; None where it isn't one."""
    if not re.fullmatch(r"[+-]\d{4}", text, re.ASCII) or int(text[3:5]) > 59:
        return None
    minutes = int(text[1:3]) * 60 + int(text[3:5])
    if minutes > 14 * 60:
        return None
    return (-1 if text[0] == "-" else 1) * minutes * 60 * _SECOND


_EXPECTED = {
    "DA": "expected a date YYYYMMDD, or a range of two with a hyphen",
    "TM": "expected a time HH[MM[SS[.FFFFFF]]], or a range of two with a hyphen",
    "DT": "expected a datetime YYYY[MM[DD[HH[MM[SS[.FFFFFF]]]]]][+-ZZXX], or a range of two",
}


def _split(vr: str, text: str) -> tuple[str, str] | None:
    if vr != "DT":
        first, hyphen, last = text.partition("-")
        return (first.strip(" "), last.strip(" ")) if hyphen else None
    if interval("DT", text) is not None:
        return None
    found = _DT_RANGE.match(text)
    return (found[1] or "", found[2]) if found else None


def _dimse(vr: str, text: str) -> str:
    """Without what only the ACR-NEMA forms have (PS3.5 6.2)."""
    return text.translate({ord(":"): None, ord("."): None} if vr == "DA" else {ord(":"): None})


def _inverted(first: Interval, last: Interval) -> bool:
    shift = 0
    if first.offset_us is not None and last.offset_us is not None:
        shift = last.offset_us - first.offset_us
    return first.first + shift > last.last


def _date(text: str) -> Interval:
    found = _DA.match(text) or _DA_ACR_NEMA.match(text)
    if not found:
        raise ValueError(text)
    start = datetime.combine(date(int(found[1]), int(found[2]), int(found[3])), datetime.min.time())
    return _from(start, timedelta(days=1))


def _time(text: str) -> Interval:
    found = _TM.match(text)
    if not found:
        raise ValueError(text)
    return _clock(found[1], found[2], found[3], found[4])


def _clock(hour: str, minute: str | None, second: str | None, fraction: str | None) -> Interval:
    """HH[MM[SS[.F]]] as microseconds of the day; second 60 is a leap second."""
    if int(hour) > 23 or int(minute or 0) > 59 or int(second or 0) > 60:
        raise ValueError(hour)
    first = (int(hour) * 3600 + int(minute or 0) * 60 + int(second or 0)) * _SECOND
    if fraction is not None:
        first += int(fraction.ljust(6, "0"))
        return Interval(first, first + 10 ** (6 - len(fraction)) - 1)
    open_s = 1 if second else 60 if minute else 3600
    return Interval(first, first + open_s * _SECOND - 1)


def _datetime(text: str) -> Interval:
    found = _DT.match(text)
    if not found:
        raise ValueError(text)
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    offset = offset_us(zone) if zone else None
    if zone and offset is None:
        raise ValueError(text)
    start = datetime(int(year), int(month or 1), int(day or 1))
    if hour:
        base = _from(start, timedelta(0)).first
        clock = _clock(hour, minute, second, fraction)
        return Interval(base + clock.first, base + clock.last, offset)
    if day:
        whole = _from(start, timedelta(days=1))
    elif month:
        whole = _between(start, (start.year + start.month // 12, start.month % 12 + 1))
    else:
        whole = _between(start, (start.year + 1, 1))
    return Interval(whole.first, whole.last, offset)


def _from(start: datetime, length: timedelta) -> Interval:
    first = (start - datetime.min) // timedelta(microseconds=1)
    return Interval(first, first + length // timedelta(microseconds=1) - 1)


def _between(start: datetime, end: tuple[int, int]) -> Interval:
    if end[0] > 9999:
        return _from(start, datetime.max - start + timedelta(microseconds=1))
    return _from(start, datetime(end[0], end[1], 1) - start)
