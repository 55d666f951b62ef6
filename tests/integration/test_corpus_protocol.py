"""HTTP around the resources: HEAD, OPTIONS, conditions, ranges of video, Orthanc's port."""

from __future__ import annotations

import io
import struct
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pydicom
import pytest
import requests
from pydicom.uid import generate_uid

from corpus import requires_corpus
from farsight.dicom.transfer_syntax import NATIVE
from orthanc_process import requires_orthanc
from pixel_oracle import stored_frame
from related_parts import related_parts
from stored_corpus import Stock, Stored, ask, each, stocked

pytestmark = [requires_orthanc, requires_corpus]
ANY = "multipart/related; type=application/octet-stream; transfer-syntax=*"
#: By resource below an instance: what it is asked for as.
RESOURCES = {
    "": "application/dicom; transfer-syntax=*",
    "/metadata": "application/dicom+json",
    "/frames/1": "application/octet-stream; transfer-syntax=*",
    "/pixeldata": ANY,
    "/bulkdata": ANY,
    "/rendered": "image/png",
    "/thumbnail": "image/jpeg",
}


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stock]:
    with stocked(tmp_path_factory.mktemp("stock")) as stock:
        yield stock


def test_head_is_get_without_a_body(stock: Stock) -> None:
    def check(one: Stored) -> None:
        for resource, accept in RESOURCES.items():
            url = f"{stock.door}{one.path}{resource}"
            got, head = ask("GET", url, accept), ask("HEAD", url, accept)
            assert head.status_code == got.status_code, resource
            assert head.content == b""
            for name in ("Content-Length", "ETag", "Cache-Control", "Vary", "Accept-Ranges"):
                assert head.headers.get(name) == got.headers.get(name), f"{resource} {name}"
            kind = got.headers["Content-Type"].partition(";")[0]
            assert head.headers["Content-Type"].partition(";")[0] == kind

    each([one for one in stock.kinds() if one.frames < 40], check)


def test_what_a_client_has_is_not_sent_again(stock: Stock) -> None:
    """RFC 9110 13.1.2, 15.4.5: no body, the same tag; HEAD too."""

    def check(one: Stored) -> None:
        for resource in ("", "/metadata", "/frames/1", "/rendered", "/thumbnail"):
            url, accept = f"{stock.door}{one.path}{resource}", RESOURCES[resource]
            got = ask("GET", url, accept)
            if got.status_code in (404, 406):
                continue
            tag = got.headers["ETag"]
            for method in ("GET", "HEAD"):
                for sent in (tag, f'"no", {tag}', f"W/{tag}", "*"):
                    again = ask(method, url, accept, {"If-None-Match": sent})
                    assert again.status_code == 304, f"{resource} {sent}"
                    assert again.content == b""
                    assert again.headers["ETag"] == tag
                    assert again.headers["Cache-Control"] == got.headers["Cache-Control"]
                    assert again.headers.get("Vary") == got.headers.get("Vary")
            other = ask("GET", url, accept, {"If-None-Match": '"other"'})
            assert other.content == got.content

    each([one for one in stock.kinds() if len(one.data) < 300_000], check)


def test_representations_have_tags_of_their_own(stock: Stock) -> None:
    """RFC 9110 8.8.1: only those that differ in the media type alone may share one."""
    one = next(one for one in stock.files if one.name.startswith("nm-pt/NM"))
    asked = [
        ("", "application/dicom"), ("", "application/dicom; transfer-syntax=1.2.840.10008.1.2.5"),
        ("/frames/1", "image/jls"), ("/frames/1", "image/jp2"), ("/frames/2", "image/jls"),
        ("/rendered", "image/png"), ("/rendered", "image/jpeg"),
        ("/rendered?window=100,50", "image/png"),
        ("/metadata", "application/dicom+json"),
    ]  # fmt: skip
    tags = [stock.ok(one.path + path, accept).headers["ETag"] for path, accept in asked]
    assert len(set(tags)) == len(tags)


