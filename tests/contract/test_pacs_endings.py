"""An instance that a viewer waits for: given away when it is here, before the PACS has said that
its C-GET is over."""

from __future__ import annotations

import _thread
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from fakes.scripted_pacs import ScriptedPacs, scripted_pacs, wait_until
from farsight.adapters.association_pool import PoolLimits
from farsight.adapters.dimse_connection import Timeouts
from farsight.adapters.dimse_pacs import DimsePacs
from farsight.dimse.manners import Manners
from farsight.errors import FarsightError, PacsTimeout
from farsight.model import ReceivedInstance, SubOperations
from fetching import CT, fetched, pacs_at, two_series
from sample_files import ct_slice, instance_uid, series_uid, study_uid

ONE = SubOperations(1, 0, 0, 0)


@pytest.fixture
def said() -> Iterator[threading.Event]:
    """Set by a test when the PACS is to say the end."""
    said = threading.Event()
    yield said
    said.set()


@pytest.fixture
def peer(said: threading.Event) -> Iterator[ScriptedPacs]:
    with scripted_pacs(two_series(), ends_when=said) as running:
        yield running


def awaited(pacs: DimsePacs, *numbers: int, got: list[str] | None = None) -> SubOperations:
    uids = tuple(map(instance_uid, numbers))
    got = [] if got is None else got

    def take(received: ReceivedInstance) -> None:
        got.append(received.sop_instance_uid)

    outcome = pacs.retrieve(study_uid(), series_uid(), uids, (CT,), take, urgent=True)
    assert set(uids) <= set(got)
    return outcome


def test_its_end_is_read_by_another_and_its_association_used_again(
    peer: ScriptedPacs, said: threading.Event
) -> None:
    pacs = pacs_at(peer.port)
    assert awaited(pacs, 1) == ONE
    assert awaited(pacs, 2) == ONE, "while the first association is in use"
    assert peer.connections_made == 2
    said.set()
    for number in (3, 4, 5, 6):
        awaited(pacs, number)
    assert len(fetched(pacs)) == 6
    assert peer.connections_made <= 3
    pacs.close()
    assert peer.wait_for_connections(0)


def test_never_more_associations_than_allowed(peer: ScriptedPacs, said: threading.Event) -> None:
    pacs = pacs_at(peer.port, limits=PoolLimits(max_associations=2))
    assert awaited(pacs, 1) == ONE
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(awaited, pacs, number) for number in (2, 3)]
        for other in waiting:
            with pytest.raises(TimeoutError):
                other.result(0.2)
        assert pacs.open_associations == 2
        said.set()
        assert [other.result(10).completed for other in waiting] == [1, 1]
    assert peer.connections_made == peer.most_associations == 2
    pacs.close()


