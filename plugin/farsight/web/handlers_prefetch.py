"""POST /farsight/prefetch: studies to fetch before anyone asks for them."""

from __future__ import annotations

import json
from typing import Any

from farsight.errors import BadRequest, UnsupportedMediaType
from farsight.model import checked_uid
from farsight.services.prefetch import PrefetchOutcome, PrefetchService
from farsight.web.messages import Request, Response

MOST_STUDIES = 1000


class PrefetchHandler:
    """Takes {"studies": [UID, ...]}; answers 202 and what becomes of each."""

    def __init__(self, service: PrefetchService) -> None:
        self._service = service

    def __call__(self, request: Request) -> Response:
        """Raises: BadRequest, UnsupportedMediaType.

        The media type has to be JSON: a form of another web site can't send that.
        """
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise UnsupportedMediaType("the body has to be application/json")
        outcomes = self._service.prefetch(_studies(request.body))
        body = {"studies": {uid: _shown(outcome) for uid, outcome in outcomes.items()}}
        headers = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
        return Response(202, headers, json.dumps(body).encode("utf-8"))


def _studies(body: bytes) -> list[str]:
    try:
        asked: Any = json.loads(body)
    except ValueError as error:  # also bytes that aren't UTF-8
        raise BadRequest("the body is not JSON") from error
    if not isinstance(asked, dict) or set(asked) != {"studies"}:
        raise BadRequest('the body has to be an object with the one key "studies"')
    studies = asked["studies"]
    if not isinstance(studies, list) or not all(isinstance(uid, str) for uid in studies):
        raise BadRequest('"studies" has to be a list of Study Instance UIDs')
    if not 1 <= len(studies) <= MOST_STUDIES:
        raise BadRequest(f'"studies" has {len(studies)} entries: it takes 1 to {MOST_STUDIES}')
    return [checked_uid(uid, "studies") for uid in studies]


def _shown(outcome: PrefetchOutcome) -> dict[str, object]:
    if outcome.error is not None:
        return {"error": outcome.error}
    shown: dict[str, object] = {
        "series": outcome.series,
        "complete": outcome.complete,
        "queued": outcome.queued,
    }
    return shown if outcome.warning is None else {**shown, "warning": outcome.warning}
