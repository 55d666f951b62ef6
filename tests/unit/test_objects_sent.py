"""Whole objects as they are sent: what a part says it is in, it is in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from fakes.series_source import part10
from farsight.dicom.elements import DicomObject
from farsight.dicom.part10 import parse_object
from farsight.errors import MalformedDicom, NotAcceptable
from farsight.imaging.jobs import Job
from farsight.imaging.perform import perform
from farsight.model import InstanceRef, SeriesRef
from farsight.ps318.accept import parse_accept
from farsight.ps318.multipart_related import RelatedBody
from farsight.services.holdings import Holdings
from farsight.services.object_file import FileSize, ObjectFile, file_of
from farsight.services.transcoding import TranscodeService
from farsight.web.handlers_objects import ObjectsHandler, _Objects
from farsight.web.messages import Request
from sample_files import ct_slice

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
JLS, J2K = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"
HOLDINGS = Holdings(SeriesRef("1.2", "1.3"), ())


class Codecs:
    """The Imaging port in this process; `broken`: nothing can be decoded."""

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken

    def run(self, job: Job, frames: Sequence[bytes | memoryview] = ()) -> Sequence[bytes]:
        if self.broken:
            raise MalformedDicom("the decoder fell over these pixels")
        return perform(job, frames)


class Store:
    """As much of the serving service as objects need."""

    def __init__(self, *objects: DicomObject) -> None:
        self._objects = objects

    def files(self, _holdings: Holdings) -> Iterable[ObjectFile]:
        return map(file_of, self._objects)

    def sizes(self, _holdings: Holdings) -> Iterable[FileSize]:
        return [FileSize(one.transfer_syntax_uid, len(one.data)) for one in self._objects]

    def instance(self, _ref: InstanceRef) -> DicomObject:
        return self._objects[0]


def slice_in(syntax: str) -> DicomObject:
    made = ct_slice(1)
    if syntax == IMPLICIT:
        made.file_meta.TransferSyntaxUID = IMPLICIT
        return parse_object(part10(made))
    native = parse_object(part10(made))
    if syntax == EXPLICIT:
        return native
    return parse_object(TranscodeService(Codecs()).whole(native, syntax))


def sent(accept: str, codecs: Codecs, *objects: DicomObject) -> _Objects:
    store: Any = Store(*objects)
    return _Objects(store, TranscodeService(codecs), parse_accept(accept), [HOLDINGS])


def related(*syntaxes: str | None) -> str:
    return ", ".join(
        'multipart/related; type="application/dicom"'
        + ("" if syntax is None else f"; transfer-syntax={syntax}")
        for syntax in syntaxes
    )


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("stored", [IMPLICIT, EXPLICIT, JLS, J2K])
@pytest.mark.parametrize(
    "accept", [related(None), related("*"), "*/*", related(JLS, None), related(J2K, EXPLICIT, "*")]
)
def test_label_and_body_agree(accept: str, stored: str, broken: bool) -> None:
    (part,) = sent(accept, Codecs(broken=broken), slice_in(stored))
    label = part.content_type.partition("transfer-syntax=")[2]
    assert parse_object(bytes(part.body)).transfer_syntax_uid == label


def test_pixels_nobody_can_decode_go_out_as_they_are() -> None:
    """In the middle of others, which aren't lost for it."""
    objects = [slice_in(syntax) for syntax in (EXPLICIT, J2K, EXPLICIT)]
    parts = list(sent(related(None), Codecs(broken=True), *objects))
    assert [bytes(part.body) for part in parts] == [one.data for one in objects]
    with pytest.raises((MalformedDicom, NotAcceptable)):
        list(sent(related(JLS), Codecs(broken=True), *objects))


@pytest.mark.parametrize("accept", [related("*"), "*/*"])
def test_the_length_announced_is_that_of_what_is_sent(accept: str) -> None:
    objects = [slice_in(syntax) for syntax in (EXPLICIT, J2K, JLS)]
    body = RelatedBody("application/dicom", "b", sent(accept, Codecs(), *objects))
    assert body.length() == sum(map(len, body.chunks()))


def test_of_what_is_made_no_length_is_announced() -> None:
    body = RelatedBody("application/dicom", "b", sent(related(None), Codecs(), slice_in(J2K)))
    assert body.length() is None


def test_one_instance_is_sent_as_those_of_a_series_are() -> None:
    instance = slice_in(J2K)
    store: Any = Store(instance)
    handler = ObjectsHandler(store, TranscodeService(Codecs(broken=True)), "/dicom-web/")
    ref = InstanceRef("1.2", "1.3", "1.4")
    answer = handler.instance(Request("GET", "/"), ref, parse_accept("application/dicom"))
    assert answer.header("Content-Type") == f"application/dicom; transfer-syntax={J2K}"
    assert answer.body == instance.data
    wanted = parse_accept(f"application/dicom; transfer-syntax={JLS}")
    with pytest.raises((MalformedDicom, NotAcceptable)):
        handler.instance(Request("GET", "/"), ref, wanted)
