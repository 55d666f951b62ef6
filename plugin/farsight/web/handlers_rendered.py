"""Rendered resources over HTTP: pictures, documents, video (PS3.18 8.7.4, 10.4)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from farsight.dicom.elements import Instance
from farsight.errors import InvalidParameter, NotAcceptable, NotFound
from farsight.imaging.jobs import ImageType
from farsight.model import InstanceRef
from farsight.ps318.accept import Accept
from farsight.ps318.entity_tag import content_tag
from farsight.ps318.media_type import Offer, choose_rendered
from farsight.ps318.multipart_related import Part
from farsight.ps318.rendering_query import IccProfile, RenderingQuery
from farsight.services.rendering import FramesOf, RenderService, Shot
from farsight.services.renditions import Kind, kind_of, offers_of
from farsight.web.byte_range import with_range
from farsight.web.conditional import UNCHANGING, conditional, instance_tag, matches
from farsight.web.documents import Body, document_body, document_type, video_response
from farsight.web.messages import Request, Response
from farsight.web.related_response import VARY, related

_IMAGE_TYPES = {image_type.value: image_type for image_type in ImageType}


@dataclass(frozen=True, slots=True)
class Rendition:
    """One instance, or frames of it, in the representation chosen. note: what isn't shown of it."""

    ref: InstanceRef
    header: Instance
    kind: Kind
    shots: Sequence[Shot]
    offer: Offer
    query: RenderingQuery
    note: str | None = None


class RenderedInstances:
    """Chooses and makes what is shown of single instances."""

    def __init__(self, render: RenderService) -> None:
        self._render = render

    def choose(
        self,
        ref: InstanceRef,
        frames: Sequence[int],
        accept: Accept,
        query: RenderingQuery,
        state: InstanceRef | None = None,
    ) -> Rendition:
        """`state`: the presentation state to show it by.

        Raises: NotFound, NotAcceptable, InvalidParameter, and what reading it raises.
        """
        header = self._render.header(ref)
        kind = kind_of(header)
        shots = self._render.shots(ref, header)
        if frames:
            shots = self._chosen(shots, frames, kind)
        if shots and kind is Kind.OTHER:  # a presentation state: shown as what it shows
            kind = Kind.IMAGE if len(shots) == 1 else Kind.MULTI_FRAME
        if state is not None:
            if isinstance(shots, FramesOf):
                shots = replace(shots, state=state)
            else:
                shots = [replace(shot, state=state) for shot in shots]
        media_type = document_type(self._render, ref, header, kind)
        offers = offers_of(kind, media_type, frames=len(frames))
        if shots and shots[0].state is not None:
            offers = [offer for offer in offers if offer.media_type != ImageType.GIF]
        offer = _with_profile(query, offers, accept)
        note = None
        still = not offer.multipart and offer.media_type in _IMAGE_TYPES
        if still and len(shots) > 1 and not _is_animation(offer, shots):
            shot = self._render.representative(shots, header)
            note = f"frame {shot.frame_number} of {len(shots)} is shown"
            shots = [shot]
        return Rendition(ref, header, kind, shots, offer, query, note)

    def _chosen(self, shots: Sequence[Shot], frames: Sequence[int], kind: Kind) -> list[Shot]:
        if kind not in (Kind.IMAGE, Kind.MULTI_FRAME):
            raise NotFound(f"a {kind.value} has no frames to be rendered")
        if max(frames) > len(shots):
            last = len(shots)
            raise NotFound(f"frame {max(frames)} does not exist: the instance has {last}")
        return [shots[number - 1] for number in frames]

    def body(self, rendition: Rendition) -> Body:
        """The one representation of it. Raises: as RenderService."""
        image_type = _IMAGE_TYPES.get(rendition.offer.media_type)
        if image_type is None:
            return document_body(
                self._render, rendition.ref, rendition.kind, rendition.offer.media_type
            )
        shots = rendition.shots
        if _is_animation(rendition.offer, shots):
            return Body(self._render.animation(rendition.ref, rendition.query))
        return Body(self._render.still(shots[0], rendition.query, image_type))

    def parts(self, rendition: Rendition) -> Iterator[Part]:
        """One for each frame, or the whole where it has none."""
        headers = (("Content-Type", rendition.offer.content_type),)
        image_type = _IMAGE_TYPES.get(rendition.offer.media_type)
        if image_type is None:
            yield Part(headers, self.body(rendition).value)
            return
        for shot in rendition.shots:
            yield Part(headers, self._render.still(shot, rendition.query, image_type))

    def response(self, request: Request, rendition: Rendition) -> Response:
        """The answer for one instance, ranges included: players of video ask for them."""
        if rendition.offer.multipart:
            return related(rendition.offer.media_type, _Parts(self, (rendition,)))
        if rendition.kind is Kind.VIDEO:
            media_type = rendition.offer.media_type
            return video_response(request, self._render, rendition.ref, media_type)
        tag = _tag_before(rendition)
        if tag is not None and matches(request.headers.get("if-none-match"), tag):
            return conditional(request, Response(200, (VARY,)), tag, UNCHANGING)
        body = self.body(rendition)
        headers = (("Content-Type", rendition.offer.content_type), VARY, *body.headers)
        tag = tag or content_tag(body.value)
        response = with_range(request, headers, body.value, tag)
        return conditional(request, response, tag, UNCHANGING)


class _Parts:
    """The parts of several renditions, made anew at each run."""

    def __init__(self, makes: RenderedInstances, renditions: Sequence[Rendition]) -> None:
        self._makes = makes
        self._renditions = renditions

    def __iter__(self) -> Iterator[Part]:
        for rendition in self._renditions:
            yield from self._makes.parts(rendition)


def rendered_together(makes: RenderedInstances, renditions: Sequence[Rendition]) -> Response:
    """Many instances in one answer, part by part."""
    return related(renditions[0].offer.media_type, _Parts(makes, renditions))


def _tag_before(rendition: Rendition) -> str | None:
    """The entity tag, where it can be told before anything is drawn: not of presentation states,
    which may change without the images they show."""
    if any(shot.state is not None for shot in rendition.shots[:1]):
        return None
    frame = rendition.shots[0].frame_number if len(rendition.shots) == 1 else 0
    return instance_tag(rendition.header, _tag_of(rendition.query, rendition.offer, frame))


@lru_cache(maxsize=256)
def _tag_of(query: RenderingQuery, offer: Offer, frame: int) -> str:
    asked = f"{query} {offer} {frame}".encode()
    return f"-{hashlib.blake2b(asked, digest_size=8).hexdigest()}"


def _is_animation(offer: Offer, shots: Sequence[Shot]) -> bool:
    if len(shots) < 2 or offer.media_type != ImageType.GIF or offer.multipart:
        return False
    return isinstance(shots, FramesOf) or len({shot.image for shot in shots}) == 1


def _with_profile(query: RenderingQuery, offers: Sequence[Offer], accept: Accept) -> Offer:
    """The best that can carry an ICC profile, where one is asked for (PS3.18 8.3.5.1.5)."""
    if query.icc_profile is IccProfile.NO:
        return choose_rendered(accept, offers)
    carriers = [offer for offer in offers if offer.media_type != ImageType.GIF]
    try:
        return choose_rendered(accept, carriers)
    except NotAcceptable:
        offer = choose_rendered(accept, offers)
    why = f"{offer.media_type} can't carry a profile"
    raise InvalidParameter("iccprofile", query.icc_profile.value, why)
