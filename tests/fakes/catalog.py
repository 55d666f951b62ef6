"""Studies in memory, and a plain, independent C-FIND over them (PS3.4 C.4.1).

Written from the standard with regular expressions and string comparisons, not with the product's
own matching, so that the two can contradict each other.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from farsight.model import Attributes, IdentifierKey, Level

STUDY, SERIES, IMAGE = Level.STUDY, Level.SERIES, Level.IMAGE
UNIQUE = {STUDY: "0020000D", SERIES: "0020000E", IMAGE: "00080018"}
ORDER = (STUDY, SERIES, IMAGE)
COUNTS = ("00201206", "00201208", "00201209")
MODALITIES = "00080061"


@dataclass
class Series:
    uid: str
    attributes: dict[str, str] = field(default_factory=dict)
    instances: list[dict[str, str]] = field(default_factory=list)


@dataclass
class Study:
    """Attributes as text by tag, as in a data set; several values with a backslash."""

    uid: str
    attributes: dict[str, str] = field(default_factory=dict)
    series: list[Series] = field(default_factory=list)


def study(uid: str, modalities: Sequence[str] = ("CT",), slices: int = 2, **tags: str) -> Study:
    """A study with one series per modality; keywords are tags with a leading underscore."""
    attributes = {
        "00080020": "20240101",
        "00080030": "120000",
        "00080050": "A" + uid[-1],
        "00080090": "Ref^Erring",
        "00100010": "Doe^John",
        "00100020": "P1",
        "00100030": "19700101",
        "00100040": "M",
        "00200010": "S1",
        "00081030": "Head",
        **{tag.lstrip("_"): value for tag, value in tags.items()},
    }
    made = Study(uid, attributes)
    for number, modality in enumerate(modalities, start=1):
        series = Series(f"{uid}.{number}", {"00080060": modality, "00200011": str(number)})
        series.instances = [
            {
                "00080018": f"{series.uid}.{index}",
                "00080016": "1.2.840.10008.5.1.4.1.1.2",
                "00200013": str(index),
            }
            for index in range(1, slices + 1)
        ]
        made.series.append(series)
    return made


_VRS = {
    "00080005": "CS", "00080016": "UI", "00080018": "UI", "00080020": "DA", "00080030": "TM",
    "00080050": "SH", "00080056": "CS", "00080060": "CS", "00080061": "CS", "00080090": "PN",
    "00080201": "SH", "00081030": "LO", "0008103E": "LO", "00100010": "PN", "00100020": "LO",
    "00100030": "DA", "00100040": "CS", "0020000D": "UI", "0020000E": "UI", "00200010": "SH",
    "00200011": "IS", "00200013": "IS", "00201206": "IS", "00201208": "IS", "00201209": "IS",
}  # fmt: skip


def flat_rows(studies: Iterable[Study], level: Level) -> list[dict[str, str]]:
    """One text data set per object of the level: its own attributes and the UIDs above."""
    rows: list[dict[str, str]] = []
    for one in studies:
        instances = sum(len(series.instances) for series in one.series)
        if level is STUDY:
            rows.append(
                {
                    **one.attributes,
                    UNIQUE[STUDY]: one.uid,
                    MODALITIES: "\\".join(
                        sorted({s.attributes.get("00080060", "") for s in one.series})
                    ),
                    "00201206": str(len(one.series)),
                    "00201208": str(instances),
                }
            )
            continue
        for series in one.series:
            uids = {UNIQUE[STUDY]: one.uid, UNIQUE[SERIES]: series.uid}
            if level is SERIES:
                count = {"00201209": str(len(series.instances))}
                rows.append({**series.attributes, **uids, **count})
            else:
                rows += [{**instance, **uids} for instance in series.instances]
    return rows


def as_json(row: dict[str, str], tags: Iterable[str]) -> Attributes:
    """The asked-for attributes a data set has, in the DICOM JSON model."""
    return {tag: _attribute(tag, row[tag]) for tag in sorted(set(tags)) if tag in row}


def _attribute(tag: str, text: str) -> dict[str, object]:
    vr = _VRS.get(tag, "LO")
    if not text:
        return {"vr": vr}
    values: list[object] = list(text.split("\\"))
    if vr == "PN":
        groups = ("Alphabetic", "Ideographic", "Phonetic")
        values = [
            {g: part for g, part in zip(groups, name.split("="), strict=False) if part}
            for name in text.split("\\")
        ]
    elif vr == "IS":
        values = [int(value) for value in text.split("\\")]
    return {"vr": vr, "Value": values}


def key_matches(key: IdentifierKey, stored: str, *, fold_names: bool = True) -> bool:
    """One key of an identifier against one attribute's text."""
    if key.value in ("", "*"):
        return True
    if not stored:
        return False
    if key.vr == "UI":
        return stored in key.value.split("\\")
    if key.vr in ("DA", "TM") and "-" in key.value:
        first, last = key.value.split("-")
        width = 8 if key.vr == "DA" else 6
        moment = stored.replace(":", "")[:width].ljust(width, "0")
        return (first or "0").ljust(width, "0") <= moment <= last.ljust(width, "9")
    fold = key.vr == "PN" and fold_names
    return any(_text_matches(key.value, value, fold) for value in stored.split("\\"))


def _text_matches(pattern: str, text: str, fold: bool) -> bool:
    if fold:
        pattern, text = pattern.lower(), text.lower()
    escaped = pattern.replace("[", "[[]")
    return re.match(fnmatch.translate(escaped), text) is not None
