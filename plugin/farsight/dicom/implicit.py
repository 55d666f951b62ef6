"""Data sets written anew in Implicit VR Little Endian, which every PACS takes (PS3.5 A.1).

Values keep their bytes, apart from byte order. Group lengths go, lengths become defined; but a
private sequence keeps an undefined one: without a VR only that tells a reader what it is.
"""

from __future__ import annotations

from struct import pack

from farsight.dicom.byte_order import little_endian, swapped, word_bytes_of
from farsight.dicom.elements import DataSet, Instance
from farsight.dicom.encapsulated import fragments_of
from farsight.dicom.positions import Element
from farsight.dicom.scan import UNDEFINED
from farsight.dicom.transfer_syntax import NATIVE
from farsight.dicom.vr import is_private
from farsight.dicom.writing import SEQUENCE_END, Pieces, item_header, padding
from farsight.errors import MalformedDicom, UnsupportedDicom


def as_implicit_little_endian(instance: Instance) -> bytes:
    """The data set alone, without file meta information.

    Raises: UnsupportedDicom for a transfer syntax that isn't native, MalformedDicom.
    """
    if instance.transfer_syntax_uid not in NATIVE:
        raise UnsupportedDicom(f"{instance.transfer_syntax_uid} needs transcoding of its pixels")
    pieces: Pieces = []
    _append_data_set(instance, pieces)
    return b"".join(pieces)


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
    undefined = element.undefined and element.vr != "SQ"
    if undefined:
        length = _append_fragments(data_set, element, pieces)
    elif element.vr == "SQ":
        try:
            length = _append_items(data_set, element, pieces)
            undefined = is_private(element.tag)
        except MalformedDicom:  # not a sequence after all: its bytes
            del pieces[at + 1 :]
            length = _append_value(data_set, element, "UN", pieces)
        if undefined:
            pieces.append(SEQUENCE_END)
            length += len(SEQUENCE_END)
    else:
        length = _append_value(data_set, element, element.vr, pieces)
    said = UNDEFINED if undefined else length
    pieces[at] = pack("<HHL", element.tag >> 16, element.tag & 0xFFFF, said)
    return 8 + length


def _append_value(data_set: DataSet, element: Element, vr: str, pieces: Pieces) -> int:
    """What is UN is little endian already (PS3.5 6.2.2)."""
    value = data_set.view(element.tag) if vr == "UN" else little_endian(data_set, element)
    pieces.append(value)
    if len(value) % 2 == 0:
        return len(value)
    pieces.append(padding(vr))
    return len(value) + 1


def _append_items(data_set: DataSet, element: Element, pieces: Pieces) -> int:
    total = 0
    for span in data_set.item_spans(element):
        at = len(pieces)
        pieces.append(b"")
        length = _append_data_set(data_set.item(span), pieces)
        pieces[at] = item_header(length)
        total += 8 + length
    return total


def _append_fragments(data_set: DataSet, element: Element, pieces: Pieces) -> int:
    """Only pixel data should be in fragments, and none in a native syntax, but others are found."""
    body = memoryview(data_set.body)
    word_bytes = word_bytes_of(data_set, element)
    fragments = fragments_of(data_set.body, element)
    for at, length in fragments:
        pieces += (item_header(length), swapped(body[at : at + length], word_bytes))
    pieces.append(SEQUENCE_END)
    return sum(8 + fragment.length for fragment in fragments) + len(SEQUENCE_END)
