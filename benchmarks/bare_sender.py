"""A process that does nothing but send one frame's bytes: what the machine itself costs.

python -m benchmarks.bare_sender PORT
"""

from __future__ import annotations

import asyncio
import sys

_BODY = bytes(512 * 512 * 2)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(_BODY)


class _Sender(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(b"\r\n\r\n"):
            self._received = b""
            self._transport.writelines((_HEAD, _BODY))


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Sender, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
