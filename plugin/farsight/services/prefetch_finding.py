"""Which studies a rule of prefetch means now: asked of the PACS, and of a worklist.

Laws: every row is matched again here; what a source doesn't tell about a study is asked for one
by one, the newest first, and no further than needed; a PACS that fails is told of, and the others
are asked all the same.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from farsight.model_prefetch import EveryRule, OpenedRule, PriorsWanted, WorklistRule
from farsight.ports.archive import Archive
from farsight.ports.pacs import Pacs
from farsight.ports.worklist import Worklist
from farsight.ps318 import attribute_levels as levels
from farsight.services.prefetch_choice import (
    StudyFacts,
    Verdict,
    body_parts_wanted,
    compare,
    days_wanted,
    earlier,
    has_any,
    modalities_wanted,
    newest_first,
)
from farsight.services.prefetch_memory import Remembered
from farsight.services.prefetch_scheduled import scheduled_patients
from farsight.services.prefetch_sources import PrefetchSources, StudyContents

LOG = logging.getLogger("farsight.prefetch")
_MOST_STEPS = 5_000
#: A patient whose priors were looked for isn't looked up again for every run of a worklist.
_ASKED_AGAIN_S = 3600.0
_MOST_ASKED = 10_000


@dataclass(frozen=True, slots=True)
class FoundStudy:
    """A study to fetch, and the PACS that told of it. instances: -1 where it didn't say."""

    study_instance_uid: str
    pacs: str
    instances: int = -1


@dataclass(frozen=True, slots=True)
class Findings:
    """The newest first. failures: of sources that may know of more."""

    studies: tuple[FoundStudy, ...] = ()
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Opened:
    """What is known of a study that was opened, by the PACS that have it; under "" what is stored
    here, where none has it."""

    study_instance_uid: str
    at: Mapping[str, StudyFacts]
    failures: tuple[str, ...] = ()


