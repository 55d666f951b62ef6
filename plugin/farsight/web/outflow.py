"""A long answer, written into its connection by the thread that makes it.

Where one thread reads and another sends, each byte is fetched into a second processor's cache, and
uvicorn copies it once more for the framing.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from farsight.services.presence import ClientGone
from farsight.web.wire_form import MOST_PIECES, Chunk, behind

#: Fewer bytes are gathered before they are sent, while their source is quick.
BATCH_BYTES = 256 << 10
#: Then others who wait for a worker have their turn.
_TURN_S = 0.05


@dataclass(frozen=True, slots=True)
class Turn:
    """left: framed, and not taken by the connection yet. is_last: nothing more is to be made."""

    left: Sequence[Chunk]
    is_last: bool


class Outflow:
    """Of one answer in chunks (RFC 9112 7.1), from the first chunk to the last but the empty one.

    Laws: a worker never waits for a client; a turn begins when all that was written before has
    left, and nobody else writes until it is over; what could not be sent has no end behind it.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        """Raises: ClientGone."""
        self._transport = transport
        self.check()
        connection = transport.get_extra_info("socket")
        # Another descriptor: the transport may close its own while a worker uses this.
        self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        transport.set_write_buffer_limits(0)  # so that who waits for it to drain waits for all

    def turn(self, batches: Iterator[Sequence[Chunk]]) -> Turn:
        """Makes and sends for a while. On a worker.

        Raises: what making raises; ClientGone.
        """
        until = time.monotonic() + _TURN_S
        for batch in batches:
            left = self._taken_from(_framed(batch))
            if left or time.monotonic() > until:
                return Turn(left, is_last=False)
        return Turn((), is_last=True)

    def hand_over(self, turn: Turn) -> None:
        """What was not taken goes as it can. On the event loop. Raises: ClientGone."""
        self.check()
        if turn.left:
            # In one piece: `writelines` of some Pythons (3.12.0 to 3.13.1) doesn't tell when it
            # has to wait.
            self._transport.write(b"".join(turn.left))

    def check(self) -> None:
        """Raises: ClientGone where the connection is over, or about to be."""
        if self._transport.is_closing():
            raise ClientGone("the client has left")

    def close(self) -> None:
        """After the last turn, unless the server stops in the middle of one."""
        self._socket.close()
        self._transport.set_write_buffer_limits()

    def _taken_from(self, pieces: Sequence[Chunk]) -> Sequence[Chunk]:
        """What is left when the connection takes no more."""
        flags = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
        while pieces:
            try:
                sent = self._socket.sendmsg(pieces, (), flags)
            except BlockingIOError:
                break
            except OSError as error:
                raise ClientGone(f"the client has left ({error.strerror})") from error
            pieces = behind(pieces, sent)
        return pieces


def _framed(batch: Sequence[Chunk]) -> Sequence[Chunk]:
    """One chunk of the chunked coding; an empty one would be the end."""
    size = sum(map(len, batch))
    if not size:
        return ()
    body = (b"".join(batch),) if len(batch) > MOST_PIECES else batch
    return (b"%x\r\n" % size, *body, b"\r\n")
