"""What is shown of instances that are no images: documents, reports, video, and the rest."""

from __future__ import annotations

from dataclasses import dataclass

from farsight.dicom.elements import Instance
from farsight.documents.encapsulated_document import document_of
from farsight.documents.object_header import header_as_html
from farsight.documents.report_html import report_as_html
from farsight.documents.report_text import report_as_text
from farsight.errors import NotAcceptable
from farsight.model import InstanceRef
from farsight.services.rendering import RenderService
from farsight.services.renditions import HTML, TEXT, Kind

_MP4, _MPEG, _H265 = "video/mp4", "video/mpeg", "video/H265"
_HEVC = ("1.2.840.10008.1.2.4.107", "1.2.840.10008.1.2.4.108")
#: A document is what a file claims to be; a script in it must not run as if it were ours.
_SANDBOXED = (
    ("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'"),
    ("X-Content-Type-Options", "nosniff"),
)
_NOSNIFF = (("X-Content-Type-Options", "nosniff"),)


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
        return _video_type(header, bytes(_video(render, ref)[:16]))
    return ""


def _video_type(header: Instance, begins: bytes) -> str:
    """By the container it is in: nothing is put into another one here."""
    if begins[4:8] == b"ftyp":
        return _MP4
    return _H265 if header.transfer_syntax_uid.startswith(_HEVC) else _MPEG


def _video(render: RenderService, ref: InstanceRef) -> bytes | memoryview:
    """The stream, which is one frame in encapsulated pixel data (PS3.5 A.4.5 to A.4.9)."""
    instance = render.open(ref)
    return instance.frame(instance.frames(), 1)


def document_body(render: RenderService, ref: InstanceRef, kind: Kind, media_type: str) -> Body:
    """Raises: NotAcceptable where there is nothing to show, and what reading it raises."""
    if kind is Kind.VIDEO:
        return Body(_video(render, ref))
    instance = render.whole(ref)
    if kind is Kind.DOCUMENT and (document := document_of(instance)):
        return Body(document.value, _NOSNIFF if media_type == "application/pdf" else _SANDBOXED)
    if kind is Kind.REPORT:
        text = report_as_text(instance) if media_type == TEXT else report_as_html(instance)
        return Body(text.encode("utf-8"), _SANDBOXED)
    if media_type != HTML:
        raise NotAcceptable(f"there is no {media_type} of this instance")
    return Body(header_as_html(instance).encode("utf-8"), _SANDBOXED)
