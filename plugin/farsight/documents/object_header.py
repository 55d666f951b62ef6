"""What an object is, where it has neither pixels nor a report nor a document to show.

PS3.18 8.7.4 names no rendered media type for such objects. A page that says what was found is
still better than an error where a person follows a link.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from farsight.dicom.elements import DicomObject
from farsight.documents.facts import Fact, content_facts, patient_facts, series_facts
from farsight.documents.legible import class_name, text_of
from farsight.documents.page import fact_list, page

#: Names, labels, descriptions and dates of what isn't an image.
_LABELS: Final = (
    ("Content label", 0x00700080),
    ("Content description", 0x00700081),
    ("Created", 0x00700082),
    ("Content date", 0x00080023),
    ("Acquired", 0x0008002A),
    ("Document title", 0x00420010),
    ("Structure set", 0x30060002),
    ("Name", 0x30060004),
    ("Description", 0x30060006),
    ("Structure set date", 0x30060008),
    ("Plan", 0x300A0002),
    ("Plan name", 0x300A0003),
    ("Plan description", 0x300A0004),
    ("Plan date", 0x300A0006),
    ("Plan geometry", 0x300A000C),
    ("Dose type", 0x30040004),
    ("Approval", 0x300E0002),
    ("Image comments", 0x00204000),
)
_NOT_COUNTED: Final = frozenset((0x00081032, 0x00081110, 0x00081111, 0x00081120))


def header_as_html(instance: DicomObject) -> str:
    """A short page: what it is, whose, when, and what it holds. Nothing is raised."""
    title = class_name(instance.sop_class_uid)
    return page(title, _body(instance, title))


def _body(instance: DicomObject, title: str) -> Iterator[str]:
    yield f"<header><h1>{escape(title)}</h1>\n"
    yield from fact_list(patient_facts(instance))
    yield from fact_list((*series_facts(instance), *_labels(instance)))
    yield "</header>\n<main><h2>Content</h2>\n"
    yield "<p>This object has nothing that could be shown as an image or a document.</p>\n"
    yield from fact_list(content_facts(instance, _NOT_COUNTED))
    yield "</main>\n"


def _labels(instance: DicomObject) -> Iterator[Fact]:
    for label, tag in _LABELS:
        if text := text_of(instance, tag):
            yield Fact(label, text)
