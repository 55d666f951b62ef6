"""What the answer to a request to store says (PS3.18 10.5.3, annex I), read by pydicom."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from xml.etree import ElementTree

import pytest
import requests
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import MediaStorageDirectoryStorage, generate_uid

from fakes.scripted_pacs import wait_until
from orthanc_process import OrthancProcess, requires_orthanc
from stowing import (
    STUDIES,
    doors,
    held,
    new_files,
    new_study,
    nothing_stored,
    part10,
    post,
    related,
    store,
    stored_files,
    storing_gateway,
    uid_of,
)

pytestmark = requires_orthanc
CT = "1.2.840.10008.5.1.4.1.1.2"
DUPLICATE, INVALID, MISSING, SOP_CLASS = 0x0111, 0x0117, 0x0120, 0x0122
FAILURE, OTHER_STUDY, CANNOT_UNDERSTAND = 0x0110, 0xA901, 0xC000


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancProcess]:
    with storing_gateway(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture(params=["full", "orthanc"])
def door(request: pytest.FixtureRequest, gateway: OrthancProcess) -> str:
    return doors(gateway)[request.param == "orthanc"]


def test_all_stored(gateway: OrthancProcess, door: str) -> None:
    images = new_study(2)
    answer = store(door, [part10(image) for image in images])
    assert answer.status == 200
    assert isinstance(json.loads(answer.body), dict), "one object, as clients take it"
    study_url = answer.data_set.RetrieveURL
    assert study_url.endswith(f"{STUDIES}/{images[0].StudyInstanceUID}")
    expected = Dataset()
    expected.RetrieveURL = study_url
    expected.ReferencedSOPSequence = []
    for image in images:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, image.SOPInstanceUID
        series = f"{study_url}/series/{image.SeriesInstanceUID}"
        item.RetrieveURL = f"{series}/instances/{image.SOPInstanceUID}"
        expected.ReferencedSOPSequence.append(item)
    assert answer.data_set == expected
    assert "Warning" not in answer.headers
    for item in expected.ReferencedSOPSequence:
        found = requests.get(f"{item.RetrieveURL}/metadata", timeout=60).json()
        assert found[0]["00080018"]["Value"] == [item.ReferencedSOPInstanceUID]


def test_several_studies(door: str) -> None:
    """No URL is that of all of them."""
    answer = store(door, [*new_files(1), *new_files(1)])
    assert answer.status == 200
    assert len(answer.stored) == 2
    assert answer.data_set.RetrieveURL in (None, "")


def test_some_refused(door: str) -> None:
    good, bad = new_files(2)
    answer = store(door, [good, b"junk", bad[:200], good])
    assert answer.status == 202
    assert answer.stored == [uid_of(good), uid_of(good)]
    assert answer.nameless == [CANNOT_UNDERSTAND, CANNOT_UNDERSTAND]
    assert answer.headers["Warning"].count("1 not stored (0xC000)") == 2
    assert "[part 2]" in answer.headers["Warning"]
    assert "[part 3]" in answer.headers["Warning"]
    assert answer.headers["Warning"].startswith("299 ")


def test_all_refused(gateway: OrthancProcess, door: str) -> None:
    files = new_files(2)
    with nothing_stored(gateway):
        answer = store(door, files, study="1.2.3")
    assert answer.status == 409
    assert answer.refused == {uid_of(file): OTHER_STUDY for file in files}
    assert {item.ReferencedSOPClassUID for item in answer.data_set.FailedSOPSequence} == {CT}
    assert "ReferencedSOPSequence" not in answer.data_set
    assert "1.2.3" in answer.headers["Warning"]


@pytest.mark.parametrize("accept", [None, "*/*", "application/*", "application/dicom+json"])
def test_json(door: str, accept: str | None) -> None:
    assert store(door, new_files(1), accept=accept).data_set.ReferencedSOPSequence


@pytest.mark.parametrize(
    "accept", ["application/dicom+xml", "application/dicom+json;q=0.5, application/dicom+xml"]
)
def test_xml(door: str, accept: str) -> None:
    files = new_files(1)
    answer = store(door, [*files, b"junk"], accept=accept)
    assert answer.status == 202
    root = ElementTree.fromstring(answer.body)
    assert root.tag.endswith("NativeDicomModel")
    space = root.tag.removesuffix("NativeDicomModel")
    keywords = {element.get("keyword") for element in root.iter(f"{space}DicomAttribute")}
    assert {"ReferencedSOPSequence", "OtherFailuresSequence", "RetrieveURL"} <= keywords
    assert uid_of(files[0]) in [value.text for value in root.iter(f"{space}Value")]


def test_another_form_is_refused_before_anything_is_stored(
    gateway: OrthancProcess, door: str
) -> None:
    with nothing_stored(gateway):
        assert store(door, new_files(1), accept="text/html").status == 406


def _without(keyword: str) -> Callable[[FileDataset], bytes]:
    def make(image: FileDataset) -> bytes:
        del image[keyword]
        return part10(image)

    return make


def _with(**values: object) -> Callable[[FileDataset], bytes]:
    def make(image: FileDataset) -> bytes:
        for keyword, value in values.items():
            setattr(image, keyword, value)
        return part10(image)

    return make


def _data_set_alone(image: FileDataset) -> bytes:
    file = part10(image)
    return file[file.index(b"\x08\x00\x05\x00CS") :]


def _directory(image: FileDataset) -> bytes:
    image.SOPClassUID = MediaStorageDirectoryStorage
    image.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    return part10(image)


def _raw_uid(image: FileDataset) -> bytes:
    """pydicom would not write it."""
    file = part10(image)
    uid = str(image.SeriesInstanceUID).encode()
    return file.replace(uid, b"../../" + uid[6:])


def _no_item(image: FileDataset) -> bytes:
    """A private sequence of explicit length that holds something else than items."""
    return part10(image) + b"\xe1\x7f\x10\x10SQ\0\0\x08\0\0\0" + b"\x08\0\x05\0\0\0\0\0"


def test_what_orthanc_can_not_read(gateway: OrthancProcess, door: str) -> None:
    """We skip what we don't need; it can't. It says why in words."""
    (image,) = new_study()
    with nothing_stored(gateway):
        answer = store(door, [_no_item(image)])
    assert answer.refused == {str(image.SOPInstanceUID): CANNOT_UNDERSTAND}
    assert ": Bad file format [" in answer.headers["Warning"]


@pytest.mark.parametrize(
    ("make", "reason", "is_named"),
    [
        pytest.param(lambda image: b"junk", CANNOT_UNDERSTAND, False, id="junk"),
        pytest.param(lambda image: b"", CANNOT_UNDERSTAND, False, id="nothing"),
        pytest.param(
            lambda image: b"\0" * 128 + b"DICM", CANNOT_UNDERSTAND, False, id="a preamble"
        ),
        pytest.param(_data_set_alone, CANNOT_UNDERSTAND, False, id="a data set alone"),
        pytest.param(
            lambda image: part10(image)[:-100], CANNOT_UNDERSTAND, False, id="cut off in the pixels"
        ),
        pytest.param(
            lambda image: part10(image)[:400], CANNOT_UNDERSTAND, False, id="cut off in the header"
        ),
        pytest.param(_without("SOPClassUID"), MISSING, False, id="no SOP class"),
        pytest.param(_without("SOPInstanceUID"), MISSING, False, id="no SOP instance"),
        pytest.param(_without("StudyInstanceUID"), MISSING, False, id="no study"),
        pytest.param(_without("SeriesInstanceUID"), MISSING, False, id="no series"),
        pytest.param(_with(SeriesInstanceUID=""), MISSING, False, id="an empty series"),
        pytest.param(_raw_uid, INVALID, False, id="a path for a series"),
        pytest.param(
            _with(SOPClassUID="1.2.840.10008.1.1"), SOP_CLASS, True, id="not to be stored"
        ),
        pytest.param(_directory, SOP_CLASS, True, id="a DICOMDIR"),
    ],
)
def test_reasons(
    gateway: OrthancProcess,
    door: str,
    make: Callable[[FileDataset], bytes],
    reason: int,
    is_named: bool,
) -> None:
    (image,) = new_study()
    uid = str(image.SOPInstanceUID)
    file = make(image)
    with nothing_stored(gateway):
        answer = store(door, [file])
    assert answer.status == 409, answer.body
    assert (answer.refused if is_named else answer.nameless) == (
        {uid: reason} if is_named else [reason]
    )
    assert f"0x{reason:04X}" in answer.headers["Warning"]
    assert "Muster" not in answer.headers["Warning"], "no patient data"


def test_odd_but_storable(gateway: OrthancProcess, door: str) -> None:
    """A private SOP class, a UID with leading zeros, no patient: real objects are like that."""
    for values in (
        {"SOPClassUID": "1.3.12.2.1107.5.9.1"},
        {"PatientID": ""},
        {"PatientName": "Ünï^Cödé"},
    ):
        (image,) = new_study()
        for keyword, value in values.items():
            setattr(image, keyword, value)
        file = part10(image)
        answer = store(door, [file])
        assert answer.status == 200, (values, answer.body)
        assert stored_files(gateway, uid_of(file)) == [file]


def test_a_file_without_its_preamble(gateway: OrthancProcess, door: str) -> None:
    """Some clients begin with the file meta information; what is stored is a file (PS3.10 7.1)."""
    (file,) = new_files(1)
    assert store(door, [file[132:]]).status == 200
    assert stored_files(gateway, uid_of(file)) == [bytes(128) + b"DICM" + file[132:]]


def test_another_patient(gateway: OrthancProcess, door: str) -> None:
    """One study is of one patient: Orthanc would make two studies of it."""
    mine, theirs, also_theirs = new_study(3)
    theirs.PatientID = also_theirs.PatientID = "SOMEBODY ELSE"
    assert store(door, [part10(mine)]).status == 200
    with nothing_stored(gateway):
        answer = store(door, [part10(theirs)])
    assert answer.refused == {theirs.SOPInstanceUID: FAILURE}
    assert "another patient" in answer.headers["Warning"]
    assert "SOMEBODY" not in answer.headers["Warning"]

    first, second = new_study(2)
    second.PatientID = "SOMEBODY ELSE"
    answer = store(door, [part10(first), part10(second)])
    assert answer.status == 202
    assert answer.stored == [first.SOPInstanceUID]
    assert answer.refused == {second.SOPInstanceUID: FAILURE}


def test_the_same_name_in_another_series(gateway: OrthancProcess, door: str) -> None:
    (image,) = new_study()
    assert store(door, [part10(image)]).status == 200
    series = str(image.SeriesInstanceUID)
    image.SeriesInstanceUID = generate_uid()
    with nothing_stored(gateway):
        answer = store(door, [part10(image)])
    assert answer.refused == {image.SOPInstanceUID: DUPLICATE}
    assert series in answer.headers["Warning"]

    image, other = new_study(2)
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    other.SeriesInstanceUID = generate_uid()
    before = held(gateway)
    answer = store(door, [part10(image), part10(other)])
    assert answer.status == 202
    assert answer.stored == [image.SOPInstanceUID]
    assert answer.refused == {image.SOPInstanceUID: DUPLICATE}
    assert len(held(gateway)) == len(before) + 1


def test_a_huge_answer(door: str) -> None:
    """Many reasons: the headers stay small, the data set tells all."""
    answer = store(door, [part10(image) for image in new_study(40)], study="1.2.3")
    assert len(answer.refused) == 40
    assert len(answer.headers["Warning"]) < 2000


def test_a_body_without_parts_names(door: str) -> None:
    assert post(door + STUDIES, related([b""])).nameless == [CANNOT_UNDERSTAND]


@pytest.mark.parametrize("same_series", [True, False])
def test_a_study_of_two_patients_that_others_stored(
    gateway: OrthancProcess, door: str, same_series: bool
) -> None:
    """Both are known to have it; a third is not. Those who are gone are forgotten."""
    first, again, second, second_again, third = new_study(5)
    second.PatientID = second_again.PatientID = "SECOND"
    third.PatientID = "THIRD"
    if not same_series:
        second.SeriesInstanceUID = second_again.SeriesInstanceUID = generate_uid()
    assert store(door, [part10(first)]).status == 200
    added = requests.post(f"{gateway.url}/instances", data=part10(second), timeout=60).json()
    wait_until(lambda: _is_listed(door, second), what="hearing of it")
    assert store(door, [part10(third)]).refused == {third.SOPInstanceUID: FAILURE}
    assert store(door, [part10(again)]).stored == [again.SOPInstanceUID]
    assert store(door, [part10(second_again)]).stored == [second_again.SOPInstanceUID]
    requests.delete(f"{gateway.url}/patients/{added['ParentPatient']}", timeout=60)
    wait_until(lambda: not _is_listed(door, second_again), what="hearing of it")
    assert store(door, [part10(second)]).refused == {second.SOPInstanceUID: FAILURE}


def _is_listed(door: str, image: FileDataset) -> bool:
    """Whether the door knows of it."""
    url = f"{door}/dicom-web/studies/{image.StudyInstanceUID}/metadata"
    rows = requests.get(url, timeout=60).json()
    return image.SOPInstanceUID in {row["00080018"]["Value"][0] for row in rows}
