"""HTTP load in a process of its own: so many requests over kept connections, one after the other
on each, every answer read to its end and its status and length noted.

A client in Python, because it may take a megabyte at a time: of answers of half a megabyte it
costs less than one that reads 8 kB at a time. What it costs, it costs every server alike.
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_AT_ONCE_BYTES = 1 << 20
_PATIENCE_S = 300.0


@dataclass(frozen=True, slots=True)
class Load:
    """What to ask for: `requests` times, path by path beginning with number `first`."""

    port: int
    paths: Sequence[str]
    headers: dict[str, str]
    connections: int
    requests: int
    first: int = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """How long all took and each, and what was answered: pairs of status and length of body.

    latencies_ms: of every request, or evenly spread percentiles of them. broken: answers that ended
    early, which are not among the others.
    """

    elapsed_s: float
    requests: int
    latencies_ms: list[float]
    answers: list[tuple[int, int]]
    broken: int

    @property
    def per_second(self) -> float:
        return self.requests / self.elapsed_s


def measure(load: Load) -> Measured:
    """Raises: RuntimeError where the server falls silent, or answers more than it announced."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.http_load"],
        input=json.dumps(asdict(load)), capture_output=True, text=True, check=False,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)
    found = json.loads(done.stdout)
    return Measured(**{**found, "answers": [(status, size) for status, size in found["answers"]]})


class _Answer:
    """One answer as it comes in: nothing of its body is kept but the length."""

    def __init__(self) -> None:
        self.status = 0
        self.length = 0
        self.over = False
        self.broken = False
        self.closes = False
        self._head = b""
        self._announced: int | None = None
        self._chunked = False
        self._left = 0  # of the chunk and the end of line behind it
        self._last_chunk = False
        self._line = b""

    def feed(self, data: memoryview) -> None:
        if not data:
            self._end()
            return
        if not self.status:
            data = self._begin(data)
        if not self.status:
            return
        if self._chunked:
            self._count_chunks(data)
        else:
            self.length += len(data)
            self.over = self.length == self._announced
            if self._announced is not None and self.length > self._announced:
                raise RuntimeError("more came than Content-Length says")

    def _begin(self, data: memoryview) -> memoryview:
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return data[:0]
        lines = self._head[:end].decode("latin-1").lower().split("\r\n")
        self.status = int(lines[0].split(" ")[1])
        headers = dict(line.split(": ", 1) for line in lines[1:])
        self.closes = headers.get("connection") == "close"
        self._chunked = headers.get("transfer-encoding") == "chunked"
        if "content-length" in headers:
            self._announced = int(headers["content-length"])
        return memoryview(self._head)[end + 4 :]

    def _count_chunks(self, data: memoryview) -> None:
        at = 0
        while at < len(data):
            if not self._left:
                self._line += data[at : at + 1]
                at += 1
                if self._line.endswith(b"\n"):
                    size = int(self._line, 16)
                    self.length += size
                    self._left, self._last_chunk, self._line = size + 2, size == 0, b""
                continue
            step = min(self._left, len(data) - at)
            self._left -= step
            at += step
            self.over = self._last_chunk and not self._left

    def _end(self) -> None:
        self.broken = not self.status or self._chunked or self._announced is not None
        self.over = self.closes = True


class _Connection:
    """One request at a time; opened anew where the server has closed it."""

    def __init__(self, port: int, selector: selectors.BaseSelector) -> None:
        self._port = port
        self._selector = selector
        self._socket: socket.socket | None = None
        self._started = 0.0
        self.answer = _Answer()

    def ask(self, request: bytes) -> None:
        self._started = time.perf_counter()
        self.answer = _Answer()
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), _PATIENCE_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(self._socket, selectors.EVENT_READ, self)
        self._socket.sendall(request)

    def read(self, buffer: memoryview) -> float | None:
        """Takes what is there; in the end how many milliseconds the answer took."""
        assert self._socket is not None
        self.answer.feed(buffer[: self._socket.recv_into(buffer)])
        if not self.answer.over:
            return None
        took_ms = (time.perf_counter() - self._started) * 1e3
        if self.answer.closes:
            self.close()
        return took_ms

    def close(self) -> None:
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None


def _run(load: Load) -> Measured:
    lines = "".join(f"{name}: {value}\r\n" for name, value in load.headers.items())
    requests = [
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{load.port}\r\n{lines}\r\n".encode()
        for path in load.paths
    ]
    numbers = iter(range(load.first, load.first + load.requests))
    selector = selectors.DefaultSelector()
    buffer = memoryview(bytearray(_AT_ONCE_BYTES))
    latencies_ms: list[float] = []
    answers: set[tuple[int, int]] = set()
    broken = 0
    started = time.perf_counter()
    for _, number in zip(range(load.connections), numbers, strict=False):
        _Connection(load.port, selector).ask(requests[number % len(requests)])
    while len(latencies_ms) + broken < load.requests:
        ready = selector.select(_PATIENCE_S)
        if not ready:
            raise RuntimeError(f"nothing came for {_PATIENCE_S:g} s")
        for key, _ in ready:
            took_ms = key.data.read(buffer)
            if took_ms is None:
                continue
            if key.data.answer.broken:
                broken += 1
            else:
                latencies_ms.append(took_ms)
                answers.add((key.data.answer.status, key.data.answer.length))
            number = next(numbers, None)
            if number is None:
                key.data.close()
            else:
                key.data.ask(requests[number % len(requests)])
    elapsed_s = time.perf_counter() - started
    return Measured(elapsed_s, len(latencies_ms), latencies_ms, sorted(answers), broken)


if __name__ == "__main__":
    print(json.dumps(asdict(_run(Load(**json.load(sys.stdin))))))
