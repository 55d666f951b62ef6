"""Structured reports: what is one, and what it is made of before it is HTML or text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from farsight.dicom.elements import DicomObject, Instance
from farsight.documents.content_tree import ContentItem, content_items
from farsight.documents.facts import Fact, patient_facts, report_facts, series_facts
from farsight.documents.legible import class_name

#: Every SR and Key Object Selection storage class is below it (PS3.4 B.5), the old trial ones too.
_SR_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.88."
_VALUE_TYPE: Final = 0x0040A040
_CONTENT_SEQUENCE: Final = 0x0040A730


@dataclass(frozen=True, slots=True)
class Report:
    """A report in memory; `items` in document order, the root first."""

    title: str
    patient: tuple[Fact, ...]
    document: tuple[Fact, ...]
    items: tuple[ContentItem, ...]

    def names(self) -> dict[str, str]:
        """What is at each position that some item refers to."""
        wanted = {item.target for item in self.items if item.target}
        return {item.position: _said(item) for item in self.items if item.position in wanted}


def is_structured_report(instance: Instance) -> bool:
    """Whether it has a content tree, by its class or by what is in it (PS3.3 C.17.3)."""
    return (
        instance.sop_class_uid.startswith(_SR_STORAGE)
        or _VALUE_TYPE in instance.elements
        or _CONTENT_SEQUENCE in instance.elements
    )


def report_of(instance: DicomObject) -> Report:
    """Nothing is raised: what can't be read is an item that says so."""
    items = tuple(content_items(instance))
    concept = items[0].concept
    title = concept.text if concept and concept.text else class_name(instance.sop_class_uid)
    return Report(
        title=title,
        patient=tuple(patient_facts(instance)),
        document=(*report_facts(instance), *series_facts(instance)),
        items=items,
    )


def _said(item: ContentItem) -> str:
    value = item.shown.value
    return ": ".join(filter(None, (item.name, value if len(value) <= 80 else f"{value[:79]}…")))
