"""One series on its way from a PACS: what is expected, what is here, what is stored.

Of a series, and the PACS it is asked of, one flight at a time goes well; everyone who needs the
series waits on it. It lands when all that came is stored or could not be: whole, or with an error
when no more is to be had.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Set

from farsight.errors import ArchiveError, FarsightError
from farsight.model import SeriesRef, SubOperations
from farsight.services.bulk_queue import Ticket, Urgency
from farsight.services.expected import Expected
from farsight.services.presence import ClientGone, Presence


class SeriesFlight:
    """The state shared by the thread that fetches and the threads that wait. Thread-safe."""

    def __init__(
        self,
        series: SeriesRef,
        urgency: Urgency = Urgency.ASKED,
        sources: frozenset[str] = frozenset(),
    ) -> None:
        """`urgency`: of whoever begins it, who counts as the first to want it. `sources`: the
        names of the PACS that are asked."""
        self.series = series
        self.sources = sources
        self.ticket: Ticket | None = None
        self.started_at = time.time()
        self.source = ""
        self.doubt = ""
        self._changed = threading.Condition()
        self._expected: Expected | None = None
        self._here: set[str] = set()
        self._missing: set[str] = set()  # by name; empty where only a number is expected
        self._stored: set[str] = set()
        self._refused: set[str] = set()
        self._received_bytes = 0
        self._told: SubOperations | None = None
        self._error: FarsightError | None = None
        self._fetched = False
        self._waiting = int(urgency is Urgency.ASKED)
        self._kept = urgency is Urgency.AHEAD
        self._landed = threading.Event()

    def join(self, urgency: Urgency) -> bool:
        """One more wants this series: waits for it, or wants it ahead. False: it has failed."""
        with self._changed:
            if self._error is not None:
                return False
            if urgency is Urgency.ASKED:
                self._waiting += 1
            else:
                self._kept = True
            return True

    def leave(self) -> None:
        """One less waits for it; what nobody waits for is fetched no further."""
        with self._changed:
            self._waiting -= 1
            if self._waiting == 0 and not self._kept and not self._over():
                self._error = ClientGone("nobody waits for the series any more")
                self._changed.notify_all()

    @property
    def is_waited_for(self) -> bool:
        """Whether a client waits for it, not only whoever fetches ahead."""
        with self._changed:
            return self._waiting > 0

    def wake(self) -> None:
        """Lets those who wait look again at what they wait for."""
        with self._changed:
            self._changed.notify_all()

    def expect(
        self,
        source: str,
        expected: Expected,
        held: frozenset[str],
        in_memory: frozenset[str],
        doubt: str,
    ) -> None:
        """What the source lists, what is stored of it, and what is being stored.

        `doubt`: as of SourceListing.
        """
        with self._changed:
            self.doubt = doubt
            self.source = source
            self._expected = expected
            self._stored |= held
            self._missing = set(expected.instances)
            self._missing -= self._here
            self._note(held | in_memory)
            self._changed.notify_all()

    def _note(self, sop_instance_uids: frozenset[str]) -> None:
        self._here |= sop_instance_uids
        self._missing -= sop_instance_uids

    def arrived(self, sop_instance_uid: str, size: int) -> None:
        with self._changed:
            self._here.add(sop_instance_uid)
            self._missing.discard(sop_instance_uid)
            self._received_bytes += size
            self._tell_if_over()

    def told(self, sub_operations: SubOperations) -> None:
        """What the PACS said last of the request under way."""
        self._told = sub_operations

    def stored(self, sop_instance_uids: frozenset[str]) -> None:
        """Instances now durable in the archive, whichever way they came."""
        with self._changed:
            self._note(sop_instance_uids)
            self._stored |= sop_instance_uids
            self._tell_if_over()

    def not_stored(self, sop_instance_uid: str, error: ArchiveError) -> None:
        """An instance that came could not be stored: nothing more is wanted."""
        with self._changed:
            self._refused.add(sop_instance_uid)
            self.fail(error)

    def fail(self, error: FarsightError) -> None:
        """No more will come by itself; the first error stays."""
        with self._changed:
            if self._error is None:
                self._error = error
            self._changed.notify_all()

    def fetched(self) -> None:
        """The fetching thread is through, well or not."""
        with self._changed:
            self._fetched = True
            self._changed.notify_all()

    def absent(self, sop_instance_uids: Set[str]) -> frozenset[str]:
        """Those of them that aren't here yet."""
        with self._changed:
            return frozenset(sop_instance_uids - self._here)

    def lacks(self) -> int:
        """How many are not here yet; 0 while nothing is expected."""
        with self._changed:
            return self._lacking()

    def may_land(self) -> bool:
        """True once, when fetching is over and nothing that came is still being stored."""
        with self._changed:
            if self._landed.is_set() or not self._fetched:
                return False
            if not self._here <= self._stored | self._refused:
                return False
            self._landed.set()
            return True

    @property
    def error(self) -> FarsightError | None:
        with self._changed:
            return self._error

    @property
    def stop_error(self) -> ArchiveError | ClientGone | None:
        """Why nothing more is to be fetched, if that is so: it can't be stored, or nobody waits."""
        error = self.error
        return error if isinstance(error, ArchiveError | ClientGone) else None

    @property
    def expected(self) -> Expected | None:
        with self._changed:
            return self._expected

    def stored_count(self) -> int:
        with self._changed:
            return len(self._stored)

    def wait_expected(self, timeout_s: float, presence: Presence) -> Expected | None:
        """What is expected, once that is known; None where it never will be, or isn't listed.

        Raises: ClientGone when who waits here has left.
        """
        self._wait(lambda: self._expected is not None or self._over(), timeout_s, presence)
        with self._changed:
            named = self._expected is not None and self._expected.listed
            return self._expected if named and self._error is None else None

    def wait_all_here(self, timeout_s: float, presence: Presence) -> bool:
        """Until every expected instance is here or an error ends it. False: time is over.

        Raises: ClientGone when who waits here has left.
        """
        return self._wait(self._over, timeout_s, presence)

    def _wait(self, until: Callable[[], bool], timeout_s: float, presence: Presence) -> bool:
        deadline = time.monotonic() + timeout_s
        presence.when_gone(self.wake)
        with self._changed:
            while not until():
                if presence.gone:
                    raise ClientGone("the client has left")
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return False
                self._changed.wait(remaining)
            return True

    def _tell_if_over(self) -> None:
        """Whoever waits isn't woken for every instance: that costs each of them the interpreter."""
        if self._over():
            self._changed.notify_all()

    def _over(self) -> bool:
        if self._error is not None or self._fetched:
            return True
        if self._expected is None or not self._expected.listed:
            return False  # so many may be here, and another PACS still have more
        return self._lacking() == 0

    def _lacking(self) -> int:
        """Kept up as instances arrive: it is asked for at every one of them."""
        if self._expected is None or self._expected.listed:
            return len(self._missing)
        return max(0, self._expected.count - len(self._here))

    def progress(self) -> dict[str, object]:
        """For GET /farsight/retrieves. rate: bytes per second since it began."""
        with self._changed:
            age_s = time.time() - self.started_at
            return {
                "study": self.series.study_instance_uid,
                "series": self.series.series_instance_uid,
                "source": self.source,
                "expected": None if self._expected is None else self._expected.count,
                "received": len(self._here),
                "stored": len(self._stored),
                "sub_operations": _as_told(self._told),
                "bytes": self._received_bytes,
                "rate": round(self._received_bytes / max(age_s, 0.001)),
                "age_s": round(age_s, 3),
                "state": self._state(),
                "wanted_by": "client" if self._waiting or not self._kept else "prefetch",
                "error": None if self._error is None else str(self._error),
            }

    def _state(self) -> str:
        if self._error is not None:
            return "failed"
        if self._fetched:
            return "storing"
        return "queued" if self._expected is None else "retrieving"


def _as_told(sub_operations: SubOperations | None) -> dict[str, int | None] | None:
    if sub_operations is None:
        return None
    return {
        "remaining": sub_operations.remaining,
        "completed": sub_operations.completed,
        "failed": sub_operations.failed,
        "warning": sub_operations.warning,
    }
