"""Answers of several parts, and what makes one representation differ from another."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from farsight.ps318.multipart_related import Part, RelatedBody, new_boundary
from farsight.ps318.warning import warning_value
from farsight.web.messages import Response

VARY = ("Vary", "Accept, Accept-Encoding")


def related(root_type: str, parts: Iterable[Part]) -> Response:
    """`parts`: a list, or something that makes them anew at each run."""
    body = RelatedBody(root_type, new_boundary(), parts)
    return Response(200, (("Content-Type", body.content_type), VARY), body)


def maybe_short(response: Response, warnings: Collection[str], root_url: str) -> Response:
    """206 and a Warning for each reason why this may not be all there is."""
    if not warnings:
        return response
    headers = [("Warning", warning_value(root_url, text)) for text in warnings]
    return Response(206, (*response.headers, *headers), response.body)
