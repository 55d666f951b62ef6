"""Names that are being given just now: of two who want the same, one waits."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager


class NamesTaken:
    """Laws: all of a request's names are taken in one step, so nobody waits for each other. A name
    is shared only by those who give it the same owner."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken: set[str] = set()
        self._owned: dict[str, str] = {}
        self._sharing: Counter[str] = Counter()

    @contextmanager
    def holding(
        self, names: Collection[str], owners: Mapping[str, Collection[str]]
    ) -> Iterator[None]:
        """Waits until none of the names is taken, nor owned by somebody else.

        `owners`: of names that may be shared. What has several is held alone.
        """
        shared = {name: next(iter(those)) for name, those in owners.items() if len(those) == 1}
        mine = frozenset(names) | (owners.keys() - shared.keys())
        with self._changed:
            self._changed.wait_for(lambda: self._are_free(mine, shared))
            self._taken |= mine
            self._owned |= shared
            self._sharing.update(shared.keys())
        try:
            yield
        finally:
            with self._changed:
                self._taken -= mine
                self._sharing.subtract(shared.keys())
                for name in shared:
                    if not self._sharing[name]:
                        del self._sharing[name], self._owned[name]
                self._changed.notify_all()

    def _are_free(self, mine: frozenset[str], shared: Mapping[str, str]) -> bool:
        return (
            self._taken.isdisjoint(mine)
            and self._taken.isdisjoint(shared)
            and self._owned.keys().isdisjoint(mine)
            and all(self._owned.get(name, owner) == owner for name, owner in shared.items())
        )
