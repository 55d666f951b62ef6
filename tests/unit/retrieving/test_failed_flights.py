"""Retrieves that failed, while what came of them is being stored and others begin."""

from __future__ import annotations

import threading

import pytest

from fakes.scripted_pacs import wait_until
from fakes.series_source import MemoryArchive, SeriesSource
from farsight.errors import ArchiveFull, PacsUnavailable
from farsight.services.presence import Presence
from farsight.services.study_fetch import StudyFetch
from sample_files import study_uid
from series_retrieval import ALL, HERE, SERIES, SLICES, Serve, landed, only

LOST = PacsUnavailable("pacs", "connection lost")


def test_what_came_before_a_failure_is_being_stored_and_not_fetched_twice(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    archive.slow = threading.Event()
    source.fails_after, source.failure = 1, PacsUnavailable("pacs", "connection lost")
    service = serve(source)
    with pytest.raises(PacsUnavailable, match="connection lost"):
        service.ensure_series(SERIES, HERE)
    assert [one["state"] for one in service.progress()] == ["failed"]
    assert service.ended() == []
    source.fails_after = source.failure = None
    assert service.ensure_series(SERIES, HERE).sop_instance_uids == ALL
    assert source.retrieved[3:] == [only(4, 5, 6)]
    archive.slow.set()
    landed(service)
    assert sorted(str(one["state"]) for one in service.ended()) == ["complete", "failed"]
    assert service.statistics.totals().stored == archive.records[SERIES].stored == SLICES


def test_what_failed_before_is_no_failure_of_who_asks_again(
    serve: Serve, source: SeriesSource, archive: MemoryArchive
) -> None:
    archive.slow = threading.Event()
    source.fails_after, source.failure = 1, LOST
    service = serve(source)
    with pytest.raises(PacsUnavailable):
        service.ensure_series(SERIES, HERE)
    source.fails_after = source.failure = None
    goes_on = threading.Event()
    source.after_each = lambda _number: goes_on.wait(10)
    ahead = StudyFetch(service, lambda: None)
    assert ahead.begin(study_uid()) == 1
    wait_until(lambda: len(service.progress()) == 2, what="both")
    archive.slow.set()
    wait_until(lambda: len(service.progress()) == 1, what="the end of the one that failed")
    assert not ahead.is_over
    goes_on.set()
    wait_until(lambda: ahead.is_over, what="the study")
    assert ahead.error is None
    landed(service)
    assert archive.records[SERIES].stored == SLICES


@pytest.mark.parametrize("fails", [False, True], ids=["goes well", "fails"])
def test_what_could_not_be_stored_is_nobodys_who_asks_later(
    serve: Serve, source: SeriesSource, archive: MemoryArchive, *, fails: bool
) -> None:
    """The disk is full at once, and the next request begins before the first sink has returned."""
    archive.room = 0
    service = serve(source)
    submit = service._intake._persister.submit
    later: list[threading.Thread] = []

    def ask_again() -> None:
        try:
            service.ensure_series(SERIES, Presence())
        except PacsUnavailable:
            assert fails

    def then_another(*order: object) -> None:
        submit(*order)  # type: ignore[arg-type]
        if not later:
            later.append(threading.Thread(target=ask_again))
            wait_until(lambda: service.progress()[0]["error"] is not None, what="the full disk")
            archive.room = 1000
            if fails:
                source.fails_after, source.failure = 1, LOST
            later[0].start()
            wait_until(
                lambda: len(service.progress()) == 2 or not later[0].is_alive(),
                what="another flight",  # which may be over at once
            )

    service._intake._persister.submit = then_another  # type: ignore[method-assign]
    with pytest.raises(ArchiveFull):
        service.ensure_series(SERIES, HERE)
    wait_until(lambda: bool(later) and later[0].ident is not None, what="another")
    later[0].join(20)
    landed(service)
    source.fails_after = source.failure = None
    assert service.ensure_series(SERIES, HERE).sop_instance_uids == ALL
    landed(service)
    assert archive.records[SERIES].stored == SLICES
