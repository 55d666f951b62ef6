"""Generated studies as DICOM files. The same bytes on every run: UIDs follow from names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from farsight_demo import head, thorax
from farsight_demo.thorax import Thorax, thorax_volume

_CT_OFFSET = 1024  # stored value = HU + 1024, twelve bits


def uid(*names: str) -> str:
    """A UID that is the same whenever the names are."""
    return str(generate_uid(entropy_srcs=["farsight demo", *names]))


@dataclass(frozen=True)
class Study:
    """A study of an invented patient. Dates as DICOM writes them: YYYYMMDD."""

    key: str
    patient_name: str
    patient_id: str
    birth_date: str
    sex: str
    date: str
    time: str
    description: str

    def attributes(self) -> dict[str, object]:
        return {
            "SpecificCharacterSet": "ISO_IR 192",
            "StudyDate": self.date,
            "StudyTime": self.time,
            "AccessionNumber": f"DEMO{self.date[2:]}",
            "Manufacturer": "Farsight demo",
            "InstitutionName": "Nowhere General (demo)",
            "ReferringPhysicianName": "Invented^Ivy^^Dr.",
            "StudyDescription": self.description,
            "PatientName": self.patient_name,
            "PatientID": self.patient_id,
            "PatientBirthDate": self.birth_date,
            "PatientSex": self.sex,
            "StudyInstanceUID": uid(self.key),
            "StudyID": self.key[:16],
            "FrameOfReferenceUID": uid(self.key, "frame"),
            "PositionReferenceIndicator": "",
            "PatientIdentityRemoved": "YES",
            "DeidentificationMethod": "Synthetic: never a person",
        }


@dataclass(frozen=True)
class Series:
    """A volume cut into single-frame images, lowest slice first. Lengths in mm."""

    number: int
    description: str
    sop_class_uid: str
    volume: NDArray[np.int16]  # (slices, rows, columns)
    field_of_view_mm: float
    spacing_mm: float
    extra: Mapping[str, object]


THORAX = Study(
    "thorax-2024", "Phantom^Thora", "DEMO-0001", "19700101", "F", "20240314", "101500",
    "CT thorax with contrast (synthetic)",
)  # fmt: skip
THORAX_PRIOR = Study(
    "thorax-2022", "Phantom^Thora", "DEMO-0001", "19700101", "F", "20220905", "083000",
    "CT thorax, prior (synthetic)",
)  # fmt: skip
HEAD = Study(
    "head-2024", "Sample^Henry", "DEMO-0002", "19580723", "M", "20240502", "141000",
    "MR head (synthetic)",
)  # fmt: skip


def write_generated(directory: Path) -> Iterator[Path]:
    """Every generated study, below `directory`, file by file as they are written."""
    hounsfield = thorax_volume(Thorax(), 200)
    yield from write_series(directory, THORAX, ct_series(2, "Thorax 1.5 mm soft", hounsfield))
    thick = hounsfield.reshape(40, 5, *hounsfield.shape[1:]).mean(axis=1).astype(np.int16)
    lung_window = (-500, 1500)
    yield from write_series(
        directory, THORAX, ct_series(3, "Lung 7.5 mm", thick, first_window=lung_window)
    )
    prior = thorax_volume(Thorax(nodule_radius_mm=4.0, seed=20220905), 60, noise_hu=10)
    yield from write_series(directory, THORAX_PRIOR, ct_series(2, "Thorax 5 mm soft", prior))
    for number, weighting in enumerate((head.T1, head.T2), start=2):
        volume = head.head_volume(weighting, 24)
        yield from write_series(directory, HEAD, mr_series(number, weighting.name, volume))


def ct_series(
    number: int,
    description: str,
    hounsfield: NDArray[np.int16],
    *,
    first_window: tuple[int, int] = (40, 400),
    spacing_mm: float | None = None,
) -> Series:
    """CT Image Storage from Hounsfield units; the thorax's field of view and length."""
    spacing = spacing_mm or thorax.LENGTH_MM / len(hounsfield)
    windows = {(40, 400): "SOFT TISSUE", (-500, 1500): "LUNG", (400, 1800): "BONE"}
    ordered = sorted(windows, key=lambda window: window != first_window)
    return Series(
        number,
        description,
        CTImageStorage,
        np.clip(hounsfield + _CT_OFFSET, 0, 4095).astype(np.int16),
        thorax.FIELD_OF_VIEW_MM,
        spacing,
        {
            "Modality": "CT",
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "BodyPartExamined": "CHEST",
            "PatientPosition": "HFS",
            "KVP": "120",
            "ContrastBolusAgent": "None: this is a computed picture",
            "RescaleIntercept": str(-_CT_OFFSET),
            "RescaleSlope": "1",
            "RescaleType": "HU",
            "WindowCenter": [str(centre) for centre, _ in ordered],
            "WindowWidth": [str(width) for _, width in ordered],
            "WindowCenterWidthExplanation": [windows[window] for window in ordered],
        },
    )


