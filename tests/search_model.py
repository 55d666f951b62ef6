"""A random archive, and what a search of it has to find: PS3.4 C.2.2.2 over a list in memory.

Written from the standard and from what Farsight documents, and of nothing of Farsight's, so that
an error in the one isn't repeated in the other. An archive is a flat table, one row of keywords
and texts per instance; what is above is found by grouping.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    CTImageStorage,
    MRImageStorage,
    UltrasoundImageStorage,
)

from sample_files import ROOT, ct_slice

Attributes = Mapping[str, str]

LEVELS = ("studies", "series", "instances")
UNIQUE_KEYS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
#: What the table holds, by level.
KEYWORDS = (
    (
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID"),
        *("StudyDate", "StudyTime", "AccessionNumber", "StudyID", "StudyDescription"),
        *("ReferringPhysicianName", "ModalitiesInStudy"),
        *("NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances"),
    ),
    (
        *("SeriesInstanceUID", "Modality", "SeriesNumber", "SeriesDescription"),
        *("BodyPartExamined", "NumberOfSeriesRelatedInstances"),
    ),
    ("SOPInstanceUID", "SOPClassUID", "InstanceNumber"),
)
#: Tables 10.6.3-3, -4 and -5 of PS3.18, types U and R, and the RetrieveURL.
REQUIRED = (
    (
        *("00080020", "00080030", "00080050", "00080061", "00080090", "00081190", "00100010"),
        *("00100020", "00100030", "00100040", "0020000D", "00200010", "00201206", "00201208"),
    ),
    ("00080060", "0020000E", "00200011", "00201209", "00081190"),
    ("00080016", "00080018", "00200013", "00081190"),
)
#: Found out by counting: whatever a PACS tells of them, the gateway has to have them right.
COUNTED = (
    *("ModalitiesInStudy", "NumberOfStudyRelatedSeries"),
    *("NumberOfStudyRelatedInstances", "NumberOfSeriesRelatedInstances"),
)
SOP_CLASSES = {
    "CT": str(CTImageStorage),
    "MR": str(MRImageStorage),
    "SR": str(BasicTextSRStorage),
    "US": str(UltrasoundImageStorage),
}


#: Near misses of one another, and what means something to SQL, to globs and to regular expressions.
NAMES = (
    *("", "Doe", "DOE^John", "Doe^John^^Dr", "doe^JANE^", "Doe^Jane^M", "O'Neil^Pat", "D_e^J%n"),
    *("Smith-Jones^Ann", "Smith^Ann", "Lee^Ha-Neul", "van der Berg^Jo [x]", "Li^A.B+C"),
)
LATIN_NAMES = ("Müller^Jörg", "MÜLLER^Eva", "Ångström^Åsa", "Núñez^José^María")
PATIENT_IDS = (
    *("P1", "p1", "P10", "P100", "P1-A", "P_1", "P%1", "P 1", "[P1]", "X/9", "00017", "17"),
    *("a.b+c", "P&1=2", "P;1", "P1~"),
)
DESCRIPTIONS = ("", "Chest CT", "chest ct", "Head, neck", "50% contrast", "T1_axial", "a+b [x]")
DATES = ("", "20191231", "20200101", "20200102", "20200229", "20200301", "20231231", "20240101")
#: 12:00 to the minute, fractions: asked for only from outside that minute or second, because the
#: standard leaves open what a range begins or ends with within the precision of a value.
TIMES = ("", "000000", "081500", "101500", "101530.25", "1200", "120100", "225959.5", "235959")
BIRTH_DATES = ("", "19000101", "19691231", "19700101", "19700102", "20200229")


@dataclass(frozen=True)
class Row:
    """One study, series or instance with all that is known of it and of what is above."""

    level: int
    attributes: dict[str, str]

    @property
    def uid(self) -> str:
        return self.attributes[UNIQUE_KEYS[self.level]]

    @property
    def path(self) -> str:
        """What its RetrieveURL ends with."""
        uids = [self.attributes[key] for key in UNIQUE_KEYS[: self.level + 1]]
        return "/".join(f"{name}/{uid}" for name, uid in zip(LEVELS, uids, strict=False))


def _patients(random: Random, names: Sequence[str]) -> list[dict[str, str]]:
    """One name, birth date and sex per patient ID, or archives would take whichever came last."""
    return [
        {
            "PatientID": patient_id,
            "PatientName": random.choice(names),
            "PatientBirthDate": random.choice(BIRTH_DATES),
            "PatientSex": random.choice(("F", "M", "O", "")),
        }
        for patient_id in PATIENT_IDS
    ]


def make_archive(random: Random, studies: int, *, latin: bool) -> list[dict[str, str]]:
    """The instances of all studies, in the order of the studies."""
    patients = _patients(random, NAMES + (2 * LATIN_NAMES if latin else ()))
    descriptions = DESCRIPTIONS + (2 * ("Schädel", "SCHÄDEL") if latin else ())
    table: list[dict[str, str]] = []
    for number in range(1, studies + 1):
        study = {
            **random.choice(patients),
            "StudyInstanceUID": f"{ROOT}.7.{number}",
            "StudyDate": random.choice(DATES),
            "StudyTime": random.choice(TIMES),
            "AccessionNumber": random.choice(("", "A1", "a1", "A10", "A-1", f"A{number}")),
            "StudyID": random.choice(("", "1", "01", f"S{number}")),
            "StudyDescription": random.choice(descriptions),
            "ReferringPhysicianName": random.choice(("", "House^Greg", "HOUSE^GREG", "House")),
        }
        for series in range(1, random.randint(1, 3) + 1):
            table += _series(random, study, series, descriptions)
    return table


def _series(
    random: Random, study: Attributes, number: int, descriptions: Sequence[str]
) -> list[dict[str, str]]:
    modality = random.choice(list(SOP_CLASSES))
    uid = f"{study['StudyInstanceUID']}.{number}"
    series = {
        **study,
        "SeriesInstanceUID": uid,
        "Modality": modality,
        "SeriesNumber": str(random.choice((number, number + 10))),
        "SeriesDescription": random.choice(descriptions),
        "BodyPartExamined": random.choice(("", "CHEST", "HEAD", "HEADNECK")),
        "SOPClassUID": SOP_CLASSES[modality],
    }
    return [
        {**series, "SOPInstanceUID": f"{uid}.{instance}", "InstanceNumber": str(instance)}
        for instance in range(1, random.randint(1, 2) + 1)
    ]


def tag_of(keyword: str) -> str:
    return f"{tag_for_keyword(keyword):08X}"


def rows_of(table: Sequence[Attributes], level: int) -> list[Row]:
    """The studies, series or instances that the instances make up."""
    known = [keyword for keywords in KEYWORDS[: level + 1] for keyword in keywords]
    rows = {}
    for instance in table:
        counted = {**instance, **_counted(table, instance)}
        rows[instance[UNIQUE_KEYS[level]]] = Row(level, {key: counted[key] for key in known})
    return list(rows.values())


def _counted(table: Sequence[Attributes], instance: Attributes) -> dict[str, str]:
    study = [i for i in table if i["StudyInstanceUID"] == instance["StudyInstanceUID"]]
    series = [i for i in study if i["SeriesInstanceUID"] == instance["SeriesInstanceUID"]]
    return {
        "ModalitiesInStudy": ",".join(sorted({i["Modality"] for i in study})),
        "NumberOfStudyRelatedSeries": str(len({i["SeriesInstanceUID"] for i in study})),
        "NumberOfStudyRelatedInstances": str(len(study)),
        "NumberOfSeriesRelatedInstances": str(len(series)),
    }


def matching(rows: Iterable[Row], keys: Iterable[tuple[str, str]]) -> list[Row]:
    """Those of which every key matches (PS3.18 8.3.4.1)."""
    wanted = list(keys)
    return [
        row for row in rows if all(matches(key, text, row.attributes[key]) for key, text in wanted)
    ]


def matches(keyword: str, wanted: str, value: str) -> bool:
    """One key: universal, list, range, wildcard or single value matching, as the VR allows."""
    if wanted in ("", "*"):
        return True
    vr = dictionary_VR(keyword)
    if not value:
        return False
    if vr in ("UI", "CS"):  # ModalitiesInStudy is the one value that is a list itself
        wants = [one.strip(" ") for one in wanted.split(",")]
        return any(_text(one, own) for one in wants for own in value.split(","))
    if vr in ("DA", "TM"):
        return _in_range(wanted, value)
    if vr == "PN":
        return _text(folded_name(wanted), folded_name(value))
    return _text(wanted.strip(" "), value.strip(" "))


def folded_name(name: str) -> str:
    """Case and trailing empty components don't tell two names apart (PS3.5 6.2.1)."""
    return name.strip(" ").rstrip("^").casefold()


