"""WADO-RS over HTTP: which handler is for which resource, and metadata (PS3.18 10.4)."""

from __future__ import annotations

import gzip

from farsight.errors import NotFound
from farsight.model import InstanceRef, Level
from farsight.ports.imaging import Imaging
from farsight.ps318.accept import Accept
from farsight.ps318.entity_tag import content_tag
from farsight.ps318.media_type import Offer, choose_metadata
from farsight.ps318.resource_path import Action, ResourcePath
from farsight.services.serve import Metadata, ServeService
from farsight.services.transcoding import TranscodeService
from farsight.web.conditional import CHANGING, conditional
from farsight.web.content_coding import accepts_gzip
from farsight.web.data_sets_response import data_sets_response
from farsight.web.handlers_bulk import BulkHandler
from farsight.web.handlers_frames import FramesHandler
from farsight.web.handlers_objects import ObjectsHandler
from farsight.web.messages import Request, Response
from farsight.web.opening import UNHEARD, StudyOpenings, insists
from farsight.web.related_response import VARY, maybe_short
from farsight.web.settled import of_what_is_left
from farsight.web.targets import accept_of, instance_of, series_of, study_of


class RetrieveHandler:
    """Answers objects, metadata, frames, bulk data and pixel data.

    An answer that may not be all there is has status 206 and says why in a Warning.
    """

    def __init__(
        self,
        serve: ServeService,
        imaging: Imaging,
        root: str,
        openings: StudyOpenings = UNHEARD,
    ) -> None:
        """`root`: "/dicom-web/"."""
        self._serve = serve
        self._openings = openings
        self._root = root
        transcode = TranscodeService(imaging)
        self._objects = ObjectsHandler(serve, transcode, root)
        self._frames = FramesHandler(serve, transcode)
        self._bulk = BulkHandler(serve, transcode, root)

    def __call__(self, request: Request, path: ResourcePath) -> Response:
        """Raises: NotFound, NotAcceptable, BadRequest, PacsError, ArchiveError, MalformedDicom."""
        if path.action in (Action.FRAMES, Action.BULKDATA):
            return self._frames(request, path)
        request, warnings = self._openings.begin(request, path)
        response = of_what_is_left(self._serve, path, lambda: self._answer(request, path))
        return maybe_short(response, warnings, request.base_url + self._root)

    def _answer(self, request: Request, path: ResourcePath) -> Response:
        if path.action is Action.METADATA:
            return self._metadata(request, path)
        if path.action is Action.OBJECTS:
            return self._objects(request, path)
        if path.action in (Action.ALL_BULKDATA, Action.PIXELDATA):
            return self._bulk(request, path)
        raise NotFound(f"there is no {path.action.value} resource")

    def at_once(self, request: Request, path: ResourcePath) -> Response | None:
        """What takes no time. Raises: what raises here does so when called as well."""
        if path.action is Action.METADATA:
            return self._metadata_at_once(request, path)
        return self._frames.at_once(request, path)

    def _metadata_at_once(self, request: Request, path: ResourcePath) -> Response | None:
        """Of a series that was asked for before."""
        if path.level is not Level.SERIES or insists(request):
            return None
        self._openings.tell(path)
        root_url = request.base_url + self._root
        found = self._serve.metadata_at_hand(series_of(path), root_url)
        if found is None:
            return None
        offer = choose_metadata(accept_of(request))
        takes_gzip = accepts_gzip(request.headers.get("accept-encoding", ""))
        if offer.multipart or (takes_gzip and found.zipped is None):
            return None
        zipped = found.zipped if takes_gzip else None
        return _answer(request, offer, found.metadata, root_url, zipped)

    def instance_object(self, request: Request, ref: InstanceRef, accept: Accept) -> Response:
        """One whole object. Raises: as when called."""
        self._openings.opened(ref.study_instance_uid)
        return self._objects.instance(request, ref, accept)

    def _metadata(self, request: Request, path: ResourcePath) -> Response:
        offer = choose_metadata(accept_of(request))
        root_url = request.base_url + self._root
        if path.level is Level.IMAGE:
            metadata = self._serve.instance_metadata(instance_of(path), root_url)
        elif path.level is Level.SERIES:
            metadata = self._serve.series_metadata(series_of(path), root_url, request.presence)
        else:
            metadata = self._serve.study_metadata(study_of(path), root_url, request.presence)
        zipped = None
        if not offer.multipart and accepts_gzip(request.headers.get("accept-encoding", "")):
            zipped = self._zipped(path, root_url, metadata)
        return _answer(request, offer, metadata, root_url, zipped)

    def _zipped(self, path: ResourcePath, root_url: str, metadata: Metadata) -> bytes:
        if path.level is Level.SERIES:
            return self._serve.zipped(series_of(path), root_url, metadata)
        return gzip.compress(metadata.json, 4)


def _answer(
    request: Request, offer: Offer, metadata: Metadata, root_url: str, zipped: bytes | None
) -> Response:
    tag = (metadata.tag or content_tag(metadata.json))[:-1]
    if zipped is None:
        response = data_sets_response(offer, metadata.json)
    else:
        coded = (("Content-Type", offer.media_type), ("Content-Encoding", "gzip"))
        response, tag = Response(200, coded, zipped), f"{tag}-gzip"
    response = maybe_short(response.with_headers(VARY), metadata.warnings, root_url)
    suffix = offer.media_type.rpartition("+")[2].rpartition("/")[2]
    weak = "W/" if offer.multipart else ""  # its boundary is another each time
    return conditional(request, response, f'{weak}{tag}-{suffix}"', CHANGING)
