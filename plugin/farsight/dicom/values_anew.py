"""Values of a data set of either byte order, as every little endian encoding has them (PS3.5 7)."""

from __future__ import annotations

from farsight.dicom.byte_order import little_endian, swapped, word_bytes_of
from farsight.dicom.elements import DataSet
from farsight.dicom.encapsulated import fragments_of
from farsight.dicom.positions import Element
from farsight.dicom.writing import SEQUENCE_END, Pieces, item_header, padding


def append_value(data_set: DataSet, element: Element, vr: str, pieces: Pieces) -> int:
    """Its length in bytes, which is even. What is UN is little endian already (PS3.5 6.2.2)."""
    value = data_set.view(element.tag) if vr == "UN" else little_endian(data_set, element)
    pieces.append(value)
    if len(value) % 2 == 0:
        return len(value)
    pieces.append(padding(vr))
    return len(value) + 1


def append_fragments(data_set: DataSet, element: Element, pieces: Pieces) -> int:
    """A value in fragments stays in fragments; only pixel data should be, but others are found.

    Their length in bytes, items and delimiter included. Raises: MalformedDicom.
    """
    body = memoryview(data_set.body)
    word_bytes = word_bytes_of(data_set, element)
    fragments = fragments_of(data_set.body, element)
    for at, length in fragments:
        pieces += (item_header(length), swapped(body[at : at + length], word_bytes))
    pieces.append(SEQUENCE_END)
    return sum(8 + fragment.length for fragment in fragments) + len(SEQUENCE_END)
