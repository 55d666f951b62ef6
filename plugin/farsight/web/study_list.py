"""A list of studies in the body of a request."""

from __future__ import annotations

import json
from typing import Any

from farsight.errors import BadRequest, UnsupportedMediaType
from farsight.model import checked_uid
from farsight.web.messages import Request

MOST_STUDIES = 1000


def studies_asked(request: Request) -> list[str]:
    """The UIDs in {"studies": [UID, ...]}. Raises: BadRequest, UnsupportedMediaType.

    The media type has to be JSON: a form of another web site can't send that.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType("the body has to be application/json")
    try:
        asked: Any = json.loads(request.body)
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
