"""Structured reports as HTML and text, beside readings by pydicom and DCMTK."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import CTImageStorage, KeyObjectSelectionDocumentStorage

from corpus import CorpusFile, files_in, requires_corpus
from farsight.dicom.elements import DicomObject
from farsight.dicom.part10 import parse_object
from farsight.documents import content_tree
from farsight.documents.report import is_structured_report
from farsight.documents.report_html import report_as_html
from farsight.documents.report_text import report_as_text
from farsight.errors import FarsightError, MalformedDicom
from report_samples import as_bytes, as_read, code, content_item, report, report_data_set

SR_FILES = [file for file in files_in("sr") if ".1.1.88." in file.row["sop_class_uid"]]
EITHER = pytest.mark.parametrize("render", [report_as_html, report_as_text])


class _Text(HTMLParser):
    """The text of a page without its style, and the elements it is made of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        if self.lasttag != "style":
            self.pieces.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.pieces)


def shown(render: Callable[[DicomObject], str], instance: DicomObject) -> str:
    """What a reader reads, with single spaces between the words."""
    rendered = render(instance)
    text = _Text(rendered).text if render is report_as_html else rendered
    return " ".join(text.split())


def _said(item: Dataset) -> Iterator[str]:
    """What a content item says below it, in document order, as pydicom reads it."""
    for child in item.get("ContentSequence", ()):
        for concept in child.get("ConceptNameCodeSequence", ()):
            yield concept.CodeMeaning
        yield child.get("TextValue", "")
        for concept in child.get("ConceptCodeSequence", ()):
            yield concept.CodeMeaning
        for measured in child.get("MeasuredValueSequence", ()):
            if "NumericValue" in measured:
                yield str(measured.NumericValue)
            for unit in measured.get("MeasurementUnitsCodeSequence", ()):
                yield unit.CodeMeaning
        yield child.get("UID", "")
        for reference in child.get("ReferencedSOPSequence", ()):
            yield reference.ReferencedSOPInstanceUID
        yield from _said(child)


def assert_in_order(expected: list[str], text: str) -> None:
    position = 0
    for words in (" ".join(value.split()) for value in expected):
        found = text.find(words, position)
        assert found >= 0, f"{words!r} is not in {text[position : position + 400]!r}"
        position = found + len(words)


@requires_corpus
@EITHER
@pytest.mark.parametrize("file", SR_FILES, ids=lambda file: file.name)
def test_everything_pydicom_reads_is_there_in_its_order(
    render: Callable[[DicomObject], str], file: CorpusFile
) -> None:
    theirs = dcmread(file.path)
    expected = [value for value in _said(theirs) if value]
    assert len(expected) > 5
    text = shown(render, parse_object(file.read()))
    root = theirs.ConceptNameCodeSequence[0].CodeMeaning
    assert_in_order([root, *expected], text)


#: DCMTK's own words around what a report says.
_OWN_WORDS = {
    "annex", "acquisition", "basictextsrstorage", "by-reference", "circle", "concept", "context",
    "coordinates", "footnote", "from", "hemodynamicwaveformstorage", "image", "inferred", "item",
    "modifier", "observation", "polyline", "presentation", "properties", "segment", "selected",
    "spatial", "state", "with",
}  # fmt: skip


@requires_corpus
@pytest.mark.dcmtk
@pytest.mark.skipif(shutil.which("dsr2html") is None, reason="dsr2html isn't installed")
@pytest.mark.parametrize("file", SR_FILES, ids=lambda file: file.name)
def test_every_word_of_dcmtk_is_there(file: CorpusFile) -> None:
    done = subprocess.run(["dsr2html", file.path], capture_output=True, timeout=60, check=False)
    if done.returncode:
        pytest.skip("DCMTK doesn't read this file")
    charset = re.search(rb"charset=([\w-]+)", done.stdout)
    page = done.stdout.decode(charset[1].decode() if charset else "latin-1")
    content = page.split("<hr>", 1)[1].partition("This page was generated")[0]
    theirs = re.sub(
        r"\b(Annex|Footnote) \d+", "", _Text(re.sub("<sup>.*?</sup>", "", content)).text
    )
    ours = set(_words(_Text(report_as_html(parse_object(file.read()))).text))
    missing = [word for word in _words(theirs) if word not in ours | _OWN_WORDS]
    assert theirs.split()
    assert not missing


