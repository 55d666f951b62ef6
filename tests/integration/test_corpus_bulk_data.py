"""Metadata, bulk data and pixel data of every real file; ranges, conditions, compression."""

from __future__ import annotations

import base64
import gzip
import re
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pydicom
import pytest
import requests
from pydicom.encaps import generate_frames

from corpus import requires_corpus
from farsight.dicom.transfer_syntax import NATIVE
from orthanc_process import requires_orthanc
from pixel_oracle import stored_frame
from stored_corpus import Stock, Stored, ask, each, stocked

pytestmark = [requires_orthanc, requires_corpus]
ANY = "multipart/related; type=application/octet-stream; transfer-syntax=*"
_NATIVE_MODEL = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
_WORDS = {"OW": 2, "OF": 4, "OD": 8, "OL": 4}


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stock]:
    with stocked(tmp_path_factory.mktemp("stock")) as stock:
        yield stock


def uris(value: Any) -> Iterator[str]:
    """Every BulkDataURI, nested ones too."""
    if isinstance(value, list):
        for one in value:
            yield from uris(one)
    elif isinstance(value, dict):
        if "BulkDataURI" in value:
            yield value["BulkDataURI"]
        for one in value.values():
            yield from uris(one)


def element_at(theirs: pydicom.Dataset, path: str) -> pydicom.DataElement:
    *steps, last = path.split("/")
    for sequence, number in zip(steps[::2], steps[1::2], strict=True):
        theirs = theirs[int(sequence, 16)].value[int(number) - 1]
    return theirs[int(last, 16)]


