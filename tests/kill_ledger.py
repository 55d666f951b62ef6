"""What was given away in a kill test, and what was promised in return.

Objects are made from their three numbers, always the same bytes, so that whatever comes back can
be compared, and nothing of them has to be kept.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from io import BytesIO
from typing import NamedTuple

from sample_files import ct_slice, instance_uid, series_uid, study_uid

_SIDES = (96, 128, 160, 192, 224)


class Name(NamedTuple):
    """One object."""

    study: int
    series: int
    number: int

    @property
    def uid(self) -> str:
        return instance_uid(self.number, self.series, self.study)

    @property
    def of(self) -> Series:
        return Series(self.study, self.series)


class Series(NamedTuple):
    """Where it belongs."""

    study: int
    series: int

    @property
    def uid(self) -> str:
        return series_uid(self.series, self.study)

    @property
    def study_uid(self) -> str:
        return study_uid(self.study)

    @property
    def path(self) -> str:
        return f"/dicom-web/studies/{self.study_uid}/series/{self.uid}"


@lru_cache(maxsize=400)
def file_of(name: Name) -> bytes:
    """18 to 100 kB."""
    image = ct_slice(name.number, size=_SIDES[name.number % len(_SIDES)])
    image.StudyInstanceUID, image.SeriesInstanceUID = name.of.study_uid, name.of.uid
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = name.uid
    image.StudyID, image.SeriesNumber = str(name.study), name.series
    written = BytesIO()
    image.save_as(written, enforce_file_format=True)
    return written.getvalue()


def content_of(file: bytes) -> str:
    """Of its data set and transfer syntax: the rest of a file says who wrote it (PS3.10 7.1)."""
    assert file[128:132] == b"DICM"
    begins_at = 144 + int.from_bytes(file[140:144], "little")
    meta = file[144:begins_at]
    at = meta.index(b"\x02\x00\x10\x00UI") + 8
    syntax = meta[at : at + int.from_bytes(meta[at - 2 : at], "little")].rstrip(b"\0")
    return hashlib.sha256(syntax + b"\n" + file[begins_at:]).hexdigest()


@lru_cache(maxsize=100_000)
def content(name: Name) -> str:
    return content_of(file_of(name))


class Ledger:
    """Thread-safe.

    problems: what was found wrong, in words. counts: of requests and the like, by what they are.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offered: dict[Series, set[Name]] = {}
        self._acknowledged: dict[Series, set[Name]] = {}
        self._of_uid: dict[str, Name] = {}
        self._acknowledgements: Counter[Name] = Counter()
        self._readable_at: dict[Name, float] = {}
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()

    def offer(self, names: Iterable[Name]) -> None:
        """Before they are sent; from now on they may be somewhere."""
        with self._lock:
            for name in names:
                self._offered.setdefault(name.of, set()).add(name)
                self._of_uid[name.uid] = name

    def acknowledge(self, uids: Iterable[str], seen_within_s: float = 0.0) -> None:
        """`seen_within_s`: how long it may take until whoever reads the series sees it."""
        with self._lock:
            for uid in uids:
                name = self._of_uid[uid]
                self._acknowledged.setdefault(name.of, set()).add(name)
                self._acknowledgements[name] += 1
                self._readable_at.setdefault(name, time.monotonic() + seen_within_s)

    def readable(self, series: Series) -> frozenset[Name]:
        """Those that have to be in an answer to whoever asks now."""
        with self._lock:
            now = time.monotonic()
            some = self._acknowledged.get(series, ())
            return frozenset(name for name in some if self._readable_at[name] <= now)

    def acknowledged(self, series: Series | None = None) -> frozenset[Name]:
        """Those that have to be there."""
        with self._lock:
            if series is not None:
                return frozenset(self._acknowledged.get(series, ()))
            return frozenset(name for some in self._acknowledged.values() for name in some)

    def offered(self, series: Series) -> frozenset[Name]:
        with self._lock:
            return frozenset(self._offered.get(series, ()))

    def series(self) -> list[Series]:
        """All of which something may be there, in order."""
        with self._lock:
            return sorted(self._offered)

    def name_of(self, uid: str) -> Name | None:
        with self._lock:
            return self._of_uid.get(uid)

    def most_acknowledged(self) -> int:
        """How many successes there were, repeated ones too."""
        with self._lock:
            return self._acknowledgements.total()

    def count(self, what: str, by: int = 1) -> None:
        with self._lock:
            self.counts[what] += by

    def wrong(self, what: str) -> None:
        with self._lock:
            self.problems.append(what)

    def compare(self, uid: str, file: bytes, where: str) -> None:
        """Whether it is what was given away under that name."""
        name = self.name_of(uid)
        if name is None:
            self.wrong(f"{where}: {uid} was never given away")
        elif content_of(file) != content(name):
            self.wrong(f"{where}: {uid} has another content ({len(file)} bytes)")