def _words(text: str) -> list[str]:
    return [word.strip(".,:'-/") for word in re.findall(r"\w[\w.:'/-]*", text.lower())]


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


@EITHER
def test_the_head_says_whose_it_is_and_who_vouches(render: Callable[[DicomObject], str]) -> None:
    observer = Dataset()
    observer.VerifyingObserverName, observer.VerifyingOrganization = "Roe^Jane", "St. Elsewhere"
    observer.VerificationDateTime = "20240229101112"
    instance = report(
        PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう",
        PatientID="0815",
        PatientSex="M",
        PatientBirthDate="19700101",
        StudyDate="20240228",
        AccessionNumber="A1",
        CompletionFlag="PARTIAL",
        VerificationFlag="VERIFIED",
        ContentDate="20240229",
        ContentTime="1011",
        VerifyingObserverSequence=Items([observer]),
    )
    expected = [
        "A report", "Yamada, Tarou (山田 太郎, やまだ たろう)", "0815", "1970-01-01", "M",
        "2024-02-28", "A1", "2024-02-29 10:11", "PARTIAL", "VERIFIED",
        "Roe, Jane; St. Elsewhere; 2024-02-29 10:11:12",
    ]  # fmt: skip
    assert_in_order(expected, shown(render, instance))


def test_what_is_not_final_stands_out() -> None:
    page = report_as_html(report(CompletionFlag="COMPLETE", VerificationFlag="UNVERIFIED"))
    assert re.findall('<dd class="alert"[^>]*>([^<]*)', page) == ["UNVERIFIED"]


def test_sections_are_headed_by_depth_and_end_where_they_end() -> None:
    inner = content_item("CONTAINER", "Inner", children=[content_item("TEXT", TextValue="deep")])
    outer = content_item("CONTAINER", "Outer", children=[inner])
    page = report_as_html(report(outer, content_item("TEXT", TextValue="after")))
    root = _tree_of(page).find("body/main/section")
    assert root is not None
    assert [heading.tag for heading in root.iter() if re.match(r"h\d", heading.tag)] == ["h2", "h3"]
    after = root.findall("div")
    assert ["".join(item.itertext()).strip() for item in after] == ["after"]


def _tree_of(page: str) -> ElementTree.Element:
    """The page as XML: it has to be well-formed for that."""
    return ElementTree.fromstring(page)


HOSTILE = "</style><script>alert(1)</script><img src=x onerror=alert(1)>\" ' & --> ]]>"


def test_nothing_of_a_file_becomes_markup() -> None:
    item = content_item("TEXT", HOSTILE[:60], TextValue=HOSTILE, RelationshipType="<b>")
    foreign = content_item("<i>", HOSTILE[:60], PersonName="<u>^<s>", UID="1")
    instance = report(item, foreign, PatientName=HOSTILE[:60], CompletionFlag="<H1>")
    page = report_as_html(instance)
    plain = _Text(report_as_html(report(content_item("TEXT", "a", TextValue="b"))))
    found = _Text(page)
    assert found.tags <= plain.tags | {"section"}
    assert found.attributes <= plain.attributes
    assert HOSTILE in found.pieces
    _tree_of(page)


def test_pages_run_nothing_and_fetch_nothing() -> None:
    found = _Text(report_as_html(report(content_item("TEXT", "a", TextValue="b"))))
    assert not found.tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert not found.attributes & {"src", "onload", "style"}


