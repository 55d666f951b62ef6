"""The capabilities document tells the truth, in both its forms (PS3.18 8.9, annexes G and H)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from pydicom.uid import AllTransferSyntaxes

from farsight.errors import NotFound
from farsight.model import Level
from farsight.ps318.accept import parse_accept
from farsight.ps318.capabilities import (
    COMPRESSED,
    RESOURCES,
    WADL,
    Method,
    Resource,
    capabilities,
)
from farsight.ps318.frame_media_type import OCTET_STREAM, frame_media_type
from farsight.ps318.media_type import JSON, choose_dicom, choose_frames, choose_metadata
from farsight.ps318.rendering_query import RENDERED_PARAMETERS, THUMBNAIL_PARAMETERS
from farsight.ps318.resource_path import Action, ResourcePath, parse_resource_path
from farsight.ps318.search_query import parse_search_query

BASE = "https://example.org/dicom-web"
SYNTAXES = [*(str(uid) for uid in AllTransferSyntaxes), "1.2.840.10008.1.2.4.110"]
VALUES = {
    "{StudyInstanceUID}": "1.2",
    "{SeriesInstanceUID}": "1.3",
    "{SOPInstanceUID}": "1.4",
    "{framelist}": "1,2",
    "{BulkDataReference}": "00420011",
}
#: Children in the order WADL's schema has them; what may be mixed stands in one place.
ORDER = {
    "application": ("doc", "resources"),
    "resources": ("resource",),
    "resource": ("param", "method resource"),
    "method": ("request", "response"),
    "request": ("param", "representation"),
    "response": ("representation",),
    "param": ("option",),
    "option": (),
    "representation": (),
    "doc": (),
}


def parsed_xml(document: bytes) -> ET.Element:
    root = ET.fromstring(document)
    assert root.tag == "{http://wadl.dev.java.net/2009/02}application"
    for element in root.iter():
        element.tag = element.tag.partition("}")[2]
    return root


@pytest.fixture(scope="module")
def wadl() -> ET.Element:
    return parsed_xml(capabilities(BASE))


def leaves(element: ET.Element, prefix: str = "") -> Iterator[tuple[str, ET.Element]]:
    """Each resource with its whole path."""
    for child in element.iterfind("resource"):
        path = prefix + child.attrib["path"]
        yield path, child
        yield from leaves(child, path + "/")


def filled(path: str) -> str:
    return "/" + re.sub(r"\{\w+\}", lambda match: VALUES[match[0]], path)


def routed(path: str) -> ResourcePath | None:
    try:
        return parse_resource_path(filled(path))
    except NotFound:
        return None


def test_one_application_with_one_base(wadl: ET.Element) -> None:
    (resources,) = wadl.iterfind("resources")
    assert resources.attrib == {"base": BASE}
    assert capabilities(BASE).startswith(b"<?xml version=")
    assert capabilities(BASE) == capabilities(BASE, WADL)


def test_everything_in_the_table_is_in_the_tree(wadl: ET.Element) -> None:
    resources = wadl.find("resources")
    assert resources is not None
    tree = {path: node for path, node in leaves(resources) if node.find("method") is not None}
    assert {path: [method.attrib.get("id", "") for method in node.iterfind("method")]
            for path, node in tree.items()} == {
        resource.path: [method.transaction for method in resource.methods]
        for resource in RESOURCES
    }  # fmt: skip
    for path, node in leaves(resources):
        variables = [param.attrib["name"] for param in node.iterfind("param")]
        segment = path.rpartition("/")[2]
        assert variables == ([segment.strip("{}")] if segment in VALUES else [])


def test_the_order_of_elements_is_wadl_s(wadl: ET.Element) -> None:
    for element in wadl.iter():
        places = [
            next(i for i, tags in enumerate(ORDER[element.tag]) if child.tag in tags.split())
            for child in element
        ]
        assert places == sorted(places), element.tag


def test_names_of_transactions_are_unique() -> None:
    names = [m.transaction for r in RESOURCES for m in r.methods if m.transaction]
    assert len(names) == len(set(names))
    assert all(name.isascii() and name.isalpha() for name in names)
    assert {"SearchForStudies", "RetrieveStudyMetadata", "RetrieveFrames"} <= set(names)


def test_paths_are_those_that_are_routed() -> None:
    """Values of whole studies, series and instances are described as annex H has them."""
    unrouted = {resource.path for resource in RESOURCES if routed(resource.path) is None}
    assert not unrouted


def test_all_that_is_routed_is_described() -> None:
    def kind(path: ResourcePath) -> tuple[Action, Level, bool, bool]:
        return path.action, path.level, path.is_relational, bool(path.frames)

    described = {kind(path) for r in RESOURCES if (path := routed(r.path)) is not None}
    study, series, instance = "/studies/1", "/studies/1/series/2", "/studies/1/series/2/instances/3"
    lists = ["/studies", "/series", "/instances", f"{study}/series", f"{study}/instances",
             f"{series}/instances"]  # fmt: skip
    levels = [study, series, instance]
    views = [f"{path}/{view}" for path in levels for view in ("metadata", "rendered", "thumbnail")]
    frames = [f"{instance}/frames/1{view}" for view in ("", "/rendered", "/thumbnail")]
    paths = [*lists, *levels, *views, *frames, f"{instance}/bulkdata/7FE00010"]
    assert described >= {kind(parse_resource_path(path)) for path in paths}


def gets(*names: str) -> list[tuple[str, Method]]:
    """Path and GET of the resources whose transaction begins with one of the names."""
    found = [(r.path, r.methods[0]) for r in RESOURCES]
    return [(path, method) for path, method in found if method.transaction.startswith(names)]


def test_parameters_of_searches_are_understood() -> None:
    searches = gets("SearchFor")
    assert len(searches) == 6
    numbers = {"limit": "1", "offset": "1", "includefield": "all"}
    for path, method in searches:
        level = parse_resource_path(filled(path)).level
        pairs = [(parameter.name, numbers.get(parameter.name, "1"))
                 for parameter in method.parameters]  # fmt: skip
        pairs = [(name, "20240101" if name.endswith("Date") else value) for name, value in pairs]
        pairs = [(name, "120000" if name.endswith("Time") else value) for name, value in pairs]
        query = parse_search_query(pairs, level)
        assert query.warnings == ()
        assert len(query.matching_keys) == len(pairs) - len(numbers) - 1
        assert any(key.level is level for key in query.matching_keys)


def test_parameters_of_pictures_are_known() -> None:
    rendered, thumbnails = gets("RetrieveRendered"), gets("Retrieve")
    thumbnails = [(path, method) for path, method in thumbnails if path.endswith("/thumbnail")]
    assert (len(rendered), len(thumbnails)) == (4, 4)
    for known, methods in ((RENDERED_PARAMETERS, rendered), (THUMBNAIL_PARAMETERS, thumbnails)):
        for _, method in methods:
            assert {parameter.name for parameter in method.parameters} == known - {"charset"}


def test_data_sets_come_in_what_is_said() -> None:
    for _, method in [*gets("SearchFor"), *gets("RetrieveStudyMetadata")]:
        for media_type in method.sends:
            assert str(choose_metadata(parse_accept(media_type))) == media_type


def test_objects_come_in_what_is_said() -> None:
    for name, single_part in (("RetrieveSeries", False), ("RetrieveInstance", True)):
        (method,) = [m for _, m in gets(name) if m.transaction == name]
        for media_type in method.sends:
            for syntax in SYNTAXES:
                offer = choose_dicom(parse_accept(media_type), syntax, single_part=single_part)
                assert media_type.startswith(str(offer).partition("; transfer-syntax")[0])
        assert str(choose_dicom(parse_accept(None), SYNTAXES[1], single_part=False)).startswith(
            method.sends[0]
        )


def test_frames_come_in_what_is_said() -> None:
    media_types = {frame_media_type(uid) for uid in SYNTAXES}
    assert set(COMPRESSED) == media_types - {OCTET_STREAM}
    ((_, method),) = gets("RetrieveFrames")[:1]
    offered = {str(choose_frames(parse_accept(None), uid, single_part=single)).partition("; tr")[0]
               for uid in SYNTAXES for single in (True, False)}  # fmt: skip
    assert offered <= set(method.sends)
    for media_type in method.sends:
        assert media_type.partition("; tr")[0] in {
            text for name in media_types for text in (name, f'multipart/related; type="{name}"')
        }


def rebuilt(tag: str, members: dict[str, Any]) -> ET.Element:
    """The way back from JSON (annex G says there is one)."""
    element = ET.Element(tag)
    for name, value in members.items():
        if name.startswith("@"):
            element.set(name[1:], value)
        elif isinstance(value, str):
            element.text = value
        elif isinstance(value, dict):
            element.append(rebuilt(name, value))
        else:
            element.extend(rebuilt(name, item) for item in value)
    return element


def value_of(element: ET.Element) -> tuple[Any, ...]:
    """To compare by: methods before resources, which JSON can't tell the order of."""
    children = sorted(element, key=lambda child: child.tag)
    text = (element.text or "").strip()
    return element.tag, text, sorted(element.attrib.items()), [value_of(c) for c in children]


