"""What this service can do, for machines: the answer to `OPTIONS /` (PS3.18 8.9, annexes G and H).

RESOURCES is the whole of it, one entry per path; the WADL document and its JSON form are made of
that, so a new transaction is one line there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree as ET

from farsight.model import Level
from farsight.ps318.accept import MULTIPART
from farsight.ps318.frame_media_type import OCTET_STREAM
from farsight.ps318.media_type import APPLICATION_DICOM, DICOM_JSON, DICOM_XML, JSON
from farsight.ps318.rendering_query import Annotation, IccProfile

WADL: Final = "application/vnd.sun.wadl+xml"
_NAMESPACE: Final = "http://wadl.dev.java.net/2009/02"
_ABOUT: Final = (
    "Searches match every attribute of their level and of those above, by keyword or tag;"
    " the parameters listed are those that PS3.18 requires."
)

#: Elements that stand once in their parent (PS3.18 G.2.2); all others are arrays in JSON.
_UNIQUE: Final = frozenset({"application", "resources", "request"})


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter; options: the values there are, none where it is free."""

    name: str
    options: tuple[str, ...] = ()
    repeating: bool = False


@dataclass(frozen=True, slots=True)
class Method:
    """What one HTTP method does at a resource.

    transaction: its name in annex H, unique; "" where it has none. sends, takes: media types of
    responses, the default first, and of request bodies. success, failure: status codes.
    """

    name: str
    transaction: str = ""
    sends: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    success: tuple[int, ...] = (200,)
    failure: tuple[int, ...] = (400, 401, 404, 406, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Resource:
    """One path below the service's root, without a leading slash; variables in braces."""

    path: str
    methods: tuple[Method, ...]


def _parts(*media_types: str) -> tuple[str, ...]:
    return tuple(f'{MULTIPART}; type="{media_type}"' for media_type in media_types)


def _any_syntax(*media_types: str) -> tuple[str, ...]:
    """Each in the default transfer syntax, and in whatever there is."""
    return tuple(text for name in media_types for text in (name, f"{name}; transfer-syntax=*"))


_STUDY: Final = "studies/{StudyInstanceUID}"
_SERIES: Final = _STUDY + "/series/{SeriesInstanceUID}"
_INSTANCE: Final = _SERIES + "/instances/{SOPInstanceUID}"
_FRAMES: Final = _INSTANCE + "/frames/{framelist}"
_PATHS: Final = {"Study": _STUDY, "Series": _SERIES, "Instance": _INSTANCE}

#: Compressed frames come as what they are (frame_media_type).
COMPRESSED: Final = (
    "image/jpeg", "image/jls", "image/jp2", "image/jpx", "image/jphc", "image/jxl",
    "image/dicom-rle", "video/mpeg", "video/mp4", "video/H265",
)  # fmt: skip
_DATA_SETS: Final = (DICOM_JSON, JSON, *_parts(DICOM_XML))
_OBJECTS: Final = _any_syntax(*_parts(APPLICATION_DICOM))
_OBJECT: Final = _OBJECTS + _any_syntax(APPLICATION_DICOM)
_PIXELS: Final = _any_syntax(*_parts(OCTET_STREAM)) + _parts(*COMPRESSED)
_BULK: Final = (*_parts(OCTET_STREAM), OCTET_STREAM)
_STILLS: Final = ("image/jpeg", "image/png", "image/gif")
#: Also of what is no image: documents and videos as they are, reports as text (table 8.7.4-1).
_PICTURES: Final = (
    *_STILLS, "image/jp2", "text/html", "text/plain", "application/pdf", "video/mp4", "video/mpeg",
)  # fmt: skip

_ACCEPT: Final = Parameter("accept", repeating=True)
_INCLUDE_FIELD: Final = Parameter("includefield", ("all",), repeating=True)
_VIEWPORT: Final = Parameter("viewport")
_RENDERING: Final = (
    Parameter("annotation", tuple(Annotation)),
    Parameter("iccprofile", tuple(IccProfile)),
    Parameter("quality"),
    _VIEWPORT,
    Parameter("window"),
)
#: PS3.18 table 10.6.1-5.
_MATCHED: Final = {
    Level.STUDY: "StudyDate StudyTime AccessionNumber ModalitiesInStudy ReferringPhysicianName"
    " PatientName PatientID StudyInstanceUID StudyID",
    Level.SERIES: "Modality SeriesInstanceUID SeriesNumber PerformedProcedureStepStartDate"
    " PerformedProcedureStepStartTime RequestAttributesSequence.ScheduledProcedureStepID"
    " RequestAttributesSequence.RequestedProcedureID",
    Level.IMAGE: "SOPClassUID SOPInstanceUID InstanceNumber",
}


def _resource(path: str, method: Method) -> Resource:
    """What can be had by GET can be asked for by HEAD, and OPTIONS is answered everywhere."""
    return Resource(path, (method, Method("HEAD"), Method("OPTIONS")))


def _search(path: str, transaction: str, *levels: Level) -> Resource:
    keys = tuple(Parameter(name) for level in levels for name in _MATCHED[level].split())
    control = (_ACCEPT, Parameter("limit"), Parameter("offset"), _INCLUDE_FIELD)
    failure = (400, 401, 406, 500, 502, 503, 504)
    method = Method("GET", transaction, _DATA_SETS, (), control + keys, (200, 204), failure)
    return _resource(path, method)


def _retrieve(
    path: str, transaction: str, sends: tuple[str, ...], *parameters: Parameter
) -> Resource:
    method = Method("GET", transaction, sends, (), (_ACCEPT, *parameters), (200, 206))
    return _resource(path, method)


def _pictures(level: str, path: str) -> tuple[Resource, Resource]:
    """Several pictures come in parts, a thumbnail is always one."""
    sends = _parts(*_PICTURES) if level in ("Study", "Series") else _PICTURES + _parts(*_PICTURES)
    return (
        _retrieve(f"{path}/rendered", f"RetrieveRendered{level}", sends, *_RENDERING),
        _retrieve(f"{path}/thumbnail", f"Retrieve{level}Thumbnail", _STILLS, _VIEWPORT),
    )


RESOURCES: Final[tuple[Resource, ...]] = (
    _search("studies", "SearchForStudies", Level.STUDY),
    _search("series", "SearchForSeries", Level.STUDY, Level.SERIES),
    _search("instances", "SearchForInstances", Level.STUDY, Level.SERIES, Level.IMAGE),
    _search(f"{_STUDY}/series", "SearchForStudySeries", Level.SERIES),
    _search(f"{_STUDY}/instances", "SearchForStudyInstances", Level.SERIES, Level.IMAGE),
    _search(f"{_SERIES}/instances", "SearchForStudySeriesInstances", Level.IMAGE),
    _retrieve(_STUDY, "RetrieveStudy", _OBJECTS),
    _retrieve(_SERIES, "RetrieveSeries", _OBJECTS),
    _retrieve(_INSTANCE, "RetrieveInstance", _OBJECT),
    *(_retrieve(f"{path}/metadata", f"Retrieve{level}Metadata", _DATA_SETS)
      for level, path in _PATHS.items()),
    *(_retrieve(f"{path}/bulkdata", f"Retrieve{level}Bulkdata", _parts(OCTET_STREAM))
      for level, path in _PATHS.items()),
    *(_retrieve(f"{path}/pixeldata", f"Retrieve{level}PixelData", _PIXELS)
      for level, path in _PATHS.items()),
    _retrieve(f"{_INSTANCE}/bulkdata/{{BulkDataReference}}", "RetrieveBulkdata", _BULK),
    _retrieve(_FRAMES, "RetrieveFrames", _PIXELS + _any_syntax(OCTET_STREAM) + COMPRESSED),
    *(picture for level, path in {**_PATHS, "Frames": _FRAMES}.items()
      for picture in _pictures(level, path)),
)  # fmt: skip

_STORED: Final = (
    *_parts(APPLICATION_DICOM, DICOM_JSON, DICOM_XML), APPLICATION_DICOM, DICOM_JSON, DICOM_XML,
)  # fmt: skip
_STORE_FAILURE: Final = (400, 401, 406, 408, 409, 413, 415, 500, 503, 507)
_STORES: Final = {"studies": "StoreInstances", _STUDY: "StoreStudyInstances"}


def _storing(resource: Resource) -> Resource:
    if (transaction := _STORES.get(resource.path)) is None:
        return resource
    sends = (DICOM_JSON, JSON, DICOM_XML)
    post = Method("POST", transaction, sends, _STORED, (_ACCEPT,), (200, 202), _STORE_FAILURE)
    return Resource(resource.path, (*resource.methods, post))


#: Where clients may store too.
WITH_STORING: Final = tuple(_storing(resource) for resource in RESOURCES)


def capabilities(
    base: str, media_type: str = WADL, resources: Sequence[Resource] = RESOURCES
) -> bytes:
    """The document; `base`: the service's own URL, `media_type`: WADL or application/json."""
    application = _application(base, resources)
    if media_type == JSON:
        return json.dumps({application.tag: _as_json(application)}, ensure_ascii=False).encode()
    ET.indent(application, " ")
    document: bytes = ET.tostring(application, encoding="utf-8", xml_declaration=True)
    return document


def _application(base: str, resources: Iterable[Resource]) -> ET.Element:
    """Annex H: one tree of resources, a node per segment of their paths."""
    application = ET.Element("application", {"xmlns": _NAMESPACE})
    ET.SubElement(application, "doc", {"title": "Farsight"}).text = _ABOUT
    nodes = {"": ET.SubElement(application, "resources", {"base": base})}
    for resource in resources:
        node = _node(resource.path, nodes)
        for method in resource.methods:
            _add_method(node, method)
    return application


def _node(path: str, nodes: dict[str, ET.Element]) -> ET.Element:
    if path not in nodes:
        parent, _, segment = path.rpartition("/")
        node = ET.SubElement(_node(parent, nodes), "resource", {"path": segment})
        if segment.startswith("{"):
            variable = {"name": segment.strip("{}"), "style": "template", "required": "true"}
            ET.SubElement(node, "param", variable)
        nodes[path] = node
    return nodes[path]


def _add_method(node: ET.Element, method: Method) -> None:
    identity = {"id": method.transaction} if method.transaction else {}
    element = ET.SubElement(node, "method", {"name": method.name, **identity})
    if not (method.sends or method.takes or method.parameters):
        return
    request = ET.SubElement(element, "request")
    if method.sends:
        accept = {"name": "Accept", "style": "header", "default": method.sends[0]}
        _add_options(ET.SubElement(request, "param", accept), method.sends)
    for parameter in method.parameters:
        repeating = {"repeating": "true"} if parameter.repeating else {}
        attributes = {"name": parameter.name, "style": "query", **repeating}
        _add_options(ET.SubElement(request, "param", attributes), parameter.options)
    _add_representations(request, method.takes)
    success = ET.SubElement(element, "response", {"status": _statuses(method.success)})
    _add_representations(success, method.sends)
    ET.SubElement(element, "response", {"status": _statuses(method.failure)})


def _add_options(parameter: ET.Element, values: Iterable[str]) -> None:
    for value in values:
        ET.SubElement(parameter, "option", {"value": str(value)})


def _add_representations(element: ET.Element, media_types: Iterable[str]) -> None:
    for media_type in media_types:
        ET.SubElement(element, "representation", {"mediaType": media_type})


def _statuses(codes: Iterable[int]) -> str:
    return " ".join(map(str, codes))


def _as_json(element: ET.Element) -> dict[str, Any]:
    """Annex G: attributes begin with @, what may be repeated is an array, doc has a value."""
    members: dict[str, Any] = {f"@{name}": value for name, value in element.attrib.items()}
    if element.tag == "doc":
        members["value"] = element.text
    for child in element:
        if child.tag in _UNIQUE:
            members[child.tag] = _as_json(child)
        else:
            members.setdefault(child.tag, []).append(_as_json(child))
    return members
