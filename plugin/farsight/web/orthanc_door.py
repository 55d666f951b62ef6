"""The Orthanc door: REST callbacks on Orthanc's own port.

Obeys what the SDK can't do: callbacks are module-level functions (a bound method crashes
Orthanc at shutdown), handlers run on our own threads (Orthanc's have 100 kB of stack), errors
are plain text (the SDK sets the type), 206 becomes 200, HEAD and OPTIONS never get here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

import orthanc

from farsight.errors import FarsightError
from farsight.ps318.multipart_related import RelatedBody
from farsight.web.base_url import BaseUrl
from farsight.web.messages import Request, Response, StreamedBody
from farsight.web.routes import Router, error_response
from farsight.web.worker_pool import WorkerPool

LOG = logging.getLogger("farsight.web")
PROBE = "/farsight/probe"
#: Headers that Orthanc sets by itself, or that an answer of the SDK can't carry.
_NOT_OURS = frozenset({"content-type", "content-length", "connection", "transfer-encoding"})
#: Compression on this port is Orthanc's, and the SDK has no 206.
_ORTHANCS_AFFAIR = ("accept-encoding", "range")


class _Door:
    """What the callbacks need; they are functions, so it is kept in this module."""

    router: Router
    pool: WorkerPool
    base_url: BaseUrl
    decodes_query = False


def mount(router: Router, pool: WorkerPool, base_url: BaseUrl) -> None:
    """Registers one callback per root. To be called once, while the script loads."""
    _Door.router, _Door.pool, _Door.base_url = router, pool, base_url
    orthanc.RegisterRestCallback(PROBE, answer_probe)
    for root in router.roots:
        orthanc.RegisterRestCallback(f"{root}(.*)", answer_request)
        orthanc.RegisterRestCallback(root[:-1], answer_request)


def can_stream() -> bool:
    """Whether this SDK can send an answer chunk by chunk (python plugin 5.0 and later)."""
    return hasattr(orthanc.RestOutput, "StartStreamAnswer")


def probe_query_decoding() -> None:
    """Finds out whether this SDK percent-decodes query values; to be called once started."""
    seen = orthanc.RestApiGetAfterPlugins(f"{PROBE}?value=%2541")
    _Door.decodes_query = bytes(seen) == b"%41"


def answer_probe(output: Any, uri: str, **request: Any) -> None:  # noqa: ARG001
    """Tells the probe how the SDK hands query values over."""
    output.AnswerBuffer(str(request.get("get", {}).get("value", "")), "text/plain")


def answer_request(output: Any, uri: str, **request: Any) -> None:
    """The callback of every root. Runs on a thread of Orthanc's; nothing deep happens here."""
    try:
        response = _Door.pool.run(lambda: _Door.router.handle(_read(uri, request)))
    except FarsightError as error:
        response = error_response(error)
    _send(output, response)


def _read(uri: str, request: Mapping[str, Any]) -> Request:
    given = request.get("get", {})
    decode = (lambda text: text) if _Door.decodes_query else unquote_plus
    query = tuple((decode(name), decode(value)) for name, value in given.items())
    headers = {name.lower(): value for name, value in request.get("headers", {}).items()}
    for name in _ORTHANCS_AFFAIR:
        headers.pop(name, None)
    return Request(
        method=str(request.get("method", "GET")),
        path=uri,
        query=query,
        headers=headers,
        body=request.get("body") or b"",
        base_url=_Door.base_url.of(headers, ""),
    )


def _send(output: Any, response: Response) -> None:
    if response.status == 405:
        output.SendMethodNotAllowed(response.header("Allow") or "GET")
        return
    if response.status in (204, 304):
        _send_headers(output, response)
        output.SendHttpStatusCode(response.status)
    elif response.status >= 300:
        _send_headers(output, response)
        _send_status(output, response)
    else:
        _send_body(output, response)


def _send_headers(output: Any, response: Response) -> None:
    """Repeated headers are joined: the SDK keeps one value per name."""
    joined: dict[str, str] = {}
    for name, value in response.headers:
        if name.lower() not in _NOT_OURS and name != "WWW-Authenticate":
            joined[name] = f"{joined[name]}, {value}" if name in joined else value
    for name, value in joined.items():
        output.SetHttpHeader(name, value)


def _send_status(output: Any, response: Response) -> None:
    """An error. Plugin 4.0 wants text and its length, later ones bytes."""
    body = response.body if isinstance(response.body, bytes) else b""
    try:
        output.SendHttpStatus(response.status, body)
    except TypeError:
        output.SetHttpHeader("Content-Type", response.header("Content-Type") or "text/plain")
        output.SendHttpStatus(response.status, body.decode("utf-8", "replace"), len(body))


def _send_body(output: Any, response: Response) -> None:
    """A stream where the SDK has it; else part by part, unless a warning has to go along."""
    body = response.body
    content_type = response.header("Content-Type") or "application/octet-stream"
    if isinstance(body, bytes):
        _send_headers(output, response)
        output.AnswerBuffer(body, content_type)
    elif isinstance(body, RelatedBody) and isinstance(body.parts, tuple | list):
        _send_headers(output, response)
        output.AnswerBuffer(b"".join(body.chunks()), body.content_type)
    elif hasattr(output, "StartStreamAnswer"):
        _send_headers(output, response)
        _stream(output, body)
    elif isinstance(body, RelatedBody) and response.header("Warning") is None:
        _send_items(output, body)
    else:
        _send_headers(output, response)
        chunks = body.chunks() if isinstance(body, RelatedBody) else body.chunks
        output.AnswerBuffer(b"".join(_on_workers(chunks)), content_type)


def _stream(output: Any, body: RelatedBody | StreamedBody) -> None:
    """Chunk by chunk (python plugin 5.0 and later); the connection closes afterwards."""
    if isinstance(body, RelatedBody):
        chunks, content_type = body.chunks(), body.content_type
    else:
        chunks, content_type = body.chunks, "application/octet-stream"
        if body.content_length is not None:
            output.SetHttpHeader("Content-Length", str(body.content_length))
    output.StartStreamAnswer(content_type)
    for chunk in _on_workers(chunks):
        output.SendStreamChunk(bytes(chunk))


def _send_items(output: Any, body: RelatedBody) -> None:
    """Part by part; the SDK writes the delimiters, and one type for all parts."""
    subtype = body.content_type.split(";")[0].partition("/")[2]
    output.StartMultipartAnswer(subtype, body.root_type)
    for part in _on_workers(iter(body.parts)):
        output.SendMultipartItem(bytes(part.body))


def _on_workers(items: Iterator[Any]) -> Iterator[Any]:
    """The items, each produced on a worker thread; the source is closed whatever happens."""
    end = object()
    try:
        while (item := _Door.pool.run(lambda: next(items, end))) is not end:
            yield item
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()
