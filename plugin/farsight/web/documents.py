"""What is shown of instances that are no images: documents, reports, video, and the rest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from farsight.dicom.elements import Instance
from farsight.documents.encapsulated_document import document_of
from farsight.documents.object_header import header_as_html
from farsight.documents.report_html import report_as_html
from farsight.documents.report_text import report_as_text
from farsight.errors import NotAcceptable
from farsight.model import InstanceRef
from farsight.services.rendering import RenderService
from farsight.services.renditions import HTML, TEXT, Kind
from farsight.web.byte_range import Lazy, with_range
from farsight.web.conditional import UNCHANGING, conditional, instance_tag
from farsight.web.messages import Request, Response

_MP4, _MPEG, _H265 = "video/mp4", "video/mpeg", "video/H265"
_AT_ONCE_BYTES = 8 << 20
_HEVC = ("1.2.840.10008.1.2.4.107", "1.2.840.10008.1.2.4.108")
#: A document is what a file claims to be; a script in it must not run as if it were ours.
_SANDBOXED = (
    ("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'"),
    ("X-Content-Type-Options", "nosniff"),
)
_NOSNIFF = (("X-Content-Type-Options", "nosniff"),)


def guard_of(media_type: str) -> tuple[tuple[str, str], ...]:
    """Headers for something that came from outside. Browsers show PDF in no sandbox."""
    return _NOSNIFF if media_type == "application/pdf" else _SANDBOXED


@dataclass(frozen=True, slots=True)
class Body:
    """A representation, and the headers it needs beside its Content-Type."""

    value: bytes | memoryview
    headers: tuple[tuple[str, str], ...] = ()


def document_type(render: RenderService, ref: InstanceRef, header: Instance, kind: Kind) -> str:
    """The media type of a document or a video; "" for everything else."""
    if kind is Kind.DOCUMENT:
        document = document_of(render.whole(ref))
        return document.media_type if document else HTML
    if kind is Kind.VIDEO:
        instance = render.open(ref)
        return _video_type(header, instance.stretch(instance.frames(), 1, 0, 16))
    return ""


def _video_type(header: Instance, begins: bytes) -> str:
    """By the container it is in: nothing is put into another one here."""
    if begins[4:8] == b"ftyp":
        return _MP4
    return _H265 if header.transfer_syntax_uid.startswith(_HEVC) else _MPEG


def video_response(
    request: Request, render: RenderService, ref: InstanceRef, media_type: str
) -> Response:
    """The stream, or the part of it asked for: all that is read is what is sent (PS3.5 A.4.5).

    A range without an end gets as much as a player shows in a while; it asks for the rest.
    """
    instance = render.open(ref)
    index = instance.frames()
    headers = (("Content-Type", media_type), ("Vary", "Accept"))
    tag = instance_tag(instance.header, f"-{media_type}")
    video = Lazy(
        instance.frame_bytes(index, 1), partial(instance.stretch, index, 1), _AT_ONCE_BYTES
    )
    return conditional(request, with_range(request, headers, video, tag), tag, UNCHANGING)


def document_body(render: RenderService, ref: InstanceRef, kind: Kind, media_type: str) -> Body:
    """Raises: NotAcceptable where there is nothing to show, and what reading it raises."""
    if kind is Kind.VIDEO:
        opened = render.open(ref)
        return Body(opened.frame(opened.frames(), 1))
    instance = render.whole(ref)
    if kind is Kind.DOCUMENT and (document := document_of(instance)):
        return Body(document.value, guard_of(media_type))
    if kind is Kind.REPORT:
        text = report_as_text(instance) if media_type == TEXT else report_as_html(instance)
        return Body(text.encode("utf-8"), _SANDBOXED)
    if media_type != HTML:
        raise NotAcceptable(f"there is no {media_type} of this instance")
    return Body(header_as_html(instance).encode("utf-8"), _SANDBOXED)
