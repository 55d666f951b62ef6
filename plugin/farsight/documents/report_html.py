"""A structured report as a page (PS3.18 8.7.4, text/html)."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from farsight.dicom.elements import DicomObject
from farsight.documents.content_tree import CONTAINER, ContentItem
from farsight.documents.content_values import Rows
from farsight.documents.page import fact_list, page
from farsight.documents.report import Report, report_of

_DEEPEST_HEADING: Final = 6


def report_as_html(instance: DicomObject) -> str:
    """Complete and self-contained; nothing of a file becomes markup. Nothing is raised."""
    report = report_of(instance)
    return page(report.title, _body(report))


def _body(report: Report) -> Iterator[str]:
    yield f'<header><h1 dir="auto">{escape(report.title)}</h1>\n'
    yield from fact_list(report.patient)
    yield from fact_list(report.document)
    yield "</header>\n<main>\n"
    yield from _tree(report)
    yield "</main>\n"


def _tree(report: Report) -> Iterator[str]:
    """Markup of all items; what is open is closed where an item is no deeper than it."""
    names = report.names()
    still_open: list[tuple[int, str]] = []
    for number, item in enumerate(report.items):
        while still_open and still_open[-1][0] >= item.depth:
            yield still_open.pop()[1]
        following = report.items[number + 1 : number + 2]
        has_children = bool(following) and following[0].depth > item.depth
        yield from _opened(item, names, has_children)
        still_open.append((item.depth, _closing(item, has_children)))
    while still_open:
        yield still_open.pop()[1]


def _closing(item: ContentItem, has_children: bool) -> str:
    if item.value_type == CONTAINER:
        return "</section>\n"
    return "</div></div>\n" if has_children else "</div>\n"


def _opened(item: ContentItem, names: dict[str, str], has_children: bool) -> Iterator[str]:
    anchor = f' id="item-{item.position}"' if item.position in names else ""
    if item.value_type == CONTAINER:
        yield f"<section{anchor}>"
        yield from _heading(item)
        yield from _particulars(item)
        return
    if not item.position:
        yield f'<div class="item"><p class="notice">{escape(item.shown.value)}</p>'
    else:
        yield f'<div class="item"{anchor}><div class="line"><div class="concept">'
        yield f'{_relationship(item)}{_name(item)}</div><div dir="auto">'
        yield _value(item, names)
        yield from _particulars(item)
        yield "</div></div>"
    if has_children:
        yield '<div class="below">'


def _heading(item: ContentItem) -> Iterator[str]:
    """Of a section; the root's is the title of the page."""
    if item.depth:
        level = min(item.depth + 1, _DEEPEST_HEADING)
        yield f'<h{level} dir="auto">{_relationship(item)}{_name(item)}</h{level}>\n'


def _relationship(item: ContentItem) -> str:
    said = escape(item.relationship)
    return f'<span class="relationship">{said}</span>' if said else ""


def _name(item: ContentItem) -> str:
    identity = item.concept.identity if item.concept else ""
    title = f' title="{escape(identity)}"' if identity else ""
    return f'<span{title} dir="auto">{escape(item.name)}</span>'


def _value(item: ContentItem, names: dict[str, str]) -> str:
    shown = item.shown
    pieces = [f'<span class="value">{escape(shown.value)}</span>'] if shown.value else []
    if item.target in names:
        link = f'<a href="#item-{item.target}">{escape(names[item.target] or item.target)}</a>'
        pieces.append(f'<span class="value">see {link}</span>')
    elif item.target:
        pieces.append(f'<span class="value">see item {escape(item.target)} (missing)</span>')
    if shown.aside:
        pieces.append(f'<span class="aside">{escape(shown.aside)}</span>')
    return " ".join(pieces)


def _particulars(item: ContentItem) -> Iterator[str]:
    for label, text in item.shown.details:
        yield f'<span class="details" dir="auto">{escape(label)}: {escape(text)}</span>'
    if item.shown.table:
        yield from _table(item.shown.table)


def _table(rows: Rows) -> Iterator[str]:
    yield "<table>"
    for row in rows:
        yield f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n"
    yield "</table>"
