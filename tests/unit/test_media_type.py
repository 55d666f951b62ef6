"""Content negotiation: Accept as it is written, metadata and bulk data for it (PS3.18 8.7)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accept_headers import OCTETS, OHIF, related
from farsight.errors import NotAcceptable
from farsight.ps318.accept import parse_accept
from farsight.ps318.media_type import choose_bulk_data, choose_metadata


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
