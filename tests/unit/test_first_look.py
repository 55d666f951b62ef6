"""What a PACS had before it was sent to: its success and its list tell nothing of the content."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from fakes.commitments import FakeCommitments
from fakes.forwarding import Site, ref, uids
from fakes.outbox import MemoryOutbox
from fakes.receiving import ReceivingPacs
from farsight.errors import PacsError, PacsFailure, PacsRefusedService, PacsTimeout, PacsUnavailable
from farsight.services.forward_limits import ConfirmBy

CUT = PacsFailure("pacs", "aborted")
FULL = PacsFailure("pacs", "C-FIND", 0xA700)
MUTE = PacsTimeout("pacs", "no answer in time")
NO_FIND = PacsRefusedService("pacs", "C-FIND is not offered")
REFUSED = PacsFailure("pacs", "C-FIND refused", 0xA900)


class KeepsTheFirst(ReceivingPacs):
    """Success for all, and nothing is overwritten."""

    def _outcome(self, outgoing: Any) -> Any:
        before = self.kept.get(outgoing.ref)
        outcome = super()._outcome(outgoing)
        if before is not None:
            self.kept[outgoing.ref] = before
        return outcome


def commits(*kept: str) -> FakeCommitments:
    commitments = FakeCommitments("pacs")
    commitments.holds = set(kept)
    return commitments


@pytest.mark.parametrize("by", list(ConfirmBy))
def test_what_the_pacs_had_before_is_never_booked_as_held(by: ConfirmBy) -> None:
    pacs = KeepsTheFirst()
    pacs.kept[ref(1, 1)] = b"of somebody else"
    site = Site(pacs, commitments=commits(*uids(1, 1, 2)), by=by)
    had, new = site.enter(1, 1, 2)
    site.work()
    assert "listed one of this name before" in site.parcel(had).error
    assert site.parcel(new).error == ""
    site.pass_time(3)
    assert site.stages([had, new]) == ["gone", "gone"]
    assert pacs.kept[ref(1, 1)] == b"of somebody else"
    assert site.book.held == {ref(1, 2): "pacs"}


def test_one_question_for_each_series() -> None:
    pacs = ReceivingPacs()
    site = Site(pacs)
    site.enter(1, *range(1, 31))
    site.work()
    assert (pacs.finds, len(pacs.sent)) == (1, 30)
    site.enter(1, *range(31, 41))
    site.enter(2, 1)
    site.work()
    assert (pacs.finds, len(pacs.sent)) == (3, 41)


@pytest.mark.parametrize("again", [CUT, MUTE])
def test_one_of_our_own_is_not_somebody_elses(again: PacsError) -> None:
    """Taken, and broken off before it was said so: there it is when it is sent again."""
    pacs = ReceivingPacs(answers={uids(1, 2)[0]: [again]})
    site = Site(pacs)
    numbers = site.enter(1, 1, 2, 3)
    site.work()
    pacs.kept[ref(1, 2)] = b"first"
    assert [site.parcel(n).listed_before for n in numbers] == [False, False, None]
    site.pass_time(30)
    assert site.stages(numbers) == ["gone"] * 3
    assert site.book.held == {ref(1, n): "pacs" for n in (1, 2, 3)}


def test_what_comes_there_while_it_waits_is_somebody_elses() -> None:
    pacs = KeepsTheFirst(answers={uids(1, 1)[0]: [0xC000]})
    site = Site(pacs)
    numbers = site.enter(1, 1, 2)
    site.work()
    pacs.kept[ref(1, 2)] = b"of somebody else"
    site.pass_time(30)
    assert site.stages(numbers) == ["gone", "gone"]
    assert site.book.held == {ref(1, 1): "pacs"}


def test_what_was_given_up_is_looked_for_anew() -> None:
    pacs = KeepsTheFirst(answers={uids(1, 1)[0]: [0xC000] * 3})
    site = Site(pacs)
    (number,) = site.enter(1, 1)
    site.pass_time(3600)
    assert site.stage(number) == "dead"
    pacs.kept[ref(1, 1)] = b"of somebody else"
    site.forwarder.retry([number])
    site.pass_time(30)
    assert (site.stage(number), site.book.held) == ("gone", {})


@pytest.mark.parametrize("kept_it", [False, True])
def test_a_crash_before_it_is_noted_as_sent(kept_it: bool) -> None:
    """That it was not there before is known since before it was sent."""
    pacs = ReceivingPacs(before=_crash_at("answer" if kept_it else "store"))
    site = Site(pacs)
    numbers = site.enter(1, 1, 2)
    with pytest.raises(KeyboardInterrupt):
        site.work()
    assert bool(pacs.kept) == kept_it
    pacs.before = lambda _: None
    site.restart()
    site.pass_time(10)
    assert site.stages(numbers) == ["gone", "gone"]
    assert site.book.held == {ref(1, 1): "pacs", ref(1, 2): "pacs"}


def test_a_crash_and_then_an_outage() -> None:
    """What the run before may have sent isn't taken for somebody else's: a try that didn't come
    through says nothing of it."""
    answers = itertools.count(1)

    def end(_called: str) -> None:
        raise KeyboardInterrupt

    def crash_at_the_third(called: str) -> None:
        if called == "answer" and next(answers) == 3:
            outbox.before = end  # nothing is noted any more
            end(called)

    pacs, outbox = ReceivingPacs(before=crash_at_the_third), MemoryOutbox()
    site = Site(pacs, outbox=outbox)
    numbers = site.enter(1, 1, 2, 3, 4)
    with pytest.raises(KeyboardInterrupt):
        site.work()
    assert len(pacs.kept) == 3
    outbox.before = lambda _: None
    site.restart()
    pacs.down = PacsUnavailable("pacs", "no connection")
    site.pass_time(30)
    pacs.down = None
    site.pass_time(60)
    assert site.stages(numbers) == ["gone"] * 4
    assert site.book.held == {ref(1, n): "pacs" for n in (1, 2, 3, 4)}


def _crash_at(name: str) -> Callable[[str], None]:
    def crash(called: str) -> None:
        if called == name:
            raise KeyboardInterrupt

    return crash


@pytest.mark.parametrize("silence", [CUT, MUTE, FULL])
def test_silence_is_waited_out(silence: PacsError) -> None:
    pacs = ReceivingPacs(finds_fail=silence)
    site = Site(pacs)
    (number,) = site.enter(1, 1)
    assert site.work() == pytest.approx(5)
    assert (site.parcel(number).attempts, pacs.sent) == (0, [])
    assert site.forwarder.progress()[0].last_error == str(silence)
    pacs.finds_fail = None
    site.pass_time(20)
    assert site.book.held == {ref(1, 1): "pacs"}


@pytest.mark.parametrize("failure", [CUT, MUTE, FULL, NO_FIND, REFUSED])
@pytest.mark.parametrize("by", [ConfirmBy.COMMITMENT, ConfirmBy.FIND])
def test_a_pacs_that_cannot_be_asked_is_sent_to(failure: PacsError, by: ConfirmBy) -> None:
    """Commitment confirms as ever; what it lists one day proves nothing any more."""
    pacs = ReceivingPacs(finds_fail=failure)
    site = Site(pacs, commitments=commits(*uids(1, 1)), by=by)
    (number,) = site.enter(1, 1)
    site.pass_time(40)
    assert pacs.sent == uids(1, 1)
    assert site.stage(number) == ("gone" if by is ConfirmBy.COMMITMENT else "sent")
    pacs.finds_fail = None
    site.pass_time(3600)
    assert site.stage(number) == "gone"
    assert site.book.held == ({ref(1, 1): "pacs"} if by is ConfirmBy.COMMITMENT else {})


def test_what_does_not_offer_it_is_not_asked_all_the_time() -> None:
    pacs = ReceivingPacs(finds_fail=NO_FIND)
    site = Site(pacs, commitments=commits(*uids(1, 1, 2)), by=ConfirmBy.COMMITMENT)
    site.enter(1, 1)
    site.pass_time(5)
    site.enter(1, 2)
    site.pass_time(5)
    assert (pacs.finds, pacs.sent) == (1, uids(1, 1, 2))
    site.pass_time(600)
    site.enter(1, 3)
    site.work()
    assert pacs.finds == 2