def octets(one: Stored, element: pydicom.DataElement) -> bytes:
    """The value in little endian, as it goes over the web (PS3.18 8.7.3.5, F.2.7)."""
    value = bytes(element.value)
    if not one.theirs.original_encoding[1]:
        width = _WORDS.get(element.VR, 1)
        if element.tag == 0x7FE00010:
            width = max(width, one.theirs.BitsAllocated // 8)
        cells = (value[at : at + width][::-1] for at in range(0, len(value), width))
        return b"".join(cells)
    return value


def parts_of(answer: requests.Response) -> list[tuple[dict[str, str], bytes]]:
    """Headers, names in lower case, and body of each part (RFC 2046 5.1)."""
    found = re.search(r"boundary=\"?([^\";]+)", answer.headers["Content-Type"])
    assert found is not None
    pieces = (b"\r\n" + answer.content).split(b"\r\n--" + found.group(1).encode())
    assert pieces[-1].startswith(b"--")
    parts = []
    for piece in pieces[1:-1]:
        head, _, body = piece.partition(b"\r\n\r\n")
        lines = [line.partition(": ") for line in head.decode().split("\r\n") if line]
        parts.append(({name.lower(): value for name, _, value in lines}, body))
    return parts


def test_every_bulk_data_uri(stock: Stock) -> None:
    """Nested ones too; as octets, part and bare; the first bytes, the last, and beyond."""
    seen: list[str] = []

    def check(one: Stored) -> None:
        (row,) = stock.ok(f"{one.path}/metadata").json()
        prefix = f"{stock.door}{one.path}/bulkdata/"
        for uri in uris(row):
            assert uri.startswith(prefix), uri
            element = element_at(one.theirs, uri.removeprefix(prefix))
            if element.is_undefined_length:
                check_frames(one, element, uri)
                continue
            seen.append(uri)
            value = octets(one, element)
            bare = stock.ok(uri, "application/octet-stream")
            assert bare.content == value, uri
            ((headers, part),) = parts_of(stock.ok(uri, "multipart/related; type=*/*"))
            assert part == value
            assert headers["content-location"] == uri
            check_ranges(uri, value, bare)

    def check_frames(one: Stored, element: pydicom.DataElement, uri: str) -> None:
        bodies = [body for _, body in parts_of(stock.ok(uri, ANY))]
        count = int(one.theirs.get("NumberOfFrames") or 1) if "/" not in uri[-9:] else 1
        count = one.frames if uri.endswith("bulkdata/7FE00010") else count
        assert bodies == list(generate_frames(element.value, number_of_frames=count)), uri

    def check_ranges(uri: str, value: bytes, bare: requests.Response) -> None:
        last = len(value) - 1
        assert bare.headers["Accept-Ranges"] == "bytes"
        for text, start, stop in (
            ("bytes=0-15", 0, 16), (f"bytes=-{min(7, last)}", last + 1 - min(7, last), last + 1),
            (f"bytes={last}-", last, last + 1), ("bytes=3-999999999999", 3, last + 1),
        ):  # fmt: skip
            some = stock.get(uri, "application/octet-stream", Range=text)
            assert some.status_code == 206, text
            assert some.content == value[start:stop], text
            told = f"bytes {start}-{min(stop, last + 1) - 1}/{last + 1}"
            assert some.headers["Content-Range"] == told
        beyond = stock.get(uri, "application/octet-stream", Range=f"bytes={last + 1}-")
        assert beyond.status_code == 416
        assert beyond.headers["Content-Range"] == f"bytes */{last + 1}"
        tag = bare.headers["ETag"]
        mine = stock.get(uri, "application/octet-stream", Range="bytes=0-1", If_Range=tag)
        assert mine.status_code == 206
        other = stock.get(uri, "application/octet-stream", Range="bytes=0-1", If_Range='"x"')
        assert other.status_code == 200
        assert other.content == value

    each([one for one in stock.kinds() if one.frames < 100], check)
    assert len(seen) > 40
    assert any(re.search(r"bulkdata/[0-9A-F]{8}/", uri) for uri in seen)


def without_block(tag: str, row: dict[str, Any]) -> str:
    """PS3.19 table A.1.5-2: the block of a private attribute is told by its creator, if it has."""
    creator = row.get(f"{tag[:4]}00{tag[4:6]}", {}).get("Value")
    return f"{tag[:4]}00{tag[6:]}" if int(tag[3], 16) % 2 and creator else tag


def test_metadata_as_xml_has_the_same_elements(stock: Stock) -> None:
    def check(one: Stored) -> None:
        (row,) = stock.ok(f"{one.path}/metadata", "application/dicom+json").json()
        answer = stock.ok(f"{one.path}/metadata", 'multipart/related; type="application/dicom+xml"')
        ((headers, body),) = parts_of(answer)
        assert headers["content-type"].startswith("application/dicom+xml")
        model = ET.fromstring(body)
        attributes = model.findall(f"{_NATIVE_MODEL}DicomAttribute") or model.findall(
            "DicomAttribute"
        )
        ours = sorted((attribute.attrib["tag"], attribute.attrib["vr"]) for attribute in attributes)
        assert ours == sorted((without_block(tag, row), e["vr"]) for tag, e in row.items())

    each(stock.kinds(), check)


def test_metadata_of_a_study_in_gzip_and_plainly(stock: Stock) -> None:
    one = stock.files[0]
    for path in (one.path, one.path.rpartition("/instances")[0], one.path.partition("/series")[0]):
        plain = stock.ok(f"{path}/metadata")
        zipped = ask("GET", f"{stock.door}{path}/metadata", "*/*", {"Accept-Encoding": "gzip"})
        assert "Content-Encoding" not in plain.headers
        assert zipped.headers["Content-Encoding"] == "gzip"
        assert zipped.content == plain.content
        assert "accept-encoding" in zipped.headers["Vary"].lower()
        assert zipped.headers["ETag"] != plain.headers["ETag"]
        refused = ask("GET", f"{stock.door}{path}/metadata", "*/*",
                      {"Accept-Encoding": "gzip;q=0, identity"})  # fmt: skip
        assert "Content-Encoding" not in refused.headers
        raw = requests.get(f"{stock.door}{path}/metadata", stream=True, timeout=60,
                           headers={"Accept-Encoding": "gzip"})  # fmt: skip
        assert gzip.decompress(raw.raw.read(decode_content=False)) == plain.content


def pixel_bodies(one: Stored) -> list[bytes]:
    return [stored_frame(one.theirs, number) for number in range(1, one.frames + 1)]


def test_pixel_data_of_an_instance(stock: Stock) -> None:
    """All frames, each where it says it is from; 404 where there is nothing."""

    def check(one: Stored) -> None:
        answer = stock.get(f"{one.path}/pixeldata", ANY)
        if not one.has_pixels:
            assert answer.status_code == 404
            return
        parts = parts_of(answer)
        if not (one.syntax in NATIVE and len(parts) == 1):
            assert [body for _, body in parts] == pixel_bodies(one)
        else:
            assert parts[0][1] == b"".join(pixel_bodies(one))
        for headers, _ in parts:
            assert headers["content-location"].startswith(f"{stock.door}{one.path}/")

    each([one for one in stock.kinds() if one.frames < 100], check)


def test_pixel_data_of_series_and_studies(stock: Stock) -> None:
    for level in ("series", "study"):
        groups: dict[str, list[Stored]] = defaultdict(list)
        for one in stock.files:
            series = one.path.rpartition("/instances")[0]
            groups[series if level == "series" else series.partition("/series")[0]].append(one)

        def check(item: tuple[str, list[Stored]]) -> None:
            path, members = item
            shown = [one for one in members if one.has_pixels]
            answer = stock.get(f"{path}/pixeldata", ANY)
            if not shown:
                assert answer.status_code == 404, path
                return
            assert answer.status_code == 200, f"{path}: {answer.text[:200]}"
            bodies = sorted(body for _, body in parts_of(answer))
            assert bodies == sorted(body for one in shown for body in pixel_bodies(one)), path

        each([item for item in groups.items() if sum(one.frames for one in item[1]) < 40], check)


def test_all_bulk_data_at_each_level(stock: Stock) -> None:
    """Each part is what its Content-Location says; nothing the metadata points to is missing."""

    pixels = tuple(f"/bulkdata/7FE000{number}" for number in ("10", "08", "09"))

    def check(one: Stored) -> None:
        """Pixels come frame by frame, of whichever kind they are."""
        (row,) = stock.ok(f"{one.path}/metadata").json()
        pointed = [uri for uri in uris(row) if not uri.endswith(pixels)]
        answer = stock.get(f"{one.path}/bulkdata", ANY)
        if not pointed and not one.has_pixels:
            assert answer.status_code == 404
            return
        assert answer.status_code == 200, answer.text[:200]
        parts = {headers["content-location"]: body for headers, body in parts_of(answer)}
        prefix = f"{stock.door}{one.path}/bulkdata/"
        for uri in pointed:
            element = element_at(one.theirs, uri.removeprefix(prefix))
            if not element.is_undefined_length:
                assert parts[uri] == octets(one, element), uri
        if one.has_pixels:
            frames = [body for where, body in parts.items() if where not in pointed]
            assert b"".join(frames) == b"".join(pixel_bodies(one))
        for path in (one.path.rpartition("/instances")[0], one.path.partition("/series")[0]):
            above = parts_of(stock.ok(f"{path}/bulkdata", ANY))
            told = {headers["content-location"]: body for headers, body in above}
            assert parts.items() <= told.items()

    chosen = {one.row["study_uid"]: one for one in stock.kinds() if one.frames < 40}
    sizes: dict[str, int] = defaultdict(int)
    for one in stock.files:
        sizes[one.row["study_uid"]] += len(one.data)
    each([one for one in chosen.values() if sizes[one.row["study_uid"]] < 6 << 20], check)


def test_inline_and_bulk_data_are_told_apart(stock: Stock) -> None:
    """What is inline is what the file has."""

    def check(one: Stored) -> None:
        (row,) = stock.ok(f"{one.path}/metadata").json()
        for tag, element in row.items():
            if "InlineBinary" in element:
                value = octets(one, one.theirs[int(tag, 16)])
                assert base64.b64decode(element["InlineBinary"]) == value, tag

    each(stock.kinds(), check)
