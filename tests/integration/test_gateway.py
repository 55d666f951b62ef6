"""The main job: a study that lives only in a PACS, seen through both doors."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import requests
from pydicom import dcmread

from orthanc_process import requires_orthanc
from pacs_peers import requires_dcmtk
from related_parts import related_parts
from sample_files import instance_uid, series_uid, study_uid, write_series

from .conftest import Site, StartSite

pytestmark = [requires_orthanc, requires_dcmtk]
SLICES = 12
STUDY = f"/dicom-web/studies/{study_uid()}"
SERIES = f"{STUDY}/series/{series_uid()}"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("files")
    return (
        write_series(directory, SLICES)
        + write_series(directory, 3, series=2)
        + write_series(directory, 2, study=2)
    )


@pytest.fixture(scope="module", params=["dcmqrscp", "orthanc", "c-move"])
def site(request: pytest.FixtureRequest, start_site: StartSite, files: list[Path]) -> Site:
    if request.param == "c-move":
        return start_site("dcmqrscp", files, pacs={"Retrieve": "c-move"})
    return start_site(request.param, files)


@pytest.fixture(params=["full", "orthanc"])
def door(request: pytest.FixtureRequest, site: Site) -> str:
    return site.doors[0 if request.param == "full" else 1]


def test_studies_are_listed_with_the_required_attributes(door: str) -> None:
    answer = requests.get(f"{door}/dicom-web/studies", timeout=60)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/dicom+json"
    rows = {row["0020000D"]["Value"][0]: row for row in answer.json()}
    assert set(rows) == {study_uid(1), study_uid(2)}
    row = rows[study_uid()]
    assert row["00100010"]["Value"] == [{"Alphabetic": "Muster^Jürgen1"}]
    assert row["00080061"]["Value"] == ["CT"]
    assert [int(n) for n in row["00201206"]["Value"]] == [2]
    assert [int(n) for n in row["00201208"]["Value"]] == [SLICES + 3]
    assert row["00081190"]["Value"] == [f"{door}/dicom-web/studies/{study_uid()}"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("PatientID=PAT2", {2}),
        ("00100020=PAT2", {2}),
        ("PatientName=muster*", {1, 2}),
        ("PatientName=*2", {2}),
        ("StudyDate=20200102-", {2}),
        ("StudyDate=20200101-20200102", {1, 2}),
        (f"StudyInstanceUID={study_uid(1)},{study_uid(2)}", {1, 2}),
        ("ModalitiesInStudy=CT%2CMR", {1, 2}),
        ("ModalitiesInStudy=MR", set()),
        ("limit=1", {2}),
        ("limit=1&offset=1", {1}),
        ("limit=101&offset=0&includefield=00081030%2C00080060&fuzzymatching=false", {1, 2}),
        ("PatientName=nobody", set()),
    ],
)
def test_matching(door: str, query: str, expected: set[int]) -> None:
    answer = requests.get(f"{door}/dicom-web/studies?{query}", timeout=60)
    assert answer.status_code == 200
    assert {row["0020000D"]["Value"][0] for row in answer.json()} == {
        study_uid(number) for number in expected
    }


def test_series_and_instances_are_listed(door: str) -> None:
    rows = requests.get(f"{door}{STUDY}/series", timeout=60).json()
    assert [row["0020000E"]["Value"][0] for row in rows] == [series_uid(1), series_uid(2)]
    rows = requests.get(f"{door}{SERIES}/instances", timeout=60).json()
    assert [row["00080018"]["Value"][0] for row in rows] == [
        instance_uid(number) for number in range(1, SLICES + 1)
    ]


def test_series_metadata_is_complete_and_recorded(site: Site, door: str, files: list[Path]) -> None:
    answer = requests.get(f"{door}{SERIES}/metadata", timeout=60)
    assert answer.status_code == 200, answer.text
    rows = answer.json()
    assert [row["00200013"]["Value"][0] for row in rows] == list(range(1, SLICES + 1))
    expected = dcmread(files[3]).to_json_dict()
    row = rows[3]
    assert row["7FE00010"]["BulkDataURI"].startswith(f"{door}{SERIES}/instances/{instance_uid(4)}")
    for tag in expected.keys() - {"7FE00010", "00080005"}:
        assert row[tag] == expected[tag], tag
    pixels = requests.get(row["7FE00010"]["BulkDataURI"], timeout=60)
    assert dcmread(files[3]).PixelData in pixels.content


def test_frames_are_the_pixels(door: str, files: list[Path]) -> None:
    answer = requests.get(
        f"{door}{SERIES}/instances/{instance_uid(7)}/frames/1",
        headers={"Accept": "multipart/related; type=application/octet-stream; transfer-syntax=*"},
        timeout=60,
    )
    assert answer.status_code == 200
    ((kind, body),) = related_parts(answer)
    assert kind == "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"
    assert body == dcmread(files[6]).PixelData


def test_objects_of_instance_series_and_study(door: str) -> None:
    headers = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
    one = requests.get(f"{door}{SERIES}/instances/{instance_uid(1)}", headers=headers, timeout=60)
    assert len(related_parts(one)) == 1
    assert related_parts(one)[0][1][128:132] == b"DICM"
    assert len(related_parts(requests.get(door + SERIES, headers=headers, timeout=60))) == SLICES
    assert len(related_parts(requests.get(door + STUDY, headers=headers, timeout=60))) == SLICES + 3


def test_what_was_fetched_is_stored_and_served_without_the_pacs(
    start_site: StartSite, files: list[Path]
) -> None:
    site = start_site("dcmqrscp", files)
    full, orthanc = site.doors
    first = requests.get(f"{full}{SERIES}/metadata", timeout=60)
    assert len(first.json()) == SLICES
    _wait_stored(site, SLICES)
    site.peer.kill()
    again = requests.get(f"{orthanc}{SERIES}/metadata", timeout=60)
    assert again.status_code == 200
    assert "Warning" not in again.headers
    assert len(again.json()) == SLICES
    site.gateway.stop()
    site.gateway.start()
    after_restart = requests.get(f"{site.gateway.url}{SERIES}/metadata", timeout=60)
    assert after_restart.status_code == 200
    assert "Warning" not in after_restart.headers
    assert len(after_restart.json()) == SLICES
    elsewhere = requests.get(f"{orthanc}{STUDY}/series/{series_uid(2)}/metadata", timeout=60)
    assert elsewhere.status_code == 503
    assert "'pacs'" in elsewhere.json()["error"]
    listed = requests.get(f"{orthanc}/dicom-web/studies", timeout=60)
    assert listed.status_code == 200
    assert "'pacs'" in listed.headers["Warning"]
    assert [row["0020000D"]["Value"][0] for row in listed.json()] == [study_uid()]


def _wait_stored(site: Site, count: int) -> None:
    import time

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        flights = requests.get(f"{site.doors[0]}/farsight/retrieves", timeout=10).json()
        if not flights and site.gateway.json("/statistics")["CountInstances"] == count:
            return
        time.sleep(0.1)
    raise AssertionError("not stored in time")


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/dicom-web/studies/1.2.x/metadata", 400, "StudyInstanceUID"),
        (f"{STUDY}/series/abc/metadata", 400, "SeriesInstanceUID"),
        (f"{SERIES}/instances/{instance_uid(1)}/frames/0", 400, "0"),
        (f"{SERIES}/instances/{instance_uid(1)}/frames/2", 404, "frame 2"),
        ("/dicom-web/studies/1.2.3/metadata", 404, "1.2.3"),
        (f"{STUDY}/series/1.2.3/metadata", 404, "1.2.3"),
        (f"{SERIES}/instances/1.2.3/metadata", 404, "1.2.3"),
        ("/dicom-web/studies?StudyDate=yesterday", 400, "StudyDate"),
        ("/dicom-web/studies?Modality=CT", 400, "Modality"),
        ("/dicom-web/studies?limit=-1", 400, "limit"),
        ("/dicom-web/nothing", 404, ""),
    ],
)
def test_errors_say_what_is_wrong(door: str, path: str, status: int, said: str) -> None:
    answer = requests.get(door + path, timeout=60)
    assert answer.status_code == status, answer.text
    assert said in answer.text


def test_an_unknown_parameter_is_ignored_but_not_in_silence(door: str) -> None:
    plain = requests.get(f"{door}/dicom-web/studies", timeout=60)
    answer = requests.get(f"{door}/dicom-web/studies?NoSuchKey=1", timeout=60)
    assert answer.status_code == 200
    assert answer.json() == plain.json()
    assert "NoSuchKey is not supported" in answer.headers["Warning"]


def test_a_frame_asked_for_twice(door: str) -> None:
    path = f"{SERIES}/instances/{instance_uid(1)}/frames/1,1"
    answer = requests.get(door + path, timeout=60)
    assert answer.status_code == 400
    assert "frames" in answer.text


def test_not_acceptable(door: str) -> None:
    answer = requests.get(f"{door}{SERIES}/metadata", headers={"Accept": "image/png"}, timeout=60)
    assert answer.status_code == 406
    assert "application/dicom+json" in answer.text


def test_full_door_says_what_the_sdk_cannot(site: Site) -> None:
    full = site.doors[0]
    url = f"{full}{SERIES}/metadata"
    zipped = requests.get(url, headers={"Accept-Encoding": "gzip"}, stream=True, timeout=60)
    assert zipped.headers["Content-Encoding"] == "gzip"
    rows = json.loads(gzip.decompress(zipped.raw.read()))
    assert len(rows) == SLICES
    plain = requests.get(url, headers={"Accept-Encoding": "identity"}, timeout=60)
    head = requests.head(url, headers={"Accept-Encoding": "identity"}, timeout=60)
    assert head.status_code == 200
    assert int(head.headers["Content-Length"]) == len(plain.content)
    assert head.content == b""
    options = requests.options(url, timeout=60)
    assert options.status_code == 204
    assert "GET" in options.headers["Allow"]
    bulk = rows[0]["7FE00010"]["BulkDataURI"]
    part = requests.get(
        bulk, headers={"Range": "bytes=10-19", "Accept": "application/octet-stream"}, timeout=60
    )
    assert part.status_code == 206
    assert len(part.content) == 10
    assert requests.put(url, data=b"x", timeout=60).status_code == 405
    repeated = requests.get(
        f"{full}/dicom-web/studies?includefield=StudyDescription&includefield=StudyID", timeout=60
    )
    assert repeated.json()[0]["00081030"]["Value"] == ["Test study"]


def test_full_door_asks_for_orthancs_credentials(start_site: StartSite, files: list[Path]) -> None:
    site = start_site(
        "dcmqrscp", files, AuthenticationEnabled=True, RegisteredUsers={"doctor": "who"}
    )
    for door in site.doors:
        refused = requests.get(f"{door}/dicom-web/studies", timeout=60)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Basic")
        wrong = requests.get(f"{door}/dicom-web/studies", auth=("doctor", "no"), timeout=60)
        assert wrong.status_code == 401
        right = requests.get(f"{door}/dicom-web/studies", auth=("doctor", "who"), timeout=60)
        assert right.status_code == 200


def test_status_page(site: Site) -> None:
    status = requests.get(f"{site.doors[0]}/farsight/status", timeout=60).json()
    assert [(pacs["name"], pacs["ok"]) for pacs in status["pacs"]] == [("pacs", True)]
    page = requests.get(f"{site.doors[1]}/farsight/", timeout=60)
    assert page.headers["Content-Type"].startswith("text/html")
    assert "pacs" in page.text


def test_compressed_pixel_data_is_served_at_the_uri_the_metadata_names(
    start_site: StartSite,
) -> None:
    from pydicom.data import get_testdata_file

    path = Path(str(get_testdata_file("MR_small_RLE.dcm")))
    image = dcmread(path)
    site = start_site("orthanc", [path])
    for door in site.doors:
        url = f"{door}/dicom-web/studies/{image.StudyInstanceUID}/metadata"
        (row,) = requests.get(url, timeout=60).json()
        uri = row["7FE00010"]["BulkDataURI"]
        ((kind, body),) = related_parts(requests.get(uri, timeout=60))
        assert kind == "image/dicom-rle; transfer-syntax=1.2.840.10008.1.2.5"
        assert body in image.PixelData
