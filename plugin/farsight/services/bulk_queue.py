"""Bulk work in turn: a few daemon threads, at most so many at once for one study."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

LOG = logging.getLogger("farsight.retrieve")


class Urgency(IntEnum):
    """Who wants it: a client that waits goes before everything fetched ahead of need."""

    ASKED = 0
    AHEAD = 1


@dataclass(eq=False, slots=True)
class Ticket:
    """One job of a study in the queue; its urgency may rise while it waits."""

    study_instance_uid: str
    job: Callable[[], None]
    urgency: Urgency


class BulkQueue:
    """Runs jobs first come, first served within their urgency.

    Laws: never more than `per_study` jobs of one study at once; of those fetched ahead never more
    than `ahead` in all, and none while one that a client waits for could run instead.
    Jobs report through their own means; one that raises is a bug, and is logged as such.
    """

    def __init__(self, threads: int, per_study: int, ahead: int = 1) -> None:
        self._per_study = per_study
        self._ahead = ahead
        self._changed = threading.Condition()
        self._waiting: list[Ticket] = []
        self._active: Counter[str] = Counter()
        self._active_ahead = 0
        self._closed = False
        for number in range(threads):
            threading.Thread(target=self._run, name=f"farsight-bulk-{number}", daemon=True).start()

    def submit(
        self, study_instance_uid: str, job: Callable[[], None], urgency: Urgency = Urgency.ASKED
    ) -> Ticket:
        """Queues one job of a study."""
        ticket = Ticket(study_instance_uid, job, urgency)
        with self._changed:
            self._waiting.append(ticket)
            self._changed.notify()
        return ticket

    def raise_urgency(self, ticket: Ticket) -> None:
        """A client waits for it now. No effect once it runs."""
        with self._changed:
            if ticket in self._waiting:
                ticket.urgency = Urgency.ASKED
                self._changed.notify()

    def close(self) -> None:
        """Starts nothing any more; what runs ends by itself."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (ticket := self._next()) is None:
                    self._changed.wait()
                if self._closed:
                    return
                assert ticket is not None
                self._waiting.remove(ticket)
                study, urgency = ticket.study_instance_uid, ticket.urgency
                self._count(study, urgency, 1)
            try:
                ticket.job()
            except Exception:  # the edge of this thread: nothing above could report it
                LOG.exception("retrieve job of study %s", study)
            finally:
                with self._changed:
                    self._count(study, urgency, -1)
                    self._changed.notify_all()

    def _count(self, study_instance_uid: str, urgency: Urgency, one: int) -> None:
        self._active_ahead += one if urgency is Urgency.AHEAD else 0
        self._active[study_instance_uid] += one
        if not self._active[study_instance_uid]:
            del self._active[study_instance_uid]

    def _next(self) -> Ticket | None:
        ready = [t for t in self._waiting if self._active[t.study_instance_uid] < self._per_study]
        if self._active_ahead >= self._ahead:
            ready = [ticket for ticket in ready if ticket.urgency is Urgency.ASKED]
        return min(ready, key=lambda ticket: ticket.urgency, default=None)
