"""QIDO-RS over HTTP: negotiation, parsing, the answer (PS3.18 10.6)."""

from __future__ import annotations

import json
from collections.abc import Callable

from farsight.errors import NotAcceptable
from farsight.ps318.resource_path import ResourcePath
from farsight.ps318.search_query import parse_search_query
from farsight.ps318.warning import warning_value
from farsight.services.search import SearchService
from farsight.web.messages import Request, Response

DICOM_JSON = "application/dicom+json"
JSON = "application/json"
SearchHandler = Callable[[Request, ResourcePath], Response]


def search_handler(service: SearchService, root: str) -> SearchHandler:
    """A handler for the resources whose action is SEARCH. `root`: "/dicom-web", no trailing slash.

    Nothing found is 200 with `[]`. The handler raises FarsightErrors: NotAcceptable, BadRequest,
    PacsError, ArchiveError.
    """

    def handle(request: Request, path: ResourcePath) -> Response:
        media_type = choose_list_type(request)
        query = parse_search_query(request.query, path.level)
        root_url = request.base_url + root
        result = service.search(query, path, root_url)
        body = json.dumps(result.rows, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
        warnings = (("Warning", warning_value(root_url, text)) for text in result.warnings)
        return Response(200, (("Content-Type", media_type), *warnings), body)

    return handle


def choose_list_type(request: Request) -> str:
    """DICOM JSON, or plain JSON where only that is accepted (PS3.18 8.7.4).

    The query parameter `accept` goes before the header (8.3.3.1). Raises: NotAcceptable.
    """
    accept = request.parameter("accept") or request.headers.get("accept") or "*/*"
    ranges = [_media_range(item) for item in accept.split(",")]
    accepted = {name: quality for name, quality in ranges if name}
    scored = [(_quality(accepted, offer), offer) for offer in (DICOM_JSON, JSON)]
    quality, best = max(scored, key=lambda pair: pair[0])
    if quality <= 0:
        raise NotAcceptable(f"search results are {DICOM_JSON} or {JSON}")
    return best


def _media_range(item: str) -> tuple[str, float]:
    name, *parameters = (part.strip().lower() for part in item.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return name, float(parameter[2:])
            except ValueError:
                return name, 0.0
    return name, 1.0


def _quality(accepted: dict[str, float], offer: str) -> float:
    """Of the most specific range that covers the offer; 0 where none does."""
    for name in (offer, "application/*", "*/*"):
        if name in accepted:
            return accepted[name]
    return 0.0
