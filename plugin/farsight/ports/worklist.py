"""A Modality Worklist, as the services see it: who is scheduled."""

from __future__ import annotations

from datetime import date
from typing import Protocol

from farsight.model import Attributes


class Worklist(Protocol):
    """One provider of a worklist. Methods may block; they raise PacsError subclasses."""

    @property
    def name(self) -> str:
        """The name the administrator gave it (key in DicomModalities)."""
        ...

    def scheduled(self, first: date, last: date, max_rows: int) -> list[Attributes]:
        """What is scheduled to begin on those days, both included (PS3.4 K.6.1.2).

        Rows as DICOM JSON, each with its ScheduledProcedureStepSequence; wider than asked is
        possible. After `max_rows` rows the query is cancelled.

        Raises: PacsUnavailable, PacsTimeout, PacsRefusedService, PacsFailure.
        """
        ...
