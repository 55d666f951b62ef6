"""What a request to store carries, from the headers that clients really send (PS3.18 10.5.1)."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.errors import BadRequest, FarsightError, UnsupportedMediaType
from farsight.ps318.store_request import (
    PartKind,
    RootType,
    StorePart,
    StoreRequest,
    parse_store_part,
    parse_store_request,
)

DICOM, JSON, XML = RootType.DICOM, RootType.JSON, RootType.XML
OCTETS = "application/octet-stream"


def of(content_type: str, **more: str) -> StoreRequest:
    return parse_store_request({"content-type": content_type, **more})


@pytest.mark.parametrize(
    ("content_type", "root_type", "boundary"),
    [
        # dicomweb-client for Python, for JavaScript, OHIF without quotation, dcm4che's stowrs
        ('multipart/related; type="application/dicom"; boundary="0f3cf5c0-70e0-41ef-baef-c6f9f65"',
         DICOM, "0f3cf5c0-70e0-41ef-baef-c6f9f65"),
        ('multipart/related; type="application/dicom"; boundary=--=-=-8c7f', DICOM, "--=-=-8c7f"),
        ("multipart/related; type=application/dicom; boundary=ab12", DICOM, "ab12"),
        ('multipart/related;type="application/dicom+json";boundary=myboundary', JSON, "myboundary"),
        ("Multipart/Related;BOUNDARY=AbC;Type=Application/DICOM+XML", XML, "AbC"),
        ('multipart/related; boundary="a b;c,d\'()+_-./:=?"; type=application/dicom', DICOM,
         "a b;c,d'()+_-./:=?"),
        ('multipart/related; type="application/dicom; transfer-syntax=1.2.840.10008.1.2.4.70"; '
         'start="<x@y>"; charset=utf-8; transfer-syntax=1.2.840.10008.1.2.1; boundary=b', DICOM,
         "b"),
        ("multipart/related; boundary=b", None, "b"),
        ("application/dicom", DICOM, None),
        ("application/dicom; transfer-syntax=1.2.840.10008.1.2.5", DICOM, None),
        ("application/dicom+json; charset=utf-8", JSON, None),
        (" APPLICATION/DICOM+XML ", XML, None),
    ],
)  # fmt: skip
def test_what_clients_send(content_type: str, root_type: RootType, boundary: str | None) -> None:
    request = of(content_type)
    assert request == StoreRequest(root_type, boundary)
    assert request.multipart is (boundary is not None)


@pytest.mark.parametrize(
    "content_type",
    ["", "multipart/form-data; boundary=b", "multipart/mixed; type=application/dicom; boundary=b",
     "multipart/related; type=application/json; boundary=b", "application/json", OCTETS,
     "multipart/related; type=image/jpeg; boundary=b", "text/plain", "application/dicom+zip"],
)  # fmt: skip
def test_what_is_not_taken_is_answered_with_what_is(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType) as refused:
        of(content_type)
    for root_type in RootType:
        assert f'multipart/related; type="{root_type}"' in str(refused.value)
        assert refused.value.status == 415


def test_no_content_type_is_none_that_is_taken() -> None:
    with pytest.raises(UnsupportedMediaType):
        parse_store_request({})


@pytest.mark.parametrize(
    "parameters",
    ["", "; boundary=", '; boundary=""', "; boundary=a; boundary=b", "; boundary=" + "a" * 71,
     '; boundary="a "', "; type=application/dicom; type=application/dicom+json; boundary=b"],
)  # fmt: skip
def test_a_boundary_in_doubt_is_a_bad_request(parameters: str) -> None:
    with pytest.raises(BadRequest, match=r"boundary|type more than once"):
        of(f"multipart/related{parameters}")


def test_content_encodings_are_refused() -> None:
    assert of("application/dicom", **{"content-encoding": "Identity"}).root_type is DICOM
    with pytest.raises(UnsupportedMediaType, match="gzip"):
        of("application/dicom", **{"content-encoding": "gzip"})


def test_without_a_type_the_first_part_tells() -> None:
    request = of("multipart/related; boundary=b")
    settled = request.settled_by({"content-type": "Application/DICOM+json; charset=utf-8"})
    assert settled == StoreRequest(JSON, "b")
    assert settled.settled_by({"content-type": "application/dicom"}) == settled
    for headers in ({}, {"content-type": "image/jpeg"}):
        with pytest.raises(UnsupportedMediaType, match="first part"):
            request.settled_by(headers)
    with pytest.raises(UnsupportedMediaType, match="nothing tells"):
        parse_store_part(request, {})


@pytest.mark.parametrize(
    ("root_type", "headers", "part"),
    [
        (DICOM, {"content-type": str(DICOM)}, (PartKind.INSTANCE, str(DICOM), "")),
        (DICOM, {"content-type": OCTETS}, (PartKind.INSTANCE, OCTETS, "")),
        (DICOM, {}, (PartKind.INSTANCE, "", "")),
        (DICOM, {"content-type": 'application/dicom; transfer-syntax="1.2"',
                 "content-transfer-encoding": "BINARY", "content-id": "<1>"},
         (PartKind.INSTANCE, 'application/dicom; transfer-syntax="1.2"', "")),
        (JSON, {"content-type": "application/dicom+json; charset=UTF-8"},
         (PartKind.METADATA, "application/dicom+json; charset=UTF-8", "")),
        (JSON, {}, (PartKind.METADATA, "", "")),
        (XML, {"content-type": "application/dicom+xml", "content-encoding": "identity"},
         (PartKind.METADATA, "application/dicom+xml", "")),
        (XML, {"content-type": "image/jpeg", "content-location": "jpeg-image"},
         (PartKind.BULK_DATA, "image/jpeg", "jpeg-image")),
        (JSON, {"content-type": OCTETS, "content-location": "http://x/y"},
         (PartKind.BULK_DATA, OCTETS, "http://x/y")),
    ],
)  # fmt: skip
def test_parts(
    root_type: RootType, headers: Mapping[str, str], part: tuple[PartKind, str, str]
) -> None:
    assert parse_store_part(StoreRequest(root_type, "b"), headers) == StorePart(*part)


@pytest.mark.parametrize(
    ("root_type", "headers"),
    [
        (DICOM, {"content-type": "application/dicom+json"}),
        (DICOM, {"content-type": "image/jpeg"}),
        (JSON, {"content-type": "application/dicom", "content-location": "x"}),
        (JSON, {"content-type": "application/dicom+xml", "content-location": "x"}),
        (XML, {"content-type": "multipart/related; boundary=c", "content-location": "x"}),
        (XML, {"content-type": "image/jpeg"}),
        (DICOM, {"content-transfer-encoding": "base64"}),
        (DICOM, {"content-encoding": "gzip"}),
    ],
)
def test_parts_that_are_something_else_fail_by_themselves(
    root_type: RootType, headers: Mapping[str, str]
) -> None:
    with pytest.raises((UnsupportedMediaType, BadRequest), match="part"):
        parse_store_part(StoreRequest(root_type, "b"), headers)


@given(st.text(max_size=100), st.text(max_size=100))
def test_any_headers_are_parsed_or_refused(one: str, other: str) -> None:
    with contextlib.suppress(FarsightError):
        request = of(f"multipart/related; {one}", **{"content-encoding": other})
        parse_store_part(request, {"content-type": other, "content-location": one})
