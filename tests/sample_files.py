"""Small DICOM studies made on the spot: what tests put into a PACS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

ROOT = "1.2.826.0.1.3680043.10.1337"


def study_uid(number: int = 1) -> str:
    return f"{ROOT}.{number}"


def series_uid(number: int = 1, study: int = 1) -> str:
    return f"{ROOT}.{study}.{number}"


def instance_uid(number: int, series: int = 1, study: int = 1) -> str:
    return f"{ROOT}.{study}.{series}.{number}"


def ct_slice(number: int, *, series: int = 1, study: int = 1, size: int = 64) -> FileDataset:
    """One CT slice; the pixels tell which one it is."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = instance_uid(number, series, study)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    image.SpecificCharacterSet = "ISO_IR 192"
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = instance_uid(number, series, study)
    image.StudyInstanceUID = study_uid(study)
    image.SeriesInstanceUID = series_uid(series, study)
    image.PatientName = f"Muster^Jürgen{study}"
    image.PatientID = f"PAT{study}"
    image.PatientBirthDate = "19700101"
    image.PatientSex = "O"
    image.StudyDate, image.StudyTime = f"202001{study:02d}", "101500"
    image.AccessionNumber, image.StudyID = f"ACC{study}", str(study)
    image.StudyDescription = "Test study"
    image.ReferringPhysicianName = ""
    image.Modality, image.SeriesNumber = "CT", series
    image.SeriesDescription = f"Series {series}"
    image.InstanceNumber = number
    image.FrameOfReferenceUID = f"{ROOT}.{study}.99"
    image.ImagePositionPatient = [0, 0, float(number)]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness = [1, 1], 1
    image.RescaleIntercept, image.RescaleSlope = -1024, 1
    image.Rows = image.Columns = size
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation = 15, 0
    step = Dataset()
    step.ScheduledProcedureStepID = f"STEP{series}"
    image.RequestAttributesSequence = [step]
    pixels = np.arange(size * size, dtype="<u2").reshape(size, size) % 997 + number
    image.PixelData = pixels.tobytes()
    return image


def write_series(
    directory: Path, slices: int, *, series: int = 1, study: int = 1, size: int = 64
) -> list[Path]:
    """Files of one series, in order."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(1, slices + 1):
        path = directory / f"{study}-{series}-{number:04d}.dcm"
        ct_slice(number, series=series, study=study, size=size).save_as(
            path, enforce_file_format=True
        )
        paths.append(path)
    return paths
