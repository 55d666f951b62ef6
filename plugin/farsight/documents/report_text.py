"""A structured report as plain text (PS3.18 8.7.4, text/plain): two spaces for every level."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from farsight.dicom.elements import DicomObject
from farsight.documents.content_tree import CONTAINER, ContentItem
from farsight.documents.facts import Fact
from farsight.documents.report import report_of

_LABEL_WIDTH: Final = 20


def report_as_text(instance: DicomObject) -> str:
    """The same as the page of HTML, lines ended by line feeds. Nothing is raised."""
    report = report_of(instance)
    names = report.names()
    lines = [report.title, "=" * min(len(report.title), 72), ""]
    lines.extend((*_fact_lines(report.patient), "", *_fact_lines(report.document), ""))
    for item in report.items:
        lines.extend(_item_lines(item, names))
    return "\n".join(lines) + "\n"


def _fact_lines(facts: Iterable[Fact]) -> Iterator[str]:
    for fact in facts:
        yield from _indented(f"{fact.label:<{_LABEL_WIDTH}}{fact.text}", " " * _LABEL_WIDTH)


def _item_lines(item: ContentItem, names: dict[str, str]) -> Iterator[str]:
    margin = "  " * max(item.depth - 1, 0)
    if item.depth:
        if item.value_type == CONTAINER:
            yield ""
        said = f"{margin}{_relationship(item)}{_said(item, names)}"
        yield from _indented(said, margin + "    ")
    for label, text in item.shown.details:
        yield from _indented(f"{margin}  - {label}: {text}", margin + "    ")
    for row in item.shown.table:
        cells = " | ".join(cell.replace("\n", " ") for cell in row)
        yield f"{margin}  | {cells} |"


def _relationship(item: ContentItem) -> str:
    return f"[{item.relationship}] " if item.relationship else ""


def _said(item: ContentItem, names: dict[str, str]) -> str:
    shown = item.shown
    pieces = [shown.value, shown.aside]
    if item.target in names:
        pieces.append(f"see item {item.target} ({names[item.target]})")
    elif item.target:
        pieces.append(f"see item {item.target} (missing)")
    value = " ".join(filter(None, pieces))
    number = f"({item.position}) " if item.position in names else ""
    return number + ": ".join(filter(None, (item.name, value)))


def _indented(text: str, margin: str) -> Iterator[str]:
    """The lines of a text, all but the first moved in."""
    first, *others = text.split("\n")
    yield first
    yield from (margin + line if line else "" for line in others)
