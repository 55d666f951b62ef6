"""One flight of a series for everyone who waits, in parts over a far line, and its end."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fakes.series_source import MemoryArchive, SeriesSource
from farsight.errors import PacsTimeout, PacsUnavailable, RetrieveInterrupted
from farsight.services.presence import ClientGone, Presence
from sample_files import instance_uid
from series_retrieval import (
    ALL,
    HERE,
    SERIES,
    SLICES,
    WHOLE,
    Serve,
    landed,
    only,
    ref,
    slices_at_pacs,
)


def test_one_flight_for_everyone(serve: Serve, source: SeriesSource) -> None:
    service = serve(source)
    source.gate = threading.Event()
    with ThreadPoolExecutor(20) as threads:
        waiting = [threads.submit(service.ensure_series, SERIES, HERE) for _ in range(20)]
        while not source.retrieved:
            time.sleep(0.002)
        source.gate.set()
        assert {future.result(20).sop_instance_uids for future in waiting} == {ALL}
    assert source.retrieved == [WHOLE]


def test_one_fetch_of_an_instance_for_everyone(serve: Serve, source: SeriesSource) -> None:
    service = serve(source)
    source.gate = threading.Event()
    with ThreadPoolExecutor(20) as threads:
        waiting = [threads.submit(service.reader.instance, ref(3)) for _ in range(20)]
        while not source.retrieved:
            time.sleep(0.002)
        source.gate.set()
        assert {future.result(20).sop_instance_uid for future in waiting} == {instance_uid(3)}
    assert source.retrieved == [only(3, urgent=True)]


def test_waiting_has_an_end(serve: Serve, source: SeriesSource) -> None:
    source.gate = threading.Event()
    service = serve(source, wait_s=0.5)
    with pytest.raises(PacsTimeout, match="'pacs'"):
        service.ensure_series(SERIES, HERE)
    source.gate.set()
    landed(service)
    assert service.ensure_series(SERIES, HERE).sop_instance_uids == ALL


# ---- clients that leave


def test_what_nobody_waits_for_is_fetched_no_further(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    client = Presence()

    def leave_after_two(number: int) -> None:
        if number == 2:
            client.leave()
            deadline = time.monotonic() + 10  # its thread notices by itself
            while not service.progress()[0]["error"]:
                assert time.monotonic() < deadline
                time.sleep(0.002)

    source.after_each = leave_after_two
    service = serve(source)
    with pytest.raises(ClientGone):
        service.ensure_series(SERIES, client)
    landed(service)
    assert len(archive.stored) == 2, "what came is kept, no more is taken"
    assert archive.records == {}
    source.after_each = None
    assert service.ensure_series(SERIES, HERE).sop_instance_uids == ALL
    assert source.retrieved[1:] == [only(3, 4, 5, 6)]


def test_others_who_wait_are_served(serve: Serve, source: SeriesSource) -> None:
    source.gate = threading.Event()
    service = serve(source)
    client = Presence()
    with ThreadPoolExecutor(2) as threads:
        leaving = threads.submit(service.ensure_series, SERIES, client)
        staying = threads.submit(service.ensure_series, SERIES, HERE)
        while not source.retrieved:
            time.sleep(0.002)
        client.leave()
        with pytest.raises(ClientGone):
            leaving.result(10)
        source.gate.set()
        assert staying.result(10).sop_instance_uids == ALL
    assert source.retrieved == [WHOLE]


def test_who_has_left_before_starts_nothing_that_stays(serve: Serve, source: SeriesSource) -> None:
    client = Presence()
    client.leave()
    service = serve(source)
    source.gate = threading.Event()
    with pytest.raises(ClientGone):
        service.ensure_series(SERIES, client)
    source.gate.set()
    landed(service)
    assert service.ensure_series(SERIES, HERE).sop_instance_uids == ALL


def test_leaving_after_all_is_here_changes_nothing(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    archive.slow = threading.Event()
    service = serve(source)
    client = Presence()
    assert service.ensure_series(SERIES, client).sop_instance_uids == ALL
    client.leave()
    archive.slow.set()
    landed(service)
    assert archive.records[SERIES].stored == SLICES


def test_anothers_leaving_does_not_concern_a_single_fetch(
    serve: Serve, source: SeriesSource
) -> None:
    source.gate = threading.Event()
    service = serve(source)
    client = Presence()
    with ThreadPoolExecutor(2) as threads:
        leaving = threads.submit(service.ensure_series, SERIES, client)
        while not source.retrieved:
            time.sleep(0.002)
        single = threads.submit(service.reader.instance, ref(2))
        while len(source.retrieved) < 2:
            time.sleep(0.002)
        client.leave()
        with pytest.raises(ClientGone):
            leaving.result(10)
        source.gate.set()
        assert single.result(10).sop_instance_uid == instance_uid(2)


# ---- parts over a far line

MANY = 100


@pytest.fixture
def far() -> SeriesSource:
    source = slices_at_pacs(MANY)
    source.at_once = 2
    return source


def test_a_far_series_comes_in_parts_at_once(
    serve: Serve, far: SeriesSource, archive: MemoryArchive
) -> None:
    both = threading.Barrier(2, timeout=10)
    first_two = iter([both.wait, both.wait])

    def meet(_number: int) -> None:
        next(first_two, lambda: 0)()

    far.after_each = meet
    service = serve(far)
    assert len(service.ensure_series(SERIES, HERE).sop_instance_uids) == MANY
    landed(service)
    assert archive.records[SERIES].stored == MANY
    assert sorted(len(asked.sop_instance_uids) for asked in far.retrieved) == [20, 40, 40]
    named = [uid for asked in far.retrieved for uid in asked.sop_instance_uids]
    assert len(set(named)) == len(named) == MANY, "each instance is asked for once"


def test_a_part_that_fails_is_asked_for_again_whole(serve: Serve, far: SeriesSource) -> None:
    far.fails_after, far.failure = 30, PacsUnavailable("pacs", "connection lost")

    def mend(number: int) -> None:
        if number == 30:
            far.fails_after = None

    far.after_each = mend
    service = serve(far)
    assert len(service.ensure_series(SERIES, HERE).sop_instance_uids) == MANY


def test_small_series_are_not_split(serve: Serve, source: SeriesSource) -> None:
    source.at_once = 2
    serve(source).ensure_series(SERIES, HERE)
    assert source.retrieved == [WHOLE]


# ---- interrupted


def test_an_interrupted_series_goes_on_at_once_with_the_rest(
    serve: Serve, source: SeriesSource
) -> None:
    def interrupt(number: int) -> None:
        if number == 1 and len(source.retrieved) <= 4:
            raise RetrieveInterrupted("pacs", "gave way")

    source.after_each = interrupt
    holdings = serve(source).ensure_series(SERIES, HERE)
    assert holdings.sop_instance_uids == ALL
    assert holdings.warning is None
    assert len(source.retrieved) == 5, "more often than there are passes"