@EITHER
@given(st.text(st.characters(exclude_categories=()), max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_text_is_shown_or_replaced(render: Callable[[DicomObject], str], value: str) -> None:
    data_set = report_data_set(content_item("TEXT", "Said", TextValue="x" * 400))
    raw = as_bytes(data_set).replace(b"x" * 400, value.encode("utf-8", "replace").ljust(400))
    rendered = render(parse_object(raw))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", rendered)
    if render is report_as_html:
        _tree_of(rendered)
    if value.isascii() and value.isprintable():
        assert " ".join(value.split()) in shown(render, parse_object(raw))


@EITHER
@pytest.mark.parametrize(
    ("defined_terms", "encoding", "value"),
    [
        ("ISO_IR 100", "latin-1", "Größe"),
        ("ISO_IR 192", "utf-8", "山田 ✓"),
        ("ISO_IR 144", "iso8859-5", "Люкceмбypг"),
        ("\\ISO 2022 IR 87", "iso2022_jp", "山田"),
        ("GB18030", "gb18030", "王小东"),
    ],
)
def test_character_sets(
    render: Callable[[DicomObject], str], defined_terms: str, encoding: str, value: str
) -> None:
    data_set = report_data_set(content_item("TEXT", "Said", TextValue="x" * 40))
    data_set.SpecificCharacterSet = defined_terms.split("\\")
    raw = as_bytes(data_set).replace(b"x" * 40, value.encode(encoding).ljust(40))
    assert value in shown(render, parse_object(raw))


def _nested(depth: int) -> Dataset:
    item = content_item("TEXT", TextValue=f"level {depth}")
    for level in range(depth - 1, 0, -1):
        item = content_item("CONTAINER", f"level {level}", children=[item])
    return item


@EITHER
def test_nesting_is_followed_to_the_limit_and_cut_visibly(
    render: Callable[[DicomObject], str],
) -> None:
    assert "level 60" in shown(render, report(_nested(60)))
    text = shown(render, report(_nested(200)))
    assert "nested more than 64 deep" in text
    assert "level 63" in text, "the name of what is at 64 is an item deeper"
    assert "level 65" not in text


@EITHER
def test_too_many_items_are_cut_visibly(
    render: Callable[[DicomObject], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content_tree, "MAX_CONTENT_ITEMS", 4)
    items = [content_item("TEXT", TextValue=f"text {n}") for n in range(1, 6)]
    text = shown(render, report(*items))
    assert "text 3" in text
    assert "text 4" not in text
    assert "more than 4 content items; the rest is left out" in text


@EITHER
def test_a_broken_part_does_not_hide_the_others(render: Callable[[DicomObject], str]) -> None:
    broken = content_item("CODE", "Broken", ConceptCodeSequence=Items([code("MEANING")]))
    data = as_bytes(report_data_set(broken, content_item("TEXT", "Whole", TextValue="kept")))
    at = data.index(b"\x40\x00\x68\xa1SQ") + 12
    damaged = data[:at] + b"\xaa\xaa\xaa\xaa" + data[at + 4 :]
    text = shown(render, parse_object(damaged))
    assert_in_order(["can't be read", "Whole", "kept"], text)


@requires_corpus
@pytest.mark.parametrize("file", files_in("malformed"), ids=lambda file: file.name)
def test_defective_files_are_shown_or_refused(file: CorpusFile) -> None:
    try:
        instance = parse_object(file.read())
    except MalformedDicom:
        return
    _tree_of(report_as_html(instance))
    assert report_as_text(instance)


@requires_corpus
def test_damage_is_refused_or_shown() -> None:
    data = next(file for file in SR_FILES if file.name.endswith("test-SR.dcm")).read()
    for at in range(0, len(data), 61):
        for damaged in (data[:at], data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :]):
            try:
                instance = parse_object(damaged)
                _tree_of(report_as_html(instance))
                report_as_text(instance)
            except FarsightError:
                continue


def test_what_is_a_report() -> None:
    assert is_structured_report(report())
    selection = Dataset()
    selection.SOPClassUID, selection.SOPInstanceUID = KeyObjectSelectionDocumentStorage, "1.2.3"
    assert is_structured_report(as_read(selection))
    other = Dataset()
    other.SOPClassUID, other.SOPInstanceUID = CTImageStorage, "1.2.3"
    assert not is_structured_report(as_read(other))


@requires_corpus
def test_only_reports_are_reports() -> None:
    objects = files_in("sr", "rt", "documents", "waveform", "presentation")
    found = [file for file in objects if is_structured_report(parse_object(file.read()))]
    assert found == SR_FILES


def test_a_report_without_anything_is_still_a_page() -> None:
    selection = Dataset()
    selection.SOPClassUID, selection.SOPInstanceUID = KeyObjectSelectionDocumentStorage, "1.2.3"
    assert "Key Object Selection Document Storage" in shown(report_as_html, as_read(selection))
