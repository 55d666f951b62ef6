"""What Orthanc's index knows of what is stored: how it is asked, and its answers as DICOM JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword

from farsight.model import Attributes, IdentifierKey, JsonAttribute, Level

GetJson = Callable[[str], Any]

_NUMBERS = frozenset({"IS", "US", "UL", "SS", "SL"})
_DECIMALS = frozenset({"DS", "FL", "FD"})
_NOT_SPLIT = frozenset({"LT", "ST", "UT", "UR", "PN"})
ORTHANC_LEVELS = {Level.STUDY: "Study", Level.SERIES: "Series", Level.IMAGE: "Instance"}
#: Keys on which Orthanc matches exactly as the standard says; the others are matched by the search.
_NARROWING = {
    "0020000D": "StudyInstanceUID",
    "0020000E": "SeriesInstanceUID",
    "00080018": "SOPInstanceUID",
    "00080020": "StudyDate",
}
#: Main tags that every Orthanc keeps at a level: one that a resource lacks is empty, not unknown.
_ALWAYS_KEPT = {
    Level.STUDY: (
        "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
        "StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName",
        "InstitutionName",
    ),
    Level.SERIES: (
        "Modality", "SeriesDescription", "SeriesNumber", "SeriesDate", "SeriesTime",
        "BodyPartExamined", "ProtocolName", "StationName", "Manufacturer",
    ),
    Level.IMAGE: ("InstanceNumber", "NumberOfFrames"),
}  # fmt: skip


def narrowing_query(keys: Iterable[IdentifierKey]) -> dict[str, str]:
    """For `tools/find`: what leaves out nothing that matches."""
    return {_NARROWING[key.tag]: key.value for key in keys if key.value and key.tag in _NARROWING}


def local_row(level: Level, resource: Mapping[str, Any], get_json: GetJson) -> Attributes:
    """One expanded answer of `tools/find`; `get_json` fetches the resources above it.

    Only the main DICOM tags Orthanc keeps in its index; no file is read.
    """
    row: Attributes = {}
    _add_tags(row, dict.fromkeys(_ALWAYS_KEPT[level], ""))
    _add_tags(row, resource["MainDicomTags"])
    if level is Level.STUDY:
        _add_tags(row, resource.get("PatientMainDicomTags", {}))
        row["00201206"] = {"vr": "IS", "Value": [len(resource["Series"])]}
    elif level is Level.SERIES:
        row["00201209"] = {"vr": "IS", "Value": [len(resource["Instances"])]}
        _add_parents(row, f"/studies/{resource['ParentStudy']}", get_json)
    else:
        series = get_json(f"/series/{resource['ParentSeries']}")
        _add_tags(row, series["MainDicomTags"])
        _add_parents(row, f"/studies/{series['ParentStudy']}", get_json)
        metadata = get_json(f"/instances/{resource['ID']}/metadata?expand")
        if sop_class := metadata.get("SopClassUid"):
            row["00080016"] = {"vr": "UI", "Value": [sop_class]}
    return row


def _add_parents(row: Attributes, study_uri: str, get_json: GetJson) -> None:
    study = get_json(study_uri)
    _add_tags(row, study["MainDicomTags"])
    _add_tags(row, study.get("PatientMainDicomTags", {}))


def _add_tags(row: Attributes, tags: Mapping[str, Any]) -> None:
    """Sequences, which later Orthancs keep too, are left out: absent means unknown."""
    for keyword, value in tags.items():
        tag = tag_for_keyword(keyword)
        if tag is not None and isinstance(value, str):
            row[f"{tag:08X}"] = _attribute(dictionary_VR(tag), value)


def _attribute(vr: str, value: str) -> JsonAttribute:
    if value == "":
        return {"vr": vr}
    pieces = [value] if vr in _NOT_SPLIT else value.split("\\")
    if vr == "PN":
        names = value.split("=")
        groups = zip(("Alphabetic", "Ideographic", "Phonetic"), names, strict=False)
        return {"vr": vr, "Value": [{group: name for group, name in groups if name}]}
    return {"vr": vr, "Value": [_number(vr, piece.strip()) for piece in pieces]}


def _number(vr: str, piece: str) -> str | int | float | None:
    if piece == "":
        return None
    try:
        if vr in _NUMBERS:
            return int(piece)
        if vr in _DECIMALS:
            return float(piece)
    except ValueError:
        return piece
    return piece