def test_a_replaced_instance_is_another(stock: Stock) -> None:
    one = next(one for one in stock.files if one.name.startswith("charset/chrFren"))
    old = {path: stock.ok(one.path + path, accept) for path, accept in RESOURCES.items()}
    changed = pydicom.dcmread(io.BytesIO(one.data))
    changed.PixelData = bytes(255 - value for value in changed.PixelData)
    changed.PatientComments = "replaced"
    written = io.BytesIO()
    changed.save_as(written)
    uid = one.row["sop_instance_uid"]
    (orthanc_id,) = [
        found["ID"] for found in _lookup(stock, uid) if found["Type"] == "Instance"
    ]  # fmt: skip
    stock.gateway.request("DELETE", f"/instances/{orthanc_id}")
    stock.gateway.store(written.getvalue())
    try:
        _wait_for_another(stock, one.path + "/metadata", old["/metadata"].content)
        for path, accept in RESOURCES.items():
            tag = old[path].headers.get("ETag", "")
            new = stock.ok(one.path + path, accept, If_None_Match=tag or '"x"')
            assert new.content != old[path].content, path
            assert not tag or new.headers["ETag"] != tag, path
        assert stock.ok(one.path, RESOURCES[""]).content == written.getvalue()
    finally:
        stock.gateway.request("DELETE", f"/instances/{orthanc_id}")
        stock.gateway.store(one.data)


def _wait_for_another(stock: Stock, path: str, content: bytes) -> None:
    """Orthanc tells of it a moment after it has answered."""
    deadline = time.monotonic() + 20
    while stock.ok(path, RESOURCES["/metadata"]).content == content:
        assert time.monotonic() < deadline, "it is never told of"
        time.sleep(0.02)


def _lookup(stock: Stock, uid: str) -> list[dict[str, str]]:
    answer = requests.post(f"{stock.gateway.url}/tools/lookup", data=uid, timeout=60)
    return list(answer.json())


def test_options(stock: Stock) -> None:
    """PS3.18 8.9: WADL by default, JSON; every resource says which methods it takes."""
    root = f"{stock.door}/dicom-web/"
    wadl = ask("OPTIONS", root)
    assert wadl.status_code == 200
    assert wadl.headers["Content-Type"].startswith("application/vnd.sun.wadl+xml")
    application = ET.fromstring(wadl.content)
    assert application.tag == "{http://wadl.dev.java.net/2009/02}application"
    (resources,) = application.findall("{*}resources")
    assert resources.attrib["base"].rstrip("/") == root.rstrip("/")
    names = {m.attrib["id"] for m in application.iter("{http://wadl.dev.java.net/2009/02}method")
             if "id" in m.attrib}  # fmt: skip
    assert {"RetrieveStudy", "RetrieveFrames", "SearchForStudies"} <= names
    as_json = ask("OPTIONS", root, "application/json")
    assert as_json.headers["Content-Type"].startswith("application/json")
    assert as_json.json()["application"]["resources"]["@base"] == resources.attrib["base"]
    assert ask("OPTIONS", root, "image/png").status_code == 406
    one = stock.files[0]
    for resource in RESOURCES:
        url = f"{stock.door}{one.path}{resource}"
        told = ask("OPTIONS", url)
        assert told.status_code in (200, 204)
        assert {"GET", "HEAD", "OPTIONS"} <= set(told.headers["Allow"].split(", "))
        refused = ask("DELETE", url)
        assert refused.status_code == 405
        assert "GET" in refused.headers["Allow"]


