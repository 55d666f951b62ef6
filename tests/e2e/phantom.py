"""Studies made for looking at: what should be seen on the screen is known from the slice."""

from __future__ import annotations

import io

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EncapsulatedPDFStorage, ExplicitVRLittleEndian

#: Side of the square image, pixels.
SIDE = 256
#: Rows of the bar below the body; its length grows with the slice.
BAR_ROWS = slice(236, 248)
BAR_FROM, BAR_TO = 8, 248

_ROOT = "1.2.826.0.1.3680043.10.1338"


def study_uid(number: int) -> str:
    return f"{_ROOT}.{number}"


def bar_length(instance_number: int, slices: int) -> int:
    """Pixels of the bar in that slice: a share of its full length, the last slice shows all."""
    return (BAR_TO - BAR_FROM) * instance_number // slices


def axial_slice(instance_number: int, slices: int) -> np.ndarray:
    """Hounsfield units of a thorax, roughly: body, lungs, spine, ribs, and the bar."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    y, x = (rows - 115) / 115, (columns - 128) / 115
    level = instance_number / slices

    def ellipse(cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
        return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1

    image = np.full((SIDE, SIDE), -1000, dtype=np.int16)
    image[ellipse(0, 0, 0.95, 0.7)] = 40
    image[ellipse(0, 0, 0.86, 0.61) & ~ellipse(0, 0, 0.82, 0.57)] = 400
    lung = 0.15 + 0.2 * float(np.sin(np.pi * level))
    for side in (-1, 1):
        image[ellipse(0.42 * side, -0.05, lung, 1.35 * lung)] = -800
    image[ellipse(0.1, 0.1 - 0.1 * level, 0.14, 0.14)] = 120
    image[ellipse(0, 0.42, 0.12, 0.12)] = 700
    image[BAR_ROWS, BAR_FROM : BAR_FROM + bar_length(instance_number, slices)] = 1000
    return image


def ct_slice(
    study: Dataset, series: Dataset, instance_number: int, slices: int, spacing_mm: float = 2.0
) -> bytes:
    """One CT image of a study and series as Part 10 bytes."""
    image = Dataset()
    image.update(study)
    image.update(series)
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = f"{series.SeriesInstanceUID}.{instance_number}"
    image.Modality = "CT"
    image.InstanceNumber = instance_number
    image.FrameOfReferenceUID = f"{study.StudyInstanceUID}.0"
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.PositionReferenceIndicator = ""
    image.ImagePositionPatient = [-128, -128, instance_number * spacing_mm]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.PixelSpacing = [1, 1]
    image.SliceThickness = spacing_mm
    image.Rows = image.Columns = SIDE
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit = 15
    image.PixelRepresentation = 1
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = 0, 1, "HU"
    image.WindowCenter, image.WindowWidth = 40, 400
    image.KVP = 120
    image.PixelData = axial_slice(instance_number, slices).astype("<i2").tobytes()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    image.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def green_page() -> bytes:
    """A PDF of one page that is green all over; its title is "Green page"."""
    paint = b"0 0.6 0 rg 0 0 400 400 re f"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 400 400] /Contents 4 0 R >>",
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(paint), paint),
        b"<< /Title (Green page) >>",
    ]
    file, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(file))
        file += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"trailer\n<< /Size 6 /Root 1 0 R /Info 5 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    return file + b"xref\n0 6\n0000000000 65535 f \n" + table + trailer % len(file)


def pdf_report(study: Dataset) -> bytes:
    """That PDF as an object of the study, Part 10 bytes."""
    report = Dataset()
    report.update(study)
    report.update(series_attributes(study, 1, "Report"))
    report.SOPClassUID = EncapsulatedPDFStorage
    report.SOPInstanceUID = f"{report.SeriesInstanceUID}.1"
    report.Modality, report.InstanceNumber = "DOC", 1
    report.ConversionType, report.BurnedInAnnotation = "SD", "NO"
    report.ContentDate, report.ContentTime = "20240302", "101500"
    report.AcquisitionDateTime, report.DocumentTitle = "", "Green page"
    report.MIMETypeOfEncapsulatedDocument = "application/pdf"
    document = green_page()
    report.EncapsulatedDocumentLength = len(document)
    report.EncapsulatedDocument = document + b"\0" * (len(document) % 2)
    report.file_meta = FileMetaDataset()
    report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    report.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def study_attributes(number: int, name: str, description: str, date: str) -> Dataset:
    """The attributes all images of one study share."""
    study = Dataset()
    study.SpecificCharacterSet = "ISO_IR 192"
    study.StudyInstanceUID = study_uid(number)
    study.StudyID = str(number)
    study.StudyDate, study.StudyTime = date, "101530"
    study.StudyDescription = description
    study.AccessionNumber = f"ACC{number}"
    study.ReferringPhysicianName = ""
    study.PatientName = name
    study.PatientID = f"PHANTOM{number}"
    study.PatientBirthDate, study.PatientSex = "19700101", "O"
    return study


def series_attributes(study: Dataset, number: int, description: str) -> Dataset:
    """The attributes all images of one series share."""
    series = Dataset()
    series.SeriesInstanceUID = f"{study.StudyInstanceUID}.{number}"
    series.SeriesNumber = number
    series.SeriesDescription = description
    series.Manufacturer = ""
    series.Laterality = ""
    return series


def ct_series(study: Dataset, number: int, description: str, slices: int) -> list[bytes]:
    """A whole series, slice 1 first."""
    series = series_attributes(study, number, description)
    return [ct_slice(study, series, instance, slices) for instance in range(1, slices + 1)]
