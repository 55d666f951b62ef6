"""Values of a data set that rendering needs: several numbers, the first item of a sequence."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Final

from farsight.dicom.byte_order import little_endian
from farsight.dicom.elements import DataSet

_CODES: Final = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d", "OW": "H"}
_MOST_VALUES: Final = 10_000


def numbers(data_set: DataSet, tag: int) -> list[float]:
    """The values of a numeric element, binary or text; what is no finite number ends the list."""
    element = data_set.elements.get(tag)
    if element is None or not element.length or element.vr == "SQ":
        return []
    code = _CODES.get(element.vr)
    if code is not None:
        value = little_endian(data_set, element)
        count = min(len(value) // struct.calcsize("<" + code), _MOST_VALUES)
        found: Sequence[float] = struct.unpack_from(f"<{count}{code}", value)
        return [number for number in found if math.isfinite(number)]
    texts = data_set.raw(tag).decode("latin-1").split("\\")[:_MOST_VALUES]
    values: list[float] = []
    for text in texts:
        try:
            value_ = float(text.strip(" \0"))
        except ValueError:
            break
        if not math.isfinite(value_):
            break
        values.append(value_)
    return values


def items(data_set: DataSet, tag: int) -> list[DataSet]:
    """The items of a sequence; none where there is no such sequence. Raises: MalformedDicom."""
    element = data_set.elements.get(tag)
    if element is None or element.vr != "SQ":
        return []
    return [data_set.item(span) for span in data_set.item_spans(element)]


def first_item(data_set: DataSet, tag: int) -> DataSet | None:
    """The first item of a sequence. Raises: MalformedDicom."""
    return nth_item(data_set, tag, 0)


def nth_item(data_set: DataSet, tag: int, index: int) -> DataSet | None:
    """Item `index`, from 0. Raises: MalformedDicom."""
    element = data_set.elements.get(tag)
    if element is None or element.vr != "SQ":
        return None
    spans = data_set.item_spans(element)
    return data_set.item(spans[index]) if index < len(spans) else None


def value(data_set: DataSet, tag: int) -> bytes:
    """The bytes in little endian; empty where the element is absent."""
    element = data_set.elements.get(tag)
    return b"" if element is None else bytes(little_endian(data_set, element))