@pytest.mark.parametrize("base", [BASE, "http://[::1]:80/\"<&>'/ü", ""])
def test_json_says_the_same(base: str) -> None:
    document = json.loads(capabilities(base, JSON))
    assert list(document) == ["application"]
    assert document["application"]["resources"]["@base"] == base
    assert document["application"].pop("@xmlns") == "http://wadl.dev.java.net/2009/02"
    from_json = rebuilt("application", document["application"])
    assert value_of(from_json) == value_of(parsed_xml(capabilities(base)))


def test_json_has_arrays_and_objects_as_annex_g_demands() -> None:
    application = json.loads(capabilities(BASE, JSON))["application"]
    studies = application["resources"]["resource"][0]
    method = studies["method"][0]
    assert (studies["@path"], method["@name"], method["@id"]) == (
        "studies", "GET", "SearchForStudies",
    )  # fmt: skip
    assert method["request"]["param"][0]["@name"] == "Accept"
    assert method["response"][0]["representation"][0] == {"@mediaType": "application/dicom+json"}
    assert isinstance(application["doc"][0]["value"], str)


def test_a_transaction_more_is_one_line_more() -> None:
    objects = 'multipart/related; type="application/dicom"'
    store = Method("POST", "StoreInstances", ("application/dicom+json",), (objects,))
    wadl = parsed_xml(capabilities(BASE, WADL, (*RESOURCES, Resource("studies", (store,)))))
    (studies,) = wadl.iterfind("resources/resource[@path='studies']")
    assert [method.attrib["name"] for method in studies.iterfind("method")] == [
        "GET", "HEAD", "OPTIONS", "POST",
    ]  # fmt: skip
    (body,) = studies.iterfind("method[@id='StoreInstances']/request/representation")
    assert body.attrib == {"mediaType": objects}
