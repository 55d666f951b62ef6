"""Which instances we store ourselves: what Orthanc tells of them then is no news."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

_MOST_REMEMBERED = 10_000
_LONGEST_WAIT_S = 5.0


class OwnStores:
    """Thread-safe. Orthanc's event may come before its answer to whoever stores."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._under_way: set[int] = set()
        self._tickets = 0
        self._stored: OrderedDict[str, None] = OrderedDict()
        #: Whose event was not waited for to the end: one noted later has had its own.
        self._given_up: OrderedDict[str, None] = OrderedDict()

    @contextmanager
    def storing(self) -> Iterator[None]:
        """Around a store."""
        with self._changed:
            self._tickets += 1
            ticket = self._tickets
            self._under_way.add(ticket)
        try:
            yield
        finally:
            with self._changed:
                self._under_way.discard(ticket)
                self._changed.notify_all()

    @property
    def is_storing(self) -> bool:
        """Whether any store is under way."""
        with self._changed:
            return bool(self._under_way)

    def note(self, resource_id: str) -> None:
        """One that we stored; within `storing`."""
        with self._changed:
            if resource_id in self._given_up:
                del self._given_up[resource_id]
            else:
                _remember(self._stored, resource_id)

    def settle(self, resource_id: str) -> bool:
        """Whether an instance that came in was stored by us; each is told of once.

        Waits for the stores under way: one of them may be it.
        """
        with self._changed:
            if resource_id not in self._stored:
                last = self._tickets
                if not self._changed.wait_for(
                    lambda: resource_id in self._stored or self._none_before(last), _LONGEST_WAIT_S
                ):
                    _remember(self._given_up, resource_id)
            return self._stored.pop(resource_id, self) is None

    def forget(self, resource_id: str) -> None:
        """It is gone: whatever is told of it from now on is of another store."""
        with self._changed:
            self._stored.pop(resource_id, None)
            self._given_up.pop(resource_id, None)

    def _none_before(self, last: int) -> bool:
        return all(ticket > last for ticket in self._under_way)


def _remember(names: OrderedDict[str, None], resource_id: str) -> None:
    names[resource_id] = None
    while len(names) > _MOST_REMEMBERED:
        names.popitem(last=False)
