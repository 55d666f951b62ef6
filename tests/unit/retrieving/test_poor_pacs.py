"""Retrieves from a PACS that fails, refuses, or has little to say about what it has."""

from __future__ import annotations

import math

import pytest

from fakes.series_source import MemoryArchive, SeriesSource, received
from farsight.errors import NotFound, PacsFailure, PacsRefusedContexts, PacsUnavailable
from farsight.services.source_listing import SourceListing
from sample_files import instance_uid, study_uid
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

# ---- a PACS that fails or refuses


def test_a_pacs_that_dies_in_the_middle(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    source.fails_after, source.failure = 1, PacsUnavailable("pacs", "connection lost")
    service = serve(source)
    with pytest.raises(PacsUnavailable, match="connection lost"):
        service.ensure_series(SERIES, HERE)
    landed(service)
    assert len(archive.stored) == 3, "three passes brought one each"
    assert not archive.records
    before = len(source.retrieved)
    source.fails_after = source.failure = None
    assert service.ensure_series(SERIES, HERE).sop_instance_uids == ALL
    assert source.retrieved[before:] == [only(4, 5, 6)]


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
