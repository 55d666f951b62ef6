"""How an answer leaves through the SDK's output, which is an object of the Python plugin's.

Errors are plain text there (the SDK sets the type), and 206 becomes 200.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from farsight.errors import ArchiveError, FarsightError, NotFound
from farsight.ps318.multipart_related import RelatedBody
from farsight.web.batches import in_batches
from farsight.web.messages import Response
from farsight.web.routes import error_response
from farsight.web.worker_pool import WorkerPool

#: Headers that Orthanc sets by itself, or that an answer of the SDK can't carry.
_NOT_OURS = frozenset(
    {"accept-ranges", "connection", "content-length", "content-type", "transfer-encoding"}
)
#: An answer up to this size is made once; a larger one twice, to know its length beforehand.
#: Orthanc copies what it gets in one buffer, but keeps the connection.
_ONE_BUFFER_BYTES = 8 << 20
#: The same where there are no streams, and long answers lack the headers of their parts.
_LONGEST_BUFFER_BYTES = 64 << 20
_ENDS_EARLY = b"This is no DICOM object: the answer ends before all objects are sent."

Chunk = bytes | memoryview


class OrthancAnswers:
    """What has to be read or made is read on our own threads."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool

    def send(self, output: Any, response: Response) -> None:
        """Raises: FarsightError where it can't be finished, and what the SDK raises."""
        if response.status == 405:
            output.SendMethodNotAllowed(response.header("Allow") or "GET")
        elif response.status in (204, 304):
            _send_headers(output, response)
            output.SendHttpStatusCode(response.status)
        elif response.status >= 300 or response.status == 202:
            _send_headers(output, response)
            _send_status(output, response)
        elif isinstance(response.body, RelatedBody):
            self._send_related(output, response, response.body)
        else:
            _send_headers(output, response)
            content_type = response.header("Content-Type") or "application/octet-stream"
            output.AnswerBuffer(response.body, content_type)

    def _send_related(self, output: Any, response: Response, body: RelatedBody) -> None:
        """In one buffer where it is short, else as a stream where the SDK has it, else by part.

        A stream closes the connection, and so does more than one part.
        """
        streams = hasattr(output, "StartStreamAnswer")
        most_bytes = _ONE_BUFFER_BYTES if streams else _LONGEST_BUFFER_BYTES
        if not streams and response.header("Warning") is not None:
            most_bytes = sys.maxsize  # with parts there can be no header
        try:
            if isinstance(body.parts, tuple | list):  # at hand: nothing is read or parsed
                length, whole = _joined(list(body.chunks()), most_bytes)
            else:
                length, whole = self._pool.run(lambda: _measured(body, most_bytes))
        except NotFound as error:  # of what was listed a moment ago: the rest isn't gone for that
            lost = ArchiveError(f"something was deleted meanwhile, ask again: {error}")
            self.send(output, error_response(lost))
            return
        except FarsightError as error:
            self.send(output, error_response(error))
            return
        if whole is not None:
            _send_headers(output, response)
            output.AnswerBuffer(whole, body.content_type)
        elif streams:
            _send_headers(output, response)
            output.SetHttpHeader("Content-Length", str(length))
            output.StartStreamAnswer(body.content_type)
            self._send_chunks(output, length, body.chunks())
        else:
            self._send_items(output, body)

    def _send_chunks(self, output: Any, length: int, chunks: Iterator[Chunk]) -> None:
        """Where fewer bytes come than were announced, the client sees it."""
        for batch in self._on_workers(in_batches(chunks)):
            whole = bytes(batch[0]) if len(batch) == 1 else b"".join(batch)
            length -= len(whole)
            if length < 0:
                raise ArchiveError("an instance has changed while it was sent")
            output.SendStreamChunk(whole)

    def _send_items(self, output: Any, body: RelatedBody) -> None:
        """Part by part; the SDK writes the delimiters, and one type for all parts.

        No length can be announced. An answer that fails ends in a part that is no object, and
        without the last delimiter, so that nobody takes it for a whole one. Orthanc keeps the
        first part back until the second comes: before that it can still say that it failed.
        """
        output.StartMultipartAnswer("related", body.root_type)
        sent, whole = 0, False
        try:
            for part in self._on_workers(iter(body.parts)):
                output.SendMultipartItem(bytes(part.body))
                sent += 1
            whole = True
        finally:
            if not whole and sent > 1:
                output.SendMultipartItem(_ENDS_EARLY)

    def _on_workers(self, items: Iterator[Any]) -> Iterator[Any]:
        """The items, each produced on a worker thread; the source is closed whatever happens."""
        end = object()
        try:
            while (item := self._pool.run(lambda: next(items, end))) is not end:
                yield item
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()


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


def _joined(chunks: list[Chunk], most_bytes: int) -> tuple[int, bytes | None]:
    """The same of what is at hand."""
    length = sum(map(len, chunks))
    return length, b"".join(chunks) if length <= most_bytes else None
