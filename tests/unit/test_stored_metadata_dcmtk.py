"""Metadata that DCMTK wrote of real files; what is made of it, DCMTK has to read without a word."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pydicom
import pytest

from corpus import CorpusFile, requires_corpus, storable_files
from farsight.dicom.byte_order import swapped
from farsight.dicom.part10 import parse_object
from farsight.dicom.transfer_syntax import NATIVE
from farsight.ps318.assembled_instances import Assembled, assemble
from farsight.ps318.bulk_parts import BulkPart
from taken_apart import JSON, PIXEL_DATA, XML, meanings, taken_apart

pytestmark = [
    pytest.mark.dcmtk,
    pytest.mark.skipif(shutil.which("dcm2json") is None, reason="no DCMTK"),
    requires_corpus,
]

#: One of each kind, that DCMTK reads without complaint.
FILES = [
    file
    for file in storable_files()
    if file.row["dcmdump"] == "ok" and not (file.category in ("ct", "mr") and "2" in file.path.name)
][::5]


def output_of(*command: str | Path) -> bytes:
    finished = subprocess.run(command, capture_output=True, timeout=60, check=False)
    return finished.stdout if finished.returncode == 0 else b""


def assert_readable(data: bytes, folder: Path) -> pydicom.Dataset:
    written = folder / "written.dcm"
    written.write_bytes(data)
    dump = subprocess.run(
        ["dcmdump", "-q", "+E", written], capture_output=True, timeout=60, check=False
    )
    assert (dump.returncode, dump.stderr) == (0, b"")
    return pydicom.dcmread(written)


def compare(found: Assembled, file: CorpusFile, folder: Path) -> None:
    """But for what DCMTK changes: it says UTF-8 where it converted, and private attributes without
    a creator lose their block number in its XML."""
    ours = meanings(assert_readable(found.part10(), folder))
    theirs = meanings(pydicom.dcmread(file.path))
    for paths in (ours, theirs):
        paths.pop("00080005", None)
        if file.row["transfer_syntax_uid"] not in NATIVE:
            paths.pop(f"{PIXEL_DATA:08X}", None)
    assert not [path for path in ours.keys() ^ theirs.keys() if not is_private(path)]
    same = ours.keys() & theirs.keys()
    assert not [path for path in same if not is_alike(ours[path], theirs[path])]


def is_private(path: str) -> bool:
    return any(int(tag[:4], 16) % 2 for tag in path.split("/")[::2])


def is_alike(ours: object, theirs: object) -> bool:
    """DCMTK writes binary floating point with fewer digits, names without empty components, and in
    XML words in big endian, which no reader can know."""
    if isinstance(ours, bytes) and isinstance(theirs, bytes):
        return any(ours == swapped(theirs, size) for size in (1, 2, 4, 8))
    if not isinstance(ours, list) or not isinstance(theirs, list):
        return ours == theirs
    return len(ours) == len(theirs) and all(map(_one_is_alike, ours, theirs))


def _one_is_alike(ours: str | float, theirs: str | float) -> bool:
    try:
        return float(ours) == pytest.approx(float(theirs), rel=1e-5)
    except ValueError:
        return str(ours).strip("^ ") == str(theirs).strip("^ ")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_json_of_dcmtk(file: CorpusFile, tmp_path: Path) -> None:
    document = output_of("dcm2json", "-q", file.path)
    if not document:
        pytest.skip("DCMTK has no JSON for compressed pixels, nor for some numbers")
    (found,) = assemble(JSON, [document], []).instances
    assert isinstance(found, Assembled), found
    compare(found, file, tmp_path)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_xml_of_dcmtk(file: CorpusFile, tmp_path: Path) -> None:
    """Binary values inline; of compressed pixels DCMTK leaves only an empty place for a part."""
    document = output_of("dcm2xml", "-q", "-nat", "+Eb", "+Xn", file.path)
    if not document or b"&#27;" in document:
        pytest.skip("DCMTK writes escape sequences, which XML has no way to hold")
    if document.count(b"<Phonetic>") != file.row["patient_name"].count("=") // 2:
        pytest.skip("DCMTK repeats the ideographic group of a name as the phonetic one")
    instance = parse_object(file.read())
    parts: list[BulkPart] = []
    pixels = instance.elements.get(PIXEL_DATA)
    if pixels is not None and pixels.undefined:
        _, parts = taken_apart(instance, XML)
        parts = [part for part in parts if part.content_location.endswith("bulkdata/7FE00010")]
        place = f'<BulkData uri="{parts[0].content_location}"/>'
        document = document.replace(b"<InlineBinary></InlineBinary>", place.encode())
    (found,) = assemble(XML, [document], parts).instances
    assert isinstance(found, Assembled), found
    compare(found, file, tmp_path)


@pytest.mark.parametrize("media_type", [JSON, XML], ids=["json", "xml"])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_dcmtk_reads_what_is_put_together(
    file: CorpusFile, media_type: str, tmp_path: Path
) -> None:
    document, parts = taken_apart(parse_object(file.read()), media_type)
    (found,) = assemble(media_type, [document], parts).instances
    assert isinstance(found, Assembled), found
    assert_readable(found.part10(), tmp_path)
