"""Data sets written anew in Implicit VR Little Endian, which every PACS takes (PS3.5 A.1).

Values keep their bytes, apart from byte order. Group lengths go, lengths become defined; but a
private sequence keeps an undefined one: without a VR only that tells a reader what it is.
"""

from __future__ import annotations

from struct import pack

from farsight.dicom.elements import DataSet, Instance
from farsight.dicom.positions import Element
from farsight.dicom.scan import UNDEFINED
from farsight.dicom.transfer_syntax import NATIVE
from farsight.dicom.values_anew import append_fragments, append_value
from farsight.dicom.vr import is_private
from farsight.dicom.writing import SEQUENCE_END, Pieces, item_header
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
        length = append_fragments(data_set, element, pieces)
    elif element.vr == "SQ":
        try:
            length = _append_items(data_set, element, pieces)
            undefined = is_private(element.tag)
        except MalformedDicom:  # not a sequence after all: its bytes
            del pieces[at + 1 :]
            length = append_value(data_set, element, "UN", pieces)
        if undefined:
            pieces.append(SEQUENCE_END)
            length += len(SEQUENCE_END)
    else:
        length = append_value(data_set, element, element.vr, pieces)
    said = UNDEFINED if undefined else length
    pieces[at] = pack("<HHL", element.tag >> 16, element.tag & 0xFFFF, said)
    return 8 + length


def _append_items(data_set: DataSet, element: Element, pieces: Pieces) -> int:
    total = 0
    for span in data_set.item_spans(element):
        at = len(pieces)
        pieces.append(b"")
        length = _append_data_set(data_set.item(span), pieces)
        pieces[at] = item_header(length)
        total += 8 + length
    return total
