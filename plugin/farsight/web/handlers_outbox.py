"""/farsight/outbox: what still has to go to a PACS, and what was given up."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from farsight.errors import (
    BadRequest,
    Conflict,
    InvalidParameter,
    MethodNotAllowed,
    NotFound,
    UnsupportedMediaType,
)
from farsight.ports.outbox import Outbox, Parcel, Stage
from farsight.services.forwarding import Forwarder, ForwardProgress
from farsight.web.messages import Request, Response

OUTBOX = "/farsight/outbox"
RETRY = "/farsight/outbox/retry"
DISCARD = "/farsight/outbox/discard"
PATHS = (OUTBOX, RETRY, DISCARD)
MOST_PARCELS = 1000
_MOST_NUMBER = (1 << 63) - 1
_JSON = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
_DISCARDED = (
    "they will never be sent to the PACS from here; the instances stay stored here, as data"
    " that is never evicted"
)


class OutboxHandler:
    """GET how it stands, or the parcels of a stage; POST retry and discard."""

    def __init__(self, forwarder: Forwarder, outbox: Outbox) -> None:
        self._forwarder = forwarder
        self._outbox = outbox

    def __call__(self, request: Request) -> Response:
        """Raises: BadRequest, NotFound, Conflict, MethodNotAllowed, UnsupportedMediaType,
        OutboxError."""
        if request.path == OUTBOX:
            _only(request, "GET", "HEAD")
            return _answer(self._listed(request) if request.query else self._standing())
        if request.path == RETRY:
            _only(request, "POST")
            return _answer({"retried": self._retried(_asked(request, "parcels", "destination"))})
        if request.path == DISCARD:
            _only(request, "POST")
            count = self._discarded(_asked(request, "parcels")["parcels"])
            return _answer({"discarded": count, "note": _DISCARDED})
        raise NotFound("/farsight/outbox has retry and discard")

    def rows(self) -> Sequence[tuple[str, ...]]:
        """For a table of HTML, escaped: see HEADINGS."""
        return [
            tuple(html.escape(cell) for cell in _row(one)) for one in self._forwarder.progress()
        ]

    def _standing(self) -> dict[str, Any]:
        return {"destinations": [_shown_progress(one) for one in self._forwarder.progress()]}

    def _listed(self, request: Request) -> dict[str, Any]:
        parameters = {name for name, _ in request.query}
        for name in sorted(parameters - {"stage", "destination", "after", "limit"}):
            raise InvalidParameter(name, request.parameter(name) or "", "is not known here")
        stage = _stage(request.parameter("stage"))
        limit = _number(request, "limit", 100, 1, MOST_PARCELS)
        after = _number(request, "after", 0, 0, _MOST_NUMBER)
        destination = request.parameter("destination")
        found = self._outbox.parcels(stage, destination, most=limit, after=after)
        listed: dict[str, Any] = {"parcels": [_shown_parcel(parcel) for parcel in found]}
        if len(found) == limit:
            listed["next_after"] = found[-1].number
        return listed

    def _retried(self, asked: Mapping[str, Any]) -> int:
        """Raises: BadRequest, NotFound, Conflict."""
        if "destination" in asked:
            if not isinstance(asked["destination"], str):
                raise BadRequest('"destination" has to be the name of a PACS')
            return self._forwarder.retry_dead(asked["destination"])
        numbers = self._known(asked["parcels"], Stage.DEAD, Stage.WAITING)
        return self._forwarder.retry(numbers)

    def _discarded(self, asked: object) -> int:
        """Raises: BadRequest, NotFound, Conflict."""
        return self._outbox.discard(self._known(asked, Stage.DEAD))

    def _known(self, asked: object, *stages: Stage) -> list[int]:
        """All or none: who names a wrong one may have meant others, too."""
        numbers = _numbers(asked)
        found = {parcel.number: parcel for parcel in self._outbox.numbered(numbers)}
        for number in numbers:
            if number not in found:
                raise NotFound(f"there is no parcel {number}")
            stage = found[number].stage
            if stage not in stages:
                allowed = " or ".join(stages)
                raise Conflict(f"parcel {number} is {stage}: it has to be {allowed}")
        return numbers


#: Of the columns of OutboxHandler.rows.
HEADINGS = ("PACS", "Waiting", "Sent, unconfirmed", "Given up", "Oldest", "State", "Last error")


def _row(one: ForwardProgress) -> tuple[str, ...]:
    oldest = _time(one.oldest_entered_at) or ""
    counts = (str(one.waiting), str(one.sent), str(one.dead))
    return (one.destination, *counts, oldest, one.state, one.last_error)


def _only(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise MethodNotAllowed(request.method, methods)


def _asked(request: Request, *keys: str) -> dict[str, Any]:
    """An object with just one of those keys.

    The media type has to be JSON: a form of another web site can't send that.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType("the body has to be application/json")
    try:
        asked: Any = json.loads(request.body)
    except (ValueError, RecursionError) as error:  # also bytes that aren't UTF-8
        raise BadRequest("the body is not JSON") from error
    if not isinstance(asked, dict) or len(asked) != 1 or not set(asked) <= set(keys):
        named = " or ".join(f'"{key}"' for key in keys)
        raise BadRequest(f"the body has to be an object with the one key {named}")
    return asked


def _numbers(asked: object) -> list[int]:
    if not isinstance(asked, list) or not all(type(number) is int for number in asked):
        raise BadRequest('"parcels" has to be a list of numbers')
    if not 1 <= len(asked) <= MOST_PARCELS:
        raise BadRequest(f'"parcels" has {len(asked)} entries: it takes 1 to {MOST_PARCELS}')
    if not all(0 < number <= _MOST_NUMBER for number in asked):
        raise BadRequest('"parcels" has a number that no parcel can have')
    return sorted(set(asked))


def _stage(value: str | None) -> Stage:
    """Raises: InvalidParameter."""
    if value is None:
        return Stage.DEAD
    try:
        return Stage(value)
    except ValueError as error:
        raise InvalidParameter("stage", value, f"must be one of {', '.join(Stage)}") from error


def _number(request: Request, name: str, default: int, least: int, most: int) -> int:
    value = request.parameter(name)
    if value is None:
        return default
    digits = value.isascii() and value.isdigit() and len(value) <= len(str(most))
    if not digits or not least <= int(value) <= most:
        raise InvalidParameter(name, value, f"must be a number from {least} to {most}")
    return int(value)


def _answer(body: Mapping[str, Any]) -> Response:
    return Response(200, _JSON, json.dumps(body).encode("utf-8"))


def _shown_progress(one: ForwardProgress) -> dict[str, Any]:
    return {
        "destination": one.destination,
        "state": one.state,
        "announced": one.announced,
        "waiting": one.waiting,
        "sent": one.sent,
        "dead": one.dead,
        "oldest": _time(one.oldest_entered_at),
        "error": one.last_error,
    }


def _shown_parcel(parcel: Parcel) -> dict[str, Any]:
    ref = parcel.what.ref
    return {
        "number": parcel.number,
        "destination": parcel.what.destination,
        "stage": str(parcel.stage),
        "study": ref.study_instance_uid,
        "series": ref.series_instance_uid,
        "instance": ref.sop_instance_uid,
        "sop_class": parcel.what.sop_class_uid,
        "transfer_syntax": parcel.what.transfer_syntax_uid,
        "attempts": parcel.attempts,
        "error": parcel.error,
        "entered": _time(parcel.entered_at),
        "due": _time(parcel.due_at),
    }


def _time(seconds: float | None) -> str | None:
    """ISO 8601, in UTC; None for at once, or nothing."""
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
