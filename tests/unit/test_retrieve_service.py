"""The retrieve service: one flight, what is short repaired, nothing called complete that isn't."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from fakes.retrieving import retrieving
from fakes.series_source import MemoryArchive, Retrieved, SeriesSource, part10, received
from farsight.errors import (
    ArchiveFull,
    NotFound,
    PacsFailure,
    PacsRefusedContexts,
    PacsTimeout,
    PacsUnavailable,
    RetrieveIncomplete,
    RetrieveInterrupted,
)
from farsight.model import Completeness, InstanceRef, SeriesRef
from farsight.services.holdings import RetrieveLimits
from farsight.services.memory_tier import MemoryTier
from farsight.services.persist import Persister
from farsight.services.presence import ClientGone, Presence
from farsight.services.retrieve import RetrieveService
from farsight.services.source_listing import SourceListing
from sample_files import ct_slice, instance_uid, series_uid, study_uid

SERIES = SeriesRef(study_uid(), series_uid())
HERE = Presence()  # a client that waits as long as it takes
SLICES = 6
ALL = tuple(sorted(instance_uid(number) for number in range(1, SLICES + 1)))
WHOLE = Retrieved(series_uid(), frozenset(), urgent=False)


def ref(number: int) -> InstanceRef:
    return InstanceRef(study_uid(), series_uid(), instance_uid(number))


def only(*numbers: int, urgent: bool = False) -> Retrieved:
    return Retrieved(series_uid(), frozenset(instance_uid(n) for n in numbers), urgent)


@pytest.fixture
def source() -> SeriesSource:
    return SeriesSource([ct_slice(number, size=8) for number in range(1, SLICES + 1)])


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


Serve = Callable[..., RetrieveService]


@pytest.fixture
def serve(archive: MemoryArchive) -> Iterator[Serve]:
    """Makes services over the archive, each with a memory of its own."""
    made: list[tuple[RetrieveService, Persister]] = []

    def start(*sources: SeriesSource, wait_s: float = 20) -> RetrieveService:
        tier = MemoryTier(64 << 20)
        limits = RetrieveLimits(passes=3, backoff_s=0.001, wait_s=wait_s)
        service, persister = retrieving(sources, archive, tier, limits)
        made.append((service, persister))
        return service

    yield start
    for service, persister in made:
        service.close()
        persister.close(5)


def landed(service: RetrieveService) -> None:
    deadline = time.monotonic() + 10
    while service.progress():
        assert time.monotonic() < deadline, service.progress()
        time.sleep(0.002)


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


@pytest.mark.parametrize("guessed", [True, False])
def test_classes_the_pacs_takes_no_context_of(
    serve: Serve, source: SeriesSource, guessed: bool
) -> None:
    """A guess by modality may be wrong: then everything is proposed. What is known isn't."""
    source.names_classes = not guessed
    source.refuses_classes = frozenset({"1.2.840.10008.5.1.4.1.1.2"})
    service = serve(source)
    if guessed:
        assert service.reader.instance(ref(1)).sop_instance_uid == instance_uid(1)
        assert source.retrieved == [only(1, urgent=True)] * 2
    else:
        with pytest.raises(PacsRefusedContexts):
            service.reader.instance(ref(1))
        assert len(source.retrieved) == 1


