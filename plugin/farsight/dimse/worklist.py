"""The identifier of a Modality Worklist query as bytes (PS3.4 K.6.1.2.2, table K.6-1)."""

from __future__ import annotations

from datetime import date

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from farsight.dimse.identifier_encoding import IMPLICIT_LE

MODALITY_WORKLIST_FIND = "1.2.840.10008.5.1.4.31"
SCHEDULED_STEP_SEQUENCE = "00400100"
SCHEDULED_START_DATE = "00400002"
SCHEDULED_START_TIME = "00400003"


def worklist_identifier(first: date, last: date, transfer_syntax_uid: str) -> bytes:
    """Every step that begins on those days, whatever its modality: a list of them has no form.

    Dates alone are matched, so it needs no character set: rows name their own.
    """
    step = Dataset()
    step.Modality = ""
    step.ScheduledProcedureStepStartDate = _days(first, last)
    step.ScheduledProcedureStepStartTime = ""
    asked = Dataset()
    asked.PatientID = ""
    asked.IssuerOfPatientID = ""
    asked.PatientBirthDate = ""
    asked.StudyInstanceUID = ""
    asked.ScheduledProcedureStepSequence = [step]
    buffer = DicomBytesIO()
    buffer.is_little_endian = True
    buffer.is_implicit_VR = transfer_syntax_uid == IMPLICIT_LE
    write_dataset(buffer, asked)
    return bytes(buffer.getvalue())


def _days(first: date, last: date) -> str:
    """One day as a single value: every worklist knows that (PS3.4 K.6.1.2.2)."""
    days = [f"{day:%Y%m%d}".zfill(8) for day in (first, last)]
    return days[0] if first == last else "-".join(days)
