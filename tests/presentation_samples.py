"""Presentation states and the images they are for, made small, and what is shown of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from farsight.dicom.part10 import parse_object
from farsight.imaging.describe import picture_of
from farsight.imaging.jobs import Graphics, ImageType, RenderJob
from farsight.imaging.perform import perform
from farsight.imaging.picture import Picture
from farsight.imaging.presentation import apply
from farsight.ps318.rendering_query import RenderingQuery

GREY, COLOUR, PSEUDO = (f"1.2.840.10008.5.1.4.1.1.11.{n}" for n in (1, 2, 3))
IMAGE_UID, SERIES_UID, OTHER_UID = "1.2.3.4", "1.2.3", "1.2.3.5"
ROWS, COLUMNS = 40, 60
Change = Callable[[Dataset], Any]
Pixels = NDArray[Any]


def _file(sop_class_uid: str, sop_instance_uid: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = sop_class_uid
    meta.MediaStorageSOPInstanceUID = sop_instance_uid
    file = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = sop_class_uid, sop_instance_uid
    file.StudyInstanceUID, file.SeriesInstanceUID = "1.2", SERIES_UID
    file.PatientName, file.PatientID, file.StudyID = "Test", "1", "1"
    file.PatientBirthDate, file.PatientSex, file.StudyDate = "", "O", "20200101"
    file.StudyTime, file.AccessionNumber, file.Manufacturer = "120000", "", "Test"
    file.ReferringPhysicianName = ""
    file.SeriesNumber, file.InstanceNumber, file.SpecificCharacterSet = 1, 1, "ISO_IR 192"
    return file


def image_file(pixels: Pixels, bits: int | None = None, **more: Any) -> FileDataset:
    file = _file("1.2.840.10008.5.1.4.1.1.7", IMAGE_UID)
    file.Modality, file.ConversionType = "OT", "WSD"
    file.Rows, file.Columns = pixels.shape[:2]
    file.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    file.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        file.PlanarConfiguration = 0
    file.BitsAllocated = 8 * pixels.dtype.itemsize
    file.BitsStored = bits or file.BitsAllocated
    file.HighBit = file.BitsStored - 1
    file.PixelRepresentation = int(pixels.dtype.kind == "i")
    for name, value in more.items():
        setattr(file, name, value)
    file.PixelData = pixels.tobytes()
    file["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    return file


def state_file(*changes: Change, sop_class_uid: str = GREY, **more: Any) -> FileDataset:
    file = _file(sop_class_uid, "1.2.3.9")
    file.Modality, file.ContentLabel, file.ContentDescription = "PR", "STATE", ""
    file.SeriesInstanceUID, file.ContentCreatorName = "1.2.9", ""
    file.PresentationCreationDate, file.PresentationCreationTime = "20200101", "120000"
    series = item_of(SeriesInstanceUID=SERIES_UID, ReferencedImageSequence=[reference_to()])
    file.ReferencedSeriesSequence = [series]
    if sop_class_uid == GREY:
        file.PresentationLUTShape = "IDENTITY"
    file.DisplayedAreaSelectionSequence = [displayed_area((1, 1), (COLUMNS, ROWS))]
    for name, value in more.items():
        setattr(file, name, value)
    for change in changes:
        change(file)
    return file


def item_of(**values: Any) -> Dataset:
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return item


def reference_to(uid: str = IMAGE_UID, frames: Sequence[int] = ()) -> Dataset:
    item = item_of(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.7", ReferencedSOPInstanceUID=uid)
    if frames:
        item.ReferencedFrameNumber = list(frames)
    return item


def displayed_area(first: tuple[int, int], last: tuple[int, int], **more: Any) -> Dataset:
    return item_of(
        DisplayedAreaTopLeftHandCorner=list(first),
        DisplayedAreaBottomRightHandCorner=list(last),
        PresentationSizeMode="SCALE TO FIT",
        **({"PresentationPixelAspectRatio": [1, 1]} | more),
    )


def lookup_table(entries: Sequence[int], first: int = 0, bits: int = 8) -> Dataset:
    item = Dataset()
    item.add_new(0x00283002, "US", [len(entries), first & 0xFFFF, bits])
    item.add_new(0x00283006, "OW", np.asarray(entries, "<u2").tobytes())
    item.ModalityLUTType = "US"
    return item


def as_bytes(file: FileDataset) -> bytes:
    out = io.BytesIO()
    file.save_as(out, enforce_file_format=True)
    return out.getvalue()


def applied(
    image: FileDataset, state: FileDataset, frame_number: int = 1
) -> tuple[Picture, Graphics]:
    picture = picture_of(parse_object(as_bytes(image)), frame_number)
    return apply(parse_object(as_bytes(state)), picture, IMAGE_UID, frame_number)


def shown(image: FileDataset, state: FileDataset, query: RenderingQuery | None = None) -> Pixels:
    return rendered(as_bytes(image), as_bytes(state), IMAGE_UID, query)


def rendered(image: bytes, state: bytes, uid: str, query: RenderingQuery | None = None) -> Pixels:
    parsed = parse_object(image)
    picture, graphics = apply(parse_object(state), picture_of(parsed), uid, 1)
    frame = parsed.raw(0x7FE00010)
    job = RenderJob((picture,), query or RenderingQuery(), ImageType.PNG, graphics=graphics)
    (block,) = perform(job, [frame])
    return np.asarray(Image.open(io.BytesIO(block))).astype(int)


def ramp_values() -> Pixels:
    """Each pixel another value: 0 to 2399, and what is shown tells where it is from."""
    return np.arange(ROWS * COLUMNS, dtype=np.uint16).reshape(ROWS, COLUMNS)


def black_image() -> FileDataset:
    return image_file(np.zeros((ROWS, COLUMNS), np.uint8))


def grey_image() -> FileDataset:
    return image_file(np.full((ROWS, COLUMNS), 100, np.uint8))


def lit_points(image: Pixels) -> set[tuple[int, int]]:
    """Columns and rows of what isn't black."""
    return {(int(x), int(y)) for y, x in np.argwhere(image > 0)}


