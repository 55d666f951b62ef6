"""One DICOMweb root: the path decides whether it is a search or a retrieve."""

from __future__ import annotations

from dataclasses import dataclass

from farsight.errors import FarsightError
from farsight.model import Level
from farsight.ports.archive import Archive
from farsight.ports.imaging import Imaging
from farsight.ps318.accept import parse_accept
from farsight.ps318.capabilities import RESOURCES, WITH_STORING, capabilities
from farsight.ps318.media_type import choose_capabilities
from farsight.ps318.resource_path import Action, ResourcePath, parse_resource_path
from farsight.services.rendering import RenderService
from farsight.services.representative import Representatives
from farsight.services.search import SearchService
from farsight.services.serve import ServeService
from farsight.services.thumbnails import ThumbnailService
from farsight.web.handlers_pictures import PictureHandler
from farsight.web.handlers_rendered import RenderedInstances
from farsight.web.handlers_retrieve import RetrieveHandler
from farsight.web.handlers_search import search_handler
from farsight.web.handlers_store import StoreHandler
from farsight.web.messages import Request, Response
from farsight.web.opening import UNHEARD, StudyOpenings
from farsight.web.related_response import VARY
from farsight.web.routes import READING

_STORING = ("GET", "HEAD", "POST", "OPTIONS")
_PICTURES = (Action.RENDERED, Action.THUMBNAIL)


@dataclass(frozen=True, slots=True)
class Pictures:
    """What drawing takes, beside what is drawn."""

    imaging: Imaging
    archive: Archive


class DicomWebHandler:
    """Everything below one root, "/dicom-web/" say."""

    def __init__(
        self,
        search: SearchService,
        serve: ServeService,
        pictures: Pictures,
        root: str,
        store: StoreHandler | None = None,
        openings: StudyOpenings = UNHEARD,
    ) -> None:
        """`store`: None where nothing is to be stored."""
        self._root = root
        self._store = store
        self._search = search_handler(search, root.rstrip("/"), openings)
        self.retrieve = RetrieveHandler(serve, pictures.imaging, root, openings)
        render = RenderService(serve, pictures.imaging)
        self.rendered = RenderedInstances(render)
        thumbnails = ThumbnailService(render, Representatives(search), pictures.archive)
        self._pictures = PictureHandler(serve, self.rendered, thumbnails, root)

    def __call__(self, request: Request) -> Response:
        """Raises: FarsightError."""
        path = parse_resource_path("/" + request.path.removeprefix(self._root))
        if request.method == "POST" and self._store is not None:
            return self._store(request, path)
        if path.action is Action.SEARCH:
            return self._search(request, path)
        if path.action in _PICTURES:
            return self._pictures(request, path)
        return self.retrieve(request, path)

    def check(self, request: Request) -> None:
        """What the head of a request to store tells. Raises: as when called."""
        parse_resource_path("/" + request.path.removeprefix(self._root))
        if request.method == "POST" and self._store is not None:
            self._store.check(request)

    def at_once(self, request: Request) -> Response | None:
        """The answer if it takes no time. Raises: as when called."""
        path = parse_resource_path("/" + request.path.removeprefix(self._root))
        if path.action is Action.THUMBNAIL:
            return self._pictures.at_once(request, path)
        return self.retrieve.at_once(request, path)

    def methods(self, path: str) -> tuple[str, ...]:
        """What can be done at a path below this root."""
        if self._store is None:
            return READING
        try:
            target = parse_resource_path("/" + path.removeprefix(self._root))
        except FarsightError:  # said in the answer to the request itself
            return _STORING
        return _STORING if _is_stored_to(target) else READING

    def describe(self, request: Request) -> Response:
        """What OPTIONS on the root says (PS3.18 8.9). Raises: NotAcceptable."""
        values = [value for name, value in request.query if name == "accept"]
        offer = choose_capabilities(parse_accept(request.headers.get("accept"), values))
        resources = RESOURCES if self._store is None else WITH_STORING
        document = capabilities(request.base_url + self._root, offer.media_type, resources)
        return Response(200, (("Content-Type", offer.media_type), VARY), document)


def _is_stored_to(path: ResourcePath) -> bool:
    """PS3.18 10.5.1.1: the studies, or one of them."""
    if path.level is not Level.STUDY:
        return False
    return path.action in (Action.SEARCH, Action.OBJECTS)
