"""Answers that begin before all of their request has come: the connection ends with them.

Law: whatever the client goes on sending, it is never taken for the next request, and holds nothing
for longer than `LINGER_S`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from farsight.web.incoming import Incoming

LINGER_S = 5.0
_MOST_BYTES = 32 << 20


def lingering(incoming: Incoming, send: Any) -> Any:
    """A `send` (ASGI 3) for such an answer.

    Between the answer and the end what still comes is read for a while, and forgotten: closing at
    once would reset the connection, and take the answer from a client that sends everything before
    it reads (RFC 9112 9.6).
    """

    async def send_last(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        elif not message.get("more_body"):
            await send({**message, "more_body": True})
            await _swallow(incoming)
            message = {**message, "body": b""}
        await send(message)

    return send_last


async def _swallow(incoming: Incoming) -> None:
    left = _MOST_BYTES
    # Cancelled when the server stops: then the connection ends now.
    with contextlib.suppress(TimeoutError, asyncio.CancelledError):
        async with asyncio.timeout(LINGER_S):
            while incoming.is_owed and left > 0:
                left -= len((await incoming.receive()).get("body", b""))
