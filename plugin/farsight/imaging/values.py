"""Values of a data set that rendering needs: several numbers, the first item of a sequence."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from farsight.dicom.byte_order import little_endian
from farsight.dicom.elements import DataSet, Instance
from farsight.errors import UnsupportedDicom

_CODES: Final = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d", "OW": "H"}
_MOST_VALUES: Final = 10_000
#: Nothing that is measured is beyond; products and powers of what is below are finite numbers.
_FURTHEST: Final = 1e60


def numbers(data_set: DataSet, tag: int) -> list[float]:
    """The values of a numeric element, binary or text; the first that is no number, or one beyond
    any measure, ends the list. Raises: as value."""
    element = data_set.elements.get(tag)
    if element is None or not element.length or element.vr == "SQ":
        return []
    code = _CODES.get(element.vr)
    if code is not None:
        raw = value_in_place(data_set, tag)
        count = min(len(raw) // struct.calcsize("<" + code), _MOST_VALUES)
        found: Sequence[float] = struct.unpack_from(f"<{count}{code}", raw)
    else:
        text = bytes(value_in_place(data_set, tag)).decode("latin-1")
        found = _numbers_of(text.split("\\", _MOST_VALUES)[:_MOST_VALUES])
    return list(takewhile(lambda number: abs(number) <= _FURTHEST, found))


def _numbers_of(texts: Sequence[str]) -> list[float]:
    values: list[float] = []
    for text in texts:
        try:
            values.append(float(text.strip(" \0")))
        except ValueError:
            break
    return values


def whole(number: float) -> int | None:
    """A number as an integer; None for one with a fraction."""
    return int(number) if number == int(number) else None


def items(data_set: DataSet, tag: int, most: int | None = None) -> list[DataSet]:
    """The items of a sequence; none where there is no such sequence.

    Raises: MalformedDicom; UnsupportedDicom for more than `most`, before any is read.
    """
    element = data_set.elements.get(tag)
    if element is None or element.vr != "SQ":
        return []
    spans = data_set.item_spans(element)
    if most is not None and len(spans) > most:
        raise UnsupportedDicom(f"{_name(tag)} has more than {most} items")
    return [data_set.item(span) for span in spans]


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
    """The bytes in little endian; empty where the element is absent. Raises: UnsupportedDicom for
    what is so long that it was left out."""
    return bytes(value_in_place(data_set, tag))


def value_in_place(data_set: DataSet, tag: int) -> bytes | memoryview:
    """The same, without a copy where it is in little endian already."""
    element = data_set.elements.get(tag)
    if element is None:
        return b""
    if isinstance(data_set, Instance) and tag in data_set.left_out:
        raise UnsupportedDicom(f"{_name(tag)} is of {element.length} bytes, too long to be shown")
    return little_endian(data_set, element)


def _name(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