def graphic_object(
    kind: str, points: Sequence[float], units: str = "PIXEL", **more: Any
) -> Dataset:
    said = {"GraphicDimensions": 2, "NumberOfGraphicPoints": len(points) // 2, "GraphicFilled": "N"}
    return item_of(
        GraphicAnnotationUnits=units, GraphicType=kind, GraphicData=list(points), **(said | more)
    )


def annotated_state(*graphics: Dataset, **more: Any) -> FileDataset:
    group = item_of(GraphicLayer="ONE", GraphicObjectSequence=list(graphics))
    layer = item_of(GraphicLayer="ONE", GraphicLayerOrder=1)
    return state_file(**(
        {"GraphicAnnotationSequence": [group], "GraphicLayerSequence": [layer]} | more
    ))  # fmt: skip


def text_object(**more: Any) -> Dataset:
    return item_of(UnformattedTextValue="L", **more)


def overlay_plane(group: int, points: Sequence[tuple[int, int]], layer: str = "ONE") -> Change:
    bits = np.zeros(ROWS * COLUMNS, np.uint8)
    for x, y in points:
        bits[y * COLUMNS + x] = 1

    def change(file: Dataset) -> None:
        file.add_new(group << 16 | 0x0010, "US", ROWS)
        file.add_new(group << 16 | 0x0011, "US", COLUMNS)
        file.add_new(group << 16 | 0x0040, "CS", "G")
        file.add_new(group << 16 | 0x0050, "SS", [1, 1])
        file.add_new(group << 16 | 0x0100, "US", 1)
        file.add_new(group << 16 | 0x0102, "US", 0)
        file.add_new(group << 16 | 0x3000, "OW", np.packbits(bits, bitorder="little").tobytes())
        if layer:
            file.add_new(group << 16 | 0x1001, "CS", layer)

    return change
