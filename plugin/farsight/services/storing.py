"""Storing what clients send: nothing accepted is lost, nothing that is here is overwritten unasked.

Laws:
- What is acknowledged is durable: in the archive, and in the outbox where it has to go to a PACS.
- Before an instance is stored it is claimed in the book: until a PACS is known to hold it, it is
  data. Before that it is announced in the outbox: a crash between the two loses nothing.
- What is there under a name is looked at, or replaced, under the lock of its series: nobody evicts
  or confirms it meanwhile. What is new needs none: it isn't booked as held by anybody.
- Of two contents under one name at most one is stored; which, is a setting.
- A study is of one patient: of two who send it under several, one waits for the other.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from farsight.errors import ArchiveError, FarsightError, NotFound
from farsight.model import InstanceRef, SeriesRef
from farsight.ports.archive import Archive
from farsight.ports.cache_book import CacheBook
from farsight.ports.outbox import Consignment, Outbox
from farsight.ps318.store_reasons import FailureReason, WarningReason
from farsight.services.names_taken import NamesTaken
from farsight.services.offers import Offer, Refusal, is_of_another, same_content, same_content_sent
from farsight.services.parallel import Outcome, run_all
from farsight.services.series_locks import SeriesLocks

LOG = logging.getLogger("farsight.storing")
_LONGEST_S = 24 * 3600.0


class Duplicates(Enum):
    """What becomes of an instance whose name is taken by another content."""

    REJECT = "reject"
    KEEP = "keep"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class StorePolicy:
    """destinations: names of the PACS that all of it goes to."""

    destinations: tuple[str, ...] = ()
    duplicates: Duplicates = Duplicates.REJECT
    threads: int = 2


@dataclass(frozen=True, slots=True)
class Kept:
    """One that is here, durable. warning: as PS3.18 table I.2-1 has them; None for none."""

    offer: Offer
    warning: WarningReason | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class StoreHooks:
    """stored: told of every instance that is new or has another content here.

    room: makes room for so many bytes, False where it can't.
    """

    stored: Callable[[InstanceRef], None]
    room: Callable[[int], bool]


class _Step(Enum):
    STORE = 1
    REPLACE = 2
    SAME = 3
    KEEP_OTHER = 4


class StoringService:
    """Thread-safe; calls block."""

    def __init__(
        self,
        archive: Archive,
        book: CacheBook,
        outbox: Outbox,
        locks: SeriesLocks,
        policy: StorePolicy,
        hooks: StoreHooks,
        names: NamesTaken | None = None,
    ) -> None:
        """`names`: shared with whoever else stores."""
        self._archive = archive
        self._book = book
        self._outbox = outbox
        self._locks = locks
        self._policy = policy
        self._hooks = hooks
        self._names = names or NamesTaken()
        self._counting = threading.Lock()
        self._counts = Counter(stored=0, refused=0)

    def store(self, offers: Sequence[Offer]) -> list[Kept | Refusal]:
        """What became of each, in their order.

        Raises: OutboxError, CacheBookError: then none of them is acknowledged.
        """
        if not self._hooks.room(sum(offer.part.size for offer in offers)):
            why = "there is no room left to store this"
            return [offer.refused(FailureReason.OUT_OF_RESOURCES, why) for offer in offers]
        names = {offer.ref.sop_instance_uid for offer in offers}
        with self._names.holding(names, _patients(offers)):
            return self._carried_out(offers, self._decided(offers))

    def count(self, *, stored: int, refused: int) -> None:
        """What became of a message, as its sender is told."""
        with self._counting:
            self._counts.update(stored=stored, refused=refused)

    def counts(self) -> Mapping[str, int]:
        """Since the start: "stored" and "refused" instances."""
        with self._counting:
            return dict(self._counts)

    # ---- deciding

    def _decided(self, offers: Sequence[Offer]) -> list[_Step | Refusal]:
        """One by one: what comes earlier in a message counts for what comes later."""
        here: dict[str, tuple[Offer, _Step]] = {}
        patients: dict[str, frozenset[str]] = {}
        return [self._decide(offer, here, patients) for offer in offers]

    def _decide(
        self,
        offer: Offer,
        here: dict[str, tuple[Offer, _Step]],
        patients: dict[str, frozenset[str]],
    ) -> _Step | Refusal:
        study, name = offer.ref.study_instance_uid, offer.ref.sop_instance_uid
        try:
            if (earlier := here.get(name)) is not None:
                return self._again(offer, *earlier)
            if study not in patients:
                patients[study] = self._archive.patient_ids(study)
            if is_of_another(offer, patients[study]):
                why = f"study {study} belongs to another patient here"
                return offer.refused(FailureReason.PROCESSING_FAILURE, why)
            step = self._beside(offer, self._archive.named(name))
        except ArchiveError as error:
            return _failed(offer, error)
        if isinstance(step, _Step):
            here[name] = offer, step
            patients[study] |= {offer.patient_id}
        return step

    def _again(self, offer: Offer, earlier: Offer, step: _Step) -> _Step | Refusal:
        """One of the same name came before it in the same message: they share what becomes."""
        if offer.ref == earlier.ref and same_content_sent(offer, earlier):
            return step
        why = "another instance of this name is in the same message"
        return offer.refused(FailureReason.DUPLICATE_INSTANCE, why)

    def _beside(self, offer: Offer, named: Collection[InstanceRef]) -> _Step | Refusal:
        """`named`: what has its name here. Raises: ArchiveError."""
        if not named:
            return _Step.STORE
        if offer.ref in named and len(named) == 1:
            try:
                if same_content(offer, self._archive.open(offer.ref)):
                    return _Step.SAME
            except NotFound:
                return _Step.STORE  # deleted meanwhile
            if self._policy.duplicates is Duplicates.REPLACE:
                return _Step.REPLACE
            if self._policy.duplicates is Duplicates.KEEP:
                return _Step.KEEP_OTHER
            why = "an instance of this name, with another content, is stored"
        else:
            other = next(ref for ref in named if ref != offer.ref)
            why = f"an instance of this name is stored in series {other.series_instance_uid}"
        return offer.refused(FailureReason.DUPLICATE_INSTANCE, why)

    # ---- carrying out

    def _carried_out(
        self, offers: Sequence[Offer], steps: Sequence[_Step | Refusal]
    ) -> list[Kept | Refusal]:
        numbers = self._announced(offers, steps)
        self._book.claim(
            {
                offer.ref
                for offer, step in zip(offers, steps, strict=True)
                if step in (_Step.STORE, _Step.REPLACE) or offer.ref in numbers
            }
        )
        jobs = [
            lambda offer=offer, step=step: self._carry_out(offer, step)
            for offer, step in zip(offers, steps, strict=True)
        ]
        outcomes = _all_of(jobs, self._policy.threads)
        fates = [
            outcome.value or _failed(offer, outcome.error)
            for offer, outcome in zip(offers, outcomes, strict=True)
        ]
        self._settle(offers, fates, numbers)
        return fates

    def _announced(
        self, offers: Sequence[Offer], steps: Sequence[_Step | Refusal]
    ) -> Mapping[InstanceRef, list[int]]:
        """Numbers of the parcels of each; none for what a PACS is known to hold already."""
        consignments: list[Consignment] = []
        held: dict[SeriesRef, dict[InstanceRef, str]] = {}
        for offer, step in zip(offers, steps, strict=True):
            if step not in (_Step.STORE, _Step.REPLACE, _Step.SAME):
                continue
            if (series := offer.ref.series) not in held and step is _Step.SAME:
                held[series] = {b.ref: b.held_by for b in self._book.instances(series)}
            by = held.get(series, {}).get(offer.ref, "") if step is _Step.SAME else ""
            consignments += [
                Consignment(to, offer.ref, offer.sop_class_uid, offer.transfer_syntax_uid)
                for to in self._policy.destinations
                if to != by
            ]
        unique = list({(c.destination, c.ref): c for c in consignments}.values())
        numbers: dict[InstanceRef, list[int]] = {}
        announced = self._outbox.announce(unique) if unique else ()
        for consignment, number in zip(unique, announced, strict=True):
            numbers.setdefault(consignment.ref, []).append(number)
        return numbers

    def _carry_out(self, offer: Offer, step: _Step | Refusal) -> Kept | Refusal:
        if isinstance(step, Refusal):
            return step
        if step is _Step.KEEP_OTHER:
            why = "an instance of this name, with another content, is stored, and stays"
            return Kept(offer, WarningReason.ELEMENTS_DISCARDED, why)
        if step is _Step.STORE:
            return self._stored(offer)
        with self._locks.of(offer.ref.series):
            if step is _Step.SAME and self._archive.holds(offer.ref):
                return Kept(offer)
            # Claimed again: whoever confirms has this lock, and may have looked at what was there.
            self._book.claim((offer.ref,))
            return self._stored(offer)

    def _stored(self, offer: Offer) -> Kept | Refusal:
        is_new = self._archive.store(offer.ref, offer.part.whole())
        if not is_new and not same_content(offer, self._archive.open(offer.ref)):
            why = "an instance of this name, with another content, was stored just now"
            return offer.refused(FailureReason.DUPLICATE_INSTANCE, why)
        self._hooks.stored(offer.ref)
        return Kept(offer)

    def _settle(
        self,
        offers: Sequence[Offer],
        fates: Sequence[Kept | Refusal],
        numbers: Mapping[InstanceRef, list[int]],
    ) -> None:
        """What is here is promised; of what isn't nobody is told that it is."""
        kept = {fate.offer.ref for fate in fates if isinstance(fate, Kept)}
        promised = [number for ref in kept for number in numbers.get(ref, ())]
        lost = {offer.ref for offer in offers} - kept
        withdrawn = [number for ref in lost for number in numbers.get(ref, ())]
        if promised:
            self._outbox.promise(sorted(promised))
        if withdrawn:
            self._outbox.withdraw(withdrawn)


def _patients(offers: Sequence[Offer]) -> dict[str, set[str]]:
    """StudyInstanceUID -> the PatientIDs it is sent with."""
    patients: dict[str, set[str]] = {}
    for offer in offers:
        patients.setdefault(offer.ref.study_instance_uid, set()).add(offer.patient_id)
    return patients


def _all_of(
    jobs: Sequence[Callable[[], Kept | Refusal]], threads: int
) -> Sequence[Outcome[Kept | Refusal]]:
    """The outcomes in the order of the jobs; one alone is done here."""
    if len(jobs) != 1:
        return run_all(jobs, max_threads=threads, timeout_s=_LONGEST_S)
    try:
        return [Outcome(jobs[0]())]
    except FarsightError as error:
        return [Outcome(error=error)]


def _failed(offer: Offer, error: FarsightError | None) -> Refusal:
    LOG.error("instance %s was not stored: %s", offer.ref.sop_instance_uid, error)
    return offer.failed(error)
