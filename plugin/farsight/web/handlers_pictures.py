"""The resources `/rendered` and `/thumbnail` at every level (PS3.18 10.4.1.1.3, 10.4.1.1.5)."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

from farsight.errors import InvalidParameter, MalformedDicom, NotAcceptable
from farsight.imaging.jobs import ImageType
from farsight.model import InstanceRef, Level, SeriesRef
from farsight.ps318.accept import Accept
from farsight.ps318.entity_tag import content_tag
from farsight.ps318.media_type import Offer
from farsight.ps318.rendering_query import (
    THUMBNAIL_PARAMETERS,
    RenderingQuery,
    parse_rendering_query,
    parse_thumbnail_query,
    unknown_parameters,
)
from farsight.ps318.resource_path import Action, ResourcePath
from farsight.ps318.warning import ignored_parameters, warning_value
from farsight.services.serve import ServeService
from farsight.services.thumbnails import ThumbnailKey, ThumbnailService
from farsight.web.conditional import CHANGING, conditional
from farsight.web.handlers_rendered import RenderedInstances, Rendition, rendered_together
from farsight.web.messages import Request, Response
from farsight.web.related_response import VARY
from farsight.web.settled import instances_of, of_what_is_left, settled_series
from farsight.web.targets import (
    accept_of,
    accept_values,
    instance_of,
    rendered_offer,
    series_of,
    study_of,
)

_SMALL = (ImageType.JPEG, ImageType.PNG, ImageType.GIF)
_THUMBNAILS = tuple(Offer(image_type.value) for image_type in _SMALL)
Query = tuple[tuple[str, str], ...]


# A viewer asks for all its thumbnails in the same words, and for each again and again.


@lru_cache(maxsize=256)
def _thumbnail_query(query: Query) -> tuple[RenderingQuery, tuple[str, ...]]:
    """And its warnings. Raises: InvalidParameter."""
    unknown = unknown_parameters(query, THUMBNAIL_PARAMETERS)
    return parse_thumbnail_query(query), tuple(ignored_parameters(unknown))


@lru_cache(maxsize=256)
def _rendered_query(query: Query) -> tuple[RenderingQuery, tuple[str, ...]]:
    """And its warnings. Raises: InvalidParameter."""
    return parse_rendering_query(query), tuple(ignored_parameters(unknown_parameters(query)))


_thumbnail_tag = lru_cache(maxsize=512)(content_tag)


class PictureHandler:
    """Raises: NotFound, NotAcceptable, BadRequest, PacsError, ArchiveError, MalformedDicom."""

    def __init__(
        self,
        serve: ServeService,
        instances: RenderedInstances,
        thumbnails: ThumbnailService,
        root: str,
    ) -> None:
        """`root`: "/dicom-web/"."""
        self._serve = serve
        self._instances = instances
        self._thumbnails = thumbnails
        self._root = root

    def __call__(self, request: Request, path: ResourcePath) -> Response:
        answer = self._thumbnail if path.action is Action.THUMBNAIL else self._rendered
        return of_what_is_left(self._serve, path, lambda: answer(request, path))

    # ---- thumbnails

    def at_once(self, request: Request, path: ResourcePath) -> Response | None:
        """A thumbnail drawn before. Raises: NotAcceptable, InvalidParameter."""
        if path.level is Level.STUDY:
            return None
        key = self._key(request, path, series_of(path))
        picture = self._thumbnails.at_hand(key)
        return None if picture is None else self._picture(request, key, picture)

    def _thumbnail(self, request: Request, path: ResourcePath) -> Response:
        if path.level is Level.STUDY:
            series = self._thumbnails.series_of(study_of(path))
        else:
            series = series_of(path)
        key = self._key(request, path, series)
        return self._picture(request, key, self._thumbnails.picture(key))

    def _key(self, request: Request, path: ResourcePath, series: SeriesRef) -> ThumbnailKey:
        header = request.headers.get("accept")
        offer = rendered_offer(header, accept_values(request), _THUMBNAILS)
        query, _ = _thumbnail_query(request.query)
        if len(path.frames) > 1:
            frames = ",".join(map(str, path.frames))
            raise InvalidParameter("frames", frames, "a thumbnail is of one frame")
        return ThumbnailKey(
            series,
            ImageType(offer.media_type),
            query,
            path.sop_instance_uid or "",
            path.frames[0] if path.frames else 0,
        )

    def _picture(self, request: Request, key: ThumbnailKey, picture: bytes) -> Response:
        headers = [("Content-Type", key.image_type.value), VARY]
        _, warnings = _thumbnail_query(request.query)
        headers += self._warnings(request, warnings)
        response = Response(200, tuple(headers), picture)
        return conditional(request, response, _thumbnail_tag(picture), CHANGING)

    # ---- rendered

    def _rendered(self, request: Request, path: ResourcePath) -> Response:
        query, ignored = _rendered_query(request.query)
        accept = accept_of(request)
        warnings = [*ignored]
        if path.level is Level.IMAGE:
            rendition = self._instances.choose(instance_of(path), path.frames, accept, query)
            response = self._instances.response(request, rendition)
            if rendition.note:
                warnings.append(rendition.note)
            return response.with_headers(*self._warnings(request, warnings))
        settled, reasons = settled_series(self._serve, path, request.presence)
        refs, short = instances_of(settled), [*reasons]
        renditions, refused = self._choose_each(refs, accept, query)
        if refused:
            left_out = f"{len(refused)} of {len(refs)} instances have no acceptable representation"
            short = [*short, f"{left_out}: {refused[0]}"]
        warnings += [rendition.note for rendition in renditions if rendition.note][:1]
        response = rendered_together(self._instances, renditions)
        if short:
            response = Response(206, response.headers, response.body)
        return response.with_headers(*self._warnings(request, [*short, *warnings]))

    def _choose_each(
        self, refs: list[InstanceRef], accept: Accept, query: RenderingQuery
    ) -> tuple[list[Rendition], list[str]]:
        """Those that can be shown as the client likes, and why the others can't.

        Raises: NotAcceptable where none can.
        """
        renditions: list[Rendition] = []
        refused: list[str] = []
        for ref in refs:
            try:
                renditions.append(self._instances.choose(ref, (), _in_parts(accept), query))
            except (NotAcceptable, MalformedDicom) as error:
                refused.append(str(error))
        if not renditions:
            raise NotAcceptable(refused[0] if refused else "there is nothing to render")
        return renditions, refused

    def _warnings(self, request: Request, texts: Collection[str]) -> list[tuple[str, str]]:
        root_url = request.base_url + self._root
        return [("Warning", warning_value(root_url, text)) for text in texts]


def _in_parts(accept: Accept) -> Accept:
    """Single media types as a client may name them, meant for the parts: there are many."""
    return tuple(tuple(media_range.for_parts() for media_range in ranges) for ranges in accept)
