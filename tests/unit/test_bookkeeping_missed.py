"""What could not be booked when it was told is booked once it can be."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from booked import OTHER, ref, resource
from fakes.scripted_pacs import wait_until
from farsight.adapters.sqlite_cache_book import SqliteCacheBook
from farsight.errors import CacheBookError, OutboxError
from farsight.model import Arrival, InstanceRef, Origin
from farsight.services import bookkeeping
from farsight.services.bookkeeping import Bookkeeping
from farsight.services.pacs_senders import PacsSenders
from farsight.services.series_locks import SeriesLocks

CLIENT, MODALITY = Origin("rest"), Origin("dicom", "CT")


class FullDisk(SqliteCacheBook):
    """Nothing can be noted down while `full`."""

    full = False

    def stored(self, ref: InstanceRef, resource_id: str, size_bytes: int) -> None:
        self._check()
        super().stored(ref, resource_id, size_bytes)

    def gone(self, resource_ids: Collection[str]) -> None:
        self._check()
        super().gone(resource_ids)

    def _check(self) -> None:
        if self.full:
            raise CacheBookError("the disk is full")


class Site:
    """What the archive has, and its account."""

    def __init__(self, path: Path) -> None:
        self.book = FullDisk(path)
        self.here: dict[str, Arrival] = {}
        self.sent_on: list[InstanceRef] = []
        self.outbox_is_full = False
        self.kept = Bookkeeping(self.book, SeriesLocks(), PacsSenders({}), self._send_on)
        self.listed = 0

    def _send_on(self, arrival: Arrival) -> None:
        if self.outbox_is_full:
            raise OutboxError("the disk is full")
        self.sent_on.append(arrival.ref)

    def start(self) -> None:
        self.kept.start(self._listing, self.here.get)
        wait_until(lambda: not self.book.is_new, what="the first reconciliation")

    def _listing(self) -> list[str]:
        self.listed += 1
        return list(self.here)

    def add(self, number: int, origin: Origin) -> Arrival:
        of = ref(number, OTHER)
        arrival = self.here[resource(of)] = Arrival(of, resource(of), 10, origin=origin)
        return arrival

    def close(self) -> None:
        self.kept.close(5)
        self.book.close()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(bookkeeping, "_PAUSE_S", 0.02)
    return Site(tmp_path / "cache.sqlite")


def test_what_came_and_what_went(site: Site) -> None:
    first = site.add(1, CLIENT)
    site.start()
    assert site.book.totals().instances == 1
    site.book.full = True
    with pytest.raises(CacheBookError):
        site.kept.arrived(site.add(2, MODALITY))
    del site.here[first.resource_id]
    with pytest.raises(CacheBookError):
        site.kept.departed([first.resource_id])
    seen = site.listed
    wait_until(lambda: site.listed > seen + 2, what="more attempts")
    assert site.book.resource_ids() == {first.resource_id}
    site.book.full = False
    wait_until(lambda: site.book.resource_ids() == set(site.here), what="the true account")
    assert site.book.totals().unconfirmed_instances == 1
    site.close()
    assert set(site.sent_on) == {ref(2, OTHER)}


def test_what_was_to_be_sent_on(site: Site) -> None:
    """A modality was told that it is stored: it goes on, though late."""
    site.start()
    site.outbox_is_full = True
    with pytest.raises(OutboxError):
        site.kept.arrived(site.add(1, MODALITY))
    assert site.book.totals().instances == 0
    site.outbox_is_full = False
    wait_until(lambda: site.book.totals().instances == 1, what="the true account")
    site.close()
    assert site.sent_on == [ref(1, OTHER)]


def test_nothing_is_listed_again_without_need(site: Site) -> None:
    site.start()
    site.kept.arrived(site.add(1, CLIENT))
    site.kept.departed([resource(ref(1, OTHER))])
    site.close()
    assert site.listed == 1
