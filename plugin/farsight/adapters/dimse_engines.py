"""C-GET or C-MOVE, and in which of several ways: the first that the PACS takes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from farsight.adapters.dimse_retrieve import Retriever, Wanted
from farsight.dimse import status
from farsight.dimse.manners import C_MOVE, Manners, after_refusal
from farsight.errors import PacsFailure, PacsRefusedContexts, PacsRefusedService
from farsight.model import ReceivedInstance, SubOperations
from farsight.ports.pacs import Arrivals, Sink

LOG = logging.getLogger("farsight.dimse")


class Engines:
    """Of one PACS; what it refuses teaches. Thread-safe."""

    def __init__(
        self,
        retriever: Retriever,
        configured: str,
        manners: Callable[[], Manners],
        learn: Callable[[Manners], None],
    ) -> None:
        """`configured`: "c-get", "c-move" or "auto"."""
        self._retriever = retriever
        self._configured = configured
        self._manners = manners
        self._learn = learn

    @property
    def chosen(self) -> str:
        """Which is used now."""
        return self._manners().engine if self._configured == "auto" else self._configured

    def in_some_way(
        self,
        ways: Sequence[Wanted],
        sink: Sink,
        arrivals: Arrivals,
        after_each: Callable[[int], None],
    ) -> SubOperations:
        """The first way the PACS takes; what that teaches is kept."""
        delivered, at_first = 0, arrivals()

        def counting(received: ReceivedInstance) -> None:
            nonlocal delivered
            delivered += 1
            sink(received)
            after_each(delivered)

        refusal: PacsFailure | None = None
        for wanted in ways:
            try:
                outcome = self._retrieved(wanted, counting, arrivals, after_each)
            except PacsFailure as error:
                came = delivered or arrivals() > at_first
                if came or not status.refuses_identifier(error.dimse_status):
                    raise
                LOG.info("%s; asking in another way", error)
                refusal = refusal or error
                continue
            if refusal is not None and refusal.dimse_status == status.IDENTIFIER_MISMATCH:
                self._learn(after_refusal(self._manners(), wanted.way))
            return outcome
        assert refusal is not None
        raise refusal

    def _retrieved(
        self, wanted: Wanted, sink: Sink, arrivals: Arrivals, began: Callable[[int], None]
    ) -> SubOperations:
        by_move = replace(wanted, proposed=None)
        if self.chosen == C_MOVE:
            began(0)  # of a move there is nothing to see here: it is in nobody's way
            return self._retriever.retrieve(by_move, sink, arrivals)
        try:
            return self._retriever.retrieve(wanted, sink, arrivals)
        except PacsRefusedService as error:
            if self._configured != "auto":
                raise
            LOG.warning("%s; trying C-MOVE", error)
            refusal = error
        began(0)
        try:
            outcome = self._retriever.retrieve(by_move, sink, arrivals)
        except PacsFailure as error:
            raise (refusal if isinstance(refusal, PacsRefusedContexts) else error) from refusal
        if not isinstance(refusal, PacsRefusedContexts):  # else it may be these SOP classes only
            self._learn(replace(self._manners(), engine=C_MOVE))
        return outcome
