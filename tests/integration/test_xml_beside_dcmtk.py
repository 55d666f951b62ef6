"""The Native DICOM Model of every real file beside what DCMTK's dcm2xml writes of it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

from corpus import CorpusFile, requires_corpus, storable_files
from farsight.dicom.part10 import parse_object
from farsight.ps318.attribute_id import is_private
from farsight.ps318.dicom_json import object_attributes
from farsight.ps318.dicom_xml import NAMESPACE, native_dicom_model

requires_dcm2xml = pytest.mark.skipif(
    shutil.which("dcm2xml") is None, reason="needs DCMTK's tools (Debian: dcmtk)"
)
pytestmark = [requires_corpus, requires_dcm2xml]
_NUMBERS = frozenset(["DS", "IS", "US", "SS", "UL", "SL", "FL", "FD", "SV", "UV"])
#: What DCMTK reads or writes differently: VRs from its own dictionary of private attributes, tags
#: as values, large values, and tags of private attributes whose creator isn't told.
_OTHER_FORM = frozenset(["UN", "OB", "OW", "OF", "OD", "OL", "OV", "AT"])

#: Specific Character Set: DCMTK was asked to write UTF-8.
_CONVERTED = "00080005"

#: Its empty phonetic group repeats the ideographic one there.
_DCMTK_ERRS = frozenset({"charset/chrX1.dcm"})

Values = list[tuple[str, str]]


def dcm2xml(path: str) -> ElementTree.Element | None:
    """None where DCMTK can't: a character set it doesn't know, or text that is no XML."""
    command = ["dcm2xml", "-nat", "+U8", path]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode or b"not supported" in done.stderr:
        return None
    try:
        return ElementTree.fromstring(done.stdout)
    except ElementTree.ParseError:
        return None


def name_of(element: ElementTree.Element) -> str:
    return element.tag.removeprefix(f"{{{NAMESPACE}}}")


def values(root: ElementTree.Element, path: str = "") -> Iterator[tuple[str, Values]]:
    """Path of tags and creators -> names and texts of everything below it."""
    for attribute in root:
        creator = attribute.attrib.get("privateCreator", "")
        tag, vr = attribute.attrib["tag"], attribute.attrib["vr"]
        here = f"{path}/{tag}{creator}"
        nobodys = is_private(tag) and not creator
        if tag.endswith("0000") or tag == _CONVERTED or vr in _OTHER_FORM or nobodys:
            continue
        for item in attribute:
            if name_of(item) == "Item" and not creator:
                yield from values(item, f"{here}/{item.attrib['number']}")
        yield f"{here} {vr}", [] if vr == "SQ" else list(_texts(attribute, vr))


def _texts(attribute: ElementTree.Element, vr: str) -> Iterator[tuple[str, str]]:
    for element in attribute.iter():
        text = (element.text or "").strip(" \0\r\n")
        if element is not attribute and name_of(element) != "BulkData" and text:
            yield name_of(element), f"{float(text) + 0.0:.6g}" if vr in _NUMBERS else text


_FILES = [file for file in storable_files() if file.name not in _DCMTK_ERRS]


@pytest.mark.parametrize("file", _FILES, ids=lambda file: file.name)
def test_it_says_what_dcmtk_says(file: CorpusFile) -> None:
    theirs = dcm2xml(str(file.path))
    if theirs is None:
        pytest.skip("DCMTK can't write this file as XML")
    attributes = object_attributes(parse_object(file.read()))
    ours = dict(values(ElementTree.fromstring(native_dicom_model(attributes))))
    expected = dict(values(theirs))
    differing = {
        key: (ours.get(key), value) for key, value in expected.items() if ours.get(key) != value
    }
    assert expected
    assert not differing
