"""Ten thousand things that happen to an archive, crashes among them: the account stays true, and
what only we have is never evicted.

Others store and delete behind our back, and we hear of it late, or never where we crash first.
"""

from __future__ import annotations

import random
import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Collection
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from booked import Clock, resource
from fakes.memory_archive import MemoryArchive
from fakes.series_source import part10
from farsight.adapters.sqlite_cache_book import SqliteCacheBook
from farsight.errors import ArchiveFull, Conflict, NotFound
from farsight.model import Arrival, InstanceRef, Origin
from farsight.services.bookkeeping import Bookkeeping
from farsight.services.eviction import Evictor
from farsight.services.eviction_statistics import EvictionLimits
from farsight.services.pacs_senders import PacsSenders
from farsight.services.reading import InUse
from farsight.services.series_locks import SeriesLocks
from sample_files import ct_slice, instance_uid, series_uid, study_uid

REFS = [
    InstanceRef(study_uid(study), series_uid(series, study), instance_uid(n, series, study))
    for study in (1, 2, 3)
    for series in (1, 2, 3, 4)
    for n in (1, 2, 3, 4)
]
OURS, CLIENT = Origin("plugin"), Origin("rest")
PACS, MODALITY = Origin("dicom", "PACS"), Origin("dicom", "CT")


@cache
def content(of: InstanceRef, edition: int = 0) -> bytes:
    study, series, number = (int(part) for part in of.sop_instance_uid.split(".")[-3:])
    made = ct_slice(number, series=series, study=study, size=8)
    made.ImageComments = "x" * 100 * edition
    return part10(made)


class Crash(BaseException):
    """The process ends here."""


class Fragile:
    """Everything the process does to book and archive; it may end before or after each of them."""

    def __init__(self, of: object, site: Site, steps: Collection[str]) -> None:
        self._of, self._site, self._steps = of, site, steps

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._of, name)
        if name not in self._steps:
            return found

        def step(*arguments: Any, **named: Any) -> Any:
            self._site.burn()
            result = found(*arguments, **named)
            self._site.burn()
            return result

        return step


