"""A retrieved series: what is short is repaired, and nothing called complete that isn't."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import replace

import pytest

from fakes.series_source import MemoryArchive, SeriesSource, part10, received
from farsight.errors import ArchiveFull, PacsUnavailable, RetrieveIncomplete
from farsight.model import Completeness, InstanceRef
from sample_files import ct_slice, instance_uid, series_uid
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
)


def stored(archive: MemoryArchive, count: int) -> None:
    """What failed has landed before the last of what came is stored."""
    deadline = time.monotonic() + 10
    while len(archive.stored) < count:
        assert time.monotonic() < deadline, archive.stored.keys()
        time.sleep(0.002)


def test_a_series_is_fetched_stored_and_recorded(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    service = serve(source)
    holdings = service.ensure_series(SERIES, HERE)
    assert holdings.sop_instance_uids == ALL
    assert holdings.warning is None
    landed(service)
    record = archive.records[SERIES]
    assert (record.expected, record.stored, record.source) == (SLICES, SLICES, "pacs")
    assert source.retrieved == [WHOLE]


def test_a_complete_series_needs_no_pacs(serve: Serve, source: SeriesSource) -> None:
    service = serve(source)
    service.ensure_series(SERIES, HERE)
    landed(service)
    source.failure = PacsUnavailable("pacs", "down")
    finds = source.finds
    for again in (service, serve(source)):  # also after a restart
        assert again.ensure_series(SERIES, HERE).sop_instance_uids == ALL
        assert again.reader.instance(ref(2)).sop_instance_uid == instance_uid(2)
    assert source.finds == finds
    assert len(source.retrieved) == 1


def test_what_was_short_is_not_whole_because_others_came(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    """As many are here as were expected, but clients stored some of them since."""
    for number in (1, 2, 7, 8, 9, 10):
        archive.store(ref(number), part10(ct_slice(number, size=8)))
    archive.records[SERIES] = Completeness(SLICES, 2, "pacs", "2024-01-01T00:00:00+00:00")
    assert not serve(source).is_settled(SERIES)
    assert set(serve(source).ensure_series(SERIES, HERE).sop_instance_uids) >= set(ALL)


def test_the_answer_does_not_wait_for_storing(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    archive.slow = threading.Event()
    service = serve(source)
    assert service.ensure_series(SERIES, HERE).sop_instance_uids == ALL
    assert not archive.stored
    assert service.progress()[0]["state"] == "storing"
    archive.slow.set()
    landed(service)
    assert len(archive.stored) == SLICES


def test_what_is_missing_is_asked_for_again(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    source.omits = {instance_uid(2): 1, instance_uid(5): 2}
    service = serve(source)
    holdings = service.ensure_series(SERIES, HERE)
    assert (holdings.sop_instance_uids, holdings.warning) == (ALL, None)
    assert source.retrieved == [WHOLE, only(2, 5), only(5)]
    landed(service)
    assert SERIES in archive.records


def test_a_short_series_is_said_and_never_recorded(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    source.omits = {instance_uid(2): math.inf}
    service = serve(source)
    for _ in range(2):
        holdings = service.ensure_series(SERIES, HERE)
        assert holdings.sop_instance_uids == tuple(u for u in ALL if u != instance_uid(2))
        assert holdings.warning is not None
        assert "delivered 5 of the 6" in holdings.warning
        landed(service)
        stored(archive, 5)
    assert not archive.records
    assert source.retrieved == [WHOLE] + [only(2)] * 5
    with pytest.raises(RetrieveIncomplete):
        service.reader.instance(ref(2))
    source.omits = {}
    assert service.ensure_series(SERIES, HERE).warning is None
    landed(service)
    assert SERIES in archive.records


def test_a_deleted_instance_is_fetched_again(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    service = serve(source)
    service.ensure_series(SERIES, HERE)
    landed(service)
    archive.delete([ref(4)])
    fresh = serve(source)
    assert fresh.ensure_series(SERIES, HERE).sop_instance_uids == ALL
    assert source.retrieved == [WHOLE, only(4)]


# ---- what comes that was not asked for


def test_strangers_are_ignored(serve: Serve, source: SeriesSource, archive: MemoryArchive) -> None:
    elsewhere = ct_slice(2, size=8)
    elsewhere.SeriesInstanceUID = series_uid(9)
    liar = received(ct_slice(40, size=8))
    liar = type(liar)(liar.sop_class_uid, instance_uid(2), liar.transfer_syntax_uid, liar.part10)
    noise = type(liar)(liar.sop_class_uid, instance_uid(2), liar.transfer_syntax_uid, b"\0" * 200)
    source.omits = {instance_uid(2): math.inf}
    source.sends_along = [received(elsewhere), liar, noise]
    service = serve(source)
    holdings = service.ensure_series(SERIES, HERE)
    assert instance_uid(2) not in holdings.sop_instance_uids
    assert holdings.warning is not None
    landed(service)
    assert {stored.series_instance_uid for stored in archive.stored} == {series_uid()}
    assert instance_uid(2) not in {stored.sop_instance_uid for stored in archive.stored}
    assert not archive.records


def test_a_whole_study_that_comes_for_one_series(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    other = replace(received(ct_slice(1, series=2, size=8)), of_study=True)
    foreign = replace(received(ct_slice(1, study=2, size=8)), of_study=True)
    source.sends_along = [other, foreign]
    service = serve(source)
    assert service.ensure_series(SERIES, HERE).sop_instance_uids == ALL
    landed(service)
    deadline = time.monotonic() + 10
    while len(archive.stored) < SLICES + 1:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    assert {stored.series_instance_uid for stored in archive.stored} == {
        series_uid(1),
        series_uid(2),
    }
    assert list(archive.records) == [SERIES]


# ---- an archive without room


def test_a_full_archive_is_an_error_and_nothing_is_complete(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    archive.room = 3
    service = serve(source)

    def wait_for_the_failure(delivered: int) -> None:
        while delivered == 4 and service.progress()[0]["state"] != "failed":
            time.sleep(0.002)

    source.after_each = wait_for_the_failure
    with pytest.raises(ArchiveFull, match="no room left"):
        service.ensure_series(SERIES, HERE)
    landed(service)
    assert not archive.records
    assert len(archive.stored) == 3
    assert source.retrieved == [WHOLE], "what can't be stored isn't asked for again"
    source.after_each = None
    archive.room = 100
    assert service.ensure_series(SERIES, HERE).sop_instance_uids == ALL
    landed(service)
    assert SERIES in archive.records


def test_a_full_archive_is_not_blamed_on_the_pacs(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    """Also when storing fails before anybody has looked at the instance in memory."""
    archive.room = 0
    service = serve(source)

    def until_refused(delivered: int) -> None:
        while not archive.refusals:
            time.sleep(0.002)
        time.sleep(0.05)  # and until memory has dropped it

    source.after_each = until_refused
    with pytest.raises(ArchiveFull, match="no room left"):
        service.reader.instance(ref(1))
    assert source.retrieved == [only(1, urgent=True)]


def test_why_an_instance_is_not_here_is_known_to_everyone_until_it_is(
    serve: Serve, source: SeriesSource
) -> None:
    single = serve(source)._single
    try:
        raise ArchiveFull("no room left")
    except ArchiveFull as error:
        single.stored(ref(1), error)
    for _ in range(2):
        why = single.why_not_stored(ref(1))
        assert isinstance(why, ArchiveFull)
        assert str(why) == "no room left"
        assert why.__traceback__ is None, "its frames would hold the instance"
    single.stored(ref(1), None)
    assert single.why_not_stored(ref(1)) is None


# ---- what arrives another way


def test_instances_that_arrive_by_c_move(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    service = serve(source)

    def move(arrived: InstanceRef, part10: bytes) -> None:
        archive.store(arrived, part10)
        service.stored_elsewhere(arrived)

    source.moves_to = move
    assert service.ensure_series(SERIES, HERE).sop_instance_uids == ALL
    landed(service)
    assert SERIES in archive.records
    assert source.retrieved == [WHOLE]


def test_c_move_whose_arrival_nobody_announces(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    source.moves_to = archive.store
    service = serve(source)
    assert service.ensure_series(SERIES, HERE).sop_instance_uids == ALL
    landed(service)
    assert SERIES in archive.records
