"""Everything around sending on, in memory; time passes when it is told to."""

from __future__ import annotations

from collections.abc import Sequence

from fakes.outbox import MemoryOutbox
from fakes.receiving import Book, Clock, ReceivingPacs, StoredHere
from farsight.model import InstanceRef
from farsight.ports.commitment import Commitments
from farsight.ports.outbox import Consignment, Outbox, Parcel, Stage
from farsight.services.claiming_outbox import ClaimingOutbox
from farsight.services.forward_limits import ConfirmBy, ForwardLimits
from farsight.services.forwarding import Forwarder

MOST_STEPS = 2000


class Exact(ForwardLimits):
    """Nothing is left to chance."""

    def backoff_s(self, failures: int) -> float:
        return min(self.retry_s * 2.0 ** (failures - 1), self.longest_retry_s)


LIMITS = Exact(retry_s=5, longest_retry_s=600, attempts=3, confirm_tries=2)


def ref(study: int, instance: int) -> InstanceRef:
    return InstanceRef(f"1.{study}", f"1.{study}.1", f"1.{study}.1.{instance}")


def uids(study: int, *instances: int) -> list[str]:
    return [ref(study, instance).sop_instance_uid for instance in instances]


class Site:
    """One outbox, book and archive; its process may be started anew."""

    def __init__(
        self,
        *pacs: ReceivingPacs,
        outbox: Outbox | None = None,
        commitments: Commitments | None = None,
        by: ConfirmBy = ConfirmBy.AUTO,
        limits: ForwardLimits = LIMITS,
    ) -> None:
        self.pacs = {one.name: one for one in pacs or (ReceivingPacs(),)}
        self.outbox = outbox or MemoryOutbox()
        self.book = Book()
        self.archive = StoredHere()
        self.clock = Clock()
        self.limits = limits
        self._commitments = commitments
        self._by = by
        self.restart()

    def restart(self) -> None:
        self.entrance = ClaimingOutbox(self.outbox, self.book)  # type: ignore[arg-type]
        self.forwarder = Forwarder(
            self.entrance,
            self.pacs,  # type: ignore[arg-type]
            self.archive.outgoing,
            commitments=self._commitments,
            confirm_by=dict.fromkeys(self.pacs, self._by),
            limits=self.limits,
            clock=self.clock,
        )
        self.forwarder.recover(self.archive)  # type: ignore[arg-type]

    def enter(
        self, study: int, *instances: int, to: str = "pacs", content: bytes = b"first"
    ) -> list[int]:
        """Stored and promised, as a client's request is."""
        refs = [ref(study, instance) for instance in instances]
        sop_class = "1.2.840.10008.5.1.4.1.1.2"
        items = [Consignment(to, one, sop_class, "1.2.840.10008.1.2.1") for one in refs]
        numbers = list(self.entrance.announce(items))
        self.archive.content.update(dict.fromkeys(refs, content))
        self.entrance.promise(numbers)
        return numbers

    def work(self, name: str = "pacs") -> float | None:
        """All there is to do now; how long to wait then."""
        for _ in range(MOST_STEPS):
            wait_s = self.forwarder.couriers[name].work()
            if wait_s is None or wait_s > 0:
                return wait_s
        raise AssertionError("it goes round in circles")

    def pass_time(self, seconds: float, name: str = "pacs") -> None:
        """Works whenever there is something to do."""
        until = self.clock.now + seconds
        for _ in range(MOST_STEPS):
            wait_s = self.work(name)
            if wait_s is None or self.clock.now + wait_s > until:
                self.clock.now = until
                return
            self.clock.now += wait_s + 1e-6  # sums of times are not exact
        raise AssertionError("it goes round in circles")

    def stage(self, number: int) -> str:
        found = self.outbox.numbered([number])
        return str(found[0].stage) if found else "gone"

    def stages(self, numbers: Sequence[int]) -> list[str]:
        return [self.stage(number) for number in numbers]

    def parcel(self, number: int) -> Parcel:
        (found,) = self.outbox.numbered([number])
        return found

    def dead(self) -> list[str]:
        return [parcel.error for parcel in self.outbox.parcels(Stage.DEAD)]
