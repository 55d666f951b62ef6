"""A request's body on its way from the event loop to the worker that reads it as it comes.

Laws: no more than `_MOST_BYTES` wait between the two; a body whose client left never ends well.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

from farsight.errors import PayloadTooLarge, RequestTimeout
from farsight.services.presence import ClientGone
from farsight.web.pace import Pace

_MOST_BYTES = 4 << 20
#: A worker that waits is woken for this much at once: each turn to it is a wait for the lock.
_BATCH_BYTES = 256 << 10


class BodyChannel:
    """One body: `pump` runs on the event loop, `chunks` on a worker."""

    def __init__(self, loop: asyncio.AbstractEventLoop, max_bytes: int) -> None:
        """max_bytes: of the whole body."""
        self._loop = loop
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._over = False
        self._error: Exception | None = None
        self._closed = False
        self._room = asyncio.Event()

    async def pump(self, receive: Any) -> None:
        """Takes the body from the server until it ends, or nobody wants it any more."""
        received, batch, batch_bytes = 0, list[bytes](), 0
        more, pace = True, Pace()
        while more and not self._closed:
            try:
                message = await pace.next(receive)
            except RequestTimeout as error:
                self._end(error)
                return
            if message["type"] == "http.disconnect":
                self._end(ClientGone("the client left while it sent"))
                return
            body = message.get("body", b"")
            more = bool(message.get("more_body"))
            received += len(body)
            if received > self._max_bytes:
                limit = f"the body is above {self._max_bytes >> 20} MB (Farsight.Stow.MaxMegabytes)"
                self._end(PayloadTooLarge(limit))
                return
            if body:
                batch.append(body)
                batch_bytes += len(body)
            if batch_bytes >= _BATCH_BYTES or not more:
                await self._put(batch, batch_bytes)
                batch, batch_bytes = [], 0
        self._end(None)

    async def _put(self, batch: list[bytes], size: int) -> None:
        while True:
            with self._changed:
                if self._closed or self._waiting_bytes < _MOST_BYTES:
                    self._waiting += batch
                    self._waiting_bytes += size
                    self._changed.notify()
                    return
                self._room.clear()
            await self._room.wait()

    def _end(self, error: Exception | None) -> None:
        with self._changed:
            self._over, self._error = True, error
            self._changed.notify()

    def chunks(self) -> Iterator[bytes]:
        """The body as it comes. Raises: ClientGone, PayloadTooLarge, RequestTimeout."""
        while True:
            with self._changed:
                while not self._waiting and not self._over:
                    self._changed.wait()
                batch, self._waiting = self._waiting, []
                self._waiting_bytes = 0
                over, error = self._over, self._error
            self._wake_pump()
            if error is not None:
                raise error
            yield from batch
            if over:
                return

    def close(self) -> None:
        """Nobody reads on: what still comes isn't kept."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
        self._wake_pump()

    def _wake_pump(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._room.set)
