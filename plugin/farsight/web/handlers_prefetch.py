"""/farsight/prefetch: studies to fetch before anyone asks for them, and how the rules for that
stand."""

from __future__ import annotations

import json
from collections.abc import Callable

from farsight.services.prefetch import PrefetchOutcome, PrefetchService
from farsight.services.prefetch_schedule import PrefetchStatus
from farsight.web import prefetch_status
from farsight.web.messages import Request, Response
from farsight.web.study_list import studies_asked

_HEADERS = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))


class PrefetchHandler:
    """POST takes {"studies": [UID, ...]}, and answers 202 and what becomes of each; GET tells of
    the rules."""

    def __init__(
        self, service: PrefetchService, status: Callable[[], PrefetchStatus] = PrefetchStatus
    ) -> None:
        """`status`: of the rules."""
        self._service = service
        self._status = status

    def __call__(self, request: Request) -> Response:
        """Raises: BadRequest, UnsupportedMediaType."""
        if request.method != "POST":
            body = prefetch_status.as_json(self._status())
            return Response(200, _HEADERS, json.dumps(body).encode("utf-8"))
        outcomes = self._service.prefetch(studies_asked(request))
        body = {"studies": {uid: _shown(outcome) for uid, outcome in outcomes.items()}}
        return Response(202, _HEADERS, json.dumps(body).encode("utf-8"))


def _shown(outcome: PrefetchOutcome) -> dict[str, object]:
    if outcome.error is not None:
        return {"error": outcome.error}
    shown: dict[str, object] = {
        "series": outcome.series,
        "complete": outcome.complete,
        "queued": outcome.queued,
    }
    return shown if outcome.warning is None else {**shown, "warning": outcome.warning}
