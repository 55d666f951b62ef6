"""Sending on, rule by rule: order, silence, several destinations, what is new meanwhile."""

from __future__ import annotations

import pytest

from fakes.forwarding import LIMITS, Site, ref, uids
from fakes.receiving import ReceivingPacs
from farsight.errors import (
    PacsError,
    PacsFailure,
    PacsTimeout,
    PacsUnavailable,
)
from farsight.ports.outbox import Stage
from farsight.services.forward_limits import ForwardLimits

DOWN = PacsUnavailable("pacs", "connection refused")
MUTE = PacsTimeout("pacs", "no answer in time")
CUT = PacsFailure("pacs", "aborted")


def test_sent_in_order_confirmed_and_gone() -> None:
    site = Site()
    numbers = site.enter(1, 1, 2, 3)
    assert site.work() == pytest.approx(LIMITS.confirm_after_s)
    pacs = site.pacs["pacs"]
    assert (pacs.sent, pacs.associations) == (uids(1, 1, 2, 3), 1)
    assert site.stages(numbers) == ["sent"] * 3
    assert site.book.held == {}
    site.pass_time(3)
    assert site.stages(numbers) == ["gone"] * 3
    assert site.book.held == {ref(1, n): "pacs" for n in (1, 2, 3)}
    assert pacs.finds == 2, "before they are sent, and after"
    assert site.work() is None
    totals = site.forwarder.statistics.totals()
    assert (totals.sent, totals.confirmed) == ({"pacs": 3}, {"pacs": 3})
    assert totals.failures == totals.dead == {}


def test_nothing_is_confirmed_that_the_pacs_does_not_list() -> None:
    pacs = ReceivingPacs(hides=set(uids(1, 2)))
    site = Site(pacs)
    kept, hidden = site.enter(1, 1, 2)
    site.pass_time(3)
    assert site.stages([kept, hidden]) == ["gone", "sent"]
    site.pass_time(20)
    assert pacs.sent.count(uids(1, 2)[0]) >= 2, "sent again"
    site.pass_time(3600)
    assert site.dead() == ["accepted, but the PACS does not list it"]
    assert site.book.held == {ref(1, 1): "pacs"}
    assert site.forwarder.statistics.totals().dead == {"pacs": 1}


@pytest.mark.parametrize("down", [DOWN, MUTE, CUT])
def test_silence_never_counts(down: PacsError) -> None:
    pacs = ReceivingPacs(down=down)
    site = Site(pacs)
    numbers = site.enter(1, 1, 2)
    site.pass_time(86_400)
    assert site.stages(numbers) == ["waiting", "waiting"]
    assert [site.parcel(n).attempts for n in numbers] == [0, 0]
    assert 86_400 / 600 <= pacs.associations <= 86_400 / 300 + 20, "rarely, and never given up"
    (progress,) = site.forwarder.progress()
    assert progress.state.startswith("waiting until 1970-01-1")
    assert progress.last_error == str(down)
    pacs.down = None
    site.pass_time(700)
    assert site.stages(numbers) == ["gone", "gone"]
    (progress,) = site.forwarder.progress()
    assert (progress.state, progress.last_error) == ("idle", "")


def test_out_of_resources_is_like_silence() -> None:
    pacs = ReceivingPacs(answers={uids(1, 1)[0]: [0xA700] * 5 + [0x0213] * 5})
    site = Site(pacs)
    (number,) = site.enter(1, 1)
    site.pass_time(7200)
    assert site.stage(number) == "gone"
    assert len(pacs.sent) == 11
    failures = site.forwarder.statistics.totals().failures
    assert failures == {("pacs", "0xA700"): 5, ("pacs", "0x0213"): 5}


@pytest.mark.parametrize("answer", [0xA700, CUT, MUTE, DOWN])
def test_one_instance_over_which_the_pacs_falls_silent_does_not_keep_the_rest(
    answer: int | PacsError,
) -> None:
    pacs = ReceivingPacs(answers={uids(1, 1)[0]: [answer] * 999})
    site = Site(pacs)
    poison, behind = site.enter(1, 1, 2)
    others = [number for study in range(2, 12) for number in site.enter(study, 1)]
    site.pass_time(600)
    assert site.stages([poison, behind]) == ["waiting", "waiting"]
    assert set(site.stages(others)) == {"gone"}
    site.pass_time(86_400)
    assert pacs.sent.count(uids(1, 1)[0]) < 86_400 / 250


def test_such_an_instance_is_tried_ever_more_rarely_while_others_come() -> None:
    pacs = ReceivingPacs(answers={uids(1, 1)[0]: [CUT] * 999})
    site = Site(pacs)
    site.enter(1, 1)
    for study in range(2, 202):
        site.enter(study, 1)
        site.pass_time(30)
    assert len(set(pacs.sent)) == 201
    assert 8 <= pacs.sent.count(uids(1, 1)[0]) <= 20, "in 100 minutes"