class Site:
    """data: what nobody else has, by the truth. origins: of what is in the archive."""

    def __init__(self, path: Path, chance: random.Random) -> None:
        self.path, self.chance = path, chance
        self.clock = Clock()
        self.archive = MemoryArchive()
        self.archive.capacity_bytes = 60_000
        self.data: set[InstanceRef] = set()
        self.origins: dict[InstanceRef, Origin] = {}
        self.sent_on: set[InstanceRef] = set()
        self.events: deque[tuple[str, InstanceRef]] = deque()
        self.latest: deque[InstanceRef] = deque(maxlen=100)
        self.fuse = 0
        self.counts: Counter[str] = Counter()
        self.start()

    def start(self) -> None:
        self.real_book = SqliteCacheBook(self.path, self.clock)
        book_steps = ("expect", "claim", "stored", "gone", "confirmed", "caught_up")
        book: Any = Fragile(self.real_book, self, book_steps)
        archive: Any = Fragile(self, self, ("store", "delete"))
        self.book, self.locks = book, SeriesLocks()
        self.in_use = InUse(book, self.clock)
        self.kept = Bookkeeping(book, self.locks, PacsSenders({"PACS": "pacs"}), self._send_on)
        limits = EvictionLimits(40_000, 900.0, 15_000, reserve_bytes=2_000)
        self.evictor = Evictor(
            book, archive, self.in_use.is_read, limits, self.locks, self.follow, self.clock
        )
        self.files = archive

    def _send_on(self, arrival: Arrival) -> None:
        self.burn()
        self.sent_on.add(arrival.ref)

    def burn(self) -> None:
        if self.fuse:
            self.fuse -= 1
            if not self.fuse:
                raise Crash

    # ---- the archive, as the services see it

    def __getattr__(self, name: str) -> Any:
        return getattr(self.archive, name)

    def store(self, of: InstanceRef, data: bytes) -> bool:
        return self.archive.store(of, data)

    def delete(self, refs: Collection[InstanceRef]) -> None:
        """By eviction only."""
        lost = self.data & set(refs)
        assert not lost, "data was evicted"
        for of in refs:
            self.archive.delete([of])
            self.origins.pop(of, None)
            self.events.append(("departed", of))
            self.counts["evicted"] += 1
            self.burn()

    def describe(self, resource_id: str) -> Arrival | None:
        of = next((one for one in self.archive.stored if resource(one) == resource_id), None)
        return None if of is None else self.arrival(of, self.origins[of])

    def arrival(self, of: InstanceRef, origin: Origin | None) -> Arrival:
        return Arrival(of, resource(of), len(self.archive.stored[of]), origin=origin)

    def follow(self, _timeout_s: float = 0.0) -> bool:
        """Every event so far; the archive tells of a departure only where it is gone now."""
        while self.events:
            kind, of = self.events.popleft()
            there = of in self.archive.stored
            if kind == "departed" and not there:
                self.kept.departed([resource(of)])
            elif kind == "arrived" and there and self.origins[of] is not OURS:
                self.kept.arrived(self.arrival(of, self.origins[of]))
        return True

    # ---- what happens

    def one(self) -> InstanceRef:
        return self.chance.choice(REFS)

    def stored_one(self) -> InstanceRef | None:
        return self.chance.choice(list(self.archive.stored)) if self.archive.stored else None

    def fetch(self) -> None:
        of = self.one()
        if of in self.archive.stored:
            return
        self.book.expect(of, len(content(of)), "pacs")
        self.put(of, OURS, self.files.store)
        self.kept.arrived(self.arrival(of, None))

    def put(self, of: InstanceRef, origin: Origin, store: Callable[..., bool]) -> bool:
        self.origins.setdefault(of, origin)
        self.latest.append(of)
        try:
            return store(of, content(of))
        finally:
            if of not in self.archive.stored:
                del self.origins[of]

    def client_stores(self) -> None:
        of = self.one()
        if of in self.archive.stored or not self.evictor.make_room(len(content(of))):
            return
        self.book.claim([of])
        with self.locks.of(of.series):
            self.data.add(of)
            self.put(of, OURS, self.files.store)
        self.kept.arrived(self.arrival(of, None))

    def client_replaces(self) -> None:
        if (of := self.stored_one()) is None:
            return
        with self.locks.of(of.series):
            self.book.claim([of])
            self.data.add(of)
            self.archive.replace(of, content(of, self.chance.randrange(4)))
            self.origins[of] = OURS
        self.kept.arrived(self.arrival(of, None))

    def others_store(self) -> None:
        of, origin = self.one(), self.chance.choice([PACS, MODALITY, CLIENT])
        if of in self.archive.stored:
            return
        if origin is not PACS:
            self.data.add(of)
        self.put(of, origin, self.archive.store)
        self.events.append(("arrived", of))

    def others_delete(self) -> None:
        if (of := self.stored_one()) is not None:
            self.archive.delete([of])
            self.data.discard(of)
            del self.origins[of]
            self.events.append(("departed", of))

    def confirm(self) -> None:
        if (of := self.stored_one()) is not None:
            self.data.discard(of)
            with self.locks.of(of.series):
                self.book.confirmed([of], "pacs")

    def read(self) -> None:
        with self.in_use.reading(self.one().series):
            self.evictor.keep_to_limits()

    def evict_study(self) -> None:
        with suppress(NotFound, Conflict):
            self.evictor.evict_study(self.one().study_instance_uid)

    def restart(self) -> None:
        self.follow()
        self.real_book.close()
        self.start()
        self.reconcile()

    def reconcile(self) -> None:
        latest = () if self.real_book.ended_well else [resource(of) for of in self.latest]
        listing = [resource(of) for of in self.archive.stored]
        self.kept.reconcile(listing, self.describe, latest)

    def crash(self) -> None:
        """What was in memory is lost: events that were not followed, too."""
        self.fuse = 0
        self.events.clear()
        self.data &= set(self.archive.stored)
        self.real_book.close()
        with closing(sqlite3.connect(self.path, isolation_level=None)) as database:
            database.execute("DELETE FROM event WHERE name = 'closed'")
        self.start()
        self.reconcile()
        self.check()

    def check(self) -> None:
        totals = self.real_book.totals()
        sizes = {of: len(data) for of, data in self.archive.stored.items()}
        assert (totals.instances, totals.size_bytes) == (len(sizes), sum(sizes.values()))
        assert totals.series == len({of.series for of in sizes})
        unheld = set()
        for series in {of.series for of in sizes}:
            unheld |= {one.ref for one in self.real_book.instances(series) if not one.held_by}
        assert self.data & set(sizes) <= unheld
        assert totals.unconfirmed_instances == len(unheld)
        assert {of for of in self.data if self.origins[of] is MODALITY} <= self.sent_on


@pytest.mark.parametrize("seed", range(4))
def test_the_account_stays_true_and_no_data_is_evicted(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    site = Site(tmp_path / "book.db", chance)
    happenings: dict[Callable[[Site], None], int] = {
        Site.fetch: 40,
        Site.client_stores: 8,
        Site.client_replaces: 2,
        Site.others_store: 10,
        Site.others_delete: 4,
        Site.confirm: 12,
        Site.read: 9,
        Site.evict_study: 1,
        Site.follow: 8,
        Site.restart: 1,
    }
    site.reconcile()
    for _ in range(2600):
        site.clock.now += chance.choice([0.1, 1.0, 20.0])
        (happening,) = chance.choices(list(happenings), list(happenings.values()))
        site.fuse = chance.choice([0] * 30 + list(range(1, 12)))
        try:
            happening(site)
            site.fuse = 0
        except ArchiveFull:
            site.fuse = 0
            site.data &= set(site.archive.stored)
        except Crash:
            site.counts["crashes"] += 1
            site.crash()
        if chance.random() < 0.02:
            site.follow()
            site.check()
    site.follow()
    site.check()
    site.real_book.close()
    assert min(site.counts["evicted"] // 2, site.counts["crashes"]) > 50
