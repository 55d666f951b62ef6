"""The content tree of a structured report, in document order (PS3.3 C.17.3).

Walked with a stack of its own: how deep a file nests says nothing about ours. What can't be
read, or is too much, has an item in its place that says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from farsight.dicom.elements import DataSet
from farsight.dicom.positions import Span
from farsight.documents.content_values import Shown, shown_value
from farsight.documents.legible import Code, codes_of, text_of, values_of
from farsight.errors import MalformedDicom

MAX_CONTENT_ITEMS: Final = 100_000

CONTAINER: Final = "CONTAINER"
_VALUE_TYPE: Final = 0x0040A040
_CONTENT: Final = 0x0040A730
_IDENTIFIER: Final = 0x0040DB73
_RELATIONSHIP: Final = 0x0040A010
_CONCEPT: Final = 0x0040A043
_OBSERVED: Final = 0x0040A032

_RELATIONSHIPS: Final = {
    "CONTAINS": "",
    "HAS OBS CONTEXT": "observation context",
    "HAS ACQ CONTEXT": "acquisition context",
    "HAS CONCEPT MOD": "modifier",
    "HAS PROPERTIES": "property",
    "INFERRED FROM": "inferred from",
    "SELECTED FROM": "selected from",
}
_KINDS: Final = {
    CONTAINER: "Section",
    "IMAGE": "Image",
    "WAVEFORM": "Waveform",
    "COMPOSITE": "Object",
    "SCOORD": "Region",
    "SCOORD3D": "Region in space",
    "TCOORD": "Span of time",
    "TABLE": "Table",
}


@dataclass(frozen=True, slots=True)
class ContentItem:
    """One node. `position` counts from 1 at each level, "1" is the root, at `depth` 0.

    A notice, in the place of what can't be shown, has no position.
    `target` is the position that a by-reference relationship leads to (PS3.3 C.17.3.2.5).
    """

    position: str
    depth: int
    value_type: str
    relationship: str
    concept: Code | None
    shown: Shown
    target: str = ""

    @property
    def name(self) -> str:
        """Of its concept, else what kind of item it is; empty for those that need no name."""
        if self.concept and self.concept.text:
            return self.concept.text
        return _KINDS.get(self.value_type, "")


_Branch = Iterator[tuple[DataSet, Span, str]]


def content_items(root: DataSet) -> Iterator[ContentItem]:
    """Root first, then every item below it, children before siblings. Nothing is raised."""
    yield _root(root)
    branches: list[_Branch] = []
    yield from _descend(root, "1", branches)
    count = 1
    while branches:
        entry = next(branches[-1], None)
        if entry is None:
            branches.pop()
            continue
        count += 1
        if count > MAX_CONTENT_ITEMS:
            most = f"more than {MAX_CONTENT_ITEMS} content items"
            yield _notice(1, f"The report has {most}; the rest is left out.")
            return
        holder, span, position = entry
        depth = len(branches)
        try:
            item = holder.item(span)
        except MalformedDicom as error:
            yield _unreadable(depth, error)
            continue
        try:
            yield _item(item, position, depth)
        except MalformedDicom as error:
            yield _unreadable(depth, error)
        yield from _descend(item, position, branches)


def _descend(item: DataSet, position: str, branches: list[_Branch]) -> Iterator[ContentItem]:
    """Put the children of an item on the stack, or a notice in their place."""
    element = item.elements.get(_CONTENT)
    if element is None or not element.length:
        return
    depth = len(branches) + 1
    if element.vr != "SQ":
        yield _notice(depth, "The content here can't be shown: it isn't encoded as a sequence.")
        return
    try:
        spans = item.item_spans(element)
    except MalformedDicom as error:
        yield _unreadable(depth, error)
        return
    branches.append((item, span, f"{position}.{number}") for number, span in enumerate(spans, 1))


def _unreadable(depth: int, error: MalformedDicom) -> ContentItem:
    return _notice(depth, f"The content here can't be read: {error}.")


def _root(root: DataSet) -> ContentItem:
    observed = text_of(root, _OBSERVED)
    shown = Shown(details=(("observed", observed),) if observed else ())
    try:
        concept = _concept(root)
    except MalformedDicom:
        concept = None
    return ContentItem("1", 0, text_of(root, _VALUE_TYPE) or CONTAINER, "", concept, shown)


def _item(item: DataSet, position: str, depth: int) -> ContentItem:
    value_type = text_of(item, _VALUE_TYPE)
    target = ".".join(values_of(item, _IDENTIFIER))
    relationship = text_of(item, _RELATIONSHIP)
    by_reference = target and not value_type
    return ContentItem(
        position=position,
        depth=depth,
        value_type=value_type,
        relationship=_RELATIONSHIPS.get(relationship, relationship),
        concept=_concept(item),
        shown=shown_value(item, CONTAINER if by_reference else value_type),
        target=target,
    )


def _concept(item: DataSet) -> Code | None:
    return next(iter(codes_of(item, _CONCEPT)), None)


def _notice(depth: int, sentence: str) -> ContentItem:
    return ContentItem("", depth, "", "", None, Shown(sentence))
