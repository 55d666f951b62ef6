"""What a request to store carries, told by its headers and those of its parts (PS3.18 10.5.1).

Laws:

- the `type` parameter of multipart/related names the root type (RFC 2387 3.1); where senders leave
  it out, the Content-Type of the first part tells. `start` is passed over: the first part is first;
- 415 is for the Content-Type of the request (PS3.18 table 10.5.3-1). A part that is not what the
  root type announces is a failure of this part alone: those before it may be stored already, and
  the answer has to say so;
- what the transfer-syntax parameter says of an instance does not count: its File Meta Information
  does (PS3.18 8.7.9).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, StrEnum, auto
from typing import Final

from farsight.errors import BadRequest, UnsupportedMediaType
from farsight.ps318.accept import MULTIPART, parse_content_type
from farsight.ps318.frame_media_type import OCTET_STREAM
from farsight.ps318.media_type import APPLICATION_DICOM, DICOM_JSON, DICOM_XML
from farsight.ps318.multipart_reader import checked_boundary

_UNENCODED: Final = ("", "7bit", "8bit", "binary")


class RootType(StrEnum):
    """What can be stored (PS3.18 10.5.1.4); the values are media types."""

    DICOM = APPLICATION_DICOM
    JSON = DICOM_JSON
    XML = DICOM_XML


class PartKind(Enum):
    INSTANCE = auto()  # one PS3.10 file
    METADATA = auto()  # JSON: an array of data sets, or one; XML: one data set
    BULK_DATA = auto()  # what the metadata refers to by its location


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """root_type: None where only the first part tells. boundary: None for a single part."""

    root_type: RootType | None
    boundary: str | None = None

    @property
    def multipart(self) -> bool:
        return self.boundary is not None

    def settled_by(self, headers: Mapping[str, str]) -> StoreRequest:
        """The same with a root type, if need be that of the first part, whose headers these are.

        Raises: UnsupportedMediaType.
        """
        if self.root_type is not None:
            return self
        first = parse_content_type(headers.get("content-type", ""))[0]
        return replace(self, root_type=_root_type(first, "the first part of the multipart is"))


@dataclass(frozen=True, slots=True)
class StorePart:
    """One part, or all of a body that has none.

    content_type: as it was sent, "" for none. location: what the metadata names it by, "" for all
    but bulk data.
    """

    kind: PartKind
    content_type: str = ""
    location: str = ""


def parse_store_request(headers: Mapping[str, str]) -> StoreRequest:
    """From the headers of a POST, names in lower case.

    Raises: UnsupportedMediaType, naming what is taken; BadRequest for a boundary that is missing,
    told twice or no boundary.
    """
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedMediaType(
            f"the body has the Content-Encoding {encoding[:80]!r}: only identity is taken"
        )
    media_type, parameters = parse_content_type(headers.get("content-type", ""))
    if media_type != MULTIPART:
        return StoreRequest(_root_type(media_type, "the Content-Type is"))
    boundary = _once(parameters, "boundary")
    if not boundary:
        raise BadRequest("the Content-Type multipart/related has no parameter boundary")
    root_type = _once(parameters, "type")
    root = None
    if root_type:
        # some write parameters of the parts into it: type="application/dicom; transfer-syntax=…"
        root = _root_type(parse_content_type(root_type)[0], "the multipart's type is")
    return StoreRequest(root, checked_boundary(boundary))


def parse_store_part(request: StoreRequest, headers: Mapping[str, str]) -> StorePart:
    """One part of a settled request, from its headers; of a single part without any.

    Parts that don't say what they are, and instances sent as application/octet-stream, are what the
    root type announces. Raises: UnsupportedMediaType and BadRequest, which make the part a failure
    (FailureReason.CANNOT_UNDERSTAND) and not the request.
    """
    root = request.root_type
    if root is None:
        raise UnsupportedMediaType(_wanted("nothing tells what the parts are"))
    encoded = [headers.get(f"content-{what}encoding", "") for what in ("", "transfer-")]
    for encoding in encoded:
        if encoding.strip().lower() not in (*_UNENCODED, "identity"):
            raise UnsupportedMediaType(f"a part is encoded as {encoding[:80]!r}: none is taken")
    content_type = headers.get("content-type", "")
    media_type = parse_content_type(content_type)[0] or root
    if root is RootType.DICOM:
        if media_type not in (root, OCTET_STREAM):
            raise UnsupportedMediaType(f"a part is {media_type[:80]!r} and not {root}")
        return StorePart(PartKind.INSTANCE, content_type)
    if media_type == root:
        return StorePart(PartKind.METADATA, content_type)
    if media_type in tuple(RootType) or media_type.startswith("multipart/"):
        raise UnsupportedMediaType(f"a part is {media_type[:80]!r}, which is no bulk data")
    location = headers.get("content-location", "")
    if not location:
        raise BadRequest(f"a part of bulk data ({media_type[:80]!r}) has no Content-Location")
    return StorePart(PartKind.BULK_DATA, content_type, location)


def _root_type(media_type: str, what_is: str) -> RootType:
    try:
        return RootType(media_type)
    except ValueError:
        raise UnsupportedMediaType(_wanted(f"{what_is} {media_type[:80]!r}")) from None


def _wanted(complaint: str) -> str:
    multiparts = ", ".join(f'{MULTIPART}; type="{root}"' for root in RootType)
    return f"{complaint}; taken are {multiparts}, and {', '.join(RootType)} alone"


def _once(parameters: tuple[tuple[str, str], ...], wanted: str) -> str:
    values = [value for name, value in parameters if name == wanted]
    if len(values) > 1:
        raise BadRequest(f"the Content-Type has the parameter {wanted} more than once")
    return values[0] if values else ""
