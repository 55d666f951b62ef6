"""What a BulkDataURI of the DICOM JSON model leads back to (PS3.18 F.2.6, 10.4)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from farsight.dicom.byte_order import little_endian, swapped, word_bytes_of
from farsight.dicom.elements import DataSet, Instance
from farsight.dicom.encapsulated import fragments_of
from farsight.dicom.positions import Body, Element
from farsight.dicom.scan import PIXELS
from farsight.errors import NotFound

_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}\Z")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}\Z")
_ENCAPSULATED_DOCUMENT: Final = 0x00420011
_MIME_TYPE: Final = 0x00420012
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*\Z")


@dataclass(frozen=True, slots=True)
class BulkData:
    """One value: `value` in little endian, `vr`, and the media type it can be served as.

    `in_frames`: these are encapsulated pixels, a run of fragments with their item tags, which
    PS3.18 8.7.3.3.2 doesn't let out: the frames are served instead. Where something else came in
    fragments, `value` has them joined. `holder` is the data set or item it is in.
    """

    tag: int
    vr: str
    value: bytes | memoryview
    media_type: str
    in_frames: bool
    holder: DataSet


def find_bulk_data(data_set: DataSet, path: str, file: Body | None = None) -> BulkData:
    """The value at `<tag>` or `<tag>/<item>/<tag>…`, items counted from 1.

    `file`: where the values are that were left out of the data set.

    Raises: NotFound where there is no such attribute, MalformedDicom where a sequence on the
    way, or the value itself, can't be read.
    """
    *steps, last = path.strip("/").split("/")
    if len(steps) % 2:
        raise _nothing(path)
    for sequence, number in zip(steps[::2], steps[1::2], strict=True):
        data_set = _item(data_set, sequence, number, path)
    element = _element(data_set, last, path)
    in_fragments = element.undefined and element.vr != "SQ"
    in_frames = in_fragments and element.tag in PIXELS
    return BulkData(
        tag=element.tag,
        vr=element.vr,
        value=b"" if in_frames else _value(data_set, element, file, joined=in_fragments),
        media_type=_media_type(data_set, element),
        in_frames=in_frames,
        holder=data_set,
    )


def _value(
    data_set: DataSet, element: Element, file: Body | None, *, joined: bool
) -> bytes | memoryview:
    is_far = isinstance(data_set, Instance) and element.tag in data_set.left_out
    if not joined and not is_far:
        return little_endian(data_set, element)
    body: Body = data_set.body
    if is_far:
        assert file is not None, "a head comes with its file"
        body = file
    places = fragments_of(body, element) if joined else [element[2:4]]
    value = b"".join(body[at : at + length] for at, length in places)
    return swapped(value, word_bytes_of(data_set, element))


def _item(data_set: DataSet, sequence: str, number: str, path: str) -> DataSet:
    element = _element(data_set, sequence, path)
    if element.vr != "SQ" or not _NUMBER.match(number):
        raise _nothing(path)
    spans = data_set.item_spans(element)
    if int(number) > len(spans):
        raise _nothing(path)
    return data_set.item(spans[int(number) - 1])


def _element(data_set: DataSet, tag: str, path: str) -> Element:
    element = data_set.elements.get(int(tag, 16)) if _TAG.match(tag) else None
    if element is None:
        raise _nothing(path)
    return element


def _media_type(data_set: DataSet, element: Element) -> str:
    """application/octet-stream, but a document is what it says to be (PS3.3 C.24.2)."""
    if element.tag == _ENCAPSULATED_DOCUMENT:
        said = (data_set.text(_MIME_TYPE) or "").lower()
        if _MEDIA_TYPE.match(said):
            return said
    return "application/octet-stream"


def _nothing(path: str) -> NotFound:
    return NotFound(f"the instance has no bulk data at {path[:200]!r}")
