"""Structured reports made for tests: content items by pydicom, read back as the gateway does."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian

from farsight.dicom.elements import DicomObject
from farsight.dicom.part10 import parse_object


def code(meaning: str, value: str = "1", scheme: str = "99TEST") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def content_item(
    value_type: str,
    concept: str = "",
    *,
    relationship: str = "CONTAINS",
    children: Sequence[Dataset] = (),
    **attributes: Any,
) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = relationship, value_type
    if concept:
        item.ConceptNameCodeSequence = Items([code(concept)])
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    if children:
        item.ContentSequence = Items(children)
    return item


def report(*children: Dataset, **attributes: Any) -> DicomObject:
    """A report whose root holds these items, with attributes of its own."""
    return as_read(report_data_set(*children, **attributes))


def report_data_set(*children: Dataset, **attributes: Any) -> Dataset:
    data_set = content_item("CONTAINER", "A report", children=children)
    del data_set.RelationshipType
    data_set.SpecificCharacterSet = "ISO_IR 192"
    data_set.SOPClassUID, data_set.SOPInstanceUID = ComprehensiveSRStorage, "1.2.3"
    for keyword, value in attributes.items():
        setattr(data_set, keyword, value)
    return data_set


def as_read(data_set: Dataset) -> DicomObject:
    return parse_object(as_bytes(data_set))


def as_bytes(data_set: Dataset) -> bytes:
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    written = BytesIO()
    data_set.save_as(written, enforce_file_format=True)
    return written.getvalue()
