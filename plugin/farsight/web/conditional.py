"""ETag and If-None-Match (RFC 9110 8.8.3, 13.1.2), Cache-Control (RFC 9111 5.2.2)."""

from __future__ import annotations

import itertools
import re
import secrets

from farsight.dicom.elements import Instance
from farsight.web.messages import Request, Response

#: Objects under one UID don't change, by the law of DICOM; whoever replaces one all the same is
#: noticed within this time, or at once by asking with no-cache.
UNCHANGING = "private, max-age=3600"
#: May grow or be replaced: to be asked for again, which costs no more than a 304.
CHANGING = "private, no-cache"

#: What an answer of 200 would say beside its tag (RFC 9110 15.4.5).
_OF_A_304 = ("Content-Location", "Vary")
_TAGS = re.compile(r'"[^"]*"')
_BOOT = secrets.token_hex(6)
_NUMBERS = itertools.count(1)


def instance_tag(instance: Instance, representation: str = "", *, parts: bool = False) -> str:
    """An entity tag of what is made of one instance as it is in memory now; weak where it comes in
    parts, whose boundary is another each time.

    An instance that is replaced is another object, with another tag; so is one that was dropped
    from memory and read again, which costs a client no more than asking again.
    """
    number = instance.recall(_number)
    if number is None:
        number = _number(instance)
        instance.keep(_number, number)
    return f'{"W/" if parts else ""}"{_BOOT}-{number}{representation}{"m" if parts else ""}"'


def _number(instance: Instance) -> int:  # noqa: ARG001 - known by what it is kept under
    return next(_NUMBERS)


def conditional(request: Request, response: Response, tag: str, cache_control: str) -> Response:
    """The answer with its tag, or 304 where the client has it already.

    An answer with a warning is sent whatever a client has: that may have come without.
    """
    headers = (("ETag", tag), ("Cache-Control", cache_control))
    may_be_known = response.status in (200, 206) and matches(
        request.headers.get("if-none-match"), tag
    )
    if may_be_known and response.header("Warning") is None:
        kept = [pair for pair in response.headers if pair[0] in _OF_A_304]
        return Response(304, (*headers, *kept))
    return response.with_headers(*headers)


def matches(header: str | None, tag: str) -> bool:
    """Whether a list of entity tags has this one, compared weakly (RFC 9110 8.8.3.2)."""
    if header is None:
        return False
    tags = _TAGS.findall(header)
    return tag.removeprefix("W/") in tags or header.strip() == "*"
