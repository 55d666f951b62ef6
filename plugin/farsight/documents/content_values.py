"""What a content item says, by its value type (PS3.3 C.17.3.2.1, C.18).

Every attribute of an item ends up in what is shown: those that a value type doesn't define
follow by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from farsight.dicom.elements import DataSet
from farsight.documents.legible import (
    attributes_of,
    class_name,
    code_text,
    codes_of,
    items_of,
    text_of,
    values_of,
)

NO_VALUE: Final = "(no value)"

Details = tuple[tuple[str, str], ...]
Rows = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """A value: what is said, its code in brackets, labelled particulars, rows of a table."""

    value: str = ""
    aside: str = ""
    details: Details = ()
    table: Rows = ()


_CODE: Final = 0x0040A168
_MEASURED: Final = 0x0040A300
_QUALIFIER: Final = 0x0040A301
_NUMERIC: Final = 0x0040A30A
_FLOATING: Final = 0x0040A161
_UNITS: Final = 0x004008EA
_REFERENCES: Final = 0x00081199
_TABULATED: Final = 0x0040A801
_GRAPHIC: Final = 0x00700023
_GRAPHIC_DATA: Final = 0x00700022
_TEMPORAL: Final = 0x0040A130
_OBSERVED: Final = 0x0040A032
_FRAME_OF_REFERENCE: Final = 0x30060024

#: Attributes of every content item, which the tree shows or which only lay it out: character
#: set, relationship, value type, concept name, content, continuity, template, identifier.
_COMMON: Final = frozenset(
    (0x00080005, 0x0040A010, 0x0040A040, 0x0040A043, 0x0040A730, 0x0040A050, 0x0040A504,
     0x0040DB73, _OBSERVED)
)  # fmt: skip


def shown_value(item: DataSet, value_type: str) -> Shown:
    """The value of a content item below the root. Raises MalformedDicom."""
    show, tags = _BY_TYPE.get(value_type, (_unknown, frozenset()))
    shown = show(item)
    observed = text_of(item, _OBSERVED)
    rest = tuple(attributes_of(item, _COMMON | tags))
    details = (*shown.details, *((("observed", observed),) if observed else ()), *rest)
    return Shown(shown.value, shown.aside, details, shown.table)


def _unknown(item: DataSet) -> Shown:
    value_type = text_of(item, 0x0040A040)
    return Shown(f"(value type {value_type})" if value_type else "(without value type)")


def _container(_item: DataSet) -> Shown:
    return Shown()


def _plain(tag: int) -> Callable[[DataSet], Shown]:
    def show(item: DataSet) -> Shown:
        return Shown(text_of(item, tag, "\\").rstrip() or NO_VALUE)

    return show


def _code(item: DataSet) -> Shown:
    codes = codes_of(item, _CODE)
    if not codes:
        return Shown(NO_VALUE)
    return Shown(
        "; ".join(code.text for code in codes), "; ".join(filter(None, (c.identity for c in codes)))
    )


def _number(item: DataSet) -> Shown:
    """Value and unit; why there is none, where there is none (PS3.3 C.18.1)."""
    numbers: list[str] = []
    details: list[tuple[str, str]] = []
    for measured in items_of(item, _MEASURED):
        number = text_of(measured, _NUMERIC) or NO_VALUE
        numbers.append(" ".join(filter(None, (number, _unit(measured)))))
        details.extend(attributes_of(measured, _known_in_measured(measured)))
    qualifiers = codes_of(item, _QUALIFIER)
    aside = "; ".join(f"{code.text} {code.identity}".strip() for code in qualifiers)
    return Shown("; ".join(numbers) or NO_VALUE, aside, tuple(details))


def _known_in_measured(measured: DataSet) -> frozenset[int]:
    """The floating point value is told only where it isn't the same number once more."""
    same = measured.number(_FLOATING) == measured.number(_NUMERIC)
    return frozenset((_NUMERIC, _UNITS, _FLOATING) if same else (_NUMERIC, _UNITS))


def _unit(measured: DataSet) -> str:
    """ "mm", or "cm (Length Unit)" where the meaning adds something; UCUM's "1" says nothing."""
    texts = []
    for unit in codes_of(measured, _UNITS):
        value = "" if unit.value == "1" else unit.value
        differs = unit.meaning and unit.meaning != value
        texts.append(" ".join(filter(None, (value, f"({unit.meaning})" if differs else ""))))
    return "; ".join(texts)


def _reference(item: DataSet) -> Shown:
    """IMAGE, WAVEFORM and COMPOSITE: which instances, which part of them (PS3.3 C.18.3 to 5)."""
    names: list[str] = []
    details: list[tuple[str, str]] = []
    for reference in items_of(item, _REFERENCES):
        names.append(class_name(text_of(reference, 0x00081150)))
        details.append(("instance", text_of(reference, 0x00081155) or NO_VALUE))
        details.extend(_parts(reference))
    return Shown("; ".join(names) or NO_VALUE, "", tuple(details))


_REFERENCE_PARTS: Final = {0x00081160: "frames", 0x0062000B: "segments", 0x0040A0B0: "channels"}
_KNOWN_IN_REFERENCE: Final = frozenset(
    (0x00081150, 0x00081155, 0x0040A170, _REFERENCES, *_REFERENCE_PARTS)
)


def _parts(reference: DataSet) -> Iterator[tuple[str, str]]:
    for tag, label in _REFERENCE_PARTS.items():
        numbers = text_of(reference, tag)
        if numbers:
            yield label, numbers
    if purpose := code_text(reference, 0x0040A170):
        yield "purpose", purpose
    for state in items_of(reference, _REFERENCES):
        yield class_name(text_of(state, 0x00081150)), text_of(state, 0x00081155)
    yield from attributes_of(reference, _KNOWN_IN_REFERENCE)


