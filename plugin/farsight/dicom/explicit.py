"""Objects written anew, their data set in Explicit VR Little Endian (PS3.18 8.7.3.5.2).

Values keep their bytes, apart from byte order. Group lengths go (they would be wrong), lengths
of sequences and items become defined. Pixels that are to be in another form come from outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from farsight.dicom.elements import DataSet, DicomObject
from farsight.dicom.part10 import write_part10
from farsight.dicom.positions import Element
from farsight.dicom.scan import UNDEFINED
from farsight.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, NATIVE
from farsight.dicom.values_anew import append_fragments, append_value
from farsight.dicom.writing import (
    Pieces,
    element_header,
    encapsulated_value,
    item_header,
)
from farsight.errors import MalformedDicom, UnsupportedDicom

_SOP_INSTANCE_UID: Final = 0x00080018


@dataclass(frozen=True, slots=True)
class Change:
    """A new value for an element. fragments: of encapsulated pixel data, without offset table."""

    vr: str
    value: bytes = b""
    fragments: tuple[bytes | memoryview, ...] | None = None


#: New values by tag; None takes the element out.
Changes = Mapping[int, Change | None]


def as_explicit_little_endian(instance: DicomObject) -> bytes:
    """The file itself if it is in Explicit VR Little Endian, otherwise a new one.

    Raises: UnsupportedDicom for a transfer syntax that isn't native, MalformedDicom.
    """
    if instance.transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN:
        return instance.data
    if instance.transfer_syntax_uid not in NATIVE:
        raise UnsupportedDicom(f"{instance.transfer_syntax_uid} needs transcoding of its pixels")
    return rewritten(instance, EXPLICIT_VR_LITTLE_ENDIAN, {})


def rewritten(instance: DicomObject, transfer_syntax_uid: str, changes: Changes) -> bytes:
    """A new file in a syntax that encodes data sets as Explicit VR Little Endian.

    `changes`: to top-level elements; among them the pixels, where those are to be in another form.
    Raises: MalformedDicom.
    """
    pieces: Pieces = []
    for tag in sorted(instance.elements.keys() | changes.keys()):
        if tag >> 16 <= 2 or not tag & 0xFFFF:
            continue
        if tag in changes:
            _append_change(tag, changes[tag], pieces)
        else:
            _append_element(instance, instance.elements[tag], pieces)
    renamed = changes.get(_SOP_INSTANCE_UID)
    uid = instance.sop_instance_uid
    if renamed is not None:
        uid = renamed.value.decode("ascii").strip("\0")
    return write_part10(instance.sop_class_uid, uid, transfer_syntax_uid, pieces)


def _append_change(tag: int, change: Change | None, pieces: Pieces) -> None:
    if change is None:
        return
    if change.fragments is None:
        pieces += (element_header(tag, change.vr, len(change.value)), change.value)
        return
    pieces.append(element_header(tag, change.vr, UNDEFINED))
    pieces += encapsulated_value(change.fragments)


def _append_data_set(data_set: DataSet, pieces: Pieces) -> int:
    """Adds the encoded elements in ascending order; their length in bytes."""
    total = 0
    for tag in sorted(data_set.elements):
        if tag >> 16 > 2 and tag & 0xFFFF:
            total += _append_element(data_set, data_set.elements[tag], pieces)
    return total


def _append_element(data_set: DataSet, element: Element, pieces: Pieces) -> int:
    at = len(pieces)
    pieces.append(b"")  # the header, once the length is known
    vr, undefined = element.vr, False
    if vr == "SQ":
        try:
            length = _append_items(data_set, element, pieces)
        except MalformedDicom:  # not a sequence after all: its bytes, as PS3.5 6.2.2 has them
            del pieces[at + 1 :]
            vr = "UN"
            length = append_value(data_set, element, vr, pieces)
    elif element.undefined:
        undefined = True
        length = append_fragments(data_set, element, pieces)
    else:
        length = append_value(data_set, element, vr, pieces)
    pieces[at] = element_header(element.tag, vr, UNDEFINED if undefined else length)
    return len(pieces[at]) + length


def _append_items(data_set: DataSet, element: Element, pieces: Pieces) -> int:
    total = 0
    for span in data_set.item_spans(element):
        at = len(pieces)
        pieces.append(b"")
        length = _append_data_set(data_set.item(span), pieces)
        pieces[at] = item_header(length)
        total += 8 + length
    return total
