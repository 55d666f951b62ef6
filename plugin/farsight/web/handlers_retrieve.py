"""WADO-RS over HTTP: objects, metadata, frames, bulk data (PS3.18 10.4)."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from farsight.dicom.elements import DicomObject
from farsight.dicom.explicit import as_explicit_little_endian
from farsight.errors import NotFound
from farsight.model import InstanceRef, Level, SeriesRef
from farsight.ps318.accept import Accept, parse_accept
from farsight.ps318.bulk_data import find_bulk_data
from farsight.ps318.frames import FrameIndex, frame_bytes, frame_index, is_quick
from farsight.ps318.media_type import (
    Offer,
    choose_bulk_data,
    choose_dicom,
    choose_frames,
    choose_metadata,
    takes_any_dicom,
)
from farsight.ps318.multipart_related import Part, RelatedBody, new_boundary
from farsight.ps318.resource_path import Action, ResourcePath
from farsight.ps318.warning import warning_value
from farsight.services.holdings import Holdings
from farsight.services.presence import ClientGone, Presence
from farsight.services.serve import Metadata, ServeService
from farsight.web.byte_range import with_range
from farsight.web.content_coding import accepts_gzip
from farsight.web.data_sets_response import data_sets_response
from farsight.web.messages import Request, Response

_DICOM = "application/dicom"
#: Longer frames take a while to be copied into the connection.
_SENT_AT_ONCE_BYTES = 4 << 20
_VARY = ("Vary", "Accept, Accept-Encoding")


class RetrieveHandler:
    """Answers the resources whose action is OBJECTS, METADATA, FRAMES or BULKDATA.

    An answer that may not be all there is has status 206 and says why in a Warning.
    """

    def __init__(self, serve: ServeService, root: str) -> None:
        """`root`: "/dicom-web/"."""
        self._serve = serve
        self._root = root

    def __call__(self, request: Request, path: ResourcePath) -> Response:
        """Raises: NotFound, NotAcceptable, BadRequest, PacsError, ArchiveError, MalformedDicom."""
        if path.action is Action.METADATA:
            return self._metadata(request, path)
        if path.action is Action.OBJECTS:
            return self._objects(request, path)
        if path.action is Action.FRAMES:
            return self._frames(request, path)
        if path.action is Action.BULKDATA:
            return self._bulk_data(request, path)
        raise NotFound(f"{path.action.value} resources are not served yet")

    def at_once(self, request: Request, path: ResourcePath) -> Response | None:
        """A frame that is in memory, in one piece; None for everything else.

        Raises: NotAcceptable, MalformedDicom, UnsupportedDicom; what raises here does so when
        called as well.
        """
        if path.action is not Action.FRAMES or len(path.frames) > 1:
            return None
        instance = self._serve.at_hand(_instance(path))
        if instance is None:
            return None
        index = instance.recall(_found_frames)
        if index is None and is_quick(instance):
            index = _found_frames(instance)
        number = path.frames[0]
        if index is None or number > index.number_of_frames:
            return None
        length = index.bytes_in_place(number)
        if length is None or length > _SENT_AT_ONCE_BYTES:
            return None
        return self._send_frames(request, instance, index, path.frames)

    # ---- metadata

    def _metadata(self, request: Request, path: ResourcePath) -> Response:
        offer = choose_metadata(_accept(request))
        root_url = request.base_url + self._root
        if path.level is Level.IMAGE:
            metadata = self._serve.instance_metadata(_instance(path), root_url)
        elif path.level is Level.SERIES:
            metadata = self._serve.series_metadata(_series(path), root_url, request.presence)
        else:
            metadata = self._serve.study_metadata(_study(path), root_url, request.presence)
        response = data_sets_response(offer, metadata.json).with_headers(_VARY)
        if not offer.multipart and accepts_gzip(request.headers.get("accept-encoding", "")):
            headers = (*response.headers, ("Content-Encoding", "gzip"))
            response = Response(200, headers, self._zipped(path, root_url, metadata))
        return _maybe_short(response, metadata.warnings, root_url)

    def _zipped(self, path: ResourcePath, root_url: str, metadata: Metadata) -> bytes:
        if path.level is Level.SERIES:
            return self._serve.zipped(_series(path), root_url, metadata)
        return gzip.compress(metadata.json, 4)

    # ---- whole objects

    def _objects(self, request: Request, path: ResourcePath) -> Response:
        accept = _accept(request)
        if path.level is Level.IMAGE:
            instance = self._serve.instance(_instance(path))
            offer = choose_dicom(accept, instance.transfer_syntax_uid, single_part=True)
            part = _object_part(offer, instance)
            if offer.multipart:
                return _related(_DICOM, [part])
            return Response(200, (*part.headers, _VARY), bytes(part.body))
        settled, warnings = self._settled(path, request.presence)
        objects = _Objects(accept, lambda: self._each(settled))
        objects.check(request.presence)
        response = _related(_DICOM, objects)
        return _maybe_short(response, warnings, request.base_url + self._root)

    def _settled(
        self, path: ResourcePath, presence: Presence
    ) -> tuple[list[Holdings], tuple[str, ...]]:
        if path.level is Level.STUDY:
            return self._serve.study(_study(path), presence)
        holdings = self._serve.series(_series(path), presence)
        return [holdings], () if holdings.warning is None else (holdings.warning,)

    def _each(self, settled: Collection[Holdings]) -> Iterator[DicomObject]:
        for holdings in settled:
            yield from self._serve.instances(holdings)

    # ---- frames

    def _frames(self, request: Request, path: ResourcePath) -> Response:
        instance = self._serve.instance(_instance(path))
        return self._send_frames(request, instance, _found_frames(instance), path.frames)

    def _send_frames(
        self, request: Request, instance: DicomObject, index: FrameIndex, numbers: Sequence[int]
    ) -> Response:
        one = len(numbers) == 1
        offer = choose_frames(_accept(request), instance.transfer_syntax_uid, single_part=one)
        frames = [frame_bytes(instance, index, number) for number in numbers]
        if not offer.multipart:
            headers = (("Content-Type", offer.content_type), _VARY)
            return with_range(request, headers, frames[0])
        parts = [Part((("Content-Type", offer.content_type),), frame) for frame in frames]
        return _related(offer.media_type, parts)

    # ---- bulk data

    def _bulk_data(self, request: Request, path: ResourcePath) -> Response:
        instance = self._serve.instance(_instance(path))
        found = find_bulk_data(instance, "/".join(path.bulkdata))
        if found.in_frames:  # PS3.18 8.7.3.3.2: each a part
            index = frame_index(instance, found.holder)
            numbers = range(1, index.number_of_frames + 1)
            return self._send_frames(request, instance, index, numbers)
        offer = choose_bulk_data(_accept(request), found.media_type)
        if not offer.multipart:
            headers = (("Content-Type", offer.content_type), _VARY)
            return with_range(request, headers, found.value)
        location = request.base_url + request.path
        headers = (("Content-Type", offer.content_type), ("Content-Location", location))
        return _related(offer.media_type, [Part(headers, found.value)])


def _found_frames(instance: DicomObject) -> FrameIndex:
    """Looked for once per object, where that can be kept. Raises: as frame_index."""
    index = instance.recall(_found_frames)
    if index is None:
        index = frame_index(instance)
        if index.may_be_kept:
            instance.keep(_found_frames, index)
    return index


def _accept(request: Request) -> Accept:
    values = [value for name, value in request.query if name == "accept"]
    return parse_accept(request.headers.get("accept"), values)


class _Objects:
    """The parts of many instances, read anew at each run; each as the client accepts it."""

    def __init__(self, accept: Accept, each: Callable[[], Iterator[DicomObject]]) -> None:
        self._accept = accept
        self._each = each
        self._offers: dict[str, Offer] = {}

    def check(self, presence: Presence) -> None:
        """No answer begins whose first object can't be sent, or that holds one not accepted.

        Raises: NotAcceptable, ClientGone, and what reading an instance raises.
        """
        takes_any = takes_any_dicom(self._accept)
        for instance in self._each():
            self._offer(instance)
            if takes_any:
                break
            if presence.gone:
                raise ClientGone("the client has left")

    def __iter__(self) -> Iterator[Part]:
        return (_object_part(self._offer(instance), instance) for instance in self._each())

    def _offer(self, instance: DicomObject) -> Offer:
        stored = instance.transfer_syntax_uid
        if stored not in self._offers:
            self._offers[stored] = choose_dicom(self._accept, stored, single_part=False)
        return self._offers[stored]


def _object_part(offer: Offer, instance: DicomObject) -> Part:
    body = instance.data if offer.as_stored else as_explicit_little_endian(instance)
    return Part((("Content-Type", offer.content_type),), body)


def _related(root_type: str, parts: Iterable[Part]) -> Response:
    body = RelatedBody(root_type, new_boundary(), parts)
    return Response(200, (("Content-Type", body.content_type), _VARY), body)


def _maybe_short(response: Response, warnings: Collection[str], root_url: str) -> Response:
    if not warnings:
        return response
    headers = [("Warning", warning_value(root_url, text)) for text in warnings]
    return Response(206, (*response.headers, *headers), response.body)


def _study(path: ResourcePath) -> str:
    assert path.study_instance_uid is not None
    return path.study_instance_uid


def _series(path: ResourcePath) -> SeriesRef:
    assert path.series_instance_uid is not None
    return SeriesRef(_study(path), path.series_instance_uid)


def _instance(path: ResourcePath) -> InstanceRef:
    assert path.series_instance_uid is not None
    assert path.sop_instance_uid is not None
    return InstanceRef(_study(path), path.series_instance_uid, path.sop_instance_uid)
