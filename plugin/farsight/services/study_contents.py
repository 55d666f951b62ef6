"""What a study holds, found out from its series where a source doesn't say (PS3.4 C.3.4).

ModalitiesInStudy and the NumberOf… attributes are optional keys; many PACS leave them out. One
SERIES-level query per study gives them, plus one IMAGE-level query per series where the series
don't count their instances either. Answers are kept for a short time, a bounded number of them.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from farsight.model import Attributes, Level
from farsight.ps318 import attribute_levels as levels
from farsight.ps318.matching import values_of
from farsight.services.search_rows import first_text, number_of, uid_of
from farsight.services.search_source import SearchSource


@dataclass(frozen=True, slots=True)
class StudyContents:
    """Distinct modalities in order, and each series with the number of instances it tells, 0 where
    it tells none."""

    modalities: tuple[str, ...]
    series: Mapping[str, int]


class ContentsCache:
    """Counts per source and study (or series). Thread-safe; the oldest go first."""

    def __init__(
        self,
        ttl_s: float = 60.0,
        max_entries: int = 20_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ttl_s = ttl_s
        self._max_entries = max_entries
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, ...], tuple[float, StudyContents | int]] = OrderedDict()

    def get(self, key: tuple[str, ...]) -> StudyContents | int | None:
        with self._lock:
            found = self._kept.get(key)
            if found is None or found[0] <= self._clock():
                return None
            return found[1]

    def put(self, key: tuple[str, ...], value: StudyContents | int) -> None:
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = (self._clock() + self._ttl_s, value)
            while len(self._kept) > self._max_entries:
                self._kept.popitem(last=False)


class Counter:
    """Completes rows of one level with the counts their source left out."""

    def __init__(self, cache: ContentsCache) -> None:
        self._cache = cache

    def lacks(self, row: Attributes, tags: Collection[str]) -> bool:
        """Whether any of the tags is missing that `complete` can find out."""
        return any(_missing(row, tag) for tag in COUNTED if tag in tags)

    def complete(
        self, source: SearchSource, row: Attributes, tags: Collection[str], *, fresh: bool = False
    ) -> bool:
        """Fill in what is missing of the tags; what the source said stays.

        `fresh`: ask, whatever is known. True, for run_all's sake. Raises: FarsightError of the
        source.
        """
        study = uid_of(row, Level.STUDY)
        contents: StudyContents | None = None
        for tag in COUNTED:
            if tag not in tags or not _missing(row, tag):
                continue
            if tag == levels.NUMBER_OF_SERIES_RELATED_INSTANCES:
                count = self.series(source, study, uid_of(row, Level.SERIES), fresh=fresh)
                _fill(row, tag, "IS", [count])
                continue
            contents = contents or self.study(source, study, fresh=fresh)
            if tag == levels.MODALITIES_IN_STUDY:
                _fill(row, tag, "CS", list(contents.modalities))
            elif tag == levels.NUMBER_OF_STUDY_RELATED_SERIES:
                _fill(row, tag, "IS", [len(contents.series)])
            else:
                numbers = (
                    told or self.series(source, study, uid, fresh=fresh)
                    for uid, told in contents.series.items()
                )
                _fill(row, tag, "IS", [sum(numbers)])
        return True

    def study(
        self, source: SearchSource, study_instance_uid: str, *, fresh: bool = False
    ) -> StudyContents:
        """Raises: FarsightError of the source."""
        key = (source.name, study_instance_uid)
        kept = None if fresh else self._kept(source, key)
        if isinstance(kept, StudyContents):
            return kept
        asked = {
            levels.STUDY_INSTANCE_UID: study_instance_uid,
            levels.SERIES_INSTANCE_UID: "",
            levels.MODALITY: "",
            levels.NUMBER_OF_SERIES_RELATED_INSTANCES: "",
        }
        rows = {
            uid_of(row, Level.SERIES): row
            for row in source.rows(Level.SERIES, asked, fresh=fresh)
            if uid_of(row, Level.STUDY) in ("", study_instance_uid)
        }
        rows.pop("", None)
        contents = StudyContents(
            tuple(sorted({m for r in rows.values() if (m := first_text(r.get(levels.MODALITY)))})),
            {
                uid: max(0, number_of(row, levels.NUMBER_OF_SERIES_RELATED_INSTANCES))
                for uid, row in rows.items()
            },
        )
        self._cache.put(key, contents)
        return contents

    def series(
        self, source: SearchSource, study_instance_uid: str, series_uid: str, *, fresh: bool = False
    ) -> int:
        """The instances of a series, counted. Raises: FarsightError of the source."""
        key = (source.name, study_instance_uid, series_uid)
        kept = None if fresh else self._kept(source, key)
        if isinstance(kept, int):
            return kept
        asked = {
            levels.STUDY_INSTANCE_UID: study_instance_uid,
            levels.SERIES_INSTANCE_UID: series_uid,
            levels.SOP_INSTANCE_UID: "",
        }
        rows = source.rows(Level.IMAGE, asked, fresh=fresh)
        count = len({uid_of(row, Level.IMAGE) for row in rows} - {""})
        self._cache.put(key, count)
        return count

    def _kept(self, source: SearchSource, key: tuple[str, ...]) -> StudyContents | int | None:
        return None if source.ae_title is None else self._cache.get(key)


#: What can be found out by counting.
COUNTED = (
    levels.MODALITIES_IN_STUDY,
    levels.NUMBER_OF_STUDY_RELATED_SERIES,
    levels.NUMBER_OF_STUDY_RELATED_INSTANCES,
    levels.NUMBER_OF_SERIES_RELATED_INSTANCES,
)


def _missing(row: Attributes, tag: str) -> bool:
    """Absent, empty, or a count of nothing: what is listed holds something."""
    if tag == levels.MODALITIES_IN_STUDY:
        return not values_of(row.get(tag))
    return number_of(row, tag) <= 0


def _fill(row: Attributes, tag: str, vr: str, values: list[object]) -> None:
    if _missing(row, tag):
        row[tag] = {"vr": vr, "Value": values} if values else {"vr": vr}
