"""What a reader finds in a rendered report: its text in order, and what a page is made of."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from corpus import files_in
from farsight.dicom.elements import DicomObject
from farsight.documents.report_html import report_as_html
from farsight.documents.report_text import report_as_text

SR_FILES = [file for file in files_in("sr") if ".1.1.88." in file.row["sop_class_uid"]]
EITHER = pytest.mark.parametrize("render", [report_as_html, report_as_text])


class PageText(HTMLParser):
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
    text = PageText(rendered).text if render is report_as_html else rendered
    return " ".join(text.split())


def assert_in_order(expected: list[str], text: str) -> None:
    position = 0
    for words in (" ".join(value.split()) for value in expected):
        found = text.find(words, position)
        assert found >= 0, f"{words!r} is not in {text[position : position + 400]!r}"
        position = found + len(words)
