"""A Modality Worklist that others wrote, for tests: DCMTK's wlmscpfs, with the entries given."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from free_ports import free_port
from pacs_peers import Peer, _stopped_afterwards, _wait_for_port

AE_TITLE = "RIS"


def entry(
    patient_id: str,
    day: str,
    *,
    time: str = "090000",
    modality: str = "CT",
    birth_date: str = "19700101",
    issuer: str = "",
    name: str = "Muster^Jürgen",
) -> Dataset:
    """One requested procedure with one scheduled step."""
    step = Dataset()
    step.Modality = modality
    step.ScheduledStationAETitle = "SCANNER"
    step.ScheduledProcedureStepStartDate = day
    step.ScheduledProcedureStepStartTime = time
    step.ScheduledPerformingPhysicianName = "Ref^Erring"
    step.ScheduledProcedureStepDescription = "Thorax"
    step.ScheduledProcedureStepID = "1"
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 100"
    made.AccessionNumber = "1"
    made.PatientName = name
    made.PatientID = patient_id
    if issuer:
        made.IssuerOfPatientID = issuer
    made.PatientBirthDate = birth_date
    made.PatientSex = "O"
    made.StudyInstanceUID = generate_uid()
    made.RequestedProcedureDescription = "Thorax"
    made.ScheduledProcedureStepSequence = [step]
    made.RequestedProcedureID = "1"
    made.RequestedProcedurePriority = "LOW"
    return made


def _write(directory: Path, entries: Sequence[Dataset]) -> None:
    directory.mkdir(parents=True)
    (directory / "lockfile").touch()
    for number, one in enumerate(entries):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = "1.2.276.0.7230010.3.1.0.1"
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file = FileDataset("", one, file_meta=meta, preamble=b"\0" * 128)
        file.save_as(directory / f"{number:04d}.wl", enforce_file_format=True)


@contextmanager
def wlmscpfs(directory: Path, entries: Sequence[Dataset]) -> Iterator[Peer]:
    """Answers in ISO_IR 100, as legacy ones do."""
    _write(directory / "worklists" / AE_TITLE, entries)
    port = free_port()
    with (directory / "wlmscpfs.log").open("wb") as log:
        process = subprocess.Popen(
            ["wlmscpfs", "-s", "-csk", "-dfp", str(directory / "worklists"), str(port)],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    with _stopped_afterwards(process):
        _wait_for_port(port, process)
        yield Peer("wlmscpfs", port, process)
