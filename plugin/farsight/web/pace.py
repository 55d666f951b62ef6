"""How slowly a client may send the body of a request before it is given up."""

from __future__ import annotations

import asyncio
from typing import Any

from farsight.errors import RequestTimeout

SILENCE_S = 60.0
#: Looked at whenever a client was waited for so long: else a few that trickle keep all others out.
WINDOW_S = 60.0
LEAST_BYTES_PER_S = 1000


class Pace:
    """Of one client. Only the time that it is waited for counts, not what its readers take."""

    def __init__(self) -> None:
        self._waited_s = 0.0
        self._bytes = 0

    async def next(self, receive: Any) -> dict[str, Any]:
        """The next message of a server (ASGI 3). Raises: RequestTimeout."""
        now = asyncio.get_running_loop().time
        begun = now()
        try:
            async with asyncio.timeout(SILENCE_S):
                message: dict[str, Any] = await receive()
        except TimeoutError as error:
            raise RequestTimeout(f"nothing came for {SILENCE_S:g} s") from error
        self._waited_s += now() - begun
        self._bytes += len(message.get("body", b""))
        if message.get("more_body") and self._waited_s >= WINDOW_S:
            self._judge()
        return message

    def _judge(self) -> None:
        if self._bytes < self._waited_s * LEAST_BYTES_PER_S:
            raise RequestTimeout(
                f"{self._bytes} bytes came in {self._waited_s:.0f} s:"
                f" below {LEAST_BYTES_PER_S} bytes/s"
            )
        self._waited_s, self._bytes = 0.0, 0