def _text(pattern: str, value: str) -> bool:
    spelled = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(spelled), value, re.DOTALL) is not None


def _in_range(wanted: str, value: str) -> bool:
    """Single value and range matching (PS3.4 C.2.2.2.1, C.2.2.2.5).

    Padded with zeros dates stay dates and times become comparable: "0815" is "081500.0".
    """
    first, dash, last = wanted.partition("-")
    if not dash:
        last = first
    return (not first or _padded(first) <= _padded(value)) and (
        not last or _padded(value) <= _padded(last)
    )


def _padded(value: str) -> str:
    whole, _, fraction = value.partition(".")
    return f"{whole:0<8}.{fraction:0<6}"


def text_of(row: Mapping[str, Any], keyword: str) -> str | None:
    """A value of the DICOM JSON model as the table writes it; None where it is absent."""
    element = row.get(tag_of(keyword))
    if element is None:
        return None
    values = element.get("Value", [])
    if keyword == "ModalitiesInStudy":
        return ",".join(sorted(values))
    if not values:
        return ""
    return str(values[0]["Alphabetic"] if isinstance(values[0], dict) else values[0])


def same_value(keyword: str, left: str | None, right: str) -> bool:
    if left is None or dictionary_VR(keyword) != "PN":
        return left is not None and left.strip(" ") == right.strip(" ")
    return left.rstrip("^") == right.rstrip("^")


def write_file(directory: Path, instance: Attributes) -> Path:
    """The instance as a file of 4x4 pixels; reports have none."""
    data_set = ct_slice(1, size=4)
    data_set.file_meta.MediaStorageSOPClassUID = UID(instance["SOPClassUID"])
    data_set.file_meta.MediaStorageSOPInstanceUID = UID(instance["SOPInstanceUID"])
    for keyword, value in instance.items():
        setattr(data_set, keyword, value)
    if instance["Modality"] == "SR":
        del data_set.PixelData
    path = directory / f"{instance['SOPInstanceUID']}.dcm"
    data_set.save_as(path, enforce_file_format=True)
    return path
