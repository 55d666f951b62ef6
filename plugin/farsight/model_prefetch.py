"""The rules of prefetch, as values: read with the configuration, followed by the services."""

from __future__ import annotations

from dataclasses import dataclass

MINUTES_OF_DAY = 1440


@dataclass(frozen=True, slots=True)
class Hours:
    """Minutes of the day by the wall clock; `end` is the first that isn't part of it any more.

    One that ends before it begins goes over midnight.
    """

    begin: int
    end: int

    def cover(self, minute: int) -> bool:
        """Whether that minute of the day lies within."""
        if self.begin < self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end

    def __str__(self) -> str:
        ends = (f"{at // 60:02d}:{at % 60:02d}" for at in (self.begin, self.end))
        return "-".join(ends)


@dataclass(frozen=True, slots=True)
class PriorsWanted:
    """Which earlier studies of a patient, at most `number`, the newest first.

    modalities, body_parts: any of these; empty: whatever there is. same_…: as what they are
    priors of. max_age_days: older than that doesn't count; 0: no limit.
    """

    modalities: frozenset[str] = frozenset()
    body_parts: frozenset[str] = frozenset()
    same_modality: bool = True
    same_body_part: bool = False
    number: int = 3
    max_age_days: int = 0

    @property
    def needs_body_part(self) -> bool:
        return self.same_body_part or bool(self.body_parts)


@dataclass(frozen=True, slots=True)
class OpenedRule:
    """When a study is opened: its priors. for_modalities: of the study; empty: any.

    pacs: where priors are looked for; empty: everywhere. hours: when; empty: always.
    """

    name: str
    for_modalities: frozenset[str] = frozenset()
    priors: PriorsWanted = PriorsWanted()
    pacs: tuple[str, ...] = ()
    hours: tuple[Hours, ...] = ()


@dataclass(frozen=True, slots=True)
class EveryRule:
    """Every so often: the studies of the last days, today included; at most `number`, the newest
    first. modalities: any of these; empty: whatever there is."""

    name: str
    every_s: float = 900.0
    days: int = 1
    modalities: frozenset[str] = frozenset()
    number: int = 1000
    pacs: tuple[str, ...] = ()
    hours: tuple[Hours, ...] = ()


@dataclass(frozen=True, slots=True)
class WorklistRule:
    """Every so often: the priors of who is scheduled, today included, for the next days.

    worklist: the name of the modality that has it. for_modalities: of the scheduled steps; empty:
    any. pacs: those that know its patients by the same PatientIDs.
    """

    name: str
    worklist: str
    every_s: float = 900.0
    days: int = 1
    for_modalities: frozenset[str] = frozenset()
    priors: PriorsWanted = PriorsWanted()
    pacs: tuple[str, ...] = ()
    hours: tuple[Hours, ...] = ()


Rule = OpenedRule | EveryRule | WorklistRule


@dataclass(frozen=True, slots=True)
class PrefetchRules:
    """All of them, and how much they may do. Without a rule nothing is ever asked for."""

    rules: tuple[Rule, ...] = ()
    studies_per_minute: int = 10
    max_waiting: int = 1000
