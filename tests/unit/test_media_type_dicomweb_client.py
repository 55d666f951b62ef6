"""Content negotiation with dicomweb-client: what it really sends, and what it gets for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import requests
from dicomweb_client import DICOMwebClient
from requests.adapters import BaseAdapter

from accept_headers import BIG, DICOM, EXPLICIT, IMPLICIT, J2K, JLS, JPEG, OCTETS, RLE, related
from farsight.ps318.accept import parse_accept
from farsight.ps318.media_type import choose_bulk_data, choose_dicom, choose_frames, choose_metadata


class Recorder(BaseAdapter):
    """Takes the requests of a session and keeps what they accept."""

    def __init__(self) -> None:
        super().__init__()
        self.accept: str | None = None

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        self.accept = request.headers["Accept"]
        response = requests.Response()
        response.status_code = 204
        response.request = request
        response._content = b""
        response.headers["Content-Type"] = 'multipart/related; type="a/b"; boundary=c'
        return response

    def close(self) -> None:
        pass


def accept_of(call: Callable[[DICOMwebClient], object]) -> str | None:
    """The Accept header that dicomweb-client sends for a call."""
    session, recorder = requests.Session(), Recorder()
    session.mount("http://", recorder)
    client = DICOMwebClient("http://127.0.0.1/dicom-web", session=session)
    with contextlib.suppress(Exception):  # an empty answer is not what it hopes for
        call(client)
    assert recorder.accept is not None
    return recorder.accept


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.search_for_studies(),
        lambda client: client.retrieve_series_metadata("1", "2"),
        lambda client: client.retrieve_instance_metadata("1", "2", "3"),
    ],
)
def test_dicomweb_client_metadata(call: Callable[[DICOMwebClient], object]) -> None:
    assert choose_metadata(parse_accept(accept_of(call))).media_type == "application/dicom+json"


@pytest.mark.parametrize(
    ("media_types", "stored", "target"),
    [
        (None, EXPLICIT, EXPLICIT),
        (None, IMPLICIT, EXPLICIT),
        (None, JPEG, JPEG),
        (None, JLS, JLS),
        ((("application/dicom", "*"),), JLS, JLS),
        ((("application/dicom", JLS),), JLS, JLS),
        (("application/dicom",), BIG, EXPLICIT),
    ],
)
@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_dicomweb_client_objects(level: str, media_types: Any, stored: str, target: str) -> None:
    uids = {"study": ("1",), "series": ("1", "2"), "instance": ("1", "2", "3")}[level]
    accept = accept_of(
        lambda client: getattr(client, f"retrieve_{level}")(*uids, media_types=media_types)
    )
    if level == "instance" and media_types is None:
        assert accept == related(DICOM, "*")
        target = stored
    offer = choose_dicom(parse_accept(accept), stored, single_part=level == "instance")
    assert (offer.transfer_syntax_uid, offer.multipart) == (target, True)


@pytest.mark.parametrize(
    ("media_types", "stored", "media_type"),
    [
        (None, EXPLICIT, OCTETS),
        (None, JLS, "image/jls"),
        ((OCTETS,), IMPLICIT, OCTETS),
        (((OCTETS, "*"),), EXPLICIT, OCTETS),
        (("image/jpeg",), JPEG, "image/jpeg"),
        ((("image/jls", JLS),), JLS, "image/jls"),
        ((("image/*", "*"),), RLE, "image/dicom-rle"),
        (((OCTETS, EXPLICIT), ("image/jp2", J2K)), J2K, "image/jp2"),
        (((OCTETS, EXPLICIT), ("image/jp2", J2K)), IMPLICIT, OCTETS),
    ],
)
def test_dicomweb_client_frames(media_types: Any, stored: str, media_type: str) -> None:
    accept = accept_of(
        lambda client: client.retrieve_instance_frames("1", "2", "3", [1], media_types=media_types)
    )
    offer = choose_frames(parse_accept(accept), stored, single_part=True)
    assert (offer.media_type, offer.multipart) == (media_type, True)


@pytest.mark.parametrize("media_types", [None, (OCTETS,), ((OCTETS, "*"),)])
def test_dicomweb_client_bulk_data(media_types: Any) -> None:
    accept = accept_of(
        lambda client: client.retrieve_bulkdata("http://127.0.0.1/x", media_types=media_types)
    )
    offer = choose_bulk_data(parse_accept(accept))
    assert (offer.media_type, offer.multipart) == (OCTETS, True)
