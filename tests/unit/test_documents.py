"""Encapsulated documents, and pages that name what has nothing to show."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, EncapsulatedPDFStorage

from corpus import CorpusFile, files_in, requires_corpus
from farsight.dicom.part10 import parse_object
from farsight.documents.encapsulated_document import Document, document_of
from farsight.documents.legible import name_text
from farsight.documents.object_header import header_as_html
from farsight.errors import MalformedDicom
from report_samples import as_bytes, as_read


def text_of_page(page: str) -> str:
    ElementTree.fromstring(page)
    pieces: list[str] = []
    parser = HTMLParser()
    parser.handle_data = pieces.append  # type: ignore[method-assign]
    parser.feed(page)
    return " ".join(" ".join(pieces).split())


@requires_corpus
@pytest.mark.parametrize("file", files_in("documents"), ids=lambda file: file.name)
def test_documents_of_the_collection(file: CorpusFile) -> None:
    theirs = dcmread(file.path)
    document = document_of(parse_object(file.read()))
    if not theirs.EncapsulatedDocument:
        assert document is None
        return
    assert document is not None
    assert document.media_type == theirs.MIMETypeOfEncapsulatedDocument.lower()
    length = theirs.get("EncapsulatedDocumentLength", len(theirs.EncapsulatedDocument))
    assert bytes(document.value) == theirs.EncapsulatedDocument[:length]


def encapsulated(value: bytes, length: int | None, media_type: str = "application/pdf") -> Document:
    data_set = Dataset()
    data_set.SOPClassUID, data_set.SOPInstanceUID = EncapsulatedPDFStorage, "1.2.3"
    data_set.EncapsulatedDocument = value
    data_set.MIMETypeOfEncapsulatedDocument = media_type
    if length is not None:
        data_set.EncapsulatedDocumentLength = length
    document = document_of(as_read(data_set))
    assert document is not None
    return document


@pytest.mark.parametrize(
    ("length", "expected"),
    [(5, b"%PDF-"), (6, b"%PDF-\0"), (None, b"%PDF-\0"), (2, b"%PDF-\0"), (99, b"%PDF-\0")],
)
def test_only_padding_is_taken_away(length: int | None, expected: bytes) -> None:
    assert bytes(encapsulated(b"%PDF-\0", length).value) == expected


@pytest.mark.parametrize(
    ("said", "media_type"),
    [
        ("Application/PDF", "application/pdf"),
        ("text/xml", "text/xml"),
        ("model/stl", "model/stl"),
        ("", "application/pdf"),
        ("text/html\r\nX: y", "application/pdf"),
    ],
)
def test_the_media_type_is_what_the_object_says_or_its_class(said: str, media_type: str) -> None:
    assert encapsulated(b"ab", 2, said).media_type == media_type


def test_an_object_without_a_document_has_none() -> None:
    data_set = Dataset()
    data_set.SOPClassUID, data_set.SOPInstanceUID = EncapsulatedPDFStorage, "1.2.3"
    assert document_of(as_read(data_set)) is None


@requires_corpus
@pytest.mark.parametrize(
    "file", files_in("rt", "presentation", "waveform"), ids=lambda file: file.name
)
def test_headers_say_what_the_object_is_and_holds(file: CorpusFile) -> None:
    theirs = dcmread(file.path, stop_before_pixels=True)
    text = text_of_page(header_as_html(parse_object(file.read())))
    assert UID(theirs.SOPClassUID).name in text
    assert str(theirs.Modality) in text
    for keyword in ("ROIContourSequence", "WaveformSequence", "BeamSequence", "VOILUTSequence"):
        if keyword in theirs:
            name = theirs[keyword].name
            assert re.search(rf"{name} {len(theirs[keyword].value)} items?\b", text)


@requires_corpus
@pytest.mark.parametrize("file", files_in("charset"), ids=lambda file: file.name)
def test_names_in_every_character_set(file: CorpusFile) -> None:
    name = dcmread(file.path).PatientName
    text = text_of_page(header_as_html(parse_object(file.read())))
    for part in re.split(r"[\^=]", str(name)):
        assert part.strip() in text


@requires_corpus
@pytest.mark.parametrize("file", files_in("malformed"), ids=lambda file: file.name)
def test_defective_files_have_a_header_or_are_refused(file: CorpusFile) -> None:
    try:
        instance = parse_object(file.read())
        text_of_page(header_as_html(instance))
        document_of(instance)
    except MalformedDicom:
        pass


def test_headers_hold_no_markup_of_the_file() -> None:
    data_set = Dataset()
    data_set.SOPClassUID, data_set.SOPInstanceUID = "1.2.3.4", "1.2.3"
    data_set.SeriesDescription = "<script>alert(1)</script>"
    page = header_as_html(parse_object(as_bytes(data_set).replace(b"1.2.3.4\0", b"1.\1<b>4\0")))
    assert "<script" not in page
    assert "<script>alert(1)</script>" in text_of_page(page)
    assert "1.\ufffd<b>4" in text_of_page(page)


@pytest.mark.parametrize(
    ("groups", "text"),
    [
        ({"Alphabetic": "Roe^Jane^Q^Dr^PhD"}, "Roe, Dr Jane Q, PhD"),
        ({"Alphabetic": "Hong^Gildong", "Ideographic": "洪^吉洞"}, "Hong, Gildong (洪 吉洞)"),
        ({"Ideographic": "山田^太郎"}, "山田 太郎"),
        ({"Alphabetic": "Roe"}, "Roe"),
        ({}, ""),
    ],
)
def test_names_are_put_in_order(groups: dict[str, str], text: str) -> None:
    assert name_text(groups) == text