def test_video_in_ranges(stock: Stock) -> None:
    """The stream as it is, in one fragment or several; players seek in it (RFC 9110 14)."""
    mp4 = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(i * 7 % 251 for i in range(300_001))
    stream = b"\x00\x00\x01\xb3" + bytes(i * 11 % 253 for i in range(70_000))
    cases = (
        ("1.2.840.10008.1.2.4.102", mp4, "video/mp4", 1),
        ("1.2.840.10008.1.2.4.100", stream, "video/mpeg", 1),
        ("1.2.840.10008.1.2.4.102.1", mp4 + b"\0", "video/mp4", 4),
    )
    for syntax, content, media_type, fragments in cases:
        path = _store_video(stock, syntax, content, fragments)
        whole = stock.ok(path + "/rendered")
        assert whole.headers["Content-Type"].split(";")[0] == media_type
        assert whole.content.rstrip(b"\0") == content.rstrip(b"\0")
        assert whole.headers["Accept-Ranges"] == "bytes"
        some = stock.get(path + "/rendered", "video/*", Range="bytes=1000-1999")
        assert some.status_code == 206
        assert some.content == content[1000:2000]
        assert some.headers["Content-Range"] == f"bytes 1000-1999/{len(whole.content)}"
        head = ask("HEAD", f"{stock.door}{path}/rendered", "*/*")
        assert head.headers["Content-Length"] == str(len(whole.content))
        frame = related_parts(stock.ok(path + "/frames/1", ANY))
        assert frame == [(f"{frame[0][0]}", whole.content)]
        assert frame[0][0].startswith(media_type.split("/")[0])
        assert stock.get(path + "/rendered", "image/jpeg").status_code == 406
        assert stock.ok(path + "/thumbnail").headers["Content-Type"] == "image/jpeg"
        as_stored = stock.ok(path, "application/dicom")
        assert f"transfer-syntax={syntax}" in as_stored.headers["Content-Type"]


def _store_video(stock: Stock, syntax: str, content: bytes, fragments: int) -> str:
    video = pydicom.Dataset()
    video.SOPClassUID, video.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.77.1.1.1", generate_uid()
    video.StudyInstanceUID, video.SeriesInstanceUID = generate_uid(), generate_uid()
    video.PatientID, video.Modality = "VIDEO", "ES"
    video.Rows, video.Columns, video.NumberOfFrames = 480, 640, 25
    video.SamplesPerPixel, video.PhotometricInterpretation = 3, "YBR_PARTIAL_420"
    video.BitsAllocated, video.BitsStored, video.HighBit, video.PixelRepresentation = 8, 8, 7, 0
    video.PlanarConfiguration = 0
    size = -(-len(content) // fragments)
    size += size % 2
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    padded = [piece + b"\0" * (len(piece) % 2) for piece in pieces]
    items = [struct.pack("<HHL", 0xFFFE, 0xE000, len(piece)) + piece for piece in padded]
    video.PixelData = struct.pack("<HHL", 0xFFFE, 0xE000, 0) + b"".join(items)
    video["PixelData"].VR = "OB"
    video["PixelData"].is_undefined_length = True
    video.file_meta = pydicom.dataset.FileMetaDataset()
    video.file_meta.TransferSyntaxUID = syntax
    written = io.BytesIO()
    video.save_as(written, enforce_file_format=True)
    stock.gateway.store(written.getvalue())
    return (
        f"/dicom-web/studies/{video.StudyInstanceUID}/series/{video.SeriesInstanceUID}"
        f"/instances/{video.SOPInstanceUID}"
    )


def test_orthancs_port_answers_the_same(stock: Stock) -> None:
    """Every kind, every resource; it has no 206, and its bodies may be gzipped by Orthanc."""
    door = stock.gateway.url

    def check(one: Stored) -> None:
        for resource, accept in RESOURCES.items():
            full = stock.get(one.path + resource, accept)
            ours = ask("GET", f"{door}{one.path}{resource}", accept)
            assert ours.status_code == {206: 200}.get(full.status_code, full.status_code), resource
            if ours.status_code >= 400:
                assert ours.json()["error"] == full.json()["error"]
            elif full.headers["Content-Type"].startswith("multipart"):
                theirs = [body for _, body in related_parts(full)]
                assert [body for _, body in related_parts(ours)] == theirs, resource
            else:
                expected = full.content.replace(stock.door.encode(), door.encode())
                assert ours.content == expected, resource
                assert ours.headers["Content-Type"] == full.headers["Content-Type"]
        if not one.has_pixels:
            return
        parts = related_parts(ask("GET", f"{door}{one.path}/frames/1", ANY))
        assert parts[0][1] == stored_frame(one.theirs, 1)
        if one.syntax not in NATIVE:
            assert one.syntax in parts[0][0]

    each([one for one in stock.kinds() if one.frames < 40], check)
