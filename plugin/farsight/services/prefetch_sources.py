"""The C-FINDs of prefetch: as few and as plain as can be, for whatever PACS (PS3.4 C.4.1).

Modalities and body parts go as universal keys: what a PACS makes of a list of them, or of a key
it doesn't know, needn't be known.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from farsight.dimse.identifier import dimse_value, identifier_keys
from farsight.errors import ArchiveError, PacsError
from farsight.model import Attributes, Level
from farsight.ports.archive import Archive
from farsight.ports.pacs import Pacs
from farsight.ps318 import attribute_levels as levels
from farsight.ps318.attribute_id import tag_of
from farsight.ps318.matching_key import MatchingKey
from farsight.services.prefetch_choice import (
    ISSUER_OF_PATIENT_ID,
    StudyFacts,
    codes_of,
    facts_of,
)
from farsight.services.prefetch_memory import Remembered
from farsight.services.search_rows import is_uid, uid_of

LOG = logging.getLogger("farsight.prefetch")
BODY_PART_EXAMINED = tag_of("BodyPartExamined")
_ASKED = (
    *(levels.STUDY_INSTANCE_UID, levels.STUDY_DATE, levels.STUDY_TIME, levels.PATIENT_ID),
    *(ISSUER_OF_PATIENT_ID, levels.PATIENT_BIRTH_DATE, levels.MODALITIES_IN_STUDY),
    levels.NUMBER_OF_STUDY_RELATED_INSTANCES,
)
_MOST_ROWS = 20_000
_CONTENTS_LIVE_S = 3600.0
_MOST_CONTENTS = 20_000


@dataclass(frozen=True, slots=True)
class StudyContents:
    """What the series of a study are of."""

    modalities: frozenset[str] = frozenset()
    body_parts: frozenset[str] = frozenset()


class PrefetchSources:
    """For one thread. What fails is added to `failures`, in words fit to be shown."""

    def __init__(
        self, sources: Sequence[Pacs], archive: Archive, clock: Callable[[], float]
    ) -> None:
        self._pacs = {one.name: one for one in sources}
        self._archive = archive
        self._known: Remembered[tuple[str, str], StudyContents] = Remembered(
            _CONTENTS_LIVE_S, _MOST_CONTENTS, clock
        )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._pacs)

    def studies(
        self, name: str, values: Mapping[str, str], failures: list[str]
    ) -> list[StudyFacts]:
        """Those that may match, as far as they came before a failure."""
        asked = dict.fromkeys(_ASKED, "") | dict(values)
        patient_id = asked[levels.PATIENT_ID]
        if patient_id:
            key = MatchingKey((levels.PATIENT_ID,), "LO", (patient_id,), "PatientID")
            asked[levels.PATIENT_ID] = dimse_value(key)
        rows = self._rows(name, Level.STUDY, asked, failures)
        found = [facts_of(row) for row in rows]
        return [one for one in found if is_uid(one.study_instance_uid)]

    def study(self, name: str, study_instance_uid: str, failures: list[str]) -> StudyFacts | None:
        """One study; None where the PACS doesn't have it, or gives it different patients."""
        asked = dict.fromkeys(_ASKED, "") | {levels.STUDY_INSTANCE_UID: study_instance_uid}
        rows = self._rows(name, Level.STUDY, asked, failures)
        return self._one(rows, study_instance_uid)

    def stored(self, study_instance_uid: str, failures: list[str]) -> StudyFacts | None:
        """The same of what is here."""
        asked = dict.fromkeys(_ASKED, "") | {levels.STUDY_INSTANCE_UID: study_instance_uid}
        try:
            rows = self._archive.find(Level.STUDY, identifier_keys(asked))
        except ArchiveError as error:
            failures.append(str(error))
            return None
        return self._one(rows, study_instance_uid)

    def contents(
        self, name: str, study_instance_uid: str, failures: list[str]
    ) -> StudyContents | None:
        """What its series are of; name "": of what is stored here. None: can't be told now."""
        if (known := self._known.get((name, study_instance_uid))) is not None:
            return known
        asked = {
            levels.STUDY_INSTANCE_UID: study_instance_uid,
            levels.SERIES_INSTANCE_UID: "",
            levels.MODALITY: "",
            BODY_PART_EXAMINED: "",
        }
        before = len(failures)
        if name:
            rows = self._rows(name, Level.SERIES, asked, failures)
        else:
            rows = self._stored_series(asked, failures)
        if len(failures) > before:
            return None
        own = [row for row in rows if uid_of(row, Level.STUDY) in ("", study_instance_uid)]
        found = StudyContents(
            frozenset(code for row in own for code in codes_of(row, levels.MODALITY)),
            frozenset(code for row in own for code in codes_of(row, BODY_PART_EXAMINED)),
        )
        self._known.put((name, study_instance_uid), found)
        return found

    def _stored_series(self, asked: Mapping[str, str], failures: list[str]) -> list[Attributes]:
        try:
            return list(self._archive.find(Level.SERIES, identifier_keys(asked)))
        except ArchiveError as error:
            failures.append(str(error))
            return []

    def _one(self, rows: Sequence[Attributes], study_instance_uid: str) -> StudyFacts | None:
        found = {
            facts.patient: facts
            for facts in map(facts_of, rows)
            if facts.study_instance_uid == study_instance_uid
        }
        if len(found) > 1:
            LOG.warning("study %s is given different patients: no priors", study_instance_uid)
            return None
        return next(iter(found.values()), None)

    def _rows(
        self, name: str, level: Level, asked: Mapping[str, str], failures: list[str]
    ) -> list[Attributes]:
        rows: list[Attributes] = []
        try:
            found = self._pacs[name].find(level, identifier_keys(asked), max_rows=_MOST_ROWS)
            for row in found:
                rows.append(row)
        except PacsError as error:
            LOG.info("%s", error)
            failures.append(str(error))
        if len(rows) >= _MOST_ROWS:
            failures.append(f"PACS {name!r} lists {_MOST_ROWS} studies or more; not all were seen")
        return rows
