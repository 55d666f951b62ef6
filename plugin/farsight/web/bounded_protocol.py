"""uvicorn's HTTP protocol with limits on the head of a request, its size and its time, and a short
way for what can be answered at once."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from farsight.web.quick_answers import QuickAnswer, QuickAnswers
from farsight.web.wire_form import MOST_PIECES, Chunk, behind

MAX_HEAD_BYTES = 64 << 10
HEAD_TIMEOUT_S = 30.0
#: Where a request's scope (ASGI 3) tells its connection, among the extensions.
CONNECTION = "farsight.connection"
_SAID = b'{"status": 431, "error": "the request line and its headers are above 64 KiB"}'
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s"
) % (len(_SAID), _SAID)


@lru_cache(maxsize=2)
def _lines(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """Of headers that every answer has, and the empty line: the same for a second."""
    return b"".join([b"%s: %s\r\n" % pair for pair in headers]) + b"\r\n"


class _HeadTooLarge(Exception):
    """Ends the parsing of a request."""


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose request head is too long or does not end in time."""

    quick: QuickAnswers
    _descriptor = -1
    _client_address = ""
    _quick_at = 0.0  # when it was last used
    _head_bytes = 0  # received
    _field_bytes = 0  # of what is parsed: a head may come in one piece, with what follows it
    _in_head = True
    _in_message = False  # the parser has begun with one, maybe behind another in one piece
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._descriptor = transport.get_extra_info("socket").fileno()
        self._client_address = self.client[0] if self.client else ""

    def data_received(self, data: bytes) -> None:
        if self._waits_for_request():
            answer = self.quick.answer(data, self._client_address)
            if answer is not None:
                self._send_quickly(answer)
                return
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes and not self.transport.is_closing():
            self._await_rest_of_head()

    def _waits_for_request(self) -> bool:
        """Nothing of one has come, and all before is answered and sent."""
        if self._in_message or self._head_bytes or self.flow.write_paused:
            return False
        return not self._is_answering() and not self.transport.is_closing()

    def _send_quickly(self, answer: QuickAnswer) -> None:
        head = answer.head + _lines(tuple(self.server_state.default_headers))
        for chunk in self._not_taken([head, *answer.chunks]):
            self.transport.write(chunk)
        self._quick_at = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._keep_alive(self.timeout_keep_alive)

    def _not_taken(self, chunks: Sequence[Chunk]) -> Sequence[Chunk]:
        """What is left of an answer when the connection takes no more: written apart, each piece
        would be a call, and a packet."""
        if self.transport.get_write_buffer_size():
            return chunks
        with suppress(OSError):  # it is full, or closed: the transport waits, or finds out
            while chunks:
                chunks = behind(chunks, os.writev(self._descriptor, chunks[:MOST_PIECES]))
        return chunks

    def _keep_alive(self, seconds: float) -> None:
        handler = self.timeout_keep_alive_handler
        self.timeout_keep_alive_task = self.loop.call_later(seconds, handler)

    def timeout_keep_alive_handler(self) -> None:
        """Set by the answer before: what was answered since counts as well."""
        left = self._quick_at + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._keep_alive(left)
        else:
            super().timeout_keep_alive_handler()

    def _await_rest_of_head(self) -> None:
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse_head()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)

    def _refuse_head(self) -> None:
        if self._is_answering():
            self.transport.abort()
            return
        self.transport.write(_TOO_LARGE)
        self.transport.close()

    def _is_answering(self) -> bool:
        """Whether an earlier request of this connection is; nothing may be written between."""
        return self.cycle is not None and not self.cycle.response_complete

    def on_message_begin(self) -> None:
        self._in_message = True
        super().on_message_begin()
        # Not kept alive by what it keeps itself.
        self.scope["extensions"] = {CONNECTION: {"protocol": weakref.ref(self)}}

    async def emptied(self) -> None:
        """Until all that was written has left, or the connection is about to be over."""
        while self.transport.get_write_buffer_size() and not self.transport.is_closing():
            await self.flow.drain()
            await asyncio.sleep(0)

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        self._field_bytes += size
        if self._field_bytes > MAX_HEAD_BYTES:
            raise _HeadTooLarge

    def send_400_response(self, msg: str) -> None:
        """Of what the parser gives up on; it has a limit of its own for the request line."""
        if self._in_head and max(self._head_bytes, self._field_bytes) > MAX_HEAD_BYTES:
            self._refuse_head()
        elif self._is_answering():
            self.transport.abort()
        else:
            super().send_400_response(msg)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_message = False
        self._in_head, self._head_bytes, self._field_bytes = True, 0, 0
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if not self._in_head or self.transport.is_closing():
            return
        if self._is_answering():
            self._await_rest_of_head()
        else:
            self.transport.close()


def protocol_class(quick: QuickAnswers) -> Any:
    """For uvicorn.Config(http=...)."""
    return type("FullDoorProtocol", (BoundedProtocol,), {"quick": quick})
