"""Frames, pixel data and bulk data over HTTP (PS3.18 10.4.1.1.2 to 10.4.1.1.6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from farsight.dicom.transfer_syntax import NATIVE
from farsight.ps318.frames import FrameIndex
from farsight.ps318.media_type import Offer, choose_bulk_data, choose_frames
from farsight.ps318.multipart_related import Part
from farsight.ps318.resource_path import Action, ResourcePath
from farsight.services.open_instance import OpenInstance
from farsight.services.serve import ServeService
from farsight.services.transcoding import TranscodeService
from farsight.web.byte_range import with_range
from farsight.web.conditional import UNCHANGING, conditional, instance_tag
from farsight.web.documents import guard_of
from farsight.web.messages import Request, Response
from farsight.web.related_response import VARY, related
from farsight.web.targets import accept_of, accept_values, frames_offer, instance_of

#: Longer frames take a while to be copied into the connection.
_SENT_AT_ONCE_BYTES = 4 << 20


class FramesHandler:
    """Answers the resources whose action is FRAMES or BULKDATA.

    Raises: NotFound, NotAcceptable, BadRequest, PacsError, ArchiveError, MalformedDicom.
    """

    def __init__(self, serve: ServeService, transcode: TranscodeService) -> None:
        self._serve = serve
        self._transcode = transcode

    def __call__(self, request: Request, path: ResourcePath) -> Response:
        instance = self._serve.open(instance_of(path))
        if path.action is Action.BULKDATA:
            return self._bulk_data(request, instance, "/".join(path.bulkdata))
        return self._frames(request, instance, instance.frames(), path.frames)

    def at_once(self, request: Request, path: ResourcePath) -> Response | None:
        """A frame that is in memory, in one piece; None for everything else.

        Raises: NotAcceptable, MalformedDicom, UnsupportedDicom; what raises here does so when
        called as well.
        """
        if path.action is not Action.FRAMES or len(path.frames) > 1:
            return None
        opened = self._serve.at_hand(instance_of(path))
        index = None if opened is None else opened.frames_at_hand()
        number = path.frames[0]
        if opened is None or index is None or number > index.number_of_frames:
            return None
        length = index.bytes_in_place(number)
        if length is None or length > _SENT_AT_ONCE_BYTES:
            return None
        offer = self._offer(request, opened, single_part=True)
        body = opened.frame_at_hand(index, number) if offer.as_stored else None
        if body is None or len(body) != length:
            return None
        part = Part((("Content-Type", offer.content_type),), body)
        return self._send(request, opened, path.frames, offer, [part])

    # ---- frames

    def _offer(self, request: Request, instance: OpenInstance, *, single_part: bool) -> Offer:
        header = instance.header
        return frames_offer(
            request.headers.get("accept"),
            accept_values(request),
            header.transfer_syntax_uid,
            self._transcode.targets(header),
            single_part=single_part,
        )

    def _frames(
        self, request: Request, instance: OpenInstance, index: FrameIndex, numbers: Sequence[int]
    ) -> Response:
        for number in numbers:
            index.extents(number)  # before the answer has begun
        offer = self._offer(request, instance, single_part=len(numbers) == 1)
        parts = self._parts(instance, index, numbers, offer)
        return self._send(request, instance, numbers, offer, parts)

    def _parts(
        self, instance: OpenInstance, index: FrameIndex, numbers: Sequence[int], offer: Offer
    ) -> Iterable[Part]:
        """A list where that takes no more memory than there is already."""
        frames = Frames(self._transcode, instance, index, numbers, offer)
        at_once = (instance.is_in_memory and offer.as_stored) or len(numbers) == 1
        return list(frames) if at_once else frames

    def _send(
        self,
        request: Request,
        instance: OpenInstance,
        numbers: Sequence[int],
        offer: Offer,
        parts: Iterable[Part],
    ) -> Response:
        headers = (("Content-Type", offer.content_type),)
        listed = ",".join(map(str, numbers)) if len(numbers) < 10 else f"{hash(tuple(numbers)):x}"
        made = f"-f{listed}-{offer.transfer_syntax_uid}"
        tag = instance_tag(instance.header, made, parts=offer.multipart)
        if not offer.multipart:
            response = with_range(request, (*headers, VARY), next(iter(parts)).body, tag)
        else:
            response = related(offer.media_type, parts)
        return conditional(request, response, tag, UNCHANGING)

    # ---- bulk data

    def _bulk_data(self, request: Request, instance: OpenInstance, where: str) -> Response:
        found = instance.bulk_data(where)
        if found.in_frames:  # PS3.18 8.7.3.3.2: each a part
            index = instance.frames(found.holder)
            numbers = range(1, index.number_of_frames + 1)
            if found.holder is instance.header:
                return self._frames(request, instance, index, numbers)
            syntax = instance.header.transfer_syntax_uid
            offer = choose_frames(accept_of(request), syntax, single_part=len(numbers) == 1)
            parts = self._parts(instance, index, numbers, offer)
            return self._send(request, instance, numbers, offer, parts)
        offer = choose_bulk_data(accept_of(request), found.media_type)
        location = ("Content-Location", request.base_url + request.path)
        headers = (("Content-Type", offer.content_type), location)
        made = f"-b{where}-{offer.media_type}"
        tag = instance_tag(instance.header, made, parts=offer.multipart)
        if offer.multipart:
            response = related(offer.media_type, [Part(headers, found.value)])
        else:
            guarded = (*headers, VARY, *guard_of(offer.media_type))
            response = with_range(request, guarded, found.value, tag)
        return conditional(request, response, tag, UNCHANGING)


@dataclass(frozen=True, slots=True)
class Frames:
    """The parts of frames, read anew at each run."""

    transcode: TranscodeService
    instance: OpenInstance
    index: FrameIndex
    numbers: Sequence[int]
    offer: Offer

    def __iter__(self) -> Iterator[Part]:
        headers = (("Content-Type", self.offer.content_type),)
        for frame in self._bodies():
            yield Part(headers, frame)

    def _bodies(self) -> Iterable[bytes | memoryview]:
        if self.offer.as_stored:
            return (self.instance.frame(self.index, number) for number in self.numbers)
        syntax = self.offer.transfer_syntax_uid
        if syntax in NATIVE and self.instance.header.transfer_syntax_uid in NATIVE:
            return (self.instance.frame(self.index, number) for number in self.numbers)
        return self.transcode.frames(self.instance, self.index, self.numbers, syntax)
