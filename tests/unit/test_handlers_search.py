"""QIDO-RS requests and answers (PS3.18 10.6), over PACS in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest

from fakes.catalog import study
from fakes.pacs import FakePacs
from farsight.errors import InvalidParameter, NotAcceptable, PacsUnavailable
from farsight.ps318.dicom_xml import NAMESPACE
from farsight.ps318.multipart_related import Part, RelatedBody
from farsight.ps318.resource_path import parse_resource_path
from farsight.services.search import SearchService
from farsight.web.handlers_search import search_handler
from farsight.web.messages import Request, Response

STUDIES = [study("1.2.1", _00100010="Müller^Jürgen=山田^太郎"), study("1.2.2")]


def get(*query: tuple[str, str], accept: str | None = None, pacs: Any = None) -> Response:
    handler = search_handler(SearchService([pacs or FakePacs(STUDIES)], None), "/dicom-web")
    headers = {} if accept is None else {"accept": accept}
    request = Request("GET", "/dicom-web/studies", query, headers, b"", "https://host:8043")
    return handler(request, parse_resource_path("/studies"))


def body(response: Response) -> Any:
    assert isinstance(response.body, bytes)
    return json.loads(response.body.decode("utf-8"))


def test_rows_are_a_json_array_in_utf_8() -> None:
    response = get(("StudyInstanceUID", "1.2.1"))
    assert (response.status, response.header("Content-Type")) == (200, "application/dicom+json")
    (row,) = body(response)
    assert row["00100010"]["Value"] == [{"Alphabetic": "Müller^Jürgen", "Ideographic": "山田^太郎"}]
    assert row["00081190"]["Value"] == ["https://host:8043/dicom-web/studies/1.2.1"]
    assert isinstance(response.body, bytes)
    assert "山田".encode() in response.body


def test_nothing_found_is_200_and_an_empty_array() -> None:
    response = get(("StudyInstanceUID", "9.9"))
    assert (response.status, response.body) == (200, b"[]")


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "application/dicom+json"),
        ("*/*", "application/dicom+json"),
        ("application/json", "application/json"),
        ("application/dicom+json, application/json", "application/dicom+json"),
        ("application/json;q=0.5, application/dicom+json;q=0.1", "application/json"),
        ("text/html, application/*;q=0.1", "application/dicom+json"),
    ],
)
def test_media_types(accept: str | None, media_type: str) -> None:
    assert get(accept=accept).header("Content-Type") == media_type


XML = 'multipart/related; type="application/dicom+xml"'


def test_rows_as_xml_are_a_part_each() -> None:
    response = get(accept=XML)
    assert response.status == 200
    assert isinstance(response.body, RelatedBody)
    assert response.header("Content-Type") == response.body.content_type
    parts = list(response.body.parts)
    assert [part.content_type for part in parts] == ["application/dicom+xml"] * 2
    names = [name.text for part in parts for name in _elements(part, "FamilyName")]
    assert "Müller" in names


def _elements(part: Part, name: str) -> Iterator[ElementTree.Element]:
    return ElementTree.fromstring(bytes(part.body)).iter(f"{{{NAMESPACE}}}{name}")


def test_nothing_found_as_xml_is_204() -> None:
    response = get(("StudyInstanceUID", "9.9"), ("fuzzymatching", "true"), accept=XML)
    assert (response.status, response.body) == (204, b"")
    assert response.header("Warning") is not None


def test_the_accept_parameter_is_no_search_parameter() -> None:
    response = get(("accept", "application/json"))
    assert response.header("Content-Type") == "application/json"


@pytest.mark.parametrize("accept", ["text/html", "image/jpeg", "application/dicom+json;q=0"])
def test_what_cannot_be_produced_is_not_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        get(accept=accept)


def test_every_warning_is_a_header_of_its_own() -> None:
    response = get(("fuzzymatching", "true"), ("limit", "1"))
    assert [value for name, value in response.headers if name == "Warning"] == [
        '299 https://host:8043/dicom-web: "The fuzzymatching parameter is not supported. '
        'Only literal matching has been performed."',
        '299 https://host:8043/dicom-web: "There are 1 additional results that can be requested"',
    ]


def test_errors_go_through_to_the_edge() -> None:
    with pytest.raises(InvalidParameter):
        get(("StudyDate", "yesterday"))
    with pytest.raises(PacsUnavailable):
        get(pacs=FakePacs(STUDIES, fails=PacsUnavailable("pacs", "connection refused")))
