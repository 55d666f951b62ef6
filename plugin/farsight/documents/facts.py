"""What stands above a document: whose it is, when it was made, who vouches for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from farsight.dicom.elements import DataSet, DicomObject
from farsight.documents.legible import (
    UNREADABLE,
    class_name,
    code_text,
    items_of,
    label_of,
    text_of,
)
from farsight.errors import MalformedDicom


@dataclass(frozen=True, slots=True)
class Fact:
    """One line. `alert` where a reader must not miss it: not complete, not verified."""

    label: str
    text: str
    alert: bool = False


_PATIENT: Final = (
    ("Patient", (0x00100010,)),
    ("Patient ID", (0x00100020,)),
    ("Born", (0x00100030, 0x00100032)),
    ("Sex", (0x00100040,)),
    ("Study", (0x00081030,)),
    ("Study date", (0x00080020, 0x00080030)),
    ("Study ID", (0x00200010,)),
    ("Accession number", (0x00080050,)),
    ("Referring physician", (0x00080090,)),
    ("Institution", (0x00080080,)),
)
_SERIES: Final = (
    ("Modality", (0x00080060,)),
    ("Series", (0x0008103E,)),
    ("Series number", (0x00200011,)),
    ("Instance number", (0x00200013,)),
    ("Manufacturer", (0x00080070, 0x00081090)),
)
#: Fields of a report that need no words around them.
_REPORT: Final = (("Content date", (0x00080023, 0x00080033)),)

_ALWAYS_SAID: Final = frozenset(("Patient", "Patient ID", "Born", "Sex", "Study date"))


def patient_facts(instance: DataSet) -> Iterator[Fact]:
    """The patient, the study. Who it is is said even if it is unknown."""
    for label, tags in _PATIENT:
        text = _joined(instance, tags)
        if text or label in _ALWAYS_SAID:
            yield Fact(label, text or "unknown")


def series_facts(instance: DataSet) -> Iterator[Fact]:
    """Where in the study it is."""
    return _plain(instance, _SERIES)


def report_facts(instance: DicomObject) -> Iterator[Fact]:
    """Status and provenance of a structured report or key object selection (PS3.3 C.17.2)."""
    yield Fact("Document", class_name(instance.sop_class_uid))
    yield from _plain(instance, _REPORT)
    yield from _status(instance)
    for label, tag, show in _SEQUENCES:
        yield from _each(instance, label, tag, show)
    for label, tag in _EVIDENCE:
        text = _guarded(_evidence_text, instance, tag)
        if text:
            yield Fact(label, text)


def _status(instance: DataSet) -> Iterator[Fact]:
    """Flags as the file has them, in its capitals (PS3.3 C.17.2)."""
    completion = text_of(instance, 0x0040A491)
    described = text_of(instance, 0x0040A492)
    if completion or described:
        text = ": ".join(filter(None, (completion, described)))
        yield Fact("Completion", text, alert=completion != "COMPLETE")
    if preliminary := text_of(instance, 0x0040A496):
        yield Fact("Status", preliminary, alert=preliminary != "FINAL")
    if verification := text_of(instance, 0x0040A493):
        yield Fact("Verification", verification, alert=verification != "VERIFIED")


def _plain(instance: DataSet, rows: tuple[tuple[str, tuple[int, ...]], ...]) -> Iterator[Fact]:
    for label, tags in rows:
        if text := _joined(instance, tags):
            yield Fact(label, text)


def _joined(instance: DataSet, tags: tuple[int, ...]) -> str:
    return " ".join(filter(None, (text_of(instance, tag) for tag in tags)))


def _each(
    instance: DataSet, label: str, tag: int, show: Callable[[DataSet], str]
) -> Iterator[Fact]:
    try:
        for item in items_of(instance, tag):
            if text := show(item):
                yield Fact(label, text)
    except MalformedDicom:
        yield Fact(label, UNREADABLE)


def _guarded(show: Callable[[DataSet, int], str], instance: DataSet, tag: int) -> str:
    try:
        return show(instance, tag)
    except MalformedDicom:
        return UNREADABLE


def _verifying(item: DataSet) -> str:
    return _listed(item, (0x0040A075, 0x0040A027, 0x0040A030))


def _observer(item: DataSet) -> str:
    """A person, or a device by station, model or UID (PS3.3 table 10-9.1)."""
    names = (text_of(item, tag) for tag in (0x0040A123, 0x00081010, 0x00081090, 0x00181002))
    return "; ".join(filter(None, (next(filter(None, names), ""), text_of(item, 0x00080080))))


def _participant(item: DataSet) -> str:
    said = (_observer(item), _listed(item, (0x0040A080, 0x0040A082)))
    return "; ".join(filter(None, said))


def _request(item: DataSet) -> str:
    accession, described = text_of(item, 0x00080050), text_of(item, 0x00321060)
    return "; ".join(filter(None, (accession, described or code_text(item, 0x00321064))))


def _listed(item: DataSet, tags: tuple[int, ...]) -> str:
    return "; ".join(filter(None, (text_of(item, tag) for tag in tags)))


_SEQUENCES: Final[tuple[tuple[str, int, Callable[[DataSet], str]], ...]] = (
    ("Verified by", 0x0040A073, _verifying),
    ("Author", 0x0040A078, _observer),
    ("Participant", 0x0040A07A, _participant),
    ("Request", 0x0040A370, _request),
)
_EVIDENCE: Final = (
    ("Evidence", 0x0040A375),
    ("Other evidence", 0x0040A385),
    ("Replaces or amends", 0x0040A360),
    ("Same as", 0x0040A525),
)


def _evidence_text(instance: DataSet, tag: int) -> str:
    """How many instances a hierarchical reference names, of which classes (PS3.3 C.17.2.1)."""
    classes: dict[str, int] = {}
    for study in items_of(instance, tag):
        for series in items_of(study, 0x00081115):
            for reference in items_of(series, 0x00081199):
                name = class_name(text_of(reference, 0x00081150))
                classes[name] = classes.get(name, 0) + 1
    return ", ".join(f"{count} × {name}" for name, count in classes.items())


def content_facts(instance: DicomObject, left_out: frozenset[int]) -> Iterator[Fact]:
    """What an object holds: its sequences with their lengths, and how many attributes."""
    for tag in sorted(instance.elements):
        element = instance.elements[tag]
        if element.vr != "SQ" or tag in left_out:
            continue
        try:
            count = len(instance.item_spans(element))
        except MalformedDicom:
            yield Fact(label_of(tag), UNREADABLE)
            continue
        yield Fact(label_of(tag), f"{count} item{'' if count == 1 else 's'}")
    yield Fact("Attributes", str(len(instance.elements)))