def test_a_pacs_that_dies_in_the_middle(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    source.fails_after, source.failure = 1, PacsUnavailable("pacs", "connection lost")
    service = serve(source)
    with pytest.raises(PacsUnavailable, match="connection lost"):
        service.ensure_series(SERIES, HERE)
    landed(service)
    while len(archive.stored) < 3:  # three passes brought one each
        time.sleep(0.002)
    assert not archive.records
    before = len(source.retrieved)
    source.fails_after = source.failure = None
    assert service.ensure_series(SERIES, HERE).sop_instance_uids == ALL
    assert source.retrieved[before:] == [only(4, 5, 6)]


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


def test_the_second_pacs_has_it(serve: Serve, source: SeriesSource) -> None:
    down, empty = SeriesSource([], "down"), SeriesSource([], "empty")
    down.failure = PacsUnavailable("down", "no connection")
    assert serve(down, empty, source).ensure_series(SERIES, HERE).sop_instance_uids == ALL


def test_unknown_is_not_the_same_as_not_answered(serve: Serve) -> None:
    empty, down = SeriesSource([], "empty"), SeriesSource([], "down")
    down.failure = PacsUnavailable("down", "no connection")
    with pytest.raises(NotFound):
        serve(empty).ensure_series(SERIES, HERE)
    with pytest.raises(PacsUnavailable, match="'down'"):
        serve(empty, down).ensure_series(SERIES, HERE)
    with pytest.raises(NotFound):
        serve(empty).reader.instance(ref(1))
    with pytest.raises(NotFound):
        serve(empty).study_series(study_uid())
    with pytest.raises(PacsUnavailable, match="'down'"):
        serve(down).study_series(study_uid())


def test_what_is_here_while_the_pacs_is_down(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    first = received(source.objects[0])
    archive.store(ref(1), first.part10)
    source.failure = PacsUnavailable("pacs", "no connection")
    service = serve(source)
    holdings = service.ensure_series(SERIES, HERE)
    assert holdings.sop_instance_uids == (instance_uid(1),)
    assert holdings.warning == "PACS 'pacs': no connection"
    all_series, warning = service.study_series(study_uid())
    assert (all_series, warning) == ((SERIES,), "PACS 'pacs': no connection")
    assert service.reader.instance(ref(1)).data == first.part10
    with pytest.raises(PacsUnavailable):
        service.reader.instance(ref(2))


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
    deadline = time.monotonic() + 10
    while len(archive.stored) < 2 and time.monotonic() < deadline:
        time.sleep(0.002)  # storing goes on behind
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


# ---- PACS with little to say


def test_a_pacs_that_only_counts(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    source.lists_instances = False
    service = serve(source)
    assert service.ensure_series(SERIES, HERE).sop_instance_uids == ALL
    landed(service)
    assert archive.records[SERIES].expected == SLICES
    assert serve(source).reader.instance(ref(2)).sop_instance_uid == instance_uid(2)


def test_fewer_than_counted_is_short(serve: Serve, source: SeriesSource) -> None:
    source.lists_instances = False
    source.omits = {instance_uid(2): math.inf}
    holdings = serve(source).ensure_series(SERIES, HERE)
    assert len(holdings.sop_instance_uids) == SLICES - 1
    assert "delivered 5 of the 6" in (holdings.warning or "")
    assert source.retrieved == [WHOLE] * 3


def test_neither_list_nor_count_is_an_error(serve: Serve, source: SeriesSource) -> None:
    source.lists_instances = False
    source.counts = False
    with pytest.raises(PacsFailure, match="0xA900"):
        serve(source).ensure_series(SERIES, HERE)


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


# ---- parts over a far line

MANY = 100


@pytest.fixture
def far() -> SeriesSource:
    source = SeriesSource([ct_slice(number, size=8) for number in range(1, MANY + 1)])
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


# ---- listings that can't be trusted


def test_rows_without_instance_uids_are_no_listing(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    source.names_instances = False
    service = serve(source)
    assert service.ensure_series(SERIES, HERE).sop_instance_uids == ALL, "counted instead"
    landed(service)
    assert archive.records[SERIES].expected == SLICES
    source.counts = False
    with pytest.raises(PacsFailure, match="without their SOPInstanceUID"):
        SourceListing((source,)).series_instances(SERIES)


@pytest.mark.parametrize("first", [0, 1])
def test_one_lists_and_one_only_counts(
    serve: Serve, source: SeriesSource, archive: MemoryArchive, first: int
) -> None:
    """Whatever their order, the one with more of it brings it, and what isn't sure is said."""
    router = SeriesSource(source.objects[:2], name="router")
    source.lists_instances = False
    sources = [router, source]
    service = serve(sources[first], sources[1 - first])
    holdings = service.ensure_series(SERIES, HERE)
    assert holdings.sop_instance_uids == ALL
    assert "doesn't tell which instances it has" in (holdings.warning or "")


@pytest.mark.parametrize("delivers", [True, False])
def test_what_one_lists_is_fetched_where_another_counts_as_many(
    serve: Serve, source: SeriesSource, archive: MemoryArchive, delivers: bool
) -> None:
    counts = SeriesSource(source.objects[:5], "counts")
    counts.lists_instances = False
    if not delivers:
        counts.fails_after, counts.failure = 0, PacsUnavailable("counts", "connection lost")
    lists = SeriesSource(source.objects[1:], "lists")
    service = serve(counts, lists)
    holdings = service.ensure_series(SERIES, HERE)
    assert holdings.sop_instance_uids == (ALL if delivers else ALL[1:])
    assert "'counts' doesn't tell" in (holdings.warning or "")
    landed(service)
    assert archive.records == {}


def test_two_that_only_count_may_have_different_parts(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    parts = [SeriesSource(source.objects[:4], "a"), SeriesSource(source.objects[4:], "b")]
    for part in parts:
        part.lists_instances = False
    service = serve(*parts)
    holdings = service.ensure_series(SERIES, HERE)
    assert "'b' doesn't tell which instances it has" in (holdings.warning or "")
    landed(service)
    assert archive.records == {}


def test_a_pacs_that_is_down_does_not_keep_another_from_counting(
    serve: Serve, source: SeriesSource
) -> None:
    down = SeriesSource(source.objects, name="down")
    down.failure = PacsUnavailable("down", "no connection")
    source.lists_instances = False
    for sources in ((down, source), (source, down)):
        holdings = serve(*sources).ensure_series(SERIES, HERE)
        assert holdings.sop_instance_uids == ALL
        assert "no connection" in (holdings.warning or "")


def test_the_pacs_that_lists_most_counts(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    router = SeriesSource(source.objects[:2], name="router")
    service = serve(router, source)
    assert service.ensure_series(SERIES, HERE).sop_instance_uids == ALL
    landed(service)
    assert archive.records[SERIES].expected == SLICES
    assert router.retrieved == []


def test_nothing_is_recorded_while_another_pacs_is_down(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    router = SeriesSource(source.objects[:2], name="router")
    archive_pacs = SeriesSource(source.objects, name="archive")
    archive_pacs.failure = PacsUnavailable("archive", "no connection")
    service = serve(router, archive_pacs)
    holdings = service.ensure_series(SERIES, HERE)
    assert len(holdings.sop_instance_uids) == 2
    assert "'archive': no connection; it may have more" in (holdings.warning or "")
    landed(service)
    assert archive.records == {}
    archive_pacs.failure = None
    holdings = service.ensure_series(SERIES, HERE)
    assert (holdings.sop_instance_uids, holdings.warning) == (ALL, None)


def test_series_of_a_study_on_two_pacs(serve: Serve, source: SeriesSource) -> None:
    other = SeriesSource([ct_slice(1, series=2, size=8)], name="other")
    service = serve(source, other)
    both, warning = service.study_series(study_uid())
    assert [one.series_instance_uid for one in both] == [series_uid(1), series_uid(2)]
    assert warning is None
    source.failure = PacsUnavailable("pacs", "no connection")
    one, warning = service.study_series(study_uid())
    assert [one.series_instance_uid for one in one] == [series_uid(2)]
    assert "no connection" in (warning or "")


def test_one_unreadable_image_leaves_the_others(serve: Serve, source: SeriesSource) -> None:
    """Asked for alone it ends in a failure (PS3.4 C.4.3.1.4); that must not hide the rest."""
    source.omits = {instance_uid(2): math.inf}

    def refuse_alone(number: int) -> None:
        if number == 0:
            raise PacsFailure("pacs", "C-GET: out of resources", 0xA702)

    source.before = refuse_alone
    holdings = serve(source).ensure_series(SERIES, HERE)
    assert len(holdings.sop_instance_uids) == SLICES - 1
    assert "delivered 5 of the 6" in (holdings.warning or "")
    assert "0xA702" in (holdings.warning or "") or "out of resources" in (holdings.warning or "")


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


def test_two_pacs_hold_parts_of_one_series(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    here, there = SeriesSource(source.objects[:4], "a"), SeriesSource(source.objects[3:], "b")
    service = serve(here, there)
    assert service.ensure_series(SERIES, HERE).sop_instance_uids == ALL
    landed(service)
    assert archive.records[SERIES].expected == SLICES
    assert here.retrieved == [WHOLE]
    assert there.retrieved == [only(5, 6)], "the fourth is here already"


@pytest.mark.parametrize("fails_after", [0, 2])
def test_the_next_pacs_brings_what_the_first_fails_to(
    serve: Serve, source: SeriesSource, archive: MemoryArchive, fails_after: int
) -> None:
    broken = SeriesSource(source.objects, "broken")
    broken.fails_after, broken.failure = fails_after, PacsUnavailable("broken", "connection lost")
    service = serve(broken, source)
    holdings = service.ensure_series(SERIES, HERE)
    assert (holdings.sop_instance_uids, holdings.warning) == (ALL, None)
    landed(service)
    assert archive.records[SERIES].source == "pacs"
    assert len(broken.retrieved) == 1, "not waited for while another has it"


def test_the_next_pacs_brings_an_instance_the_first_fails_to(
    serve: Serve, source: SeriesSource
) -> None:
    broken = SeriesSource(source.objects, "broken")
    broken.fails_after, broken.failure = 0, PacsFailure("broken", "C-GET: out of resources", 0xA702)
    assert serve(broken, source).reader.instance(ref(2)).sop_instance_uid == instance_uid(2)


def test_the_first_failure_is_told_where_every_pacs_fails(
    serve: Serve, source: SeriesSource
) -> None:
    first, second = SeriesSource(source.objects, "first"), SeriesSource(source.objects, "second")
    for one in (first, second):
        one.fails_after, one.failure = 0, PacsUnavailable(one.name, "connection lost")
    service = serve(first, second)
    with pytest.raises(PacsUnavailable, match="first"):
        service.ensure_series(SERIES, HERE)
    with pytest.raises(PacsUnavailable, match="first"):
        service.reader.instance(ref(1))


def test_one_pacs_only(serve: Serve, source: SeriesSource) -> None:
    other = SeriesSource([ct_slice(1, series=2, size=8)], "other")
    service = serve(source, other)
    of_other = service.only("other")
    with pytest.raises(NotFound):
        of_other.ensure_series(SERIES, HERE)
    with pytest.raises(NotFound):
        of_other.reader.instance(ref(1))
    assert [one.series_instance_uid for one in of_other.study_series(study_uid())[0]] == [
        series_uid(2)
    ]
    assert service.ensure_series(SERIES, HERE).sop_instance_uids == ALL
    found = of_other.reader.instance(ref(1))
    assert found.sop_instance_uid == instance_uid(1), "what is here is served"


def test_a_part_fetched_from_one_pacs_is_not_the_whole(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    parts = [SeriesSource(source.objects[:3], "a"), SeriesSource(source.objects[3:], "b")]
    service = serve(*parts)
    assert len(service.only("a").ensure_series(SERIES, HERE).sop_instance_uids) == 3
    landed(service)
    assert archive.records == {}
    assert service.ensure_series(SERIES, HERE).sop_instance_uids == ALL


@pytest.mark.parametrize("fails", [True, False])
def test_who_asks_all_is_not_answered_by_who_asked_one(
    serve: Serve, source: SeriesSource, fails: bool
) -> None:
    """Both want the same at the same time; one PACS fails, or has a part, the other has it all."""
    part = SeriesSource(source.objects if fails else source.objects[4:], "part")
    part.gate = threading.Event()
    if fails:
        part.fails_after, part.failure = 1, PacsUnavailable("part", "connection lost")
    service = serve(source, part)
    with ThreadPoolExecutor(4) as threads:
        narrow = threads.submit(service.only("part").ensure_series, SERIES, HERE)
        narrow_one = threads.submit(service.only("part").reader.instance, ref(6))
        while len(part.retrieved) < 2:
            time.sleep(0.002)
        wide = threads.submit(service.ensure_series, SERIES, HERE)
        wide_one = threads.submit(service.reader.instance, ref(6))
        assert wide_one.result(20).sop_instance_uid == instance_uid(6)
        part.gate.set()
        assert wide.result(20).sop_instance_uids == ALL
        assert wide.result().warning is None
        for future in (narrow, narrow_one):
            future.exception(20)