def _points(dimensions: int) -> Callable[[DataSet], Shown]:
    """SCOORD and SCOORD3D (PS3.3 C.18.6, C.18.9)."""

    def show(item: DataSet) -> Shown:
        numbers = values_of(item, _GRAPHIC_DATA)
        tuples = [numbers[at : at + dimensions] for at in range(0, len(numbers), dimensions)]
        points = " ".join(f"({', '.join(point)})" for point in tuples)
        details = [("coordinates", points)]
        if frame := text_of(item, _FRAME_OF_REFERENCE):
            details.append(("frame of reference", frame))
        return Shown(text_of(item, _GRAPHIC) or NO_VALUE, "", tuple(details))

    return show


_TIMES: Final = {0x0040A132: "samples", 0x0040A138: "offsets in s", 0x0040A13A: "times"}


def _times(item: DataSet) -> Shown:
    details = tuple((label, text_of(item, tag)) for tag, label in _TIMES.items())
    return Shown(text_of(item, _TEMPORAL) or NO_VALUE, "", tuple(d for d in details if d[1]))


_ROW, _COLUMN = 0x0040A804, 0x0040A805
_ROW_NAMES, _COLUMN_NAMES, _CELLS = 0x0040A806, 0x0040A807, 0x0040A808
_KNOWN_IN_TABLE: Final = frozenset((0x0040A802, 0x0040A803, _ROW_NAMES, _COLUMN_NAMES, _CELLS))
_MOST_CELLS: Final = 100_000


def _table(item: DataSet) -> Shown:
    """TABLE (PS3.3 C.18.10): named rows and columns where every cell has one place."""
    rows: list[tuple[str, ...]] = []
    details: list[tuple[str, str]] = []
    for tabulated in items_of(item, _TABULATED):
        size = (text_of(tabulated, 0x0040A802), text_of(tabulated, 0x0040A803))
        details.append(("rows × columns", " × ".join(number or "?" for number in size)))
        details.extend(attributes_of(tabulated, _KNOWN_IN_TABLE))
        rows.extend(_rows(tabulated))
    return Shown("" if rows else NO_VALUE, "", tuple(details), tuple(rows))


def _rows(tabulated: DataSet) -> list[tuple[str, ...]]:
    """The heads of the columns, then the rows; cells without a usable place one to a row."""
    row_names = dict(_names(tabulated, _ROW_NAMES, _ROW))
    column_names = dict(_names(tabulated, _COLUMN_NAMES, _COLUMN))
    cells: dict[tuple[int, int], str] = {}
    for cell in items_of(tabulated, _CELLS):
        place = (_place(cell, _ROW), _place(cell, _COLUMN))
        said = ", ".join(text for _, text in attributes_of(cell, frozenset((_ROW, _COLUMN, _VR))))
        cells[place] = "; ".join(filter(None, (cells.get(place, ""), said)))
    row_numbers = sorted({row for row, _ in cells} | row_names.keys())
    columns = sorted({column for _, column in cells} | column_names.keys())
    if len(row_numbers) * len(columns) > _MOST_CELLS:
        return [(str(row), str(column), said) for (row, column), said in cells.items()]
    head = ("", *(column_names.get(column, str(column)) for column in columns))
    return [head] + [
        (row_names.get(row, str(row)), *(cells.get((row, column), "") for column in columns))
        for row in row_numbers
    ]


_VR: Final = 0x00720050  # Selector Attribute VR: how a cell is encoded


def _names(tabulated: DataSet, sequence: int, number: int) -> Iterator[tuple[int, str]]:
    known = frozenset((number, 0x0040A043, _UNITS))
    for definition in items_of(tabulated, sequence):
        name = code_text(definition, 0x0040A043)
        rest = [f"{label}: {text}" for label, text in attributes_of(definition, known)]
        yield _place(definition, number), " ".join(filter(None, (name, _unit(definition), *rest)))


def _place(item: DataSet, tag: int) -> int:
    number = item.number(tag)
    return number if isinstance(number, int) else 0


_SPATIAL: Final = frozenset((_GRAPHIC, _GRAPHIC_DATA, _FRAME_OF_REFERENCE))

#: How a value type is shown, and the attributes that does show.
_BY_TYPE: Final[dict[str, tuple[Callable[[DataSet], Shown], frozenset[int]]]] = {
    "CONTAINER": (_container, frozenset()),
    "TEXT": (_plain(0x0040A160), frozenset((0x0040A160,))),
    "CODE": (_code, frozenset((_CODE,))),
    "NUM": (_number, frozenset((_MEASURED, _QUALIFIER))),
    "PNAME": (_plain(0x0040A123), frozenset((0x0040A123,))),
    "DATE": (_plain(0x0040A121), frozenset((0x0040A121,))),
    "TIME": (_plain(0x0040A122), frozenset((0x0040A122,))),
    "DATETIME": (_plain(0x0040A120), frozenset((0x0040A120,))),
    "UIDREF": (_plain(0x0040A124), frozenset((0x0040A124,))),
    **dict.fromkeys(("IMAGE", "WAVEFORM", "COMPOSITE"), (_reference, frozenset((_REFERENCES,)))),
    "SCOORD": (_points(2), _SPATIAL),
    "SCOORD3D": (_points(3), _SPATIAL),
    "TCOORD": (_times, frozenset((_TEMPORAL, *_TIMES))),
    "TABLE": (_table, frozenset((_TABULATED,))),
}
