"""Content items of structured reports: values of every type, tables, references (PS3.3 C.17.3)."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import CTImageStorage

from farsight.dicom.elements import DicomObject
from farsight.documents.report_html import report_as_html
from farsight.documents.report_text import report_as_text
from rendered_reports import EITHER, assert_in_order, shown
from report_samples import code, content_item, report


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (content_item("TEXT", "Finding", TextValue="Two\r\nlines "), "Finding Two lines"),
        (content_item("TEXT", "Finding", TextValue=""), "Finding (no value)"),
        (
            content_item("CODE", "Site", ConceptCodeSequence=Items([code("Lung", "L", "SCT")])),
            "Site Lung (L, SCT)",
        ),
        (content_item("PNAME", "Who", PersonName="Roe^Jane^^Dr"), "Who Roe, Dr Jane"),
        (content_item("DATE", "On", Date="20010213"), "On 2001-02-13"),
        (content_item("TIME", "At", Time="184746.5"), "At 18:47:46.5"),
        (content_item("DATETIME", "At", DateTime="200102131847+0100"), "2001-02-13 18:47 +01:00"),
        (content_item("UIDREF", "Which", UID="1.2.3.4"), "Which 1.2.3.4"),
        (content_item("FOO", "Odd", TextValue="Bar"), "Odd (value type FOO) Text Value: Bar"),
        (
            content_item("SCOORD", "Line", GraphicType="POLYLINE", GraphicData=[1, 2.5, 3, 0.1]),
            "Line POLYLINE coordinates: (1, 2.5) (3, 0.1)",
        ),
        (
            content_item(
                "SCOORD3D", "Spot", GraphicType="POINT", GraphicData=[1, 2, 3],
                ReferencedFrameOfReferenceUID="1.9",
            ),
            "Spot POINT coordinates: (1, 2, 3) frame of reference: 1.9",
        ),
        (
            content_item("TCOORD", "At", TemporalRangeType="SEGMENT", ReferencedTimeOffsets="1\\2"),
            "At SEGMENT offsets in s: 1, 2",
        ),
        (
            content_item("TEXT", "Seen", TextValue="x", ObservationDateTime="20010213"),
            "Seen x observed: 2001-02-13",
        ),
        (
            content_item("TEXT", "Site", relationship="HAS CONCEPT MOD", TextValue="left"),
            "modifier Site left",
        ),
        (
            content_item("TEXT", "Site", relationship="IS ODD", TextValue="left"),
            "IS ODD Site left",
        ),
    ],
    ids=lambda value: value.ValueType if isinstance(value, Dataset) else "",
)  # fmt: skip
def test_value_types(item: Dataset, said: str) -> None:
    instance = report(item)
    assert said in shown(report_as_html, instance)
    in_text = re.sub(r"[\[\]]|(?<=\w): | - ", " ", shown(report_as_text, instance))
    assert " ".join(said.replace(": ", " ").split()) in " ".join(in_text.split())


def _measured(**attributes: object) -> Items:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return Items([item])


@pytest.mark.parametrize(
    ("number", "unit", "said"),
    [
        ("12.50", code("millimeter", "mm", "UCUM"), "12.50 mm (millimeter)"),
        ("3E-2", code("mm", "mm", "UCUM"), "3E-2 mm"),
        ("7", code("no units", "1", "UCUM"), "7 (no units)"),
    ],
)
def test_numbers_keep_their_digits(number: str, unit: Dataset, said: str) -> None:
    measured = _measured(NumericValue=number, MeasurementUnitsCodeSequence=Items([unit]))
    instance = report(content_item("NUM", "Length", MeasuredValueSequence=measured))
    assert f"Length {said}" in shown(report_as_html, instance)
    assert f"Length: {said}" in shown(report_as_text, instance)


@EITHER
def test_a_number_that_could_not_be_measured_says_why(
    render: Callable[[DicomObject], str],
) -> None:
    item = content_item(
        "NUM",
        "Length",
        MeasuredValueSequence=Items(),
        NumericValueQualifierCodeSequence=Items([code("Measurement failure", "114006", "DCM")]),
    )
    assert "(no value) Measurement failure (114006, DCM)" in shown(render, report(item))


@EITHER
@pytest.mark.parametrize("value_type", ["IMAGE", "WAVEFORM", "COMPOSITE"])
def test_references_name_class_instance_and_part(
    render: Callable[[DicomObject], str], value_type: str
) -> None:
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = CTImageStorage, "1.2.9"
    reference.ReferencedFrameNumber = [3, 4]
    item = content_item(value_type, "Source", ReferencedSOPSequence=Items([reference]))
    text = shown(render, report(item))
    assert_in_order(["Source", "CT Image Storage", "instance: 1.2.9", "frames: 3, 4"], text)


@EITHER
def test_tables_have_heads_and_cells_in_their_places(
    render: Callable[[DicomObject], str],
) -> None:
    table = Dataset()
    table.NumberOfTableRows, table.NumberOfTableColumns = 1, 2
    row, *columns = Dataset(), Dataset(), Dataset()
    row.TableRowNumber, row.ConceptNameCodeSequence = 1, Items([code("Left")])
    for number, (column, name) in enumerate(zip(columns, ("Area", "Side"), strict=True), 1):
        column.TableColumnNumber, column.ConceptNameCodeSequence = number, Items([code(name)])
    columns[0].MeasurementUnitsCodeSequence = Items([code("mm2", "mm2", "UCUM")])
    cells = [Dataset(), Dataset()]
    for number, cell in enumerate(cells, 1):
        cell.TableRowNumber, cell.TableColumnNumber = 1, number
    cells[0].NumericValue, cells[1].ConceptCodeSequence = "2.50", Items([code("medial", "m", "T")])
    table.TableRowDefinitionSequence, table.TableColumnDefinitionSequence = (
        Items([row]),
        Items(columns),
    )
    table.CellValuesSequence = Items(reversed(cells))
    item = content_item("TABLE", "Sizes", TabulatedValuesSequence=Items([table]))
    text = shown(render, report(item))
    assert_in_order(["Sizes", "1 × 2", "Area mm2", "Side", "Left", "2.50", "medial (m, T)"], text)


def test_references_within_the_report_lead_to_their_target() -> None:
    item = Dataset()
    item.RelationshipType, item.ReferencedContentItemIdentifier = "INFERRED FROM", [1, 1]
    instance = report(
        content_item("TEXT", "Origin", TextValue="Source"),
        content_item("TEXT", "Result", TextValue="x", children=[item]),
    )
    page = report_as_html(instance)
    assert page.count('id="item-1.1"') == 1
    assert '<a href="#item-1.1">Origin: Source</a>' in page
    text = shown(report_as_text, instance)
    assert_in_order(["(1.1) Origin: Source", "[inferred from] see item 1.1 (Origin: Source)"], text)


@EITHER
def test_a_reference_to_nothing_says_so(render: Callable[[DicomObject], str]) -> None:
    item = Dataset()
    item.RelationshipType, item.ReferencedContentItemIdentifier = "INFERRED FROM", [1, 9]
    assert "see item 1.9 (missing)" in shown(render, report(item))
