"""The Orthanc door: REST callbacks on Orthanc's own port.

Obeys what the SDK can't do: callbacks are module-level functions (a bound method crashes
Orthanc at shutdown), all but the quickest answers are made on our own threads (Orthanc's have
100 kB of stack), errors
are plain text (the SDK sets the type), 206 becomes 200, HEAD and OPTIONS never get here.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

import orthanc

from farsight.errors import ArchiveError, FarsightError
from farsight.ps318.multipart_related import RelatedBody
from farsight.services.presence import Presence
from farsight.web.base_url import BaseUrl
from farsight.web.batches import in_batches
from farsight.web.messages import Request, Response
from farsight.web.routes import Router, error_response
from farsight.web.worker_pool import WorkerPool

LOG = logging.getLogger("farsight.web")
PROBE = "/farsight/probe"
#: Headers that Orthanc sets by itself, or that an answer of the SDK can't carry.
_NOT_OURS = frozenset(
    {"accept-ranges", "connection", "content-length", "content-type", "transfer-encoding"}
)
#: Compression on this port is Orthanc's, and the SDK has no 206.
_ORTHANCS_AFFAIR = ("accept-encoding", "range")
#: An answer up to this size is made once; a larger one twice, to know its length beforehand.
#: Orthanc copies what it gets in one buffer, but keeps the connection.
_ONE_BUFFER_BYTES = 8 << 20
#: The same where there are no streams, and long answers lack the headers of their parts.
_LONGEST_BUFFER_BYTES = 64 << 20
_ENDS_EARLY = b"This is no DICOM object: the answer ends before all objects are sent."

Chunk = bytes | memoryview


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


def version() -> tuple[int, ...]:
    """Of Orthanc; the newest there may be where it is built from no release, the oldest where
    the SDK doesn't tell."""
    if not hasattr(orthanc, "GetOrthancVersion"):
        return (0,)
    numbers = re.match(r"\d+(\.\d+)*", str(orthanc.GetOrthancVersion()))
    return tuple(map(int, numbers[0].split("."))) if numbers else (sys.maxsize,)


def configuration_path() -> str:
    """The file or directory that Orthanc was started with."""
    return str(orthanc.GetConfigurationPath())


def probe_query_decoding() -> None:
    """Finds out whether this SDK percent-decodes query values; to be called once started."""
    seen = orthanc.RestApiGetAfterPlugins(f"{PROBE}?value=%2541")
    _Door.decodes_query = bytes(seen) == b"%41"


def answer_probe(output: Any, uri: str, **request: Any) -> None:  # noqa: ARG001
    """Tells the probe how the SDK hands query values over."""
    output.AnswerBuffer(str(request.get("get", {}).get("value", "")), "text/plain")


def answer_request(output: Any, uri: str, **request: Any) -> None:
    """The callback of every root. Runs on a thread of Orthanc's; nothing deep happens here.

    Nothing but AnswerBrokenOff leaves it: the plugin never lets go of the traceback of what does,
    nor of anything that the frames on the way held. Before an answer has begun Orthanc makes a
    500 of it; afterwards it ends the connection without an end of the answer.
    """
    whole = _answer(output, uri, request)
    request.clear()
    if not whole:
        raise AnswerBrokenOff


class AnswerBrokenOff(Exception):
    """The answer can't be finished; why is in the log."""


def _answer(output: Any, uri: str, request: Mapping[str, Any]) -> bool:
    """False where the answer could not be finished."""
    presence = Presence()
    try:
        try:
            asked = _read(uri, request, presence)
            # Two turns to another thread are saved, each a wait for the interpreter. What is
            # answered so is little: a test does it on half the stack that these threads have.
            response = _Door.router.at_once(asked)
            if response is None:
                response = _Door.pool.run(lambda: _Door.router.handle(asked))
        except FarsightError as error:
            response = error_response(error)
        _send(output, response)
    except orthanc.OrthancException as error:
        LOG.info("the client has left: %s", error)
    except FarsightError as error:
        LOG.warning("an answer ended early: %s", error)
        return False
    except Exception:  # the edge: see answer_request
        LOG.exception("internal error")
        return False
    finally:
        presence.over()
    return True


