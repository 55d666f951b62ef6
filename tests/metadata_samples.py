"""Metadata of one small instance, to be changed and stored."""

from __future__ import annotations

import json
from typing import Any

from farsight.dicom.elements import DicomObject
from farsight.dicom.part10 import parse_object
from farsight.ps318.assembled_instances import (
    Assembled,
    AssembledMessage,
    AssemblyFailure,
    assemble,
)
from farsight.ps318.bulk_parts import BulkPart
from taken_apart import JSON, XML

BULK = "http://h/bulk/1"
CELLS = bytes(range(9))
FRAME = b"\xff\xd8\xff\xc0\x00\x06abcd\xff\xd9"

UIDS: dict[str, Any] = {
    "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7"]},
    "00080018": {"vr": "UI", "Value": ["1.2.3.4"]},
    "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
    "0020000E": {"vr": "UI", "Value": ["1.2.3.1"]},
}
PIXELS: dict[str, Any] = {
    "00280002": {"vr": "US", "Value": [1]},
    "00280004": {"vr": "CS", "Value": ["MONOCHROME2"]},
    "00280010": {"vr": "US", "Value": [3]},
    "00280011": {"vr": "US", "Value": [3]},
    "00280100": {"vr": "US", "Value": [8]},
    "7FE00010": {"vr": "OB", "BulkDataURI": BULK},
}


def part(data: bytes, content_type: str = "application/octet-stream", at: str = BULK) -> BulkPart:
    return BulkPart(content_type, at, data)


def frames(count: int) -> dict[str, Any]:
    return {**PIXELS, "00280008": {"vr": "IS", "Value": [count]}}


def store(changes: dict[str, Any], *parts: BulkPart) -> Assembled | AssemblyFailure:
    """What becomes of the one instance."""
    (found,) = message([{**UIDS, **changes}], *parts).instances
    return found


def message(data_sets: Any, *parts: BulkPart) -> AssembledMessage:
    return assemble(JSON, [json.dumps(data_sets, ensure_ascii=False).encode()], parts)


def written(changes: dict[str, Any], *parts: BulkPart) -> DicomObject:
    found = store(changes, *parts)
    assert isinstance(found, Assembled), found
    return parse_object(found.part10())


def refused(changes: dict[str, Any], *parts: BulkPart) -> AssemblyFailure:
    found = store(changes, *parts)
    assert isinstance(found, AssemblyFailure)
    return found


def xml_of(inside: str, attributes: str = ' xml:space="preserve"') -> bytes:
    """A document with the UIDs, and what stands beside them."""
    uids = "".join(
        f'<DicomAttribute tag="{tag}" vr="UI"><Value number="1">{attribute["Value"][0]}</Value>'
        "</DicomAttribute>"
        for tag, attribute in UIDS.items()
    )
    return f"<NativeDicomModel{attributes}>{uids}{inside}</NativeDicomModel>".encode()


def store_xml(document: bytes, *parts: BulkPart) -> Assembled | AssemblyFailure:
    (found,) = assemble(XML, [document], parts).instances
    return found


def written_xml(inside: str, *parts: BulkPart) -> DicomObject:
    found = store_xml(xml_of(inside), *parts)
    assert isinstance(found, Assembled), found
    return parse_object(found.part10())
