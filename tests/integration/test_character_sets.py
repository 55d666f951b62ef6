"""Names in every character set of the collection: in JSON as they are, and found by them."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
import requests
from pydicom.valuerep import PersonName

from corpus import CorpusFile, requires_corpus, storable_files
from orthanc_process import requires_orthanc
from pacs_peers import requires_dcmtk

from .conftest import Site, StartSite

pytestmark = [requires_orthanc, requires_corpus, requires_dcmtk]
FILES = [file for file in storable_files() if file.category == "charset"]
GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


#: What each needs to tell all it knows: Orthanc answers in its DefaultEncoding, whatever it is
#: asked in; qrscp writes Latin-1 without saying so, and question marks for everything else.
PEERS = {
    "dcmqrscp": (FILES, {}, {}),
    "orthanc": (FILES, {"DefaultEncoding": "Utf8"}, {}),
    "qrscp": (
        [file for file in FILES if file.name.endswith("chrFren.dcm")],
        {},
        {"CharacterSet": "ISO_IR 100"},
    ),
}
CASES = [(kind, file) for kind, (files, _, _) in PEERS.items() for file in files]
each = pytest.mark.parametrize(
    ("site", "file"),
    CASES,
    indirect=["site"],
    ids=[f"{kind}-{Path(file.name).stem}" for kind, file in CASES],
)


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, start_site: StartSite) -> Site:
    _, options, pacs = PEERS[request.param]
    files = [file.path for file in FILES]
    return start_site(request.param, files, peer_options=options, pacs=pacs)


def expected(file: CorpusFile) -> tuple[str, dict[str, str]]:
    """Study and name as pydicom reads them."""
    data_set = pydicom.dcmread(file.path, stop_before_pixels=True)
    name = data_set.PatientName
    assert isinstance(name, PersonName)
    groups = zip(GROUPS, (name.alphabetic, name.ideographic, name.phonetic), strict=True)
    return data_set.StudyInstanceUID, {group: text for group, text in groups if text}


def names_of(site: Site, query: dict[str, str]) -> dict[str, dict[str, str]]:
    """Study -> name."""
    url = f"{site.gateway.full_door_url}/dicom-web/studies"
    answer = requests.get(url, params=query, headers={"Cache-Control": "no-cache"}, timeout=60)
    assert answer.status_code == 200, answer.text
    return {
        row["0020000D"]["Value"][0]: (row["00100010"].get("Value") or [{}])[0]
        for row in answer.json()
    }


@each
def test_names_are_right(site: Site, file: CorpusFile) -> None:
    study, name = expected(file)
    assert names_of(site, {"StudyInstanceUID": study}) == {study: name}


@each
def test_each_component_group_finds_the_study(site: Site, file: CorpusFile) -> None:
    study, name = expected(file)
    for text in name.values():
        for asked in (text, text.upper(), f"{text[:2]}*", f"*{text[1:]}"):
            assert study in names_of(site, {"PatientName": asked}), (text, asked)
    assert study not in names_of(site, {"PatientName": f"{name['Alphabetic']}x"})
