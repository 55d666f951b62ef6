"""Real files taken apart into metadata and bulk data, put together again, and compared."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

import pydicom
import pytest

from corpus import manifest
from farsight.dicom.elements import DicomObject
from farsight.dicom.part10 import parse_object
from farsight.errors import MalformedDicom
from farsight.ps318.assembled_instances import Assembled, AssemblyFailure, assemble
from farsight.ps318.dicom_json import object_attributes
from farsight.ps318.frames import frame_bytes, frame_index
from taken_apart import JSON, PIXEL_DATA, ROOT, XML, meanings, taken_apart

#: Files that a store has to refuse, and what it says.
REFUSED = {
    "2026-05-26-oob-monochrome-65535.dcm": "its length is not what",  # absurd dimensions
    "badVR.dcm": "its length is not what",  # cut off
    "MR_small_padded.dcm": "its length is not what",  # more pixels than it says
    "GDCMJ2K_TextGBR.dcm": "not the codestream",  # JP2 files, which PS3.5 A.4.4 forbids
    "bad_sequence.dcm": "SOPInstanceUID is not a valid UID",
}


@cache
def all_files() -> list[Path]:
    """The collection, and what pydicom brings along."""
    folder = Path(pydicom.__file__).parent / "data"
    return [*(file.path for file in manifest()), *sorted(folder.rglob("*.dcm"))]


def named(path: Path) -> str:
    return "/".join(path.parts[-3:])


def expected_json(attributes: dict[str, Any], media_type: str) -> dict[str, Any]:
    """The attributes, but for what need not come back.

    Encapsulated pixels become OB, native ones above 8 bits OW (PS3.5 8.1.1, A.4). XML leaves the
    empty components at the end of a name out, and names that have none but such.
    """
    expected = {}
    for tag, attribute in attributes.items():
        kept = {**attribute}
        if tag == "7FE00010":
            kept["vr"] = "O?"
        elif media_type == XML and kept["vr"] == "PN" and "Value" in kept:
            kept["Value"] = [_shown(name) for name in kept["Value"]]
            if kept["Value"] == [None]:
                del kept["Value"]
        elif kept["vr"] == "SQ" and "Value" in kept:
            kept["Value"] = [expected_json(item, media_type) for item in kept["Value"]]
        expected[tag] = kept
    return expected


def _shown(name: dict[str, str] | None) -> dict[str, str] | None:
    groups = {group: text.rstrip("^") for group, text in (name or {}).items()}
    return {group: text for group, text in groups.items() if text} or None


def assert_same_frames(before: DicomObject, after: DicomObject) -> None:
    if PIXEL_DATA not in before.elements:
        return
    one, other = frame_index(before), frame_index(after)
    assert one.number_of_frames == other.number_of_frames
    assert one.transfer_syntax_uid == other.transfer_syntax_uid
    for number in range(1, one.number_of_frames + 1):
        ours = bytes(frame_bytes(after, other, number))
        theirs = bytes(frame_bytes(before, one, number))
        assert ours in (theirs, theirs + b"\0" * (len(theirs) % 2))


def is_storable(instance: DicomObject) -> bool:
    return all((instance.sop_class_uid, instance.sop_instance_uid,
                instance.study_instance_uid, instance.series_instance_uid))  # fmt: skip


def parsed(path: Path) -> DicomObject:
    try:
        return parse_object(path.read_bytes())
    except MalformedDicom:
        pytest.skip("nothing to take apart")


@pytest.mark.parametrize("media_type", [JSON, XML], ids=["json", "xml"])
@pytest.mark.parametrize("path", all_files(), ids=named)
def test_what_was_taken_apart_is_put_together(path: Path, media_type: str) -> None:
    before = parsed(path)
    document, parts = taken_apart(before, media_type)
    message = assemble(media_type, [document], parts)
    (found,) = message.instances
    assert not message.unclaimed or isinstance(found, AssemblyFailure)
    if path.name in REFUSED or not is_storable(before):
        assert isinstance(found, AssemblyFailure)
        assert REFUSED.get(path.name, "UID is missing") in found.why
        return
    assert isinstance(found, Assembled), found
    data = found.part10()
    assert len(data) == found.size_bytes
    after = parse_object(data)
    assert found.transfer_syntax_uid == after.transfer_syntax_uid
    assert found.ref.sop_instance_uid == before.sop_instance_uid == after.sop_instance_uid
    ours = expected_json(object_attributes(after, ROOT), media_type)
    theirs = expected_json(object_attributes(before, ROOT), media_type)
    assert_same_but_for(found, ours, theirs, before.big_endian)
    assert_same_frames(before, after)


def assert_same_but_for(
    found: Assembled, ours: dict[str, Any], theirs: dict[str, Any], big_endian: bool
) -> None:
    """Character sets that are reported; and UN of a big endian file, whose VR can be told now."""
    assert {coercion.path for coercion in found.coercions} <= {"00080005"}
    for coercion in found.coercions:
        assert ours.pop(coercion.path) == {"vr": "CS", "Value": ["ISO_IR 192"]}
        assert coercion.original["Value"] == theirs.pop(coercion.path)["Value"]
        assert any("ISO 2022" in term for term in coercion.original["Value"] if term)
    resolved = [tag for tag in theirs if big_endian and theirs[tag]["vr"] == "UN"]
    for tag in resolved:
        del ours[tag], theirs[tag]
    assert ours == theirs


@pytest.mark.parametrize("path", all_files(), ids=named)
def test_another_reader_finds_the_same(path: Path) -> None:
    before = parsed(path)
    document, parts = taken_apart(before, JSON)
    (found,) = assemble(JSON, [document], parts).instances
    if isinstance(found, AssemblyFailure) or before.big_endian:  # the bytes are others there
        return
    ours = meanings(pydicom.dcmread(io.BytesIO(found.part10())))
    theirs = meanings(pydicom.dcmread(path, force=True))
    for coercion in found.coercions:
        assert ours.pop(coercion.path) != theirs.pop(coercion.path)
    assert ours == theirs
