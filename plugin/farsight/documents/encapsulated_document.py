"""Encapsulated documents, as they were before DICOM (PS3.3 A.45, C.24.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from farsight.dicom.elements import DicomObject
from farsight.ps318.bulk_data import find_bulk_data

_DOCUMENT: Final = 0x00420011
_LENGTH: Final = 0x00420015
_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.104."

#: For objects that don't say it, or not as a media type (PS3.3 A.45.1 to A.45.5, A.85).
_BY_CLASS: Final = {
    f"{_STORAGE}1": "application/pdf",
    f"{_STORAGE}2": "text/xml",
    f"{_STORAGE}3": "model/stl",
    f"{_STORAGE}4": "model/obj",
    f"{_STORAGE}5": "model/mtl",
}


@dataclass(frozen=True, slots=True)
class Document:
    """`media_type` is what the object claims, in lower case and of the form of one."""

    media_type: str
    value: bytes | memoryview


def document_of(instance: DicomObject) -> Document | None:
    """The document without its padding; None where there is none, or an empty one.

    A length that differs from the value's by more than the one byte of padding is not
    believed: a document is never cut. Raises MalformedDicom.
    """
    if _DOCUMENT not in instance.elements:
        return None
    found = find_bulk_data(instance, f"{_DOCUMENT:08X}")
    value, said = found.value, instance.number(_LENGTH)
    if not value:
        return None
    if said is not None and said == len(value) - 1:
        value = value[:-1]
    media_type = found.media_type
    if media_type == "application/octet-stream":
        media_type = _BY_CLASS.get(instance.sop_class_uid, media_type)
    return Document(media_type, value)
