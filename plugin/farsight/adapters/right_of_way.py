"""What a viewer waits for has the right of way: bulk retrieves pause while it is fetched.

Some PACS serve one retrieve at a time, whatever the associations: there a bulk retrieve that
pauses would only stand in the way. It is given up instead, and goes on later with the rest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from farsight.errors import RetrieveInterrupted

#: So often a bulk retrieve has to stand in the way before that is believed of the PACS.
_SURE = 3
#: What a PACS needs to begin with one instance, and the round trips: connect, associate, ask.
_PROMPT_S, _TURNS_OF_A_FETCH = 0.03, 4


class RightOfWay:
    """Between the retrieves of one PACS. Thread-safe.

    Laws: nobody pauses for longer than the patience and `longest_s` at a time; every bulk retrieve
    brings `at_least` instances before it is given up, so that it ends however often it is
    interrupted.
    """

    def __init__(
        self,
        name: str,
        one_at_a_time: Callable[[], None] = lambda: None,
        waits_for_us: Callable[[], bool] = lambda: False,
        *,
        patience_s: float = 0.15,
        longest_s: float = 0.25,
        at_least: int = 4,
    ) -> None:
        """`one_at_a_time` is told when the PACS turns out to be so; see `expect_no_answer`.
        `waits_for_us`: whether what is urgent waits for an association of ours, not for the PACS.

        `patience_s`: how long the answer to urgent work may take before a bulk retrieve is held
        to be in its way; see `is_so_far_away`.
        """
        self._name = name
        self._one_at_a_time = one_at_a_time
        self._waits_for_us = waits_for_us
        self._patience_s = patience_s
        self._expects_answer = True
        self._was_answered = False  # with an instance, while a bulk retrieve paused
        self._pausing = 0
        self._longest_s = longest_s
        self._at_least = at_least
        self._changed = threading.Condition()
        self._in_the_way = 0
        self._urgent = 0
        self._unanswered = 0

    def expect_no_answer(self) -> None:
        """The PACS is known to serve one retrieve at a time: bulk ones give up at once."""
        self._expects_answer = False

    def is_so_far_away(self, round_trip_s: float) -> None:
        """What the network alone may take is nobody's being in the way."""
        self._patience_s = _PROMPT_S + _TURNS_OF_A_FETCH * round_trip_s

    @contextmanager
    def taken(self) -> Iterator[Callable[[int], None]]:
        """Around urgent work, which calls what is yielded when the PACS has begun to answer."""
        waiting = True

        def answered(delivered: int = 0) -> None:
            nonlocal waiting
            with self._changed:
                if waiting and delivered and self._pausing:
                    self._was_answered = True
                self._unanswered -= waiting
                waiting = False
                self._changed.notify_all()

        with self._changed:
            self._urgent += 1
            self._unanswered += 1
        try:
            yield answered
        finally:
            answered()
            with self._changed:
                self._urgent -= 1
                self._changed.notify_all()

    def begin(self) -> None:
        """Bulk work comes by here before it asks the PACS for anything."""
        with self._changed:
            self._changed.wait_for(lambda: not self._urgent, self._longest_s)

    def give(self, delivered: int) -> None:
        """Bulk work comes by here between two instances, with how many it has brought.

        Raises: RetrieveInterrupted when it stands in the way.
        """
        may_end = delivered >= self._at_least
        if not self._urgent or not (may_end or (delivered and self._was_answered)):
            return
        with self._changed:
            waited = self._waits_for_us()
            if self._pause():
                return
            self._was_answered = False
            if not may_end:
                return
            self._in_the_way += not (waited or self._waits_for_us())
            learned = self._expects_answer and self._in_the_way >= _SURE
        if learned:
            self._one_at_a_time()
        raise RetrieveInterrupted(self._name, "gave way to an instance a viewer waits for")

    def _pause(self) -> bool:
        """Until nobody is urgent; False if the PACS has nothing for them meanwhile."""
        patience_s = self._patience_s if self._expects_answer else 0.0
        self._pausing += 1
        try:
            answered = self._changed.wait_for(lambda: not self._unanswered, patience_s)
        finally:
            self._pausing -= 1
        if answered:
            self._changed.wait_for(lambda: not self._urgent, self._longest_s)
        return answered
