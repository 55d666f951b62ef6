"""What a verification found, series by series, and how far it has come."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from farsight.model import SeriesRef

_MOST_NAMED = 100


class Finding(StrEnum):
    """What was found of one instance; values as the report spells them."""

    SAME = "same"
    DIFFERS = "differs"
    ONLY_HERE = "only here"
    ONLY_AT_PACS = "only at the PACS"
    UNREADABLE_HERE = "unreadable here"
    UNREADABLE_AT_PACS = "unreadable as the PACS sends it"
    OTHER_SYNTAX = "other transfer syntax"
    NOT_DELIVERED = "not delivered"
    NOT_LISTED = "not known whether the PACS has it"
    GONE = "not stored any more"


@dataclass(frozen=True, slots=True)
class SeriesReport:
    """counts: of instances by finding. named: their SOPInstanceUIDs, those that are the same left
    out, at most a hundred of each. warnings: why more could not be told."""

    series: SeriesRef
    pacs: tuple[str, ...] = ()
    counts: Mapping[Finding, int] = field(default_factory=dict)
    named: Mapping[Finding, Sequence[str]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class JobState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class JobReport:
    """One job as it is now. *_at: seconds since the epoch, None for not yet. errors: studies that
    could not be verified at all, and why."""

    number: int
    studies: tuple[str, ...]
    state: JobState
    asked_at: float
    started_at: float | None
    ended_at: float | None
    series_total: int
    instances_compared: int
    series: tuple[SeriesReport, ...]
    errors: Mapping[str, str]


class SeriesTally:
    """What was found of one series so far. For one thread."""

    def __init__(self, series: SeriesRef) -> None:
        self.series = series
        self.findings: dict[str, Finding] = {}
        self.pacs: list[str] = []
        self.warnings: dict[str, None] = {}

    def lacks(self, sop_instance_uid: str) -> bool:
        """Whether no PACS was found to have the same."""
        return self.findings.get(sop_instance_uid) is not Finding.SAME

    def found(self, sop_instance_uid: str, finding: Finding) -> None:
        """The last word counts, but for one that is the same somewhere."""
        if self.lacks(sop_instance_uid):
            self.findings[sop_instance_uid] = finding

    def report(self) -> SeriesReport:
        named: dict[Finding, list[str]] = {}
        for uid, finding in sorted(self.findings.items()):
            if finding is not Finding.SAME:
                named.setdefault(finding, []).append(uid)
        return SeriesReport(
            self.series,
            tuple(self.pacs),
            dict(Counter(self.findings.values())),
            {finding: uids[:_MOST_NAMED] for finding, uids in named.items()},
            tuple(self.warnings),
        )


class Job:
    """One job, written by the thread that does it, read by others."""

    def __init__(self, number: int, studies: Sequence[str], asked_at: float) -> None:
        self.number = number
        self.studies = tuple(studies)
        self._asked_at = asked_at
        self._lock = threading.Lock()
        self._state = JobState.WAITING
        self._started_at: float | None = None
        self._ended_at: float | None = None
        self._series_total = 0
        self._compared = 0
        self._series: list[SeriesReport] = []
        self._errors: dict[str, str] = {}

    @property
    def is_over(self) -> bool:
        with self._lock:
            return self._state in (JobState.DONE, JobState.STOPPED)

    def begun(self, at: float) -> None:
        with self._lock:
            self._state, self._started_at = JobState.RUNNING, at

    def ended(self, at: float, state: JobState) -> None:
        with self._lock:
            self._state, self._ended_at = state, at

    def will_do(self, series: int) -> None:
        with self._lock:
            self._series_total += series

    def compared(self) -> None:
        with self._lock:
            self._compared += 1

    def did(self, report: SeriesReport) -> None:
        with self._lock:
            self._series.append(report)

    def failed(self, study_instance_uid: str, error: str) -> None:
        with self._lock:
            self._errors[study_instance_uid] = error

    def report(self) -> JobReport:
        with self._lock:
            return JobReport(
                self.number,
                self.studies,
                self._state,
                self._asked_at,
                self._started_at,
                self._ended_at,
                self._series_total,
                self._compared,
                tuple(self._series),
                dict(self._errors),
            )
