"""QIDO-RS over HTTP: negotiation, parsing, the answer (PS3.18 10.6)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from farsight.ps318.accept import parse_accept
from farsight.ps318.media_type import choose_metadata
from farsight.ps318.resource_path import ResourcePath
from farsight.ps318.search_query import parse_search_query
from farsight.ps318.warning import warning_value
from farsight.services.search import SearchService
from farsight.web.messages import Request, Response

SearchHandler = Callable[[Request, ResourcePath], Response]


def search_handler(service: SearchService, root: str) -> SearchHandler:
    """A handler for the resources whose action is SEARCH. `root`: "/dicom-web", no trailing slash.

    Nothing found is 200 with `[]`. The handler raises FarsightErrors: NotAcceptable, BadRequest,
    PacsError, ArchiveError.
    """

    def handle(request: Request, path: ResourcePath) -> Response:
        asked = [value for name, value in request.query if name == "accept"]
        media_type = choose_metadata(parse_accept(request.headers.get("accept"), asked))
        query = parse_search_query(request.query, path.level)
        if "no-cache" in request.headers.get("cache-control", "").lower():
            query = replace(query, fresh=True)
        root_url = request.base_url + root
        result = service.search(query, path, root_url)
        body = json.dumps(result.rows, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
        warnings = (("Warning", warning_value(root_url, text)) for text in result.warnings)
        return Response(200, (("Content-Type", media_type), *warnings), body)

    return handle
