"""The associations we may hold with one PACS: a limit never exceeded, kept ones reused.

Laws:
- Open associations, idle ones included, never exceed the limit: the PACS counts them all.
- A PACS that accepts fewer than we were allowed teaches its own limit; whoever was refused waits.
- Every permit comes back, whatever raises: only `lease` hands them out, as a context manager.
- Urgent work (queries, the instance a viewer waits for) goes first, and bulk retrieves leave
  one association free for it where the limit is three or more.
- What can wait goes last: it gets no permit that somebody else waits for.
- What is opened for a query does for the next instance a viewer waits for, where the PACS takes it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from farsight.adapters.dimse_connection import Connection, TooManyAssociations
from farsight.adapters.fuller_requests import Connect, FullerRequests
from farsight.dimse.association import AssociationRequest
from farsight.errors import PacsUnavailable

LOG = logging.getLogger("farsight.dimse")

#: How long a PACS that is full without us is asked again, and how often.
_REFUSED_WAIT_S, _REFUSED_PAUSE_S = 2.0, 0.1


class LeftAtRest(Exception):
    """Goes through a lease without harm to the association: nothing is under way on it."""


class StaleConnection(PacsUnavailable):
    """A kept association turned out to be dead before it gave any answer: worth a fresh one."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """max_associations: open at once. idle_s: how long one is kept unused. wait_s: for a permit."""

    max_associations: int = 3
    idle_s: float = 10.0
    wait_s: float = 60.0


@dataclass(eq=False, slots=True)
class _Idle:
    connection: Connection
    since: float


class AssociationPool:
    """Hands out connections to one PACS within its limits. Thread-safe."""

    def __init__(
        self,
        name: str,
        limits: PoolLimits,
        connect: Connect,
        learned: Callable[[int], None] = lambda _limit: None,
    ) -> None:
        """`learned` is told of a limit that the PACS turned out to have."""
        self._name = name
        self._limits = limits
        self._most = limits.max_associations
        self._most_bulk = limits.max_associations
        self._connect = FullerRequests(connect)
        self._learned = learned
        self._changed = threading.Condition()
        self._idle: list[_Idle] = []
        self._open = 0
        self._opening = 0
        self._urgent_waiting = 0
        self._waiting = 0
        self._closed = False
        self._reaper: threading.Thread | None = None

    @property
    def open_associations(self) -> int:
        """How many the PACS sees now, idle ones included."""
        with self._changed:
            return self._open

    @property
    def bulk_limit(self) -> int:
        """How many at most are given to work that isn't urgent."""
        return min(self._most_bulk, self._most - 1 if self._most >= 3 else self._most)

    @property
    def has_room(self) -> bool:
        """Whether one could be had now for what is urgent."""
        with self._changed:
            return self._open - len(self._idle) < self._most

    @property
    def is_waited_for(self) -> bool:
        """Whether something urgent waits for a permit: for one of ours to be over, not for the
        PACS."""
        return self._urgent_waiting > 0

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for a permit, other than those that go last."""
        return self._waiting > 0

    @contextmanager
    def lease(
        self, request: AssociationRequest, *, urgent: bool, last: bool = False
    ) -> Iterator[Connection]:
        """A connection for `request`, kept for the next user if it is still usable afterwards.

        Raises: PacsUnavailable when no permit is free within wait_s, or as Connection does.
        """
        deadline = time.monotonic() + self._limits.wait_s
        give_up_at = time.monotonic() + _REFUSED_WAIT_S
        connection: Connection | None = None
        while connection is None:
            connection = self._take(request, deadline, urgent=urgent, last=last)
            if connection is None:
                connection = self._open_one(request, give_up_at)
        try:
            yield connection
        except LeftAtRest:
            raise
        except StaleConnection:
            connection.abort()
            self._drop_idle()  # they were kept as long: whoever tries again gets a fresh one
            raise
        except BaseException:
            connection.abort()
            raise
        finally:
            self._give_back(connection)

    def lower(self, limit: int) -> None:
        """The PACS takes no more than that; never raised again here."""
        with self._changed:
            self._most = max(1, min(self._most, limit))

    def one_bulk_at_a_time(self) -> None:
        """More would only wait for each other at the PACS."""
        self._most_bulk = 1

    def _open_one(self, request: AssociationRequest, give_up_at: float) -> Connection | None:
        """A new connection for a permit already taken; None if the PACS has enough of ours."""
        with self._changed:
            self._opening += 1
        try:
            return self._connect(request)
        except TooManyAssociations as error:
            self._permit_is_free()
            with self._changed:
                standing = self._open - (self._opening - 1)
            if standing < 1 and time.monotonic() > give_up_at:
                raise
            if standing < 1:  # its limit is met by others, or by ours that are being opened
                time.sleep(_REFUSED_PAUSE_S)
                return None
            LOG.warning("%s; at most %d at once from now on", error, standing)
            self.lower(standing)
            self._learned(standing)
            return None
        except BaseException:
            self._permit_is_free()
            raise
        finally:
            with self._changed:
                self._opening -= 1

    def _take(
        self, request: AssociationRequest, deadline: float, *, urgent: bool, last: bool
    ) -> Connection | None:
        """Waits for a permit; a kept connection, or None when a new one has to be opened."""
        stale: list[Connection] = []
        try:
            with self._changed:
                self._urgent_waiting += urgent
                self._waiting += not last
                try:
                    while not self._may_go(urgent=urgent, last=last):
                        remaining = deadline - time.monotonic()
                        if remaining <= 0 or self._closed:
                            raise PacsUnavailable(
                                self._name,
                                f"all {self._most} associations are in use",
                            )
                        self._changed.wait(remaining)
                    return self._claim(request, stale)
                finally:
                    self._urgent_waiting -= urgent
                    self._waiting -= not last
                    if not self._waiting:
                        self._changed.notify_all()
        finally:
            for connection in stale:
                connection.release()

    def _may_go(self, *, urgent: bool, last: bool) -> bool:
        busy = self._open - len(self._idle)
        limit = self._most
        if last and self._waiting:
            return False
        if urgent:
            return busy < limit
        return busy < self.bulk_limit and not (self._urgent_waiting and busy >= limit - 1)

    def _claim(self, request: AssociationRequest, stale: list[Connection]) -> Connection | None:
        """A kept connection or None, with one permit counted for either; called under the lock."""
        while (kept := self._kept_for(request)) is not None:
            self._idle.remove(kept)
            if kept.connection.is_alive():
                return kept.connection
            kept.connection.close()
            self._open -= 1
        while self._open >= self._most and self._idle:
            stale.append(self._idle.pop(0).connection)
            self._open -= 1
        self._open += 1
        return None

    def _kept_for(self, request: AssociationRequest) -> _Idle | None:
        """The one used last; one that does for more than this only where there is no other."""
        own = [idle for idle in self._idle if idle.connection.request == request]
        others = (
            idle
            for idle in self._idle
            if idle.connection.request.serves(request) and idle.connection.accepts(request)
        )
        return own[-1] if own else next(others, None)

    def _give_back(self, connection: Connection) -> None:
        keep = connection.usable
        with self._changed:
            keep = keep and not self._closed and self._limits.idle_s > 0
            if keep:
                self._idle.append(_Idle(connection, time.monotonic()))
                self._start_reaper()
                self._changed.notify_all()
                return
        connection.release()
        self._permit_is_free()

    def _permit_is_free(self) -> None:
        """To be called once the PACS doesn't see the association any more, not before."""
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def _start_reaper(self) -> None:
        if self._reaper is None or not self._reaper.is_alive():
            self._reaper = threading.Thread(
                target=self._reap, name=f"farsight-idle-{self._name}", daemon=True
            )
            self._reaper.start()

    def _reap(self) -> None:
        """Closes kept connections when their time is over; ends when none is left."""
        while True:
            with self._changed:
                if not self._idle:
                    self._reaper = None
                    return
                due_s = self._idle[0].since + self._limits.idle_s - time.monotonic()
                if due_s > 0:
                    self._changed.wait(due_s)
                    continue
                expired = self._idle.pop(0).connection
            expired.release()
            self._permit_is_free()

    def close(self) -> None:
        """Releases what is idle and lets nobody wait any longer."""
        with self._changed:
            self._closed = True
        self._drop_idle()

    def _drop_idle(self) -> None:
        with self._changed:
            idle, self._idle = self._idle, []
        for kept in idle:
            kept.connection.release()
        with self._changed:
            self._open -= len(idle)
            self._changed.notify_all()
