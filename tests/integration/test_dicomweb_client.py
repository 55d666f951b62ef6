"""dicomweb-client, which others wrote for every DICOMweb server, drives the gateway."""

from __future__ import annotations

from pathlib import Path

import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless
from requests import HTTPError

from orthanc_process import requires_orthanc
from sample_files import ct_slice, instance_uid, series_uid, study_uid, write_series

from .conftest import Site, StartSite

pytestmark = requires_orthanc
SLICES = 5
IDS = (study_uid(), series_uid(), instance_uid(2))
ANY = "*"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("files")
    compressed = ct_slice(1, series=3)
    compressed.file_meta.TransferSyntaxUID = RLELossless
    compressed.PixelData = encapsulate([b"first frame of nobody's codec", b"second one"])
    compressed["PixelData"].is_undefined_length = True
    compressed.NumberOfFrames = 2
    compressed.save_as(directory / "compressed.dcm", enforce_file_format=True)
    return [
        *write_series(directory, SLICES),
        *write_series(directory, 2, series=2),
        *write_series(directory, 1, study=2),
        directory / "compressed.dcm",
    ]


@pytest.fixture(scope="module")
def site(start_site: StartSite, files: list[Path]) -> Site:
    return start_site("orthanc", files)


@pytest.fixture(params=["full", "orthanc"])
def client(request: pytest.FixtureRequest, site: Site) -> DICOMwebClient:
    return DICOMwebClient(site.doors[request.param == "orthanc"] + "/dicom-web")


def _uids(rows: list[dict], keyword: str) -> list[str]:  # type: ignore[type-arg]
    sets = [Dataset.from_json(row, bulk_data_uri_handler=lambda uri: b"") for row in rows]
    return [str(data_set[keyword].value) for data_set in sets]


def test_search_for_studies(client: DICOMwebClient) -> None:
    rows = client.search_for_studies()
    assert set(_uids(rows, "StudyInstanceUID")) == {study_uid(1), study_uid(2)}
    rows = client.search_for_studies(
        search_filters={"PatientName": "*2", "StudyDate": "20200101-20201231"},
        fields=["StudyDescription"],
        limit=10,
    )
    assert _uids(rows, "StudyInstanceUID") == [study_uid(2)]
    assert _uids(rows, "StudyDescription") == ["Test study"]
    assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []


def test_search_page_by_page(client: DICOMwebClient) -> None:
    pages = [client.search_for_studies(limit=1, offset=offset) for offset in range(3)]
    assert [len(page) for page in pages] == [1, 1, 0]
    found = {_uids(page, "StudyInstanceUID")[0] for page in pages[:2]}
    assert found == {study_uid(1), study_uid(2)}
    assert client.search_for_studies(get_remaining=True, limit=1)


def test_search_for_series(client: DICOMwebClient) -> None:
    rows = client.search_for_series(study_uid())
    assert _uids(rows, "SeriesInstanceUID") == [series_uid(number) for number in (1, 2, 3)]
    rows = client.search_for_series(study_uid(), search_filters={"SeriesNumber": "2"})
    assert _uids(rows, "SeriesInstanceUID") == [series_uid(2)]


def test_search_for_instances(client: DICOMwebClient) -> None:
    rows = client.search_for_instances(*IDS[:2])
    assert _uids(rows, "SOPInstanceUID") == [instance_uid(n) for n in range(1, SLICES + 1)]
    rows = client.search_for_instances(*IDS[:2], search_filters={"InstanceNumber": "3"})
    assert _uids(rows, "SOPInstanceUID") == [instance_uid(3)]


def test_metadata(client: DICOMwebClient, files: list[Path]) -> None:
    rows = client.retrieve_series_metadata(*IDS[:2])
    assert _uids(rows, "SOPInstanceUID") == [instance_uid(n) for n in range(1, SLICES + 1)]
    assert len(client.retrieve_study_metadata(study_uid())) == SLICES + 3
    row = client.retrieve_instance_metadata(*IDS)
    assert row == rows[1]
    ours = Dataset.from_json(row, bulk_data_uri_handler=lambda tag, vr, uri: b"")
    theirs = dcmread(files[1])
    for element in theirs:
        if element.keyword not in ("PixelData", "SpecificCharacterSet"):
            assert ours[element.tag] == element


def test_frames(client: DICOMwebClient, files: list[Path]) -> None:
    (frame,) = client.retrieve_instance_frames(*IDS, frame_numbers=[1])
    assert frame == dcmread(files[1]).PixelData
    with pytest.raises(HTTPError, match="404"):
        client.retrieve_instance_frames(*IDS, frame_numbers=[2])


def test_compressed_frames(client: DICOMwebClient) -> None:
    frames = client.retrieve_instance_frames(
        study_uid(),
        series_uid(3),
        instance_uid(1, 3),
        frame_numbers=[2, 1],
        media_types=(("image/dicom-rle", "1.2.840.10008.1.2.5"),),
    )
    assert [frame.rstrip(b"\0") for frame in frames] == [
        b"second one",
        b"first frame of nobody's codec",
    ]


def test_instance(client: DICOMwebClient, files: list[Path]) -> None:
    for media_types in (None, (("application/dicom", ANY),)):
        image = client.retrieve_instance(*IDS, media_types=media_types)
        assert image.file_meta.MediaStorageSOPInstanceUID == instance_uid(2)
        assert image == dcmread(files[1])


def test_series_and_study(client: DICOMwebClient, files: list[Path]) -> None:
    images = client.retrieve_series(*IDS[:2], media_types=(("application/dicom", ANY),))
    by_uid = {image.SOPInstanceUID: image for image in images}
    assert len(images) == SLICES
    for file in files[:SLICES]:
        theirs = dcmread(file)
        assert by_uid[theirs.SOPInstanceUID] == theirs
    study = client.retrieve_study(study_uid(), media_types=(("application/dicom", ANY),))
    assert len(study) == SLICES + 3


def test_objects_one_by_one(client: DICOMwebClient) -> None:
    seen = [str(image.SOPInstanceUID) for image in client.iter_series(*IDS[:2])]
    assert sorted(seen) == sorted(instance_uid(n) for n in range(1, SLICES + 1))


def test_bulk_data(client: DICOMwebClient, files: list[Path]) -> None:
    uri = client.retrieve_instance_metadata(*IDS)["7FE00010"]["BulkDataURI"]
    assert uri.startswith(client.base_url)
    (pixels,) = client.retrieve_bulkdata(uri)
    assert pixels == dcmread(files[1]).PixelData


def test_a_bad_uid(client: DICOMwebClient) -> None:
    with pytest.raises((HTTPError, ValueError)):
        client.retrieve_series_metadata("1.2.x", series_uid())
