"""Content negotiation: what clients really send, and what they get for it (PS3.18 8.7)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import requests
from dicomweb_client import DICOMwebClient
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import AllTransferSyntaxes
from requests.adapters import BaseAdapter

from farsight.errors import NotAcceptable
from farsight.ps318.accept import parse_accept
from farsight.ps318.media_type import (
    choose_bulk_data,
    choose_dicom,
    choose_frames,
    choose_metadata,
    takes_any_dicom,
)

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED, RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
JPEG, JPEG_LOSSLESS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70"
JLS, J2K, J2K_LOSSY = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"
MPEG4, DEFLATED_FRAMES = "1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.8.1"
#: JPEG of a retired process, JPEG 2000 in several components, fragmentable video, native frames
#: in fragments.
UNUSUAL = ("1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.92", "1.2.840.10008.1.2.4.102.1",
           "1.2.840.10008.1.2.1.98")  # fmt: skip
PRIVATE = "1.2.826.0.1.3680043.8.498.1"
ALL_SYNTAXES = tuple(str(uid) for uid in AllTransferSyntaxes)
OCTETS = "application/octet-stream"
OHIF = "multipart/related; type=application/octet-stream; transfer-syntax=*"


@pytest.mark.parametrize(
    ("header", "ranges"),
    [
        (None, [("*/*", {}, 1.0)]),
        ("", [("*/*", {}, 1.0)]),
        ("*", [("*/*", {}, 1.0)]),
        ("image/", [("image/*", {}, 1.0)]),
        ("Image/JPEG;Q=0.5", [("image/jpeg", {}, 0.5)]),
        ("a/b;q=2, c/d;q=-1, e/f;q=x, g/h;q=nan",
         [("a/b", {}, 1.0), ("c/d", {}, 0.0), ("e/f", {}, 1.0), ("g/h", {}, 1.0)]),
        (OHIF, [("multipart/related", {"type": OCTETS, "transfer-syntax": "*"}, 1.0)]),
        ('multipart/related; type="application/dicom"; transfer-syntax="1.2"; boundary="a,b;c"',
         [("multipart/related",
           {"type": "application/dicom", "transfer-syntax": "1.2", "boundary": "a,b;c"}, 1.0)]),
        (r'a/b; x="say \"hi\", you\\"; y = z',
         [("a/b", {"x": 'say "hi", you\\', "y": "z"}, 1.0)]),
        ("nonsense, , ;, /x, x/, text/html", [("x/*", {}, 1.0), ("text/html", {}, 1.0)]),
        ("application/dicom json", [("application/dicom+json", {}, 1.0)]),
        ('a/b; x="unclosed, c/d', [("a/b", {"x": '"unclosed, c/d'}, 1.0)]),
    ],
)  # fmt: skip
def test_parsing(header: str | None, ranges: list[tuple[str, dict[str, str], float]]) -> None:
    (parsed,) = parse_accept(header)
    assert [(r.name, r.parameters, r.quality) for r in parsed] == ranges


@given(st.text(max_size=200), st.lists(st.text(max_size=50), max_size=3))
def test_any_text_is_parsed(header: str, query: list[str]) -> None:
    accept = parse_accept(header, query)
    for choose in (choose_metadata, choose_bulk_data):
        with contextlib.suppress(NotAcceptable):
            choose(accept)


def test_the_query_parameter_goes_first_and_the_header_is_its_fallback() -> None:
    json, dicom_json = "application/json", "application/dicom+json"
    assert choose_metadata(parse_accept(dicom_json, [json])).media_type == json
    assert choose_metadata(parse_accept(dicom_json, ["text/html"])).media_type == dicom_json
    assert choose_metadata(parse_accept("text/html", [json])).media_type == json
    assert choose_metadata(parse_accept(None, [json])).media_type == json
    with pytest.raises(NotAcceptable):
        choose_metadata(parse_accept(None, ["text/html"]))


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        (None, "application/dicom+json"),
        ("*/*", "application/dicom+json"),
        ("application/*", "application/dicom+json"),
        ("application/json", "application/json"),
        ("application/dicom+json, application/json", "application/dicom+json"),
        ("application/json, application/dicom+json", "application/json"),
        ("application/json;q=0.5, application/dicom+json;q=0.4", "application/json"),
        ("application/json, */*;q=0.1", "application/json"),
        ("application/dicom+json;q=0, */*", "application/json"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "application/dicom+json"),
        ("application/dicom+json; transfer-syntax=1.2.3", "application/dicom+json"),
        ('multipart/related; type="application/dicom+xml"', "application/dicom+xml"),
        ("multipart/related; type=application/dicom+xml", "application/dicom+xml"),
        ("multipart/related", "application/dicom+xml"),
        (
            'application/json;q=0.1, multipart/related; type="application/dicom+xml"',
            "application/dicom+xml",
        ),
        ("application/dicom+xml", None),
        ('multipart/related; type="application/dicom"', None),
        ("text/html", None),
        ("application/dicom+json;q=0, application/json;q=0", None),
    ],
)
def test_metadata(header: str | None, chosen: str | None) -> None:
    if chosen is None:
        with pytest.raises(NotAcceptable, match=r"available: application/dicom\+json, app"):
            choose_metadata(parse_accept(header))
    else:
        assert choose_metadata(parse_accept(header)).media_type == chosen


def related(media_type: str, syntax: str | None = None) -> str:
    suffix = "" if syntax is None else f"; transfer-syntax={syntax}"
    return f'multipart/related; type="{media_type}"{suffix}'


DICOM = "application/dicom"


@pytest.mark.parametrize(
    ("header", "stored", "target", "multipart"),
    [
        # as stored: no Accept, wildcards, transfer-syntax=*
        *((header, stored, stored, True)
          for header in (None, "*/*", related("*/*"), "multipart/related", related(DICOM, "*"))
          for stored in (EXPLICIT, DEFLATED, JPEG, JPEG_LOSSLESS, MPEG4)),
        *((related(DICOM, "*"), stored, stored, True) for stored in (IMPLICIT, BIG)),
        # ... but what no web service sends unless it is asked for
        *((header, stored, EXPLICIT, True)
          for header in (None, "*/*", related("*/*"), "multipart/related")
          for stored in (IMPLICIT, BIG)),
        (f"{DICOM}; transfer-syntax=*", J2K, J2K, False),
        # by name
        (related(DICOM, JLS), JLS, JLS, True),
        (related(DICOM, f'"{JLS}"'), JLS, JLS, True),
        (related(DICOM, IMPLICIT), IMPLICIT, IMPLICIT, True),
        (f"{DICOM}; transfer-syntax={JLS}", JLS, JLS, False),
        # without: Explicit VR Little Endian, made from any native syntax
        *((related(DICOM), stored, EXPLICIT, True)
          for stored in (IMPLICIT, EXPLICIT, BIG, DEFLATED)),
        (DICOM, IMPLICIT, EXPLICIT, False),
        (related(DICOM, EXPLICIT), BIG, EXPLICIT, True),
        # ... but what is compressed comes as it is stored
        *((related(DICOM), stored, stored, True)
          for stored in (JPEG, J2K_LOSSY, MPEG4, RLE, JPEG_LOSSLESS, JLS, J2K, *UNUSUAL)),
        (f"{DICOM}; transfer-syntax={PRIVATE}", PRIVATE, PRIVATE, False),
        # several
        (f"{related(DICOM, EXPLICIT)}, {related(DICOM, JLS)}", JLS, JLS, True),
        (f"{related(DICOM, EXPLICIT)};q=0.5, {related(DICOM, '*')}", IMPLICIT, IMPLICIT, True),
        (f"{related(DICOM, EXPLICIT)}, {related(DICOM, '*')};q=0.5", IMPLICIT, EXPLICIT, True),
        (f"text/html, {DICOM};q=0.1", EXPLICIT, EXPLICIT, False),
    ],
)  # fmt: skip
def test_whole_objects(header: str | None, stored: str, target: str, multipart: bool) -> None:
    offer = choose_dicom(parse_accept(header), stored, single_part=True)
    assert (offer.transfer_syntax_uid, offer.multipart) == (target, multipart)
    assert offer.as_stored is (target == stored)
    assert offer.content_type == f"application/dicom; transfer-syntax={target}"


@pytest.mark.parametrize(
    ("header", "stored"),
    [
        (related(DICOM, EXPLICIT), JPEG),
        (related(DICOM, EXPLICIT), PRIVATE),
        (related(DICOM, J2K), JLS),
        (related(DICOM, BIG), EXPLICIT),
        (OHIF, EXPLICIT),
        ("image/jpeg", JPEG),
        ("text/html", EXPLICIT),
    ],
)
def test_whole_objects_that_would_need_transcoding(header: str, stored: str) -> None:
    with pytest.raises(NotAcceptable) as refusal:
        choose_dicom(parse_accept(header), stored, single_part=True)
    assert f'multipart/related; type="application/dicom"; transfer-syntax={stored}' in str(
        refusal.value
    )


def test_several_objects_need_multipart() -> None:
    with pytest.raises(NotAcceptable):
        choose_dicom(parse_accept(DICOM), EXPLICIT, single_part=False)


@pytest.mark.parametrize(
    ("header", "takes_any"),
    [
        *((header, True)
          for header in (None, "*/*", "multipart/related", related("*/*"), related(DICOM),
                         related(DICOM, "*"), f"{related(DICOM, JPEG)}, {related(DICOM)}")),
        (related(DICOM, EXPLICIT), False),
        (f"{related(DICOM, EXPLICIT)}, {related(DICOM, JPEG)}", False),
        (f"{related(DICOM, JPEG)};q=0, {related(DICOM, '*')}", False),
        (f"{related(OCTETS)};q=0, image/*;q=0, {related(DICOM, '*')}", True),
        (f"{related(DICOM, '1.2.840.10008.1.2.4.0')}, {related(DICOM, EXPLICIT)}", False),
        (DICOM, False),
    ],
)  # fmt: skip
def test_who_takes_objects_whatever_they_are_stored_in(header: str | None, takes_any: bool) -> None:
    accept = parse_accept(header)
    assert takes_any_dicom(accept) is takes_any
    if takes_any:
        for stored in (*ALL_SYNTAXES, PRIVATE):
            choose_dicom(accept, stored, single_part=False)


@pytest.mark.parametrize(
    ("header", "stored", "content_type", "multipart"),
    [
        # OHIF asks for everything like this, and wants the true type in the part
        (OHIF, EXPLICIT, f"{OCTETS}; transfer-syntax={EXPLICIT}", True),
        (OHIF, BIG, f"{OCTETS}; transfer-syntax={EXPLICIT}", True),
        (OHIF, JLS, f"image/jls; transfer-syntax={JLS}", True),
        (OHIF, JPEG, f"image/jpeg; transfer-syntax={JPEG}", True),
        (OHIF, MPEG4, f"video/mp4; transfer-syntax={MPEG4}", True),
        (OHIF, DEFLATED_FRAMES, f"{OCTETS}; transfer-syntax={DEFLATED_FRAMES}", True),
        # whatever there is
        *((header, J2K, f"image/jp2; transfer-syntax={J2K}", True)
          for header in (None, "*/*", "multipart/related", related("*/*"), related("image/*"),
                         related("image/jp2"), related("image/jp2", "*"), related("image/"),
                         related("image/jp2", J2K), f"{related('image/jls')}, */*;q=0.1")),
        ("image/jpeg", JPEG_LOSSLESS, f"image/jpeg; transfer-syntax={JPEG_LOSSLESS}", False),
        ("image/*", RLE, f"image/dicom-rle; transfer-syntax={RLE}", False),
        (related("image/x-jls"), JLS, f"image/jls; transfer-syntax={JLS}", True),
        (related("video/mpeg2"), "1.2.840.10008.1.2.4.100",
         "video/mpeg; transfer-syntax=1.2.840.10008.1.2.4.100", True),
        # octets without transfer syntax are Explicit VR Little Endian
        *((related(OCTETS), stored, f"{OCTETS}; transfer-syntax={EXPLICIT}", True)
          for stored in (IMPLICIT, EXPLICIT, BIG, DEFLATED)),
        (OCTETS, IMPLICIT, f"{OCTETS}; transfer-syntax={EXPLICIT}", False),
        (related(OCTETS, EXPLICIT), IMPLICIT, f"{OCTETS}; transfer-syntax={EXPLICIT}", True),
        (f"{OCTETS}; transfer-syntax=*", JLS, f"image/jls; transfer-syntax={JLS}", False),
        # the packaging the client likes better
        (f"image/jls;q=0.5, {related('image/jls')}",
         JLS, f"image/jls; transfer-syntax={JLS}", True),
        (f"image/jls, {related('image/jls')};q=0.5",
         JLS, f"image/jls; transfer-syntax={JLS}", False),
    ],
)  # fmt: skip
def test_frames(header: str | None, stored: str, content_type: str, multipart: bool) -> None:
    offer = choose_frames(parse_accept(header), stored, single_part=True)
    assert (offer.content_type, offer.multipart) == (content_type, multipart)


@pytest.mark.parametrize(
    ("header", "stored", "available"),
    [
        (related(OCTETS), JLS, f'type="image/jls"; transfer-syntax={JLS}'),
        (related(OCTETS, EXPLICIT), JPEG, f'type="image/jpeg"; transfer-syntax={JPEG}'),
        (related("image/jpeg"), J2K, f'type="image/jp2"; transfer-syntax={J2K}'),
        (related("image/jpeg", JPEG), JPEG_LOSSLESS, f"transfer-syntax={JPEG_LOSSLESS}"),
        (related("image/jpeg"), EXPLICIT, f'type="{OCTETS}"; transfer-syntax={EXPLICIT}'),
        (related(OCTETS), DEFLATED_FRAMES, f"transfer-syntax={DEFLATED_FRAMES}"),
        (f"{OHIF};q=0", EXPLICIT, EXPLICIT),
    ],
)
def test_frames_that_would_need_transcoding(header: str, stored: str, available: str) -> None:
    with pytest.raises(NotAcceptable) as refusal:
        choose_frames(parse_accept(header), stored, single_part=True)
    assert available in str(refusal.value)


def test_several_frames_need_multipart() -> None:
    with pytest.raises(NotAcceptable):
        choose_frames(parse_accept("image/jls"), JLS, single_part=False)


@pytest.mark.parametrize(
    ("header", "media_type", "chosen", "multipart"),
    [
        (None, OCTETS, OCTETS, True),
        ("*/*", OCTETS, OCTETS, True),
        (OCTETS, OCTETS, OCTETS, False),
        (f"{OCTETS}; transfer-syntax=*", OCTETS, OCTETS, False),
        (OHIF, OCTETS, OCTETS, True),
        (related(OCTETS), OCTETS, OCTETS, True),
        (related("*/*"), OCTETS, OCTETS, True),
        (related("application/pdf"), "application/pdf", "application/pdf", True),
        ("application/pdf", "application/pdf", "application/pdf", False),
        ("application/*", "application/pdf", "application/pdf", False),
        (related(OCTETS), "application/pdf", OCTETS, True),
        ("*/*", "application/pdf", "application/pdf", True),
    ],
)
def test_bulk_data(header: str | None, media_type: str, chosen: str, multipart: bool) -> None:
    offer = choose_bulk_data(parse_accept(header), media_type)
    assert (offer.media_type, offer.multipart) == (chosen, multipart)


def test_bulk_data_that_is_no_picture() -> None:
    with pytest.raises(NotAcceptable, match="available: multipart/related"):
        choose_bulk_data(parse_accept("image/jpeg"))


# -- dicomweb-client ------------------------------------------------------------------------------


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


# ---- where pixels can be transcoded

OTHERS = (EXPLICIT, JPEG_LOSSLESS, JLS, J2K, "1.2.840.10008.1.2.4.201", RLE, JPEG, J2K_LOSSY)


@pytest.mark.parametrize(
    ("header", "stored", "target"),
    [
        # the default of the standard, but for what has lost already
        *((related(DICOM), stored, EXPLICIT) for stored in (J2K, RLE, JPEG_LOSSLESS, IMPLICIT)),
        *((related(DICOM), stored, stored) for stored in (JPEG, J2K_LOSSY, EXPLICIT)),
        # as stored for anyone
        *((header, J2K, J2K) for header in (None, "*/*", related(DICOM, "*"))),
        # by name, also what loses
        (related(DICOM, JLS), EXPLICIT, JLS),
        (related(DICOM, JPEG), J2K, JPEG),
        (f"{related(DICOM, MPEG4)}, {related(DICOM, RLE)};q=0.1", EXPLICIT, RLE),
    ],
)  # fmt: skip
def test_transcoded_objects(header: str | None, stored: str, target: str) -> None:
    offer = choose_dicom(parse_accept(header), stored, single_part=False, others=OTHERS)
    assert offer.transfer_syntax_uid == target
    assert offer.as_stored is (target == stored)


@pytest.mark.parametrize(
    ("header", "stored", "content_type"),
    [
        (related(OCTETS), J2K, f"{OCTETS}; transfer-syntax={EXPLICIT}"),
        (related(OCTETS), JPEG, f"{OCTETS}; transfer-syntax={EXPLICIT}"),
        (related(OCTETS), DEFLATED_FRAMES, f"{OCTETS}; transfer-syntax={EXPLICIT}"),
        (related(OCTETS, "*"), J2K, f"image/jp2; transfer-syntax={J2K}"),
        # a type means what is stored of it, else its lossless default
        (related("image/jp2"), J2K_LOSSY, f"image/jp2; transfer-syntax={J2K_LOSSY}"),
        (related("image/jp2"), EXPLICIT, f"image/jp2; transfer-syntax={J2K}"),
        (related("image/jpeg"), JPEG, f"image/jpeg; transfer-syntax={JPEG}"),
        (related("image/jpeg"), EXPLICIT, f"image/jpeg; transfer-syntax={JPEG_LOSSLESS}"),
        (related("image/jpeg", JPEG), EXPLICIT, f"image/jpeg; transfer-syntax={JPEG}"),
        (related("image/jphc"), JPEG, "image/jphc; transfer-syntax=1.2.840.10008.1.2.4.201"),
        (None, EXPLICIT, f"{OCTETS}; transfer-syntax={EXPLICIT}"),
        ("*/*", JLS, f"image/jls; transfer-syntax={JLS}"),
    ],
)
def test_transcoded_frames(header: str | None, stored: str, content_type: str) -> None:
    offer = choose_frames(parse_accept(header), stored, single_part=False, others=OTHERS)
    assert offer.content_type == content_type


def test_what_loses_is_made_for_nobody_who_does_not_name_it() -> None:
    lossy = (JPEG, J2K_LOSSY)
    for header in (related("image/jpeg"), related("image/jp2"), related(OCTETS, "*")):
        try:
            offer = choose_frames(parse_accept(header), JLS, single_part=False, others=lossy)
        except NotAcceptable:
            continue
        assert offer.transfer_syntax_uid == JLS
