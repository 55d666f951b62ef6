"""Retrieves where several PACS are asked: who has what, who brings it, and what isn't sure."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fakes.series_source import MemoryArchive, SeriesSource
from farsight.errors import NotFound, PacsFailure, PacsUnavailable
from sample_files import ct_slice, instance_uid, series_uid, study_uid
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


def test_the_second_pacs_has_it(serve: Serve, source: SeriesSource) -> None:
    down, empty = SeriesSource([], "down"), SeriesSource([], "empty")
    down.failure = PacsUnavailable("down", "no connection")
    assert serve(down, empty, source).ensure_series(SERIES, HERE).sop_instance_uids == ALL


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


# ---- listings that differ


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


# ---- parts, and failures another makes good


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


# ---- one PACS only


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