def test_successes_are_noted_soon() -> None:
    pacs = ReceivingPacs()
    site = Site(pacs)
    site.enter(1, *range(1, 10))
    seen: list[int] = []

    def look() -> None:
        site.clock.now += 0.6
        seen.append(site.outbox.counts()["pacs"].get(Stage.SENT, 0))

    pacs.after_each = look
    site.work()
    assert seen == [0, 0, 3, 3, 5, 5, 7, 7, 9]


def test_waiting_grows_up_to_its_limit_and_differs() -> None:
    limits = ForwardLimits(retry_s=5, longest_retry_s=600)
    for failures, most in ((1, 5.0), (2, 10.0), (7, 320.0), (8, 600.0), (10_000, 600.0)):
        waits = {limits.backoff_s(failures) for _ in range(50)}
        assert len(waits) > 1
        assert all(most / 2 <= wait <= most for wait in waits)


def test_cut_off_in_the_middle_goes_on_where_it_was() -> None:
    pacs = ReceivingPacs(answers={uids(1, 3)[0]: [CUT]})
    site = Site(pacs)
    numbers = site.enter(1, 1, 2, 3, 4)
    site.work()
    assert site.stages(numbers) == ["sent", "sent", "waiting", "waiting"]
    site.pass_time(60)
    assert site.stages(numbers) == ["gone"] * 4
    assert pacs.sent == uids(1, 1, 2, 3, 3, 4)


def test_an_error_nobody_foresaw_counts() -> None:
    site = Site()
    (number,) = site.enter(1, 1)
    (other,) = site.enter(2, 1)
    courier = site.forwarder.couriers["pacs"]

    def stumble(name: str) -> None:
        if name == "store" and not site.pacs["pacs"].sent:
            raise KeyError("a bug")

    site.pacs["pacs"].before = stumble
    for _ in range(LIMITS.attempts):
        site.clock.now += 600
        with pytest.raises(KeyError) as raised:
            site.pass_time(60)
        assert courier.stumbled(raised.value) > 0
    errors = [site.parcel(one).error for one in (number, other)]
    assert "could not be sent: KeyError" in errors


def test_a_clock_that_was_set_back() -> None:
    pacs = ReceivingPacs(down=DOWN)
    site = Site(pacs)
    (number,) = site.enter(1, 1)
    site.pass_time(3600)
    site.clock.now -= 365 * 86_400
    pacs.down = None
    site.pass_time(1300)
    assert site.stage(number) == "gone"


def test_replaced_while_it_is_sent() -> None:
    pacs = ReceivingPacs()
    site = Site(pacs)
    (old,) = site.enter(1, 1)
    entered: list[int] = []

    def replace_it() -> None:
        if not entered:
            entered.extend(site.enter(1, 1, content=b"second"))

    pacs.after_each = replace_it
    site.work()
    assert site.stages([old, *entered]) == ["gone", "sent"]
    assert pacs.kept[ref(1, 1)] == b"second"
    site.pass_time(3)
    assert site.stages([old, *entered]) == ["gone", "gone"]
    assert site.book.held == {}, "a PACS may keep the first, and say the same"


def test_announced_anew_is_not_booked_as_held() -> None:
    site = Site()
    (old,) = site.enter(1, 1)
    site.work()
    what = site.parcel(old).what
    (new,) = site.entrance.announce([what])
    site.pass_time(3)
    assert site.stages([old, new]) == ["gone", "announced"]
    assert site.book.held == {}


def test_what_a_pacs_holds_is_data_again_once_it_is_announced_anew() -> None:
    site = Site()
    (old,) = site.enter(1, 1)
    what = site.parcel(old).what
    site.pass_time(3)
    assert site.book.held == {ref(1, 1): "pacs"}
    site.entrance.announce([what])
    assert site.book.held == {}


def test_two_destinations_are_independent_and_held_when_both_are_done() -> None:
    far = ReceivingPacs("far", down=DOWN)
    site = Site(ReceivingPacs("near"), far)
    (near,) = site.enter(1, 1, to="near")
    (late,) = site.enter(1, 1, to="far")
    site.pass_time(60, "near")
    site.pass_time(60, "far")
    assert site.stages([near, late]) == ["gone", "waiting"]
    assert site.book.held == {}, "it has to be here for the other one"
    far.down = None
    site.pass_time(700, "far")
    assert site.stage(late) == "gone"
    assert site.book.held == {ref(1, 1): "far"}


def test_sending_does_not_keep_from_confirming_for_ever() -> None:
    pacs = ReceivingPacs()
    site = Site(pacs)
    site.enter(1, 1)
    more = iter(range(2, 500))

    def another() -> None:
        site.clock.now += 1
        site.enter(1, next(more))

    pacs.after_each = another
    for _ in range(200):
        site.forwarder.couriers["pacs"].work()
    assert site.outbox.counts()["pacs"][Stage.WAITING] > 0
    assert site.book.held
