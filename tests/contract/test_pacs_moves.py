"""C-MOVE: the instances arrive elsewhere; what is waited for, cancelled and preferred then."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fakes.scripted_pacs import ScriptedPacs, scripted_pacs
from farsight.adapters.dimse_connection import Timeouts
from farsight.adapters.dimse_pacs import DimsePacs
from farsight.dimse.manners import Manners
from farsight.errors import ArchiveFull, PacsFailure, PacsTimeout
from farsight.model import ReceivedInstance, SubOperations
from fetching import CT, pacs_at, two_series
from sample_files import ct_slice, instance_uid, series_uid, study_uid


@pytest.fixture
def scripted() -> Iterator[ScriptedPacs]:
    with scripted_pacs(two_series()) as running:
        yield running


def moved(pacs: DimsePacs, arrivals: Callable[[], int]) -> SubOperations:
    def sink(received: ReceivedInstance) -> None:
        raise AssertionError("nothing comes this way")

    return pacs.retrieve(study_uid(), series_uid(), (), (CT,), sink, arrivals=arrivals)


def test_a_move_without_a_word_is_not_silent_while_instances_arrive(
    scripted: ScriptedPacs,
) -> None:
    scripted.script.moves_for_s = 3.5
    timeouts = Timeouts(dimse_s=1.5)
    counter = itertools.count()
    pacs = pacs_at(scripted.port, retrieve="c-move", timeouts=timeouts)
    assert moved(pacs, lambda: next(counter)).dimse_status == 0
    silent = pacs_at(scripted.port, retrieve="c-move", timeouts=timeouts)
    with pytest.raises(PacsTimeout, match=r"did not come within 1\.5 s"):
        moved(silent, lambda: 7)


def test_a_move_that_nobody_wants_any_more_is_cancelled(scripted: ScriptedPacs) -> None:
    scripted.script.moves_for_s = 60
    calls = itertools.count()

    def arrivals() -> int:
        if next(calls) >= 3:
            raise ArchiveFull("no room")
        return 0

    pacs = pacs_at(scripted.port, retrieve="c-move")
    with pytest.raises(ArchiveFull):
        moved(pacs, arrivals)
    assert scripted.cancelled == 1
    scripted.script.moves_for_s = 0
    assert moved(pacs, lambda: 0).dimse_status == 0
    assert scripted.connections_made == 3, "one of ours; the PACS opened one per move"
    pacs.close()


def test_a_move_that_nobody_wants_before_it_is_asked_for(scripted: ScriptedPacs) -> None:
    """Nothing is under way then: there is nothing to cancel, and nothing to wait for."""
    calls = itertools.count()

    def arrivals() -> int:
        if next(calls) >= 1:
            raise ArchiveFull("no room")
        return 0

    pacs = pacs_at(scripted.port, retrieve="c-move", timeouts=Timeouts(dimse_s=600))
    with pytest.raises(ArchiveFull):
        moved(pacs, arrivals)
    assert (scripted.cancelled, scripted.asked) == (0, [])
    assert moved(pacs, lambda: 0).dimse_status == 0
    assert scripted.connections_made == 2, "one of ours, kept; the PACS opened one for the move"
    pacs.close()


def test_a_cancelled_move_of_a_pacs_that_does_not_listen(scripted: ScriptedPacs) -> None:
    scripted.script.silent_in = frozenset({"C-MOVE"})
    calls = itertools.count()

    def arrivals() -> int:
        if next(calls) >= 3:
            raise ArchiveFull("no room")
        return 0

    pacs = pacs_at(scripted.port, retrieve="c-move", timeouts=Timeouts(dimse_s=600))
    with pytest.raises(ArchiveFull):
        moved(pacs, arrivals)
    assert pacs.open_associations == 0


def test_moves_are_in_nobodys_way(scripted: ScriptedPacs) -> None:
    """What the PACS sends elsewhere can't pause for an urgent one, nor teach us anything."""
    scripted.script.moves_for_s = 1.0
    learned: list[Manners] = []
    pacs = pacs_at(scripted.port, learned, retrieve="c-move")
    counter = itertools.count()

    def bulk() -> None:
        for _ in range(3):
            assert moved(pacs, lambda: next(counter)).dimse_status == 0

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(bulk)
        for number in (1, 2, 3):
            urgent = pacs.retrieve(
                study_uid(), series_uid(), (instance_uid(number),), (CT,), print, urgent=True
            )
            assert urgent.dimse_status == 0
        running.result(60)
    assert learned == []
    assert scripted.cancelled == 0
    pacs.close()


def test_where_nothing_can_be_sent_on_the_association_it_is_moved(tmp_path: Path) -> None:
    """The PACS takes the C-GET, and no storage context: that may be so for these objects only."""
    learned: list[Manners] = []
    with scripted_pacs([ct_slice(1)], sends_nothing=True) as pacs:
        auto = pacs_at(pacs.port, learned)
        assert moved(auto, lambda: 0).dimse_status == 0
        assert [asked.service for asked in pacs.asked] == ["C-MOVE"]
        assert learned == []
        only_get = pacs_at(pacs.port, retrieve="c-get")
        with pytest.raises(PacsFailure, match="no storage context"):
            moved(only_get, lambda: 0)
