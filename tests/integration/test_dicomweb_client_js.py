"""npm's dicomweb-client, the one inside OHIF, drives the gateway; pydicom says what is right."""

from __future__ import annotations

import base64
import json
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.pixels import apply_modality_lut, pixel_array
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from decoded_pixels import bundled, decoded_pixels, distance, identifiers, picture, with_frames
from npm_packages import node_modules, requires_node
from orthanc_process import requires_orthanc
from pacs_peers import requires_dcmtk
from sample_files import instance_uid, series_uid, study_uid, write_series

from .conftest import Site, StartSite

pytestmark = [requires_orthanc, requires_dcmtk, requires_node]

PROJECT = Path(__file__).resolve().parent.parent / "dicomweb_client_js"
CINE = "examples_ybr_color.dcm"
ECG = "waveform_ecg.dcm"
SAMPLES = ["CT_small.dcm", "MR_small_RLE.dcm", CINE, ECG]
SLICES = 3
SERIES = {"studyInstanceUID": study_uid(), "seriesInstanceUID": series_uid()}


class Client:
    """dicomweb-client in node, one process for each call. options: of its constructor."""

    def __init__(self, modules: Path, url: str, **options: Any) -> None:
        self._modules = modules
        self._options = {"url": url, **options}

    def __call__(self, method: str, **options: Any) -> Any:
        """What the method answers; bytes are bytes."""
        call = {"client": self._options, "method": method, "options": options}
        script = [str(PROJECT / "call.mjs"), str(self._modules), json.dumps(call)]
        done = subprocess.run(["node", *script], capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return _with_bytes(json.loads(done.stdout))

    def with_options(self, **options: Any) -> Client:
        return Client(self._modules, **{**self._options, **options})


def _with_bytes(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_bytes(one) for one in value]
    if isinstance(value, dict) and set(value) == {"bytes"}:
        return base64.b64decode(value["bytes"])
    return value


@pytest.fixture(scope="module")
def modules() -> Path:
    return node_modules(PROJECT)


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_series(tmp_path_factory.mktemp("files"), SLICES)


@pytest.fixture(scope="module")
def site(start_site: StartSite, modules: Path, slices: list[Path]) -> Site:
    return start_site("orthanc", [*slices, *map(bundled, SAMPLES)])


@pytest.fixture(params=["full", "orthanc"])
def client(request: pytest.FixtureRequest, modules: Path, site: Site) -> Client:
    return Client(modules, site.doors[request.param == "orthanc"] + "/dicom-web")


def _options(name: str) -> dict[str, str]:
    uids = identifiers(dcmread(bundled(name)))
    return dict(zip(("studyInstanceUID", "seriesInstanceUID", "sopInstanceUID"), uids, strict=True))


def _values(rows: list[dict[str, Any]], tag: str) -> list[str]:
    return [row[tag]["Value"][0] for row in rows]


def test_searches(client: Client) -> None:
    everything = client("searchForStudies")
    assert len(everything) == 1 + len(SAMPLES)
    (found,) = client("searchForStudies", queryParams={"PatientID": "PAT1", "limit": 5})
    assert found["0020000D"]["Value"] == [study_uid()]
    series = client("searchForSeries", studyInstanceUID=study_uid())
    assert _values(series, "0020000E") == [series_uid()]
    instances = client("searchForInstances", **SERIES, queryParams={"InstanceNumber": "2"})
    assert _values(instances, "00080018") == [instance_uid(2)]
    assert client("searchForStudies", queryParams={"PatientID": "nobody"}) == []


def test_metadata(client: Client) -> None:
    of_series = client("retrieveSeriesMetadata", **SERIES)
    assert _values(of_series, "00080018") == [instance_uid(n) for n in range(1, SLICES + 1)]
    assert client("retrieveStudyMetadata", studyInstanceUID=study_uid()) == of_series
    second = client("retrieveInstanceMetadata", **SERIES, sopInstanceUID=instance_uid(2))
    assert second == [of_series[1]]
    assert client(
        "retrieveSeriesMetadata", studyInstanceUID=study_uid(), seriesInstanceUID="1.2.3"
    ) == {"status": 404}


def test_frames_as_they_are_stored(client: Client, slices: list[Path]) -> None:
    (frame,) = client(
        "retrieveInstanceFrames", **SERIES, sopInstanceUID=instance_uid(1), frameNumbers="1"
    )
    assert frame == dcmread(slices[0]).PixelData

    cine = dcmread(bundled(CINE))
    stored = list(generate_frames(cine.PixelData, number_of_frames=30))
    jpeg = {"mediaType": "image/jpeg", "transferSyntaxUID": "1.2.840.10008.1.2.4.50"}
    frames = client(
        "retrieveInstanceFrames", **_options(CINE), frameNumbers="2,30", mediaTypes=[jpeg]
    )
    assert frames == [stored[1], stored[29]]
    beyond = client(
        "retrieveInstanceFrames", **_options(CINE), frameNumbers="31", mediaTypes=[jpeg]
    )
    assert beyond == {"status": 404}


@pytest.mark.parametrize(
    ("media_type", "syntax"),
    [
        pytest.param("application/octet-stream", ExplicitVRLittleEndian, id="octet-stream"),
        pytest.param("image/x-dicom-rle", RLELossless, id="rle"),
        pytest.param("image/jpeg", JPEGLosslessSV1, id="jpeg"),
        pytest.param("image/x-jls", JPEGLSLossless, id="x-jls"),
        pytest.param("image/jls", JPEGLSLossless, id="jls"),
        pytest.param("image/jp2", JPEG2000Lossless, id="jp2"),
    ],
)
@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_RLE.dcm"])
def test_frames_in_other_syntaxes(
    client: Client, tmp_path: Path, name: str, media_type: str, syntax: str
) -> None:
    original = dcmread(bundled(name))
    (frame,) = client(
        "retrieveInstanceFrames",
        **_options(name),
        frameNumbers="1",
        mediaTypes=[{"mediaType": media_type, "transferSyntaxUID": str(syntax)}],
    )
    made = with_frames(original, [frame], syntax)
    np.testing.assert_array_equal(decoded_pixels(made, tmp_path), pixel_array(original))


def test_frames_compressed_or_not_as_is_there(client: Client) -> None:
    """Image types and octets in one Accept: the stored frame is taken as it is."""
    original = dcmread(bundled("MR_small_RLE.dcm"))
    (frame,) = client(
        "retrieveInstanceFrames",
        **_options("MR_small_RLE.dcm"),
        frameNumbers="1",
        mediaTypes=[
            {"mediaType": "image/x-dicom-rle", "transferSyntaxUID": str(RLELossless)},
            {"mediaType": "application/octet-stream", "transferSyntaxUID": "*"},
        ],
    )
    assert [frame] == list(generate_frames(original.PixelData, number_of_frames=1))


def test_rendered(client: Client, slices: list[Path]) -> None:
    original = dcmread(slices[1])
    values = apply_modality_lut(pixel_array(original), original)
    expected = np.clip(((values - (-500 - 0.5)) / 799 + 0.5) * 255, 0, 255)
    one = {**SERIES, "sopInstanceUID": instance_uid(2)}
    query = {"window": "-500,800,linear"}
    png = [{"mediaType": "image/png"}]
    for method, more in (
        ("retrieveInstanceRendered", {}),
        ("retrieveInstanceFramesRendered", {"frameNumbers": "1"}),
    ):
        (file,) = client(method, **one, **more, mediaTypes=png, queryParams=query)
        assert np.abs(picture(file, "PNG") - expected).max() <= 1
        (file,) = client(method, **one, **more, queryParams=query)
        assert distance(picture(file, "JPEG"), expected) < 8


def test_rendered_frames(client: Client) -> None:
    original = dcmread(bundled(CINE))
    (file,) = client(
        "retrieveInstanceFramesRendered",
        **_options(CINE),
        frameNumbers="30",
        mediaTypes=[{"mediaType": "image/jpeg"}],
    )
    assert distance(picture(file, "JPEG"), pixel_array(original, index=29)) < 3
    assert client("retrieveInstanceFramesRendered", **_options(CINE), frameNumbers="31") == {
        "status": 404
    }


def test_thumbnails(client: Client) -> None:
    original = dcmread(bundled(CINE))
    jpeg = [{"mediaType": "image/jpeg"}]
    query = {"viewport": "64,64"}
    (small,) = client(
        "retrieveInstanceThumbnail", **_options(CINE), mediaTypes=jpeg, queryParams=query
    )
    assert picture(small, "JPEG").shape == (48, 64, 3)
    for number in (1, 30):
        (file,) = client(
            "retrieveInstanceFramesThumbnail", **_options(CINE), frameNumbers=str(number)
        )
        seen = picture(file, "JPEG")
        assert seen.shape == (192, 256, 3)
        expected = pixel_array(original, index=number - 1)
        assert abs(float(seen.mean()) - float(expected.mean())) < 2


def test_bulk_data(client: Client) -> None:
    samples = dcmread(bundled(ECG)).WaveformSequence[0].WaveformData
    (row,) = client("retrieveInstanceMetadata", **_options(ECG))
    uri = row["54000100"]["Value"][0]["54001010"]["BulkDataURI"]
    assert client("retrieveBulkData", BulkDataURI=uri) == [samples]
    assert client("retrieveBulkData", BulkDataURI=uri, byteRange=[0, 99]) == [samples]
    octets = [{"mediaType": "application/octet-stream"}]
    assert client("retrieveBulkData", BulkDataURI=uri, mediaTypes=octets) == [samples]
    as_ohif = client.with_options(singlepart="bulkdata,video")
    accept = {"Accept": "application/octet-stream"}
    assert as_ohif("retrieveBulkData", BulkDataURI=uri) == [samples]
    assert as_ohif("retrieveBulkData", BulkDataURI=uri, headers=accept) == [samples]


def test_bulk_data_of_compressed_pixels(client: Client) -> None:
    cine = dcmread(bundled(CINE))
    (row,) = client("retrieveInstanceMetadata", **_options(CINE))
    frames = client(
        "retrieveBulkData",
        BulkDataURI=row["7FE00010"]["BulkDataURI"],
        mediaTypes=[{"mediaType": "image/jpeg"}],
    )
    assert frames == list(generate_frames(cine.PixelData, number_of_frames=30))


def test_objects(client: Client, slices: list[Path]) -> None:
    originals = {image.SOPInstanceUID: image for image in map(dcmread, slices)}
    image = dcmread(BytesIO(client("retrieveInstance", **SERIES, sopInstanceUID=instance_uid(2))))
    assert image == originals[instance_uid(2)]
    for files in (
        client("retrieveSeries", **SERIES),
        client("retrieveStudy", studyInstanceUID=study_uid()),
    ):
        images = [dcmread(BytesIO(file)) for file in files]
        assert {image.SOPInstanceUID: image for image in images} == originals
        assert len(images) == SLICES
