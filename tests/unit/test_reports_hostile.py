"""Whatever a report holds: pages stay well-formed and run nothing, excess and damage are named."""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from corpus import CorpusFile, files_in, requires_corpus
from farsight.dicom.elements import DicomObject
from farsight.dicom.part10 import parse_object
from farsight.documents import content_tree
from farsight.documents.report_html import report_as_html
from farsight.documents.report_text import report_as_text
from farsight.errors import FarsightError, MalformedDicom
from rendered_reports import EITHER, SR_FILES, assert_in_order, shown
from rendered_reports import PageText as _Text
from report_samples import as_bytes, code, content_item, report, report_data_set

HOSTILE = "</style><script>alert(1)</script><img src=x onerror=alert(1)>\" ' & --> ]]>"


def _tree_of(page: str) -> ElementTree.Element:
    """The page as XML: it has to be well-formed for that."""
    return ElementTree.fromstring(page)


def test_sections_are_headed_by_depth_and_end_where_they_end() -> None:
    inner = content_item("CONTAINER", "Inner", children=[content_item("TEXT", TextValue="deep")])
    outer = content_item("CONTAINER", "Outer", children=[inner])
    page = report_as_html(report(outer, content_item("TEXT", TextValue="after")))
    root = _tree_of(page).find("body/main/section")
    assert root is not None
    assert [heading.tag for heading in root.iter() if re.match(r"h\d", heading.tag)] == ["h2", "h3"]
    after = root.findall("div")
    assert ["".join(item.itertext()).strip() for item in after] == ["after"]


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
