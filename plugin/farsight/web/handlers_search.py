"""QIDO-RS over HTTP: negotiation, parsing, the answer (PS3.18 10.6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from farsight.ps318.accept import parse_accept
from farsight.ps318.media_type import choose_metadata
from farsight.ps318.resource_path import ResourcePath
from farsight.ps318.search_query import parse_search_query
from farsight.ps318.warning import warning_value
from farsight.services.search import SearchService
from farsight.web.content_coding import zipped
from farsight.web.data_sets_response import data_sets_response
from farsight.web.messages import Request, Response
from farsight.web.opening import UNHEARD, StudyOpenings, insists
from farsight.web.related_response import VARY

SearchHandler = Callable[[Request, ResourcePath], Response]


def search_handler(
    service: SearchService, root: str, openings: StudyOpenings = UNHEARD
) -> SearchHandler:
    """A handler for the resources whose action is SEARCH. `root`: "/dicom-web", no trailing slash.

    Nothing found is 200 with `[]`, or 204 where XML was asked for. The handler raises
    FarsightErrors: NotAcceptable, BadRequest, PacsError, ArchiveError.
    """

    def handle(request: Request, path: ResourcePath) -> Response:
        asked = [value for name, value in request.query if name == "accept"]
        offer = choose_metadata(parse_accept(request.headers.get("accept"), asked))
        query = parse_search_query(request.query, path.level)
        openings.begin(request, path)  # the search warns of a PACS that fails by itself
        if insists(request):
            query = replace(query, fresh=True)
        root_url = request.base_url + root
        result = service.search(query, path, root_url)
        warnings = (("Warning", warning_value(root_url, text)) for text in result.warnings)
        response = data_sets_response(offer, result.json).with_headers(VARY, *warnings)
        return response if offer.multipart else zipped(request, response)

    return handle
