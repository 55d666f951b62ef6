"""The full door: an HTTP listener of our own inside the plugin, on uvicorn with httptools.

It says everything the SDK can't: HEAD, OPTIONS, 206, JSON errors, repeated query keys. One
event loop answers what takes no time; the rest is made, and if long sent, by the worker pool, which
may block. Meant for the loopback, behind a reverse proxy. Why uvicorn: docs/adr/0003.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import uvicorn

from farsight.errors import FarsightError, SettingsError, UploadsBusy
from farsight.services.presence import ClientGone, Presence
from farsight.web.base_url import BaseUrl
from farsight.web.batches import in_batches
from farsight.web.body_channel import BodyChannel
from farsight.web.bounded_protocol import CONNECTION, protocol_class
from farsight.web.credentials import Credentials
from farsight.web.incoming import (
    Incoming,
    check_announced,
    check_host,
    headers_of,
    is_short,
    query_of,
    read_body,
    until_gone,
)
from farsight.web.lingering import lingering
from farsight.web.messages import Request, Response
from farsight.web.outflow import BATCH_BYTES, Outflow, Turn
from farsight.web.quick_answers import QuickAnswers
from farsight.web.routes import Router, error_response
from farsight.web.wire_form import in_few_writes, start_message, wire_form
from farsight.web.worker_pool import Overloaded, WorkerPool

LOG = logging.getLogger("farsight.web")
_GRACE_S = 2
#: Watching for a client's leaving costs more than a quick answer.
_WATCH_AFTER_S = 0.2
_BACKLOG = 2048
#: Who wants to upload waits so long for a turn.
_TURN_S = 30.0

Scope = dict[str, Any]
Chunk = bytes | memoryview
T = TypeVar("T")


class FullDoor:
    """Listens from `start` to `stop`. Its threads are daemons: they never keep Orthanc alive."""

    def __init__(
        self,
        router: Router,
        pool: WorkerPool,
        credentials: Credentials,
        base_url: BaseUrl,
        max_body_bytes: int = 1 << 20,
        max_stream_bytes: int = 1 << 30,
    ) -> None:
        """max_stream_bytes: of a body that is read as it comes; max_body_bytes: of any other."""
        self._router = router
        self._pool = pool
        self._credentials = credentials
        self._base_url = base_url
        self._max_body_bytes = max_body_bytes
        self._max_stream_bytes = max_stream_bytes
        # Who sends slowly keeps a worker waiting: some are left for the others.
        self._uploads = asyncio.Semaphore(max(1, pool.threads // 2))
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.port = 0

    def start(self, bind: str, port: int) -> None:
        """Binds at once, then serves on a daemon thread; `port` then holds the real one.

        Raises: SettingsError when the address can't be had.
        """
        family = socket.AF_INET6 if ":" in bind else socket.AF_INET
        # asyncio sets TCP_NODELAY only on sockets that name their protocol; without it an answer
        # of headers and a short body waits 40 ms for an acknowledgement.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((bind, port))
            listener.listen(_BACKLOG)  # now: a port is ours, and open, only once we listen
        except OSError as error:
            listener.close()
            why = f"can't listen there ({error.strerror}); choose another"
            raise SettingsError("Farsight.Http.Port", port, why) from error
        self.port = int(listener.getsockname()[1])
        self._server = server = uvicorn.Server(
            uvicorn.Config(
                self._application,
                interface="asgi3",
                http=protocol_class(QuickAnswers(self._begin_quickly, self._router.at_once)),
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        self._thread = threading.Thread(
            target=lambda: asyncio.run(server.serve(sockets=[listener])),
            name="farsight-full-door",
            daemon=True,
        )
        self._thread.start()

    def stop(self, deadline_s: float) -> None:
        """Stops listening; waits at most that long for answers under way."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(deadline_s)

    # ---- one request

    async def _application(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        presence = Presence()
        try:
            await self._answer(scope, receive, send, presence)
        finally:
            presence.over()

    async def _answer(self, scope: Scope, receive: Any, send: Any, presence: Presence) -> None:
        headers = headers_of(scope)
        incoming = Incoming(headers, receive)
        try:
            self._credentials.check(headers.get("authorization"))
            check_host(scope)
            request = self._request(scope, headers, presence)
            response = await self._answer_to(request, incoming)
            answer = await self._begun(response, with_body=scope["method"] != "HEAD")
        except FarsightError as error:
            answer = await self._begun(error_response(error), with_body=scope["method"] != "HEAD")
        await self._send(answer, incoming, send, scope["extensions"][CONNECTION]["protocol"]())

    async def _answer_to(self, request: Request, incoming: Incoming) -> Response:
        """Raises: FarsightError, of what can't be read."""
        if incoming.is_owed:
            if (refusal := self._router.check(request)) is not None:
                return refusal
            takes_stream = self._router.takes_stream(request.method, request.path)
            if takes_stream and not is_short(request.headers, self._max_body_bytes):
                return await self._take_stream(request, incoming)
            body = await read_body(request.headers, incoming.receive, self._max_body_bytes)
            request = replace(request, body=body)
        # Two turns to another thread and back are saved: each waits for the interpreter.
        return self._router.at_once(request) or await self._handle(request, incoming.receive)

    async def _handle(self, request: Request, receive: Any) -> Response:
        """The router's answer; a client that leaves while it is waited for is told of."""
        watching: list[asyncio.Task[None]] = []

        def watch() -> None:
            watching.append(asyncio.ensure_future(_tell_when_gone(receive, request.presence)))

        timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_S, watch)
        try:
            return await self._on_worker(lambda: self._router.handle(request))
        finally:
            timer.cancel()
            for task in watching:
                task.cancel()

    async def _take_stream(self, request: Request, incoming: Incoming) -> Response:
        """The router's answer to a request whose body it reads as it comes."""
        check_announced(request.headers, self._max_stream_bytes)
        try:
            async with asyncio.timeout(_TURN_S):
                await self._uploads.acquire()
        except TimeoutError as error:
            raise UploadsBusy(_TURN_S) from error
        channel = BodyChannel(asyncio.get_running_loop(), self._max_stream_bytes)
        request = replace(request, stream=channel.chunks())
        pumping = asyncio.ensure_future(channel.pump(incoming.receive))
        try:
            return await self._on_worker(lambda: self._router.handle(request))
        finally:
            channel.close()
            pumping.cancel()
            self._uploads.release()

    def _begin_quickly(self, fields: list[tuple[bytes, bytes]], client_address: str) -> Request:
        """What requests with this header begin with. Raises: Unauthorized, BadRequest."""
        scope = {"headers": fields, "http_version": "1.1"}
        headers = headers_of(scope)
        self._credentials.check(headers.get("authorization"))
        check_host(scope)
        base_url = self._base_url.of(headers, client_address, self.port)
        return Request("GET", "/", (), headers, base_url=base_url)

    def _request(self, scope: Scope, headers: dict[str, str], presence: Presence) -> Request:
        client = scope.get("client") or ("", 0)
        return Request(
            method=scope["method"],
            path=scope["path"],
            query=query_of(scope),
            headers=headers,
            presence=presence,
            base_url=self._base_url.of(headers, client[0], self.port),
        )

    async def _on_worker(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        task = self._pool.submit(work, lambda: _wake(loop, over))
        try:
            await over.wait()
        except asyncio.CancelledError as error:  # the grace for answers under way is over
            raise Overloaded("the server is stopping") from error
        return task.outcome()

    async def _begun(self, response: Response, *, with_body: bool) -> _Begun:
        """The answer up to its first chunk: what fails until then can still be said."""
        headers, chunks = wire_form(response)
        start = start_message(response.status, headers)
        if isinstance(chunks, list) or not with_body:
            return _Begun(start, list(chunks) if with_body else [])
        batches = in_batches(chunks, BATCH_BYTES)
        return _Begun(start, await self._on_worker(lambda: next(batches, [])), batches)

    async def _send(self, answer: _Begun, incoming: Incoming, send: Any, connection: Any) -> None:
        if incoming.is_owed:
            send = lingering(incoming, send)
        try:
            await send(answer.start)
            if answer.rest is None:
                await _send_whole(answer.first, send)
                return
            batches = itertools.chain((answer.first,), answer.rest)
            await self._stream(batches, incoming.receive, connection)
            await send({"type": "http.response.body", "body": b""})
        except ClientGone as error:
            LOG.info("%s", error)
        except FarsightError as error:  # left without an end, so that the client sees it
            LOG.warning("an answer ended early: %s", error)
        finally:
            if answer.rest is not None:
                await self._on_worker(answer.rest.close)

    async def _stream(self, batches: Iterator[list[Chunk]], receive: Any, connection: Any) -> None:
        """Turn by turn. Raises: ClientGone, and what making raises."""
        outflow = Outflow(connection.transport)
        gone = asyncio.ensure_future(until_gone(receive))
        turn = Turn((), is_last=False)
        try:
            while not turn.is_last:
                await connection.emptied()
                outflow.check()
                if gone.done():
                    raise ClientGone("the client has left")
                turn = await self._on_worker(lambda: outflow.turn(batches))
                outflow.hand_over(turn)
        finally:
            gone.cancel()
            outflow.close()


@dataclass(frozen=True, slots=True)
class _Begun:
    """An answer that is ready to go: all of it, or its first chunks. rest: a worker makes it."""

    start: dict[str, Any]
    first: list[Chunk]
    rest: Generator[list[Chunk]] | None = None


async def _send_whole(chunks: list[Chunk], send: Any) -> None:
    chunks = in_few_writes(chunks)
    for number, chunk in enumerate(chunks, start=1):
        more = number < len(chunks)
        await send({"type": "http.response.body", "body": chunk, "more_body": more})


def _wake(loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(over.set)


async def _tell_when_gone(receive: Any, presence: Presence) -> None:
    await until_gone(receive)
    presence.leave()
