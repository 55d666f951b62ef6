"""The end of a C-GET whose only instance is here: nobody waits for that."""

from __future__ import annotations

import _thread
import logging
import math
import time
from collections.abc import Callable
from contextlib import ExitStack

from farsight.adapters.dimse_requests import Abandoned, Getting
from farsight.dimse import status
from farsight.errors import FarsightError
from farsight.model import SubOperations

LOG = logging.getLogger("farsight.dimse")
#: Who waits so long for an association hardly notices, and doesn't take the PACS for silent.
_QUICK_S = 0.02


class Endings:
    """Of one PACS. Thread-safe.

    Laws: an association is in use until the end of its C-GET has been read; one whose end takes
    long is left to another thread only where whoever comes next needn't wait for it. A PACS that
    sends more than it was asked for is waited for: else it would be asked for each of those while
    they come.
    """

    def __init__(self, name: str, has_room: Callable[[], bool]) -> None:
        """`has_room`: whether there is an association to be had besides those in use."""
        self._name = name
        self._has_room = has_room
        self._sends_more = False
        self._last_s = math.inf  # how long the last end took

    def got(self, getting: Getting, only: str | None, held: ExitStack) -> SubOperations:
        """All that it brings; or `only` that instance, if nothing else is asked for and somebody
        waits for it.

        `held`: what is to be left at the end of the C-GET, whoever comes to it. Raises: as Getting.
        """
        came_at: float | None = None
        while isinstance(outcome := getting.step(), str):
            if outcome == only:
                came_at = time.monotonic()
                if self._may_leave():
                    self._leave(getting, held.pop_all(), came_at)
                    return SubOperations(1, 0, 0, status.SUCCESS)
            elif only is not None:
                self._has_sent_more()
        if came_at is not None:
            self._last_s = time.monotonic() - came_at
        return outcome

    def _may_leave(self) -> bool:
        return not self._sends_more and (self._last_s < _QUICK_S or self._has_room())

    def _leave(self, getting: Getting, held: ExitStack, came_at: float) -> None:
        self._last_s = math.inf  # not known before it is read
        try:  # a Thread would be waited for until it runs
            _thread.start_new_thread(self._end, (getting, held, came_at))
        except RuntimeError:  # there is none to be had
            self._end(getting, held, came_at)

    def _end(self, getting: Getting, held: ExitStack, came_at: float) -> None:
        """Reads what the PACS says after the instance that was asked for."""
        try:
            with held:
                while isinstance(getting.step(), str):
                    self._has_sent_more()
                self._last_s = time.monotonic() - came_at
        except Abandoned as error:
            LOG.info("%s; after the instance asked for had come", error)
        except FarsightError as error:
            LOG.warning("%s; after the instance asked for had come", error)
        except Exception:
            LOG.exception("internal error")

    def _has_sent_more(self) -> None:
        if not self._sends_more:
            LOG.warning("PACS %r sends more than the instance asked for", self._name)
        self._sends_more = True
