"""Content codings: which a client takes, and answers in one of them (RFC 9110 8.4, 12.5.3)."""

from __future__ import annotations

import gzip

from farsight.web.messages import Request, Response

#: What fits into a packet or two doesn't get there sooner.
_WORTH_ZIPPING_BYTES = 2048


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether a header Accept-Encoding allows gzip (RFC 9110 12.5.3); an absent one does not."""
    weights: dict[str, bool] = {}
    for item in accept_encoding.lower().split(","):
        coding, _, parameters = item.partition(";")
        weight = parameters.replace(" ", "").removeprefix("q=").rstrip("0").rstrip(".")
        weights[coding.strip()] = not parameters or weight not in ("", "0")
    return weights.get("gzip", weights.get("*", False))


def zipped(request: Request, response: Response) -> Response:
    """The answer in gzip, where the client takes that and it is long enough."""
    body = response.body
    if not isinstance(body, bytes) or len(body) < _WORTH_ZIPPING_BYTES:
        return response
    if not accepts_gzip(request.headers.get("accept-encoding", "")):
        return response
    headers = (*response.headers, ("Content-Encoding", "gzip"))
    return Response(response.status, headers, gzip.compress(body, 1))
