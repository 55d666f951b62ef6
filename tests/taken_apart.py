"""DICOM files taken apart as a client would store them: metadata, and parts with bulk data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pydicom
from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue

from farsight.dicom.elements import DicomObject
from farsight.errors import UnsupportedDicom
from farsight.ps318.bulk_data import find_bulk_data
from farsight.ps318.bulk_parts import BulkPart
from farsight.ps318.dicom_json import object_attributes
from farsight.ps318.dicom_xml import native_dicom_model
from farsight.ps318.frames import frame_bytes, frame_index

ROOT = "https://host/dicom-web/studies/1/series/2/instances/3/bulkdata"
PIXEL_DATA = 0x7FE00010
OFFSET_TABLES = (0x7FE00001, 0x7FE00002)
JSON, XML = "application/dicom+json", "application/dicom+xml"


def bulk_uris(attributes: dict[str, Any]) -> Iterator[str]:
    """Every BulkDataURI in a data set, those of items too."""
    for attribute in attributes.values():
        if "BulkDataURI" in attribute:
            yield attribute["BulkDataURI"]
        elif attribute["vr"] == "SQ":
            for item in attribute.get("Value", ()):
                yield from bulk_uris(item)


def taken_apart(instance: DicomObject, media_type: str) -> tuple[bytes, list[BulkPart]]:
    """One document, and the parts it refers to: one for each compressed frame."""
    attributes = object_attributes(instance, ROOT)
    parts = [part for uri in bulk_uris(attributes) for part in parts_of(instance, uri)]
    if media_type == XML:
        return native_dicom_model(attributes), parts
    return json.dumps([attributes], ensure_ascii=False).encode(), parts


def parts_of(instance: DicomObject, uri: str) -> Iterator[BulkPart]:
    found = find_bulk_data(instance, uri.removeprefix(ROOT))
    if not found.in_frames:
        yield BulkPart(found.media_type, uri, found.value)
        return
    try:
        index = frame_index(instance, found.holder)
    except UnsupportedDicom:
        return
    content_type = f"{index.media_type}; transfer-syntax={index.transfer_syntax_uid}"
    for number in range(1, index.number_of_frames + 1):
        yield BulkPart(content_type, uri, frame_bytes(found.holder, index, number))


def meanings(data_set: pydicom.Dataset, where: str = "") -> dict[str, Any]:
    """What pydicom reads, by path, in a form in which digits, padding and length forms are one."""
    found: dict[str, Any] = {}
    for element in data_set:
        path = f"{where}{int(element.tag):08X}"
        if element.tag.element == 0 or int(element.tag) in OFFSET_TABLES:
            continue
        if element.VR == "SQ":
            found[path] = len(element.value)
            for number, item in enumerate(element.value, 1):
                found |= meanings(item, f"{path}/{number}/")
        elif int(element.tag) == PIXEL_DATA:
            found[path] = "encapsulated" if element.is_undefined_length else _even(element.value)
        else:
            found[path] = _meaning(element)
    return found


def _meaning(element: DataElement) -> Any:
    value = element.value
    if isinstance(value, bytes):
        return _even(value)
    texts = [str(v) for v in value] if isinstance(value, MultiValue | list) else [str(value or "")]
    if element.VR in ("DS", "IS"):
        return [_number(text) for text in texts]
    if element.VR in ("FL", "FD", "SS", "US", "SL", "UL", "SV", "UV"):
        return texts if isinstance(value, MultiValue | list) else [str(value)]
    if element.VR == "PN":
        texts = ["=".join(group.strip() for group in text.split("=")).rstrip("=") for text in texts]
    texts = [text.strip(" \0") for text in texts]
    return texts if any(texts) or len(texts) > 1 else [""]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text.strip(" \0")


def _even(value: bytes) -> bytes:
    return value + b"\0" * (len(value) % 2)
