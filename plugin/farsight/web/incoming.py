"""What an HTTP server's scope and messages (ASGI 3) say of a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from farsight.errors import BadRequest, PayloadTooLarge
from farsight.services.presence import ClientGone
from farsight.web.pace import Pace

_MAX_QUERY_PARAMETERS = 20_000

Scope = dict[str, Any]


class Incoming:
    """The messages of one request. is_owed: whether more of its body may be on the way."""

    def __init__(self, headers: Mapping[str, str], receive: Any) -> None:
        self._receive = receive
        self.is_owed = has_body(headers)

    async def receive(self) -> dict[str, Any]:
        """The next message, of a client that left too; as the server's `receive`."""
        message: dict[str, Any] = await self._receive()
        if not message.get("more_body"):
            self.is_owed = False
        return message


def headers_of(scope: Scope) -> dict[str, str]:
    """Names in lower case; repeated headers joined by commas (RFC 9110 5.3)."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def check_host(scope: Scope) -> None:
    """RFC 9112 3.2. Raises: BadRequest."""
    hosts = sum(name == b"host" for name, _ in scope["headers"])
    if hosts > 1 or (hosts == 0 and scope["http_version"] == "1.1"):
        raise BadRequest("the request needs one Host header")


def check_announced(headers: Mapping[str, str], max_bytes: int) -> None:
    """Before anything of a long body is read. Raises: PayloadTooLarge."""
    announced = headers.get("content-length", "")
    if announced.isdigit() and int(announced) > max_bytes:
        limit = f"above {max_bytes >> 20} MB (Farsight.Stow.MaxMegabytes)"
        raise PayloadTooLarge(f"the body has {announced} bytes: {limit}")


def has_body(headers: Mapping[str, str]) -> bool:
    """RFC 9112 6.3."""
    return "transfer-encoding" in headers or headers.get("content-length", "").strip("0") != ""


def is_short(headers: Mapping[str, str], max_bytes: int) -> bool:
    """Whether a body is announced that has at most so many bytes."""
    announced = headers.get("content-length", "")
    return announced.isdigit() and int(announced) <= max_bytes


def query_of(scope: Scope) -> tuple[tuple[str, str], ...]:
    """Decoded pairs in the order sent. Raises: BadRequest."""
    try:
        query = parse_qsl(
            scope["query_string"].decode("latin-1"),
            keep_blank_values=True,
            errors="surrogateescape",  # refused where it is read, by the parameter's name
            max_num_fields=_MAX_QUERY_PARAMETERS,
        )
    except ValueError as error:
        raise BadRequest("too many query parameters") from error
    return tuple(query)


async def read_body(headers: Mapping[str, str], receive: Any, max_bytes: int) -> bytes:
    """The whole body. Raises: PayloadTooLarge, RequestTimeout, ClientGone."""
    too_large = PayloadTooLarge(f"the body is above {max_bytes} bytes")
    if "content-length" in headers and not is_short(headers, max_bytes):
        raise too_large
    parts: list[bytes] = []
    size, pace = 0, Pace()
    while True:
        message = await pace.next(receive)
        if message["type"] == "http.disconnect":
            raise ClientGone("the client left while it sent")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > max_bytes:
            raise too_large
        if not message.get("more_body"):
            return b"".join(parts)


async def until_gone(receive: Any) -> None:
    """Returns when the client has left, or has its answer."""
    while (await receive())["type"] != "http.disconnect":
        pass
