"""dicomweb-client asks for pictures, bulk data and other transfer syntaxes.

What comes back is compared with what pydicom makes of the same files; what pydicom can't decode
goes through DCMTK first.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import FileDataset, dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import apply_modality_lut, apply_windowing, pixel_array
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from requests import HTTPError

from decoded_pixels import bundled, decoded_pixels, distance, identifiers, picture, with_frames
from orthanc_process import requires_orthanc
from pacs_peers import requires_dcmtk
from sample_files import write_series

from .conftest import Site, StartSite

pytestmark = [requires_orthanc, requires_dcmtk]

LOSSLESS = [
    pytest.param("application/octet-stream", ExplicitVRLittleEndian, id="octet-stream"),
    pytest.param("image/dicom-rle", RLELossless, id="rle"),
    pytest.param("image/jpeg", JPEGLosslessSV1, id="jpeg"),
    pytest.param("image/jls", JPEGLSLossless, id="jls"),
    pytest.param("image/jp2", JPEG2000Lossless, id="jp2"),
]

#: Signed and native, RLE and signed, JPEG 2000 of colours, JPEG of thirty frames.
STORED = ["CT_small.dcm", "MR_small_RLE.dcm", "examples_jpeg2k.dcm"]
CINE = "examples_ybr_color.dcm"
DOCUMENTS = ["waveform_ecg.dcm", "test-SR.dcm", "examples_palette.dcm", "examples_overlay.dcm"]
SLICES = 3

#: DataSetTrailingPadding means nothing (PS3.10 7.2).
_PADDING = {0xFFFCFFFC}


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_series(tmp_path_factory.mktemp("files"), SLICES)


@pytest.fixture(scope="module")
def site(start_site: StartSite, slices: list[Path]) -> Site:
    return start_site("orthanc", [*slices, *map(bundled, (*STORED, CINE, *DOCUMENTS))])


@pytest.fixture(params=["full", "orthanc"])
def client(request: pytest.FixtureRequest, site: Site) -> DICOMwebClient:
    return DICOMwebClient(site.doors[request.param == "orthanc"] + "/dicom-web")


def _assert_same_beside_pixels(image: FileDataset, original: FileDataset) -> None:
    """Colours may be said in another way; of all else nothing is lost and nothing is added."""
    colours = {"PhotometricInterpretation", "PlanarConfiguration", "PixelData"}
    differing = {element.tag for element in image} ^ {element.tag for element in original}
    assert differing <= _PADDING
    for element in original:
        if element.keyword not in colours and element.tag not in _PADDING:
            assert image[element.tag] == element


# ---- frames


@pytest.mark.parametrize("name", STORED)
@pytest.mark.parametrize(("media_type", "syntax"), LOSSLESS)
def test_a_frame_in_every_lossless_syntax(
    client: DICOMwebClient, tmp_path: Path, name: str, media_type: str, syntax: str
) -> None:
    original = dcmread(bundled(name))
    (frame,) = client.retrieve_instance_frames(
        *identifiers(original), frame_numbers=[1], media_types=((media_type, syntax),)
    )
    made = with_frames(original, [frame], syntax)
    if original.SamplesPerPixel == 3 and syntax != JPEG2000Lossless:
        made.PhotometricInterpretation = "RGB"
    np.testing.assert_array_equal(decoded_pixels(made, tmp_path), pixel_array(original))


def test_frames_of_many_in_the_order_asked_for(client: DICOMwebClient) -> None:
    original = dcmread(bundled(CINE))
    stored = list(generate_frames(original.PixelData, number_of_frames=30))
    wanted = [30, 1, 7]
    as_stored = [("image/jpeg", "1.2.840.10008.1.2.4.50")]
    frames = client.retrieve_instance_frames(*identifiers(original), wanted, media_types=as_stored)
    assert frames == [stored[number - 1] for number in wanted]
    assert client.retrieve_instance_frames(*identifiers(original), wanted) == frames

    plain = [("application/octet-stream", ExplicitVRLittleEndian)]
    decoded = client.retrieve_instance_frames(*identifiers(original), wanted, media_types=plain)
    for number, frame in zip(wanted, decoded, strict=True):
        colours = np.frombuffer(frame, np.uint8).reshape(original.Rows, original.Columns, 3)
        assert distance(colours, pixel_array(original, index=number - 1)) < 1


def test_a_syntax_that_cannot_be_had(client: DICOMwebClient) -> None:
    """JPEG baseline takes 8 bits."""
    ids = identifiers(dcmread(bundled("CT_small.dcm")))
    with pytest.raises(HTTPError, match="406"):
        client.retrieve_instance_frames(
            *ids, [1], media_types=(("image/jpeg", "1.2.840.10008.1.2.4.50"),)
        )
    with pytest.raises(HTTPError, match="404"):
        client.retrieve_instance_frames(*ids, [2], media_types=(("image/jls", JPEGLSLossless),))


# ---- whole objects


@pytest.mark.parametrize("name", [*STORED, CINE])
def test_an_object_as_explicit_little_endian(client: DICOMwebClient, name: str) -> None:
    """What has lost in compression is sent as it is, unless it is asked for by name."""
    original = dcmread(bundled(name))
    plain = ("application/dicom", ExplicitVRLittleEndian)
    image = client.retrieve_instance(*identifiers(original), media_types=(plain,))
    assert image.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert distance(pixel_array(image), pixel_array(original)) < (1 if name == CINE else 1e-9)
    _assert_same_beside_pixels(image, original)


@pytest.mark.parametrize("syntax", [p.values[1] for p in LOSSLESS])
def test_a_series_in_one_syntax(
    client: DICOMwebClient, slices: list[Path], tmp_path: Path, syntax: str
) -> None:
    originals = {image.SOPInstanceUID: image for image in map(dcmread, slices)}
    study, series, _ = identifiers(dcmread(slices[0]))
    images = client.retrieve_series(study, series, media_types=(("application/dicom", syntax),))
    assert {image.SOPInstanceUID for image in images} == set(originals)
    for image in images:
        original = originals[image.SOPInstanceUID]
        assert image.file_meta.TransferSyntaxUID == syntax
        np.testing.assert_array_equal(decoded_pixels(image, tmp_path), pixel_array(original))
        _assert_same_beside_pixels(image, original)


def test_a_study_in_one_syntax(client: DICOMwebClient) -> None:
    original = dcmread(bundled("MR_small_RLE.dcm"))
    (image,) = client.retrieve_study(
        original.StudyInstanceUID, media_types=(("application/dicom", JPEG2000Lossless),)
    )
    assert image.file_meta.TransferSyntaxUID == JPEG2000Lossless
    np.testing.assert_array_equal(pixel_array(image), pixel_array(original))
    _assert_same_beside_pixels(image, original)


# ---- pictures


@pytest.mark.parametrize(("center", "width"), [(-500, 800), (-1000, 50)])
def test_a_picture_in_a_window(
    client: DICOMwebClient, slices: list[Path], center: int, width: int
) -> None:
    original = dcmread(slices[1])
    values = apply_modality_lut(pixel_array(original), original)
    original.WindowCenter, original.WindowWidth = center, width
    shades = apply_windowing(values, original)
    lowest = original.RescaleIntercept
    expected = (shades - lowest) / 65535 * 255

    window = {"window": f"{center},{width},linear"}
    for media_type, kind, tolerance in (("image/png", "PNG", 1), ("image/jpeg", "JPEG", 8)):
        file = client.retrieve_instance_rendered(
            *identifiers(original), media_types=(media_type,), params=window
        )
        seen = picture(file, kind).astype(float)
        assert seen.shape == expected.shape
        assert distance(seen, expected) <= tolerance
    best = client.retrieve_instance_frames_rendered(
        *identifiers(original), [1], media_types=("image/png",), params=window
    )
    assert np.abs(picture(best, "PNG") - expected).max() <= 1


def test_pictures_of_frames_in_colour(client: DICOMwebClient) -> None:
    original = dcmread(bundled(CINE))
    for number in (1, 30):
        expected = pixel_array(original, index=number - 1)
        for media_type, kind in (("image/png", "PNG"), ("image/jpeg", "JPEG")):
            file = client.retrieve_instance_frames_rendered(
                *identifiers(original), [number], media_types=(media_type,), params={"quality": 100}
            )
            assert distance(picture(file, kind), expected) < 2
    with pytest.raises(HTTPError, match="404"):
        client.retrieve_instance_frames_rendered(*identifiers(original), [31], ("image/png",))


def test_the_size_and_the_quality_of_a_picture(client: DICOMwebClient) -> None:
    ids = identifiers(dcmread(bundled("examples_jpeg2k.dcm")))
    small = client.retrieve_instance_rendered(*ids, ("image/jpeg",), {"viewport": "160,160"})
    assert picture(small, "JPEG").shape == (120, 160, 3)
    sizes = [
        len(client.retrieve_instance_rendered(*ids, ("image/jpeg",), {"quality": quality}))
        for quality in (10, 50, 95)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] / 2
    with pytest.raises(HTTPError, match="400"):
        client.retrieve_instance_rendered(*ids, ("image/jpeg",), {"quality": 101})


def test_a_palette_is_seen_in_its_colours(client: DICOMwebClient) -> None:
    original = dcmread(bundled("examples_palette.dcm"))
    tables = [
        np.frombuffer(original[f"{name}PaletteColorLookupTableData"].value, "<u2") >> 8
        for name in ("Red", "Green", "Blue")
    ]
    expected = np.stack([table[original.pixel_array] for table in tables], axis=-1)
    file = client.retrieve_instance_rendered(*identifiers(original), media_types=("image/png",))
    assert np.abs(picture(file, "PNG").astype(int) - expected).max() <= 1


def test_a_report_is_text(client: DICOMwebClient) -> None:
    report = dcmread(bundled("test-SR.dcm"))
    page = client.retrieve_instance_rendered(*identifiers(report), media_types=("text/html",))
    assert page.lstrip().lower().startswith(b"<!doctype html")
    assert client.retrieve_instance_rendered(*identifiers(report), media_types=("text/plain",))
    with pytest.raises(HTTPError, match="406"):
        client.retrieve_instance_rendered(*identifiers(report), media_types=("image/png",))


# ---- metadata and bulk data


@pytest.mark.parametrize("name", [*STORED, CINE, *DOCUMENTS])
def test_metadata_and_all_that_it_refers_to(client: DICOMwebClient, name: str) -> None:
    original = dcmread(bundled(name))
    study, series, instance = identifiers(original)
    row = client.retrieve_instance_metadata(study, series, instance)
    assert client.retrieve_series_metadata(study, series) == [row]
    assert client.retrieve_study_metadata(study) == [row]

    def fetch(tag: str, vr: str, uri: str) -> bytes:
        values = client.retrieve_bulkdata(uri)
        return bytes(values[0]) if len(values) == 1 else encapsulate(values)

    ours = Dataset.from_json(row, bulk_data_uri_handler=fetch)
    for element in original:
        if element.tag not in (*_PADDING, 0x7FE00010) and element.keyword != "SpecificCharacterSet":
            assert ours[element.tag] == element
    if "PixelData" in original:
        uri = row["7FE00010"]["BulkDataURI"]
        values = client.retrieve_bulkdata(uri)
        assert list(client.iter_bulkdata(uri)) == values
        if original.file_meta.TransferSyntaxUID.is_encapsulated:
            count = int(original.get("NumberOfFrames", 1))
            frames = generate_frames(original.PixelData, number_of_frames=count)
            assert values == list(frames)
        else:
            assert values == [original.PixelData]


def test_bulk_data_is_there_in_whole_whatever_range_is_asked_of_a_multipart(
    client: DICOMwebClient,
) -> None:
    """RFC 9110 14.2: a server may ignore Range, and a part of a multipart would not be one."""
    original = dcmread(bundled("waveform_ecg.dcm"))
    row = client.retrieve_instance_metadata(*identifiers(original))
    uri = row["54000100"]["Value"][0]["54001010"]["BulkDataURI"]
    (samples,) = client.retrieve_bulkdata(uri, byte_range=(0, 99))
    assert samples == original.WaveformSequence[0].WaveformData