def mr_series(number: int, weighting: str, signal: NDArray[np.int16]) -> Series:
    """MR Image Storage from signal intensities; the head's field of view and length."""
    return Series(
        number,
        f"Head {weighting} axial",
        MRImageStorage,
        np.clip(signal, 0, 4095).astype(np.int16),
        head.FIELD_OF_VIEW_MM,
        head.LENGTH_MM / len(signal),
        {
            "Modality": "MR",
            "ImageType": ["ORIGINAL", "PRIMARY", "M"],
            "BodyPartExamined": "HEAD",
            "PatientPosition": "HFS",
            "ScanningSequence": "SE",
            "SequenceVariant": "NONE",
            "ScanOptions": "",
            "MRAcquisitionType": "2D",
            "EchoTime": "12" if weighting == "T1" else "98",
            "RepetitionTime": "520" if weighting == "T1" else "4200",
            "EchoTrainLength": "1",
            "MagneticFieldStrength": "1.5",
            "WindowCenter": "450",
            "WindowWidth": "900",
        },
    )


def write_series(directory: Path, study: Study, series: Series) -> Iterator[Path]:
    """One file per slice: <directory>/<study>/<series>-<instance>.dcm."""
    series_uid = uid(study.key, str(series.number))
    folder = directory / study.key
    folder.mkdir(parents=True, exist_ok=True)
    common: dict[str, object] = {
        **study.attributes(),
        **series.extra,
        "SeriesInstanceUID": series_uid,
        "SeriesNumber": str(series.number),
        "SeriesDescription": series.description,
        "SeriesDate": study.date,
        "SeriesTime": study.time,
        "AcquisitionNumber": "1",
        "SliceThickness": f"{series.spacing_mm:g}",
        "SpacingBetweenSlices": f"{series.spacing_mm:g}",
    }
    for index in range(len(series.volume)):
        path = folder / f"{series.number}-{index + 1:03d}.dcm"
        image = _image(common, series, series_uid, index)
        image.save_as(path, enforce_file_format=True)
        yield path


def _image(common: Mapping[str, object], series: Series, series_uid: str, index: int) -> Dataset:
    pixels = series.volume[index]
    pixel_mm = series.field_of_view_mm / pixels.shape[0]
    corner = -(series.field_of_view_mm - pixel_mm) / 2
    height = (index + 0.5) * series.spacing_mm
    image = Dataset()
    for keyword, value in common.items():
        setattr(image, keyword, value)
    image.SOPClassUID = series.sop_class_uid
    image.SOPInstanceUID = uid(series_uid, str(index + 1))
    image.InstanceNumber = str(index + 1)
    image.ImagePositionPatient = [f"{corner:.6g}", f"{corner:.6g}", f"{height:.6g}"]
    image.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    image.SliceLocation = f"{height:.6g}"
    image.PixelSpacing = [f"{pixel_mm:.6g}"] * 2
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.PixelRepresentation = 0
    image.PixelData = pixels.astype("<u2").tobytes()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    return image
