"""Two readings of data sets by pydicom: which elements differ that should be the same."""

from __future__ import annotations

from typing import Any

import pydicom
from pydicom.dataelem import DataElement

#: What a change of transfer syntax may touch: photometric interpretation, planar configuration
#: (PS3.5 8.2), offset tables, pixels; icons, whose pixels would have to be in that syntax too.
_BY_TRANSCODING = {0x00280004, 0x00280006, 0x7FE00001, 0x7FE00002, 0x7FE00008, 0x7FE00009,
                   0x7FE00010, 0x00880200}  # fmt: skip
#: What PS3.3 C.7.6.1.1.5 and C.12.4 demand of what has lost.
_BY_LOSING = {0x00080008, 0x00080018, 0x00082111, 0x00282110, 0x00282112, 0x00282114}
_WORDS = {"OW": 2, "OF": 4, "OD": 8, "OL": 4}
_BINARY = {"OB", "UN", *_WORDS}


def differences(
    before: pydicom.Dataset,
    after: pydicom.Dataset,
    *,
    transcoded: bool = False,
    lossy: bool = False,
    where: str = "",
) -> list[str]:
    """Tags that differ in value, that are missing or new. Group lengths are nobody's value."""
    free = (_BY_TRANSCODING if transcoded else set()) | (_BY_LOSING if lossy else set())
    left = {int(e.tag): e for e in before if e.tag.element != 0 and int(e.tag) not in free}
    right = {int(e.tag): e for e in after if e.tag.element != 0 and int(e.tag) not in free}
    told = [f"{where}{tag:08X} is on one side only" for tag in sorted(left.keys() ^ right.keys())]
    for tag in sorted(left.keys() & right.keys()):
        told += _differences(left[tag], right[tag], not before.original_encoding[1],
                             f"{where}{tag:08X}")  # fmt: skip
    return told


def _differences(
    before: DataElement, after: DataElement, big_endian: bool, where: str
) -> list[str]:
    if before.VR == "SQ" and after.VR == "SQ":
        if len(before.value) != len(after.value):
            return [f"{where} has another number of items"]
        told: list[str] = []
        for number, (one, other) in enumerate(zip(before.value, after.value, strict=True), 1):
            told += differences(one, other, where=f"{where}/{number}/")
        return told
    if before.VR != after.VR and not {before.VR, after.VR} <= {*_BINARY, "US", "SS"}:
        return [f"{where} is {after.VR}, not {before.VR}"]
    if _value(before, big_endian) != _value(after, False):
        return [f"{where} has another value"]
    return []


def _value(element: DataElement, big_endian: bool) -> Any:
    value = element.value
    if isinstance(value, bytes):
        if big_endian and element.VR in _WORDS:
            width = _WORDS[element.VR]
            cells = [value[at : at + width][::-1] for at in range(0, len(value), width)]
            return b"".join(cells)
        return value
    return str(value)
