"""Names in every character set of the collection: in JSON as they are, and found by them."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Asked:
    """A gateway before one of them, and the files whose letters that one can tell."""

    site: Site
    files: list[CorpusFile]


@pytest.fixture(scope="module", params=PEERS)
def asked(request: pytest.FixtureRequest, start_site: StartSite) -> Asked:
    files, options, pacs = PEERS[request.param]
    every = [file.path for file in FILES]
    return Asked(start_site(request.param, every, peer_options=options, pacs=pacs), files)


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


def test_names_are_right(asked: Asked) -> None:
    found = names_of(asked.site, {})
    assert {file.name: found[expected(file)[0]] for file in asked.files} == {
        file.name: expected(file)[1] for file in asked.files
    }


def test_each_component_group_finds_the_study(asked: Asked) -> None:
    missed = []
    for file in asked.files:
        study, name = expected(file)
        for text in name.values():
            for wanted in (text, text.upper(), f"{text[:2]}*", f"*{text[1:]}"):
                if study not in names_of(asked.site, {"PatientName": wanted}):
                    missed.append((file.name, wanted))
        assert study not in names_of(asked.site, {"PatientName": f"{name['Alphabetic']}x"})
    assert not missed
