"""Who is on a worklist, from its rows (PS3.4 K.6.1.2, table K.6-1). Nothing here asks anybody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date

from farsight.dimse.worklist import (
    SCHEDULED_START_DATE,
    SCHEDULED_START_TIME,
    SCHEDULED_STEP_SEQUENCE,
)
from farsight.model import Attributes
from farsight.model_prefetch import WorklistRule
from farsight.ps318 import attribute_levels as levels
from farsight.ps318.matching import values_of
from farsight.services.prefetch_choice import StudyFacts, codes_of, facts_of, has_any, patient_of


def scheduled_patients(
    rows: Iterable[Attributes], rule: WorklistRule, first: date, last: date
) -> list[StudyFacts]:
    """One for each patient: the first of the steps that the rule means, the modalities of all.

    As facts of the study that is to be, whose priors are looked for.
    """
    by_patient: dict[object, StudyFacts] = {}
    days = f"{first:%Y%m%d}", f"{last:%Y%m%d}"
    for row in rows:
        for step in _steps(row):
            if not days[0] <= step.date <= days[1]:
                continue
            if rule.for_modalities and not has_any(step.modalities, rule.for_modalities):
                continue
            before = by_patient.get(step.patient, step)
            earliest = min(before, step, key=lambda one: (one.date, one.time))
            both = before.modalities | step.modalities
            by_patient[step.patient] = replace(earliest, modalities=both)
    return [facts for facts in by_patient.values() if facts.patient.patient_id]


def _steps(row: Attributes) -> Iterator[StudyFacts]:
    uid = facts_of(row).study_instance_uid
    patient = patient_of(row)
    for item in values_of(row.get(SCHEDULED_STEP_SEQUENCE)):
        if not isinstance(item, dict):
            continue
        begins = {
            levels.STUDY_DATE: item.get(SCHEDULED_START_DATE, {}),
            levels.STUDY_TIME: item.get(SCHEDULED_START_TIME, {}),
        }
        facts = facts_of(begins)
        modalities = codes_of(item, levels.MODALITY)
        yield replace(facts, study_instance_uid=uid, patient=patient, modalities=modalities)
