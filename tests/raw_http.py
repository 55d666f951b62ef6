"""HTTP/1 by hand on a socket, for what no well-behaved client sends."""

from __future__ import annotations

import select
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

TIMEOUT_S = 60


@dataclass(frozen=True)
class RawAnswer:
    """One answer; names of headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class RawConnection:
    """One connection. `door`: "http://host:port"."""

    def __init__(self, door: str) -> None:
        url = urlsplit(door)
        self._host = url.netloc
        self.socket = socket.create_connection((url.hostname, url.port), TIMEOUT_S)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> RawConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def post(self, path: str, *headers: str, version: str = "1.1") -> None:
        """The head of a request."""
        lines = [f"POST {path} HTTP/{version}", f"Host: {self._host}", *headers, "", ""]
        self.send("\r\n".join(lines).encode())

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_chunk(self, data: bytes) -> None:
        """RFC 9112 7.1; an empty one is the last."""
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def is_answered(self) -> bool:
        """Whether something can be read now."""
        return self.is_answered_within(0)

    def is_answered_within(self, timeout_s: float) -> bool:
        """Whether something can be read by then."""
        return bool(select.select([self.socket], [], [], timeout_s)[0])

    def answer(self) -> RawAnswer:
        """The next one. Raises: ConnectionError where there is none any more."""
        line = self._file.readline()
        if not line:
            raise ConnectionResetError("closed without an answer")
        status = int(line.split()[1])
        headers = {}
        while (line := self._file.readline().rstrip(b"\r\n")) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        if status == 100:
            return RawAnswer(status, headers, b"")
        return RawAnswer(status, headers, self._body(headers))

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            pieces = []
            while (size := int(self._file.readline(), 16)) > 0:
                pieces.append(self._file.read(size))
                self._file.readline()
            self._file.readline()
            return b"".join(pieces)
        if "content-length" in headers:
            return self._file.read(int(headers["content-length"]))
        return self._file.read()

    def is_closed(self) -> bool:
        """Waits until the other end closes (True) or sends something (False)."""
        try:
            return self._file.peek(1) == b""
        except ConnectionError:
            return True
