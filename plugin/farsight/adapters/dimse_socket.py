"""The socket under an association: how it is opened, secured, and written to."""

from __future__ import annotations

import fcntl
import select
import socket
import ssl
import struct
import termios
from collections.abc import Iterator

from farsight.errors import PacsTimeout, PacsUnavailable

#: In one system call: how many pieces (Linux takes 1024), and from how many bytes on no more.
_MOST_PIECES, _MUCH_BYTES = 512, 1 << 20


def connected(
    name: str, address: tuple[str, int], connect_s: float, tls_s: float, tls: ssl.SSLContext | None
) -> socket.socket:
    """`name`: of the PACS, for errors. Raises: PacsUnavailable, PacsTimeout."""
    where = f"no connection to {address[0]}:{address[1]}"
    try:
        plain = socket.create_connection(address, timeout=connect_s)
    except TimeoutError as error:
        raise PacsTimeout(name, f"{where} in time") from error
    except OSError as error:
        raise PacsUnavailable(name, f"{where} ({error.strerror})") from error
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return plain if tls is None else _secured(name, plain, tls_s, tls)


def _secured(name: str, plain: socket.socket, tls_s: float, tls: ssl.SSLContext) -> socket.socket:
    try:
        plain.settimeout(tls_s)
        return tls.wrap_socket(plain)
    except TimeoutError as error:
        plain.close()
        raise PacsTimeout(name, "the TLS handshake was not over in time") from error
    except OSError as error:
        plain.close()
        why = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise PacsUnavailable(name, f"the TLS handshake failed ({why})") from error


def receive_into(connection: socket.socket, spaces: list[memoryview]) -> int:
    """How many bytes came. Raises: TimeoutError, OSError."""
    if len(spaces) == 1 or isinstance(connection, ssl.SSLSocket):  # which knows no scattering
        return connection.recv_into(spaces[0])
    return connection.recvmsg_into(spaces)[0]


def is_readable(connection: socket.socket) -> bool:
    """Whether anything has come, an end included."""
    readable = select.poll()  # select() can't take descriptors above 1023
    readable.register(connection, select.POLLIN)
    return bool(readable.poll(0))


def send_pieces(connection: socket.socket, pieces: Iterator[bytes | memoryview]) -> None:
    """All of them, in order, gathered where TLS doesn't need them in one piece.

    The socket's time-out counts from one progress to the next. Raises: TimeoutError, OSError.
    """
    batch: list[bytes | memoryview] = []
    size = 0
    for piece in pieces:
        batch.append(piece)
        size += len(piece)
        if len(batch) >= _MOST_PIECES or size >= _MUCH_BYTES:
            _send_batch(connection, batch)
            batch, size = [], 0
    _send_batch(connection, batch)


def _send_batch(connection: socket.socket, batch: list[bytes | memoryview]) -> None:
    if isinstance(connection, ssl.SSLSocket):
        batch = [memoryview(b"".join(batch))]
    while batch:
        if isinstance(connection, ssl.SSLSocket):
            sent = connection.send(batch[0])
        else:
            sent = connection.sendmsg(batch)
        gone = 0
        while gone < len(batch) and sent >= len(batch[gone]):
            sent -= len(batch[gone])
            gone += 1
        del batch[:gone]
        if sent:
            batch[0] = memoryview(batch[0])[sent:]


def unsent_bytes(connection: socket.socket) -> int:
    """What the other side hasn't acknowledged yet (SIOCOUTQ of Linux). Raises: OSError."""
    (waiting,) = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))
    return int(waiting)
