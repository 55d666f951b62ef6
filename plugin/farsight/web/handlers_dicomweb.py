"""One DICOMweb root: the path decides whether it is a search or a retrieve."""

from __future__ import annotations

from farsight.ps318.resource_path import Action, parse_resource_path
from farsight.services.search import SearchService
from farsight.services.serve import ServeService
from farsight.web.handlers_retrieve import RetrieveHandler
from farsight.web.handlers_search import search_handler
from farsight.web.messages import Request, Response


class DicomWebHandler:
    """Everything below one root, "/dicom-web/" say."""

    def __init__(self, search: SearchService, serve: ServeService, root: str) -> None:
        self._root = root
        self._search = search_handler(search, root.rstrip("/"))
        self._retrieve = RetrieveHandler(serve, root)

    def __call__(self, request: Request) -> Response:
        """Raises: FarsightError."""
        path = parse_resource_path("/" + request.path.removeprefix(self._root))
        if path.action is Action.SEARCH:
            return self._search(request, path)
        return self._retrieve(request, path)

    def at_once(self, request: Request) -> Response | None:
        """The answer if it takes no time. Raises: as when called."""
        path = parse_resource_path("/" + request.path.removeprefix(self._root))
        return self._retrieve.at_once(request, path)
