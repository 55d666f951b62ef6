"""Full doors on the loopback, closed with their workers when the test is through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from farsight.web.base_url import BaseUrl
from farsight.web.credentials import Credentials
from farsight.web.full_door import FullDoor
from farsight.web.routes import Handler, Router
from farsight.web.worker_pool import WorkerPool

Open = Callable[..., FullDoor]


@contextmanager
def opening(default: Handler) -> Iterator[Open]:
    """Opens doors that have one handler below /x/; `at_once`: it answers without a worker."""
    opened: list[tuple[FullDoor, WorkerPool]] = []

    def start(handler: Handler = default, *, threads: int = 8, **more: object) -> FullDoor:
        pool = WorkerPool(threads)
        credentials = more.pop("credentials", Credentials())
        base = BaseUrl("http://localhost:1")
        quick = {"/x/": handler} if more.pop("at_once", False) else None
        router = Router({"/x/": handler}, at_once=quick)
        door = FullDoor(router, pool, credentials, base, **more)  # type: ignore[arg-type]
        door.start("127.0.0.1", 0)
        opened.append((door, pool))
        return door

    try:
        yield start
    finally:
        for door, pool in opened:
            door.stop(5)
            pool.close()
