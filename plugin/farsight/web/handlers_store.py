"""STOW-RS: POST to the studies, or to one of them (PS3.18 10.5).

Law: a message is stored when all of it has come, and can be read: one that is cut off, or above a
limit, leaves nothing behind.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from farsight.errors import BadRequest, FarsightError, PayloadTooLarge
from farsight.ports.spool import Spool, SpooledPart, Spools
from farsight.ps318.accept import parse_accept
from farsight.ps318.media_type import Offer as AnswerOffer
from farsight.ps318.media_type import choose_store_response
from farsight.ps318.multipart_reader import MultipartReader, PartBegins, PartData, ReaderLimits
from farsight.ps318.resource_path import Action, ResourcePath
from farsight.ps318.store_reasons import FailureReason
from farsight.ps318.store_request import (
    PartKind,
    StorePart,
    StoreRequest,
    parse_store_part,
    parse_store_request,
)
from farsight.ps318.store_response import (
    FailedItem,
    StoredItem,
    StoreReport,
    store_payload,
    store_status,
    store_warnings,
)
from farsight.ps318.warning import warning_value
from farsight.services.offers import Offer, Refusal, examine
from farsight.services.storing import Kept, StoringService
from farsight.web.messages import Request, Response
from farsight.web.related_response import VARY
from farsight.web.stored_metadata import Assembling

LOG = logging.getLogger("farsight.storing")
#: Messages that are wholly in memory.
_ASSEMBLED_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Received:
    """One part of the message, whole. root_type: of the message. number: its own, from 1 on; 0 of a
    message that has no parts."""

    root_type: str
    what: StorePart
    body: SpooledPart
    number: int = 0


class StoreHandler:
    """Takes files, and metadata with bulk data beside it."""

    def __init__(
        self,
        service: StoringService,
        spools: Spools,
        limits: ReaderLimits,
        max_bytes: int,
        max_metadata_bytes: int,
        root: str,
    ) -> None:
        """`max_bytes`: of a body that comes in one piece. `max_metadata_bytes`: of a message with
        metadata and bulk data, which has to be in memory. `root`: "/dicom-web/"."""
        self._service = service
        self._spools = spools
        self._limits = limits
        self._max_bytes = max_bytes
        self._max_metadata_bytes = max_metadata_bytes
        self._turns = threading.Semaphore(_ASSEMBLED_AT_ONCE)
        self._root = root

    def __call__(self, request: Request, path: ResourcePath) -> Response:
        """Raises: BadRequest, UnsupportedMediaType, PayloadTooLarge, NotAcceptable, ArchiveError,
        OutboxError, CacheBookError, ClientGone."""
        offer, message = self._heading(request)
        if len(request.body) > self._max_bytes:
            limit = f"{self._max_bytes >> 20} MB (Farsight.Stow.MaxMegabytes)"
            raise PayloadTooLarge(f"the body is above {limit}")
        spool = self._spools.new()
        try:
            parts = list(self._received(message, request, spool))
            report = self._report(parts, path, request.base_url + self._root, spool)
        finally:
            spool.close()
        status = store_status(report)
        self._service.count(stored=len(report.stored), refused=len(report.failed))
        if report.failed:
            LOG.info("%d instances stored, %d refused", len(report.stored), len(report.failed))
        root_url = request.base_url + self._root.rstrip("/")
        warnings = [("Warning", warning_value(root_url, text)) for text in store_warnings(report)]
        headers = (("Content-Type", offer.media_type), VARY, *warnings)
        return Response(status, headers, store_payload(report, offer))

    def check(self, request: Request) -> None:
        """Before any of the body has come. Raises: BadRequest, UnsupportedMediaType,
        NotAcceptable."""
        self._heading(request)

    # ---- reading the message

    def _heading(self, request: Request) -> tuple[AnswerOffer, StoreRequest]:
        asked = [value for name, value in request.query if name == "accept"]
        offer = choose_store_response(parse_accept(request.headers.get("accept"), asked))
        return offer, parse_store_request(request.headers)

    def _received(
        self, message: StoreRequest, request: Request, spool: Spool
    ) -> Iterator[Received | Refusal]:
        if message.boundary is None:
            part = parse_store_part(message, {})
            yield Received(str(message.root_type), part, self._single(request, spool))
            return
        reader = MultipartReader(message.boundary, self._limits)
        what: StorePart | Refusal | None = None
        number = 0
        for chunk in request.chunks():
            for event in reader.feed(chunk):
                if isinstance(event, PartBegins):
                    message = message.settled_by(event.headers)
                    number += 1
                    what = _announced(message, event.headers, number)
                elif isinstance(event, PartData):
                    if isinstance(what, StorePart):
                        spool.write(event.data)
                elif isinstance(what, StorePart):
                    yield Received(str(message.root_type), what, spool.end_part(), number)
                elif what is not None:
                    yield what
        reader.close()

    def _single(self, request: Request, spool: Spool) -> SpooledPart:
        size, most = 0, self._limits.max_part_bytes
        for chunk in request.chunks():
            size += len(chunk)
            if size > most:
                limit = f"{most >> 20} MB (Farsight.Stow.MaxPartMegabytes)"
                raise PayloadTooLarge(f"the body is larger than {limit}")
            spool.write(chunk)
        if not size:
            raise BadRequest("the body is empty")
        return spool.end_part()

    # ---- storing it

    def _report(
        self,
        parts: Sequence[Received | Refusal],
        path: ResourcePath,
        service_url: str,
        spool: Spool,
    ) -> StoreReport:
        study = path.study_instance_uid if path.action is Action.OBJECTS else None
        assembling = Assembling(spool, self._max_metadata_bytes, self._turns)
        with closing(assembling):
            return self._settled(parts, study, service_url, assembling)

    def _settled(
        self,
        parts: Sequence[Received | Refusal],
        study: str | None,
        service_url: str,
        assembling: Assembling,
    ) -> StoreReport:
        refused = [part for part in parts if isinstance(part, Refusal)]
        files: list[tuple[SpooledPart, int]] = []
        for part in parts:
            if isinstance(part, Received):
                if part.what.kind is PartKind.INSTANCE:
                    files.append((part.body, part.number))
                else:
                    assembling.take(part.root_type, part.what, part.body)
        files += [(file, 0) for file in assembling.files()]
        refused += assembling.refused
        examined = [_numbered(examine(file, study), number) for file, number in files]
        refused += [one for one in examined if isinstance(one, Refusal)]
        fates = self._service.store([one for one in examined if isinstance(one, Offer)])
        refused += [fate for fate in fates if isinstance(fate, Refusal)]
        kept = [fate for fate in fates if isinstance(fate, Kept)]
        studies = {fate.offer.ref.study_instance_uid for fate in kept}
        return StoreReport(
            [_stored(fate, service_url, assembling) for fate in kept],
            [_failed(one) for one in refused],
            f"{service_url}studies/{studies.pop()}" if len(studies) == 1 else "",
        )


def _announced(
    message: StoreRequest, headers: Mapping[str, str], number: int
) -> StorePart | Refusal:
    try:
        return parse_store_part(message, headers)
    except FarsightError as error:
        return Refusal(FailureReason.CANNOT_UNDERSTAND, str(error), part=number)


def _numbered(fate: Offer | Refusal, number: int) -> Offer | Refusal:
    return replace(fate, part=number) if isinstance(fate, Refusal) else fate


def _failed(one: Refusal) -> FailedItem:
    return FailedItem(one.sop_class_uid, one.sop_instance_uid, one.reason, one.why, one.part)


def _stored(fate: Kept, service_url: str, assembling: Assembling) -> StoredItem:
    ref = fate.offer.ref
    url = (
        f"{service_url}studies/{ref.study_instance_uid}/series/{ref.series_instance_uid}"
        f"/instances/{ref.sop_instance_uid}"
    )
    coerced = assembling.coerced.get(ref.sop_instance_uid)
    if fate.warning is None and coerced is not None:
        return StoredItem(fate.offer.sop_class_uid, ref.sop_instance_uid, url, *coerced)
    return StoredItem(
        fate.offer.sop_class_uid, ref.sop_instance_uid, url, fate.warning, None, fate.why
    )
