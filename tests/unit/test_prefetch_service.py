"""Prefetch over the retrieve service: idempotent, behind what is asked for, told of afterwards."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from fakes.retrieving import retrieving
from fakes.scripted_pacs import wait_until
from fakes.series_source import MemoryArchive, SeriesSource
from farsight.errors import PacsUnavailable
from farsight.model import SeriesRef
from farsight.services.holdings import RetrieveLimits
from farsight.services.memory_tier import MemoryTier
from farsight.services.persist import Persister
from farsight.services.prefetch import PrefetchOutcome, PrefetchService
from farsight.services.presence import ClientGone, Presence
from farsight.services.retrieve import RetrieveService
from sample_files import ct_slice, instance_uid, series_uid, study_uid

SERIES = 3
SLICES = 2

Serve = Callable[..., RetrieveService]


def series(number: int) -> SeriesRef:
    return SeriesRef(study_uid(), series_uid(number))


@pytest.fixture
def source() -> SeriesSource:
    """A study of three series, two instances each."""
    numbers = [(s, n) for s in range(1, SERIES + 1) for n in range(1, SLICES + 1)]
    return SeriesSource([ct_slice(n, series=s, size=8) for s, n in numbers])


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


@pytest.fixture
def serve(archive: MemoryArchive) -> Iterator[Serve]:
    made: list[tuple[RetrieveService, Persister]] = []

    def start(*sources: SeriesSource) -> RetrieveService:
        tier = MemoryTier(64 << 20)
        limits = RetrieveLimits(passes=2, backoff_s=0.001, wait_s=20)
        service, persister = retrieving(sources, archive, tier, limits)
        made.append((service, persister))
        return service

    yield start
    for service, persister in made:
        service.close()
        persister.close(5)


def prefetch(service: RetrieveService) -> PrefetchOutcome:
    return PrefetchService(service).prefetch([study_uid()])[study_uid()]


def landed(service: RetrieveService) -> None:
    wait_until(lambda: not service.progress(), what="the end of all retrieves")


def retrieved(source: SeriesSource) -> list[str | None]:
    return [asked.series_instance_uid for asked in source.retrieved]


def test_what_is_here_is_skipped(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    service = serve(source)
    service.ensure_series(series(2), Presence())
    landed(service)
    assert prefetch(service) == PrefetchOutcome(series=3, complete=1, queued=2)
    landed(service)
    assert set(archive.records) == {series(1), series(2), series(3)}
    assert prefetch(service) == PrefetchOutcome(series=3, complete=3, queued=0)
    assert sorted(map(str, retrieved(source))) == [series_uid(1), series_uid(2), series_uid(3)]


def test_what_is_under_way_is_not_begun_again(serve: Serve, source: SeriesSource) -> None:
    source.gate = threading.Event()
    service = serve(source)
    for _ in range(3):
        assert prefetch(service) == PrefetchOutcome(series=3, complete=0, queued=3)
    assert len(service.progress()) == 3
    source.gate.set()
    landed(service)
    assert len(source.retrieved) == 3


def test_one_series_ahead_at_a_time_and_what_is_asked_for_moves_up(
    serve: Serve, source: SeriesSource
) -> None:
    source.gate = threading.Event()
    service = serve(source)
    prefetch(service)
    wait_until(lambda: source.retrieved, what="the first series ahead")
    first = retrieved(source)[0]
    waiting = [one for one in service.progress() if one["series"] != first]
    assert [one["state"] for one in waiting] == ["queued", "queued"]
    assert {one["wanted_by"] for one in service.progress()} == {"prefetch"}
    last = str(waiting[-1]["series"])
    with ThreadPoolExecutor(1) as threads:
        client = threads.submit(service.ensure_series, SeriesRef(study_uid(), last), Presence())
        wait_until(lambda: len(source.retrieved) == 2, what="the series a client waits for")
        assert retrieved(source)[1] == last
        by_series = {one["series"]: one["wanted_by"] for one in service.progress()}
        assert by_series[last] == "client"
        source.gate.set()
        assert len(client.result(20).sop_instance_uids) == SLICES
    landed(service)
    assert len(source.retrieved) == 3


def test_a_client_that_leaves_does_not_end_what_prefetch_wants(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    source.gate = threading.Event()
    service = serve(source)
    prefetch(service)
    client = Presence()
    client.leave()
    with pytest.raises(ClientGone):
        service.ensure_series(series(3), client)
    source.gate.set()
    landed(service)
    assert series(3) in archive.records
    assert {one["state"] for one in service.ended()} == {"complete"}


def test_a_study_that_fails_does_not_hinder_others(serve: Serve, source: SeriesSource) -> None:
    service = serve(source)
    told = PrefetchService(service).prefetch(["1.2.3", study_uid(), study_uid()])
    assert list(told) == ["1.2.3", study_uid()]
    assert "unknown here and at every PACS" in str(told["1.2.3"].error)
    assert told[study_uid()].queued == 3
    landed(service)


def test_a_pacs_that_is_down(serve: Serve, source: SeriesSource) -> None:
    source.failure = PacsUnavailable("pacs", "no connection")
    service = serve(source)
    assert prefetch(service) == PrefetchOutcome(error="PACS 'pacs': no connection")
    assert service.progress() == []


def test_what_is_here_without_a_pacs_is_not_called_complete(
    serve: Serve, source: SeriesSource
) -> None:
    source.omits = {instance_uid(1, 1): math.inf}
    with_pacs = serve(source)
    prefetch(with_pacs)
    landed(with_pacs)
    told = prefetch(serve())
    assert told == PrefetchOutcome(error="no PACS is configured")
    source.omits = {}
    prefetch(with_pacs)
    landed(with_pacs)
    assert prefetch(serve()) == PrefetchOutcome(series=3, complete=3, queued=0)


def test_those_that_ended_are_told_newest_first(serve: Serve, source: SeriesSource) -> None:
    service = serve(source)
    for number in (2, 1, 3):
        service.ensure_series(series(number), Presence())
        landed(service)
    ended = service.ended()
    assert [one["series"] for one in ended] == [series_uid(3), series_uid(1), series_uid(2)]
    assert {one["wanted_by"] for one in ended} == {"client"}
    assert all(one["received"] == one["stored"] == one["expected"] == SLICES for one in ended)


def test_a_hundred_that_ended_are_remembered(serve: Serve) -> None:
    source = SeriesSource([ct_slice(1, series=number, size=8) for number in range(1, 105)])
    service = serve(source)
    prefetch(service)
    landed(service)
    assert len(service.ended()) == 100
    assert service.statistics.totals().series == {("pacs", "complete"): 104}


def test_counts_are_by_pacs_and_outcome(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    source.omits = {instance_uid(1, 1): math.inf}
    archive.room = 3
    service = serve(source)
    prefetch(service)
    landed(service)
    totals = service.statistics.totals()
    assert sum(totals.series.values()) == 3
    assert totals.stored == 3
    assert totals.storing_failures == archive.refusals > 0
    assert totals.received_bytes["pacs"] > totals.instances["pacs"] > 0


def test_a_pacs_that_goes_down_before_it_lists_is_counted_by_name(
    serve: Serve, source: SeriesSource
) -> None:
    source.failure = PacsUnavailable("pacs", "no connection")
    service = serve(source)
    with pytest.raises(PacsUnavailable):
        service.ensure_series(series(1), Presence())
    landed(service)
    assert service.statistics.totals().series == {("pacs", "failed"): 1}
