"""A TCP proxy before a PACS that fails at a chosen byte: closes, resets or falls silent."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

_CHUNK = 65_536


class CuttingProxy:
    """Forwards to `target_port`; `cut_after` counts bytes from the PACS, over all connections.

    how: "close" (FIN), "reset" (RST) or "silence" (open, but nothing passes either way). Once cut,
    it stays so for every connection until `heal`.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._changed = threading.Condition()
        self._remaining: int | None = None
        self._how = "close"
        self._passed = 0
        self._open = 0
        self._closing = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def passed(self) -> int:
        """Bytes that came from the PACS so far."""
        with self._changed:
            return self._passed

    def cut(self, after: int, how: str) -> None:
        with self._changed:
            self._remaining, self._how = after, how

    def heal(self) -> None:
        with self._changed:
            self._remaining = None
            self._changed.notify_all()

    def wait_for_connections(self, count: int, timeout_s: float = 30) -> bool:
        """Until exactly so many connections of clients are open."""
        with self._changed:
            return self._changed.wait_for(lambda: self._open == count, timeout_s)

    def close(self) -> None:
        self._closing = True
        self._listener.close()
        self.heal()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._changed:
            self._open += 1
        try:
            server = socket.create_connection(("127.0.0.1", self._target_port))
        except OSError:
            client.close()
            self._one_less()
            return
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        up = threading.Thread(target=self._pump, args=(client, server), daemon=True)
        up.start()
        self._pump_counted(server, client, up)
        up.join()
        for one in (client, server):
            one.close()
        self._one_less()

    def _one_less(self) -> None:
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def _pump_counted(
        self, server: socket.socket, client: socket.socket, up: threading.Thread
    ) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(_CHUNK):
                allowed = self._allowed(len(data))
                client.sendall(data[:allowed])
                if allowed < len(data):
                    self._fail(client, up)
                    break
        for one in (client, server):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _allowed(self, count: int) -> int:
        with self._changed:
            allowed = count if self._remaining is None else min(count, self._remaining)
            if self._remaining is not None:
                self._remaining -= allowed
            self._passed += allowed
            return allowed

    def _fail(self, client: socket.socket, up: threading.Thread) -> None:
        if self._how == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        elif self._how == "silence":
            up.join(60)  # until the client has had enough


@contextlib.contextmanager
def cutting_proxy(target_port: int) -> Iterator[CuttingProxy]:
    """Listening, and closed whatever happens."""
    proxy = CuttingProxy(target_port)
    try:
        yield proxy
    finally:
        proxy.close()
