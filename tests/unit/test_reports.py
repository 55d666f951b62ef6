"""Structured reports as HTML and text, beside readings by pydicom and DCMTK."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import CTImageStorage, KeyObjectSelectionDocumentStorage

from corpus import CorpusFile, files_in, requires_corpus
from farsight.dicom.elements import DicomObject
from farsight.dicom.part10 import parse_object
from farsight.documents.report import is_structured_report
from farsight.documents.report_html import report_as_html
from rendered_reports import EITHER, SR_FILES, assert_in_order, shown
from rendered_reports import PageText as _Text
from report_samples import as_bytes, as_read, content_item, report, report_data_set


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