class PrefetchFinder:
    """For one thread. Blocks as long as the sources take."""

    def __init__(
        self,
        sources: Sequence[Pacs],
        archive: Archive,
        worklists: Sequence[Worklist] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sources = PrefetchSources(sources, archive, clock)
        self._worklists = {one.name: one for one in worklists}
        self._asked: Remembered[tuple[str, StudyFacts], bool] = Remembered(
            _ASKED_AGAIN_S, _MOST_ASKED, clock
        )

    # ---- a study is opened

    def identify(self, study_instance_uid: str) -> Opened:
        """Whose study it is, as each PACS that has it says."""
        failures: list[str] = []
        at: dict[str, StudyFacts] = {}
        for name in self._sources.names:
            found = self._sources.study(name, study_instance_uid, failures)
            if found is not None:
                at[name] = found
        if not at and (stored := self._sources.stored(study_instance_uid, failures)) is not None:
            at[""] = stored
        births = {one.patient.birth_date for one in at.values()} - {""}
        if len(births) > 1:
            LOG.warning("study %s has several birth dates: no priors", study_instance_uid)
            at = {}
        return Opened(study_instance_uid, at, tuple(failures))

    def priors(self, rule: OpenedRule, opened: Opened) -> Findings:
        """Of the patient of a study that was opened."""
        failures: list[str] = list(opened.failures)
        if not opened.at:
            return Findings((), tuple(failures))
        contents = self._contents(opened, rule.priors, failures)
        if not has_any(contents.modalities, rule.for_modalities):
            return Findings((), tuple(failures))
        candidates: list[tuple[str, StudyFacts]] = []
        for name in self._names(rule.pacs):
            # Its own word for whose study it is; elsewhere only issuers make PatientIDs compare.
            own = [opened.at[name]] if name in opened.at else list(opened.at.values())
            for facts in dict.fromkeys(own):
                found = self._earlier_at(name, facts, rule.priors, name in opened.at, failures)
                candidates += [(name, one) for one in found]
        return self._chosen(candidates, rule.priors, contents, failures)

    def _contents(self, opened: Opened, wanted: PriorsWanted, failures: list[str]) -> StudyContents:
        """Modalities and, where they count, body parts of what was opened, of all who have it."""
        modalities: set[str] = set()
        body_parts: set[str] = set()
        for name, facts in opened.at.items():
            told = StudyContents(facts.modalities)
            if not facts.modalities or wanted.same_body_part:
                told = self._sources.contents(name, facts.study_instance_uid, failures) or told
            modalities |= facts.modalities | told.modalities
            body_parts |= told.body_parts
        return StudyContents(frozenset(modalities), frozenset(body_parts))

    # ---- every so often

    def recent(self, rule: EveryRule, today: date) -> Findings:
        """Studies of the last days."""
        first = f"{today - timedelta(days=rule.days - 1):%Y%m%d}"
        last = f"{today:%Y%m%d}"
        failures: list[str] = []
        candidates: list[tuple[str, StudyFacts]] = []
        for name in self._names(rule.pacs):
            days = first if first == last else f"{first}-{last}"
            for facts in self._sources.studies(name, {levels.STUDY_DATE: days}, failures):
                if first <= facts.date <= last:
                    candidates.append((name, facts))
        wanted = PriorsWanted(rule.modalities, same_modality=False, number=rule.number)
        return self._chosen(candidates, wanted, StudyContents(), failures)

    def scheduled(self, rule: WorklistRule, today: date) -> Findings:
        """Priors of everyone who is on the worklist.

        Raises: PacsError where the worklist can't be had.
        """
        last = today + timedelta(days=rule.days - 1)
        rows = self._worklists[rule.worklist].scheduled(today, last, _MOST_STEPS)
        failures: list[str] = []
        found: list[FoundStudy] = []
        for facts in scheduled_patients(rows, rule, today, last):
            if self._asked.get((rule.name, facts)):
                continue
            of_one: list[str] = []
            candidates = [
                (name, one)
                for name in self._names(rule.pacs)
                for one in self._earlier_at(name, facts, rule.priors, True, of_one)
            ]
            contents = StudyContents(facts.modalities)
            found += self._chosen(candidates, rule.priors, contents, of_one).studies
            failures += of_one
            if not of_one:
                self._asked.put((rule.name, facts), True)
        return Findings(tuple(found), tuple(dict.fromkeys(failures)))

    # ---- what they have in common

    def _names(self, chosen: Sequence[str]) -> Sequence[str]:
        return chosen or self._sources.names

    def _earlier_at(
        self,
        name: str,
        than: StudyFacts,
        wanted: PriorsWanted,
        one_source: bool,
        failures: list[str],
    ) -> list[StudyFacts]:
        """Earlier studies of the same patient at one PACS."""
        patient = than.patient
        if not patient.patient_id.strip("*?") or not than.date:
            LOG.info("study %s has no PatientID or no date: no priors", than.study_instance_uid)
            return []
        if not one_source and not patient.issuer:
            return []
        days = days_wanted(than.date, wanted.max_age_days)
        rows = self._sources.studies(
            name, {levels.STUDY_DATE: days, levels.PATIENT_ID: patient.patient_id}, failures
        )
        same: list[StudyFacts] = []
        for facts in rows:
            verdict = compare(patient, facts.patient, one_source=one_source)
            if verdict is Verdict.SAME:
                same.append(facts)
            elif verdict is Verdict.CONTRADICTION:
                LOG.warning(
                    "study %s at PACS %r has the PatientID of %s and another birth date: left out",
                    *(facts.study_instance_uid, name, than.study_instance_uid or "a worklist"),
                )
        return earlier(same, than, wanted.max_age_days)

    def _chosen(
        self,
        candidates: Iterable[tuple[str, StudyFacts]],
        wanted: PriorsWanted,
        of: StudyContents,
        failures: list[str],
    ) -> Findings:
        """The newest that fit, each looked into only until there are enough."""
        modalities = modalities_wanted(wanted, of.modalities)
        body_parts = body_parts_wanted(wanted, of.body_parts)
        if modalities is None or body_parts is None:
            return Findings((), tuple(failures))
        where: dict[str, str] = {}
        for name, facts in candidates:
            where.setdefault(facts.study_instance_uid, name)
        chosen: list[FoundStudy] = []
        for facts in newest_first(facts for _, facts in candidates):
            uid = facts.study_instance_uid
            if self._fits(where[uid], facts, modalities, body_parts, failures):
                chosen.append(FoundStudy(uid, where[uid], facts.instances))
            if len(chosen) == wanted.number:
                break
        return Findings(tuple(chosen), tuple(dict.fromkeys(failures)))

    def _fits(
        self,
        name: str,
        facts: StudyFacts,
        modalities: frozenset[str],
        body_parts: frozenset[str],
        failures: list[str],
    ) -> bool:
        """What isn't told is no match where it is asked for."""
        uid = facts.study_instance_uid
        if facts.modalities and not has_any(facts.modalities, modalities):
            return False
        if (facts.modalities or not modalities) and not body_parts:
            return True
        told = self._sources.contents(name, uid, failures)
        if told is None:
            return False
        return has_any(facts.modalities or told.modalities, modalities) and has_any(
            told.body_parts, body_parts
        )
