"""A TCP proxy that makes a PACS far away: every byte arrives later, bandwidth stays as it is."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Iterator

_CHUNK = 262_144
_Pieces = queue.SimpleQueue[tuple[float, bytes]]


class DelayingProxy:
    """`one_way_s` each way. turns: how often the client spoke after it had heard the PACS."""

    def __init__(self, target_port: int, one_way_s: float) -> None:
        self._target_port = target_port
        self._one_way_s = one_way_s
        self.turns = 0
        self.connections = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            self.connections += 1
        time.sleep(2 * self._one_way_s)  # the handshake, which this side has had already
        server = socket.create_connection(("127.0.0.1", self._target_port))
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        spoke = ["server"]
        pumps = [
            threading.Thread(target=self._read, args=(*pair, spoke, name), daemon=True)
            for pair, name in (((client, server), "client"), ((server, client), "server"))
        ]
        for pump in pumps:
            pump.start()
        for pump in pumps:
            pump.join()
        for one in (client, server):
            one.close()

    def _read(
        self, source: socket.socket, sink: socket.socket, spoke: list[str], name: str
    ) -> None:
        pieces: _Pieces = queue.SimpleQueue()
        writer = threading.Thread(target=self._write, args=(pieces, sink), daemon=True)
        writer.start()
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                if name == "client" and spoke[0] == "server":
                    with self._lock:
                        self.turns += 1
                spoke[0] = name
                pieces.put((time.monotonic() + self._one_way_s, data))
        pieces.put((time.monotonic() + self._one_way_s, b""))
        writer.join()

    def _write(self, pieces: _Pieces, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, data = pieces.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    break
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def delaying_proxy(target_port: int, one_way_s: float) -> Iterator[DelayingProxy]:
    """Listening, and closed whatever happens."""
    proxy = DelayingProxy(target_port, one_way_s)
    try:
        yield proxy
    finally:
        proxy.close()
