"""Lines to be burnt into a picture on demand (PS3.18 8.3.5.1.1): who it is of, how it was made."""

from __future__ import annotations

from farsight.dicom.elements import DataSet
from farsight.documents.legible import text_of
from farsight.ps318.rendering_query import Annotation

_PATIENT = ((0x00100010,), (0x00100020,), (0x00100030, 0x00100040))
_TECHNIQUE = (
    (0x00080060, 0x00180015, 0x00185101, 0x00200062),
    (0x00081030,),
    (0x0008103E,),
    (0x00080020, 0x00080030),
    (0x00180060, 0x00181151, 0x00180050),
    (0x00180080, 0x00180081),
)
_NAMED = {
    0x00180060: "{} kV", 0x00181151: "{} mA", 0x00180050: "{} mm",
    0x00180080: "TR {}", 0x00180081: "TE {}",
}  # fmt: skip
_LONGEST = 120


def captions_of(instance: DataSet, annotations: frozenset[Annotation]) -> tuple[str, ...]:
    """The lines, patient first; what an instance doesn't say is left out."""
    lines: list[str] = []
    if Annotation.PATIENT in annotations:
        lines += _lines(instance, _PATIENT)
    if Annotation.TECHNIQUE in annotations:
        lines += _lines(instance, _TECHNIQUE)
    return tuple(lines)


def _lines(instance: DataSet, rows: tuple[tuple[int, ...], ...]) -> list[str]:
    lines = []
    for tags in rows:
        said = [
            _NAMED.get(tag, "{}").format(text)
            for tag in tags
            if (text := text_of(instance, tag).strip())
        ]
        if said:
            lines.append("  ".join(said)[:_LONGEST])
    return lines