def _decoded(text: str) -> str:
    """What isn't UTF-8 is refused where it is read, by the parameter's name."""
    return unquote_plus(text, errors="surrogateescape")


def _read(uri: str, request: Mapping[str, Any], presence: Presence) -> Request:
    given = request.get("get", {})
    decode = (lambda text: text) if _Door.decodes_query else _decoded
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
        presence=presence,
    )


def _send(output: Any, response: Response) -> None:
    if response.status == 405:
        output.SendMethodNotAllowed(response.header("Allow") or "GET")
        return
    if response.status in (204, 304):
        _send_headers(output, response)
        output.SendHttpStatusCode(response.status)
    elif response.status >= 300 or response.status == 202:
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
    """What is no plain success. Plugin 4.0 wants text and its length, later ones bytes."""
    body = response.body if isinstance(response.body, bytes) else b""
    try:
        output.SendHttpStatus(response.status, body)
    except TypeError:
        output.SetHttpHeader("Content-Type", response.header("Content-Type") or "text/plain")
        output.SendHttpStatus(response.status, body.decode("utf-8", "replace"), len(body))


def _send_body(output: Any, response: Response) -> None:
    if isinstance(response.body, RelatedBody):
        _send_related(output, response, response.body)
        return
    _send_headers(output, response)
    content_type = response.header("Content-Type") or "application/octet-stream"
    output.AnswerBuffer(response.body, content_type)


def _send_related(output: Any, response: Response, body: RelatedBody) -> None:
    """In one buffer where it is short, else as a stream where the SDK has it, else by part.

    A stream closes the connection, and so does more than one part.
    """
    streams = hasattr(output, "StartStreamAnswer")
    most_bytes = _ONE_BUFFER_BYTES if streams else _LONGEST_BUFFER_BYTES
    if not streams and response.header("Warning") is not None:
        most_bytes = sys.maxsize  # with parts there can be no header
    try:
        if isinstance(body.parts, tuple | list):  # at hand already: nothing is read or parsed
            length, whole = _measured(body, most_bytes)
        else:
            length, whole = _Door.pool.run(lambda: _measured(body, most_bytes))
    except FarsightError as error:
        _send(output, error_response(error))
        return
    if whole is not None:
        _send_headers(output, response)
        output.AnswerBuffer(whole, body.content_type)
    elif streams:
        _send_headers(output, response)
        output.SetHttpHeader("Content-Length", str(length))
        output.StartStreamAnswer(body.content_type)
        _send_chunks(output, length, body.chunks())
    else:
        _send_items(output, body)


def _send_chunks(output: Any, length: int, chunks: Iterator[Chunk]) -> None:
    """Where fewer bytes come than were announced, the client sees it."""
    for batch in _on_workers(in_batches(chunks)):
        whole = bytes(batch[0]) if len(batch) == 1 else b"".join(batch)
        length -= len(whole)
        if length < 0:
            raise ArchiveError("an instance has changed while it was sent")
        output.SendStreamChunk(whole)


def _measured(body: RelatedBody, most_bytes: int) -> tuple[int, bytes | None]:
    """The length in bytes, and the whole where it has at most so many."""
    known = body.length()
    if known is not None and known > most_bytes:
        return known, None
    kept: list[Chunk] = []
    length = 0
    for chunk in body.chunks():
        length += len(chunk)
        if length <= most_bytes:
            kept.append(chunk)
        else:
            kept.clear()
    return length, b"".join(kept) if length <= most_bytes else None


def _send_items(output: Any, body: RelatedBody) -> None:
    """Part by part; the SDK writes the delimiters, and one type for all parts.

    No length can be announced. An answer that fails ends in a part that is no object, and without
    the last delimiter, so that nobody takes it for a whole one. Orthanc keeps the first part back
    until the second comes: before that it can still say that it failed.
    """
    output.StartMultipartAnswer("related", body.root_type)
    sent, whole = 0, False
    try:
        for part in _on_workers(iter(body.parts)):
            output.SendMultipartItem(bytes(part.body))
            sent += 1
        whole = True
    finally:
        if not whole and sent > 1:
            output.SendMultipartItem(_ENDS_EARLY)


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
