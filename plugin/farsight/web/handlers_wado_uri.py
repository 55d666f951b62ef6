"""The URI service: one instance named by the query (PS3.18 section 9)."""

from __future__ import annotations

from farsight.errors import NotAcceptable
from farsight.ps318.accept import parse_accept
from farsight.ps318.media_type import Offer, choose_rendered
from farsight.ps318.wado_uri import WadoUriRequest, parse_wado_uri
from farsight.ps318.warning import warning_value
from farsight.web.handlers_rendered import RenderedInstances
from farsight.web.handlers_retrieve import RetrieveHandler
from farsight.web.messages import Request, Response

_DICOM = Offer("application/dicom")
_DICOM_TYPES = frozenset(("application/dicom", "application/*"))


class WadoUriHandler:
    """Everything at one path, "/wado" say."""

    def __init__(self, retrieve: RetrieveHandler, instances: RenderedInstances, root: str) -> None:
        self._retrieve = retrieve
        self._instances = instances
        self._root = root

    def __call__(self, request: Request) -> Response:
        """Raises: BadRequest, NotAcceptable, and what reading the instance raises."""
        wado = parse_wado_uri(request.query)
        accept = wado.accept(request.headers.get("accept"))
        if any(one.name in _DICOM_TYPES for ranges in accept for one in ranges):
            return self._warned(request, wado, self._object(request, wado))
        frames = () if wado.frame_number is None else (wado.frame_number,)
        try:
            rendition = self._instances.choose(
                wado.instance, frames, accept, wado.rendering, state=wado.presentation
            )
        except NotAcceptable as error:
            try:
                choose_rendered(accept, [_DICOM])
            except NotAcceptable:
                raise error from None  # which lists what there is
            return self._warned(request, wado, self._object(request, wado))
        response = self._instances.response(request, rendition)
        return self._warned(request, wado, response, rendition.note)

    def _object(self, request: Request, wado: WadoUriRequest) -> Response:
        """The DICOM object; Explicit VR Little Endian unless asked otherwise (9.4.2.4)."""
        syntax = wado.transfer_syntax
        wanted = "" if syntax is None else f"; transfer-syntax={syntax}"
        accept = parse_accept(f"application/dicom{wanted}")
        return self._retrieve.instance_object(request, wado.instance, accept)

    def _warned(
        self, request: Request, wado: WadoUriRequest, response: Response, note: str | None = None
    ) -> Response:
        texts = [*wado.warnings, *([note] if note else [])]
        service = request.base_url + self._root
        return response.with_headers(*(("Warning", warning_value(service, text)) for text in texts))