class After:
    """The end of a C-GET, a while after what it brought."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def wait(self, _timeout_s: float) -> None:
        time.sleep(self._seconds)


def test_ends_that_take_long_stand_in_nobodys_way() -> None:
    """Nor is it learned that the PACS serves one retrieve at a time: it serves all there are."""
    slices = [ct_slice(n, series=s) for s in (1, 2) for n in range(1, 201)]
    learned: list[Manners] = []
    others = [ct_slice(number, series=3) for number in range(1, 13)]
    with scripted_pacs([*slices, *others], pause_s=0.02, ends_when=After(0.1)) as peer:
        pacs = pacs_at(peer.port, learned)

        def bulk(series: int) -> set[str]:
            return fetched(
                pacs, tuple(instance_uid(n, series) for n in range(1, 201)), series_uid(series)
            )

        with ThreadPoolExecutor(2) as threads:
            both = [threads.submit(bulk, series) for series in (1, 2)]
            for number in range(1, 13):
                if number % 4 == 1:
                    time.sleep(0.4)  # all is at rest but the two
                uids = (instance_uid(number, series=3),)
                pacs.retrieve(study_uid(), series_uid(3), uids, (CT,), [].append, urgent=True)
            assert [len(one.result(60)) for one in both] == [200, 200], "nobody gave way"
        assert learned == []
        pacs.close()


def test_an_end_that_never_comes_costs_its_association_only(
    peer: ScriptedPacs, caplog: pytest.LogCaptureFixture
) -> None:
    pacs = pacs_at(peer.port, timeouts=Timeouts(dimse_s=0.3))
    for number in (1, 2):
        assert awaited(pacs, number) == ONE
    wait_until(lambda: pacs.open_associations == 0, what="their abort")
    assert peer.connections_made == 2
    assert caplog.text.count("did not come within 0.3 s; after the instance") == 2
    pacs.close()


def test_an_abort_instead_of_an_end(said: threading.Event) -> None:
    said.set()
    with scripted_pacs(two_series(), ends_when=said, aborts_at_end=True) as peer:
        pacs = pacs_at(peer.port)
        for number in (1, 2, 3):
            assert awaited(pacs, number) == ONE
        wait_until(lambda: pacs.open_associations == 0, what="their end")
        pacs.close()


def test_several_are_waited_for_to_the_end_and_so_is_one_that_nobody_waits_for(
    peer: ScriptedPacs, said: threading.Event
) -> None:
    pacs = pacs_at(peer.port)
    with ThreadPoolExecutor(2) as threads:
        several = threads.submit(awaited, pacs, 1, 2)
        bulk = threads.submit(fetched, pacs, (instance_uid(3),))
        for waiting in (several, bulk):
            with pytest.raises(TimeoutError):
                waiting.result(0.2)
        said.set()
        assert several.result(10).completed == 2
        assert bulk.result(10) == {instance_uid(3)}
    pacs.close()


def test_what_is_not_sent_is_waited_for(peer: ScriptedPacs, said: threading.Event) -> None:
    peer.script.omits = {instance_uid(1): 1}
    said.set()
    pacs = pacs_at(peer.port)
    assert pacs.retrieve(
        study_uid(), series_uid(), (instance_uid(1),), (CT,), [].append, urgent=True
    ) == SubOperations(0, 0, 0, 0)
    pacs.close()


def test_of_a_pacs_that_sends_more_all_is_taken_and_waited_for_from_then_on(
    peer: ScriptedPacs, said: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    peer.script.sends_along = [ct_slice(2), ct_slice(3)]
    pacs = pacs_at(peer.port)
    got: list[str] = []
    with caplog.at_level(logging.WARNING, "farsight.dimse"):
        assert awaited(pacs, 1, got=got) == ONE
        wait_until(lambda: len(got) == 3, what="the others' coming")
    assert got == [instance_uid(1), instance_uid(2), instance_uid(3)]
    assert "'pacs' sends more than the instance asked for" in caplog.text
    with ThreadPoolExecutor(1) as thread:
        second = thread.submit(awaited, pacs, 4)
        with pytest.raises(TimeoutError):
            second.result(0.2)
        said.set()
        assert second.result(10).completed == 3
    pacs.close()


def test_whoever_wants_no_more_of_it_has_it_cancelled(
    peer: ScriptedPacs, said: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    peer.script.sends_along = [ct_slice(2), ct_slice(3)]
    peer.script.pause_s = 0.1
    said.set()
    pacs = pacs_at(peer.port)
    got: list[str] = []

    def take(received: ReceivedInstance) -> None:
        got.append(received.sop_instance_uid)
        if len(got) == 2:
            raise FarsightError("enough")

    with caplog.at_level(logging.INFO, "farsight.dimse"):
        uids = (instance_uid(1),)
        pacs.retrieve(study_uid(), series_uid(), uids, (CT,), take, urgent=True)
        wait_until(lambda: "enough; after the instance" in caplog.text, what="the end")
    assert len(got) == 2
    assert len(fetched(pacs)) == 6
    assert peer.connections_made == 1, "it was left in order"
    pacs.close()


def test_without_a_thread_to_be_had_its_end_is_waited_for(
    peer: ScriptedPacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", none)
    pacs = pacs_at(peer.port, timeouts=Timeouts(dimse_s=0.3))
    assert awaited(pacs, 1) == ONE
    assert pacs.open_associations == 0, "its end didn't come in time"
    pacs.close()


def test_a_sink_that_fails_by_a_bug_is_told_and_leaves_nothing_open(
    peer: ScriptedPacs, caplog: pytest.LogCaptureFixture
) -> None:
    peer.script.sends_along = [ct_slice(2)]
    pacs = pacs_at(peer.port)
    got: list[str] = []

    def take(received: ReceivedInstance) -> None:
        got.append(received.sop_instance_uid)
        if len(got) == 2:
            raise ZeroDivisionError

    uids = (instance_uid(1),)
    pacs.retrieve(study_uid(), series_uid(), uids, (CT,), take, urgent=True)
    wait_until(lambda: "ZeroDivisionError" in caplog.text, what="the bug")
    wait_until(lambda: pacs.open_associations == 0, what="the abort")
    pacs.close()


def test_silence_before_it_comes_is_still_an_error() -> None:
    with scripted_pacs(two_series(), silent_in=frozenset({"C-GET"})) as peer:
        pacs = pacs_at(peer.port, timeouts=Timeouts(dimse_s=0.3))
        with pytest.raises(PacsTimeout):
            awaited(pacs, 1)
        pacs.close()
