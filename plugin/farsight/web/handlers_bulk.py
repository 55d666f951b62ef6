"""All bulk data, or all pixel data, of instances in one answer (PS3.18 10.4.1.1.4, .6)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from farsight.dicom.scan import PIXELS
from farsight.errors import NotAcceptable, NotFound, UnsupportedDicom
from farsight.model import InstanceRef, Level
from farsight.ps318.accept import Accept
from farsight.ps318.bulk_data import BulkData
from farsight.ps318.frame_media_type import OCTET_STREAM
from farsight.ps318.media_type import Offer, choose_bulk_data, choose_frames
from farsight.ps318.multipart_related import Part
from farsight.ps318.resource_path import Action, ResourcePath
from farsight.services.open_instance import OpenInstance
from farsight.services.serve import ServeService
from farsight.services.transcoding import TranscodeService
from farsight.web.handlers_frames import Frames
from farsight.web.messages import Request, Response
from farsight.web.related_response import maybe_short, related
from farsight.web.settled import instances_of, settled_series
from farsight.web.targets import accept_of, instance_of


class BulkHandler:
    """Answers the actions ALL_BULKDATA and PIXELDATA at every level. Every part says by its
    Content-Location what it is.

    Raises: NotFound where there is none, NotAcceptable, PacsError, ArchiveError, MalformedDicom.
    """

    def __init__(self, serve: ServeService, transcode: TranscodeService, root: str) -> None:
        """`root`: "/dicom-web/"."""
        self._serve = serve
        self._transcode = transcode
        self._root = root

    def __call__(self, request: Request, path: ResourcePath) -> Response:
        refs, warnings = self._instances(request, path)
        accept = accept_of(request)
        root_url = request.base_url + self._root
        parts = _Parts(self._serve, self._transcode, refs, accept, root_url, path.action)
        warnings = (*warnings, *parts.check())
        first = next(iter(parts), None)
        if first is None:
            what = "pixel data" if path.action is Action.PIXELDATA else "bulk data"
            raise NotFound(f"there is no {what}")
        root_type = first.content_type.partition(";")[0]
        return maybe_short(related(root_type, parts), warnings, root_url)

    def _instances(
        self, request: Request, path: ResourcePath
    ) -> tuple[list[InstanceRef], tuple[str, ...]]:
        if path.level is Level.IMAGE:
            return [instance_of(path)], ()
        settled, warnings = settled_series(self._serve, path, request.presence)
        return instances_of(settled), warnings


class _Parts:
    """Read anew at each run, one instance at a time."""

    def __init__(
        self,
        serve: ServeService,
        transcode: TranscodeService,
        refs: Sequence[InstanceRef],
        accept: Accept,
        root_url: str,
        action: Action,
    ) -> None:
        self._serve = serve
        self._transcode = transcode
        self._refs = refs
        self._accept = accept
        self._root_url = root_url
        self._action = action

    def __iter__(self) -> Iterator[Part]:
        for ref in self._refs:
            where = (
                f"{self._root_url}studies/{ref.study_instance_uid}/series/"
                f"{ref.series_instance_uid}/instances/{ref.sop_instance_uid}"
            )
            yield from self._pixels(ref, where)
            if self._action is Action.ALL_BULKDATA:
                yield from self._bulk(ref, where)

    def check(self) -> list[str]:
        """Leaves out the instances whose values can't be had as the client likes, and says why.

        Raises: NotAcceptable where that is so of all of them.
        """
        refused: dict[InstanceRef, str] = {}
        for ref in self._refs:
            try:
                offer = self._frames_offer(self._serve.open(ref))
                if offer is None and self._action is Action.ALL_BULKDATA:
                    self._check_values(ref)
            except NotAcceptable as error:
                refused[ref] = str(error)
        why = next(iter(refused.values()), "")
        if refused and len(refused) == len(self._refs):
            raise NotAcceptable(why)
        self._refs = [ref for ref in self._refs if ref not in refused]
        return [f"{len(refused)} instances are left out: {why}"] if refused else []

    def _check_values(self, ref: InstanceRef) -> None:
        """Of an instance without pixels, which may be a document. Raises: NotAcceptable."""
        for _, found in self._values(ref):
            self._value_offer(found)

    def _value_offer(self, found: BulkData) -> Offer:
        """In its own type, else as octets. Raises: NotAcceptable."""
        try:
            return choose_bulk_data(self._accept, found.media_type)
        except NotAcceptable:
            return choose_bulk_data(self._accept, OCTET_STREAM)

    def _frames_offer(self, instance: OpenInstance) -> Offer | None:
        """None where there are no pixels."""
        if not any(tag in instance.header.elements for tag in PIXELS):
            return None
        return choose_frames(
            self._accept,
            instance.header.transfer_syntax_uid,
            single_part=False,
            others=self._transcode.targets(instance.header),
        )

    def _pixels(self, ref: InstanceRef, where: str) -> Iterator[Part]:
        instance = self._serve.open(ref)
        offer = self._frames_offer(instance)
        if offer is None:
            return
        try:
            index = instance.frames()
        except UnsupportedDicom:
            return  # an element without a value
        index.extents(index.number_of_frames)  # all are there, before the first is sent
        numbers = range(1, index.number_of_frames + 1)
        frames = Frames(self._transcode, instance, index, numbers, offer)
        for number, part in zip(numbers, frames, strict=True):
            location = ("Content-Location", f"{where}/frames/{number}")
            yield Part((*part.headers, location), part.body)

    def _bulk(self, ref: InstanceRef, where: str) -> Iterator[Part]:
        """Beside pixels that a client takes, values are left out that it doesn't: it didn't ask for
        any of them by name."""
        for path, found in self._values(ref):
            try:
                offer = self._value_offer(found)
            except NotAcceptable:
                continue
            location = ("Content-Location", f"{where}/bulkdata/{path}")
            yield Part((("Content-Type", offer.content_type), location), found.value)

    def _values(self, ref: InstanceRef) -> Iterator[tuple[str, BulkData]]:
        """What the metadata has a BulkDataURI for, but for pixels, which went frame by frame."""
        metadata = json.loads(self._serve.instance_metadata(ref, "").json)
        instance = self._serve.open(ref)
        for uri in _uris(metadata):
            path = uri.partition("/bulkdata/")[2]
            if "/" not in path and int(path, 16) in PIXELS:
                continue
            found = instance.bulk_data(path)
            if not found.in_frames:  # an icon's are had one by one
                yield path, found


def _uris(value: Any) -> Iterator[str]:
    """Every BulkDataURI of a data set in JSON, nested ones too."""
    if isinstance(value, list):
        for one in value:
            yield from _uris(one)
    elif isinstance(value, dict):
        if isinstance(uri := value.get("BulkDataURI"), str):
            yield uri
        for one in value.values():
            yield from _uris(one)
