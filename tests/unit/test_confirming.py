"""Storage Commitment where it is offered and reports, C-FIND where not: nothing else confirms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from fakes.forwarding import LIMITS, Site, ref, uids
from fakes.receiving import ReceivingPacs
from farsight.errors import (
    ArchiveError,
    NotFound,
    PacsError,
    PacsFailure,
    PacsRefusedService,
    PacsTimeout,
    PacsUnavailable,
)
from farsight.ports.commitment import CommitmentReport
from farsight.services.forward_limits import ConfirmBy

REFUSED = PacsFailure("pacs", "C-FIND refused", 0xC001)
NOT_OFFERED = PacsRefusedService("pacs", "Storage Commitment is not offered")


@dataclass
class Committing:
    """The Commitments port. asked: transaction -> the instances; reports: what has come."""

    fails: PacsError | None = None
    asked: dict[str, list[str]] = field(default_factory=dict)
    reports: dict[str, CommitmentReport] = field(default_factory=dict)
    forgotten: bool = False

    def request(self, pacs: str, instances: Sequence[tuple[str, str]]) -> str:
        assert pacs == "pacs"
        if self.fails is not None:
            raise self.fails
        transaction = f"2.{len(self.asked) + 1}"
        assert all(sop_class == "1.2.840.10008.5.1.4.1.1.2" for sop_class, _ in instances)
        self.asked[transaction] = [uid for _, uid in instances]
        return transaction

    def report(self, transaction: str) -> CommitmentReport | None:
        if self.forgotten:
            raise NotFound(transaction)
        return self.reports.get(transaction)


def test_what_the_pacs_commits_to_is_held() -> None:
    committing = Committing()
    site = Site(commitments=committing)
    numbers = site.enter(1, 1, 2)
    site.pass_time(10)
    assert committing.asked == {"2.1": uids(1, 1, 2)}
    assert site.stages(numbers) == ["sent", "sent"]
    committing.reports["2.1"] = CommitmentReport(frozenset(uids(1, 1, 2)))
    site.pass_time(3)
    assert site.stages(numbers) == ["gone", "gone"]
    assert site.book.held == {ref(1, 1): "pacs", ref(1, 2): "pacs"}
    assert site.pacs["pacs"].finds == 1, "before they were sent"


def test_what_it_does_not_have_is_sent_again_and_given_up_in_the_end() -> None:
    class Never(Committing):
        def report(self, transaction: str) -> CommitmentReport | None:
            return CommitmentReport(frozenset(), dict.fromkeys(self.asked[transaction], 0x0112))

    site = Site(commitments=Never())
    (number,) = site.enter(1, 1)
    site.pass_time(5)
    assert len(site.pacs["pacs"].sent) == 1
    assert site.stage(number) == "waiting"
    site.pass_time(3600)
    assert site.dead() == ["accepted, but the PACS does not commit itself to keeping it (0x0112)"]
    assert len(site.pacs["pacs"].sent) == LIMITS.attempts
    assert site.book.held == {}


@pytest.mark.parametrize(
    ("by", "stage"), [(ConfirmBy.AUTO, "gone"), (ConfirmBy.COMMITMENT, "dead")]
)
def test_another_reason_is_looked_into_where_that_is_allowed(by: ConfirmBy, stage: str) -> None:
    class NotThatClass(Committing):
        def report(self, transaction: str) -> CommitmentReport | None:
            return CommitmentReport(frozenset(), dict.fromkeys(self.asked[transaction], 0x0122))

    site = Site(commitments=NotThatClass(), by=by)
    (number,) = site.enter(1, 1)
    site.pass_time(3600)
    assert site.stage(number) == stage
    assert bool(site.book.held) == (stage == "gone")


def test_what_a_report_does_not_mention_is_asked_about_again() -> None:
    committing = Committing(reports={"2.1": CommitmentReport(frozenset(uids(1, 1)))})
    site = Site(commitments=committing)
    numbers = site.enter(1, 1, 2)
    site.pass_time(10)
    assert site.stages(numbers) == ["gone", "sent"]
    committing.reports["2.2"] = CommitmentReport(frozenset(uids(1, 2)))
    site.pass_time(LIMITS.report_within_s)
    assert committing.asked["2.2"] == uids(1, 2)
    assert site.stages(numbers) == ["gone", "gone"]


@pytest.mark.parametrize(
    "fails", [NOT_OFFERED, PacsFailure("pacs", "N-ACTION failed", 0x0110), None]
)
def test_without_commitment_the_list_decides(fails: PacsError | None) -> None:
    """None: the PACS takes the request and never reports."""
    site = Site(commitments=Committing(fails))
    (number,) = site.enter(1, 1)
    site.pass_time(70)
    assert site.stage(number) == "gone"
    assert site.pacs["pacs"].finds == 2, "before it was sent, and now"
    assert site.book.held == {ref(1, 1): "pacs"}


@pytest.mark.parametrize("fails", [NOT_OFFERED, PacsFailure("pacs", "failed", 0x0110), None])
def test_commitment_alone_waits_for_ever(fails: PacsError | None) -> None:
    site = Site(commitments=Committing(fails), by=ConfirmBy.COMMITMENT)
    (number,) = site.enter(1, 1)
    site.pass_time(1800)
    assert site.stage(number) == "sent"
    assert site.pacs["pacs"].finds == 1, "before it was sent"
    assert len(site.pacs["pacs"].sent) == 1
    (progress,) = site.forwarder.progress()
    assert progress.sent == 1


def test_find_alone_asks_for_no_commitment() -> None:
    committing = Committing()
    site = Site(commitments=committing, by=ConfirmBy.FIND)
    (number,) = site.enter(1, 1)
    site.pass_time(3)
    assert (site.stage(number), committing.asked) == ("gone", {})


@pytest.mark.parametrize("by", [ConfirmBy.AUTO, ConfirmBy.COMMITMENT])
def test_a_transaction_that_is_forgotten_is_asked_for_again(by: ConfirmBy) -> None:
    committing = Committing(forgotten=True)
    site = Site(commitments=committing, by=by)
    (number,) = site.enter(1, 1)
    site.pass_time(5)
    assert site.stage(number) == "sent"
    committing.forgotten = False
    committing.reports |= {f"2.{n}": CommitmentReport(frozenset(uids(1, 1))) for n in range(1, 9)}
    site.pass_time(20)
    assert site.stage(number) == "gone"
    assert len(committing.asked) == 2
    assert site.pacs["pacs"].finds == 1, "before it was sent"


def test_a_report_that_cannot_be_asked_for_keeps_nothing_else() -> None:
    class Unreadable(Committing):
        def report(self, transaction: str) -> CommitmentReport | None:
            raise ArchiveError("no answer")

    site = Site(commitments=Unreadable())
    (number,) = site.enter(1, 1)
    site.pass_time(3)
    (other,) = site.enter(2, 1)
    site.work()
    assert site.stages([number, other]) == ["sent", "sent"]
    site.pass_time(LIMITS.report_within_s + 5)
    assert site.stages([number, other]) == ["gone", "gone"], "by what it lists"


def test_a_restart_asks_again() -> None:
    committing = Committing()
    site = Site(commitments=committing)
    (number,) = site.enter(1, 1)
    site.pass_time(5)
    site.restart()
    committing.reports["2.2"] = CommitmentReport(frozenset(uids(1, 1)))
    site.pass_time(LIMITS.report_within_s + 5)
    assert list(committing.asked) == ["2.1", "2.2"]
    assert site.stage(number) == "gone"


def test_a_pacs_that_cannot_be_asked_keeps_it_sent_for_ever() -> None:
    pacs = ReceivingPacs(finds_fail=REFUSED)
    site = Site(pacs)
    (number,) = site.enter(1, 1)
    site.pass_time(86_400)
    assert site.stage(number) == "sent"
    assert len(pacs.sent) == 1
    (progress,) = site.forwarder.progress()
    assert "can't be confirmed" in progress.last_error
    (other,) = site.enter(2, 1)
    site.work()
    assert site.stage(other) == "sent", "sending goes on meanwhile"
    pacs.finds_fail = None
    site.pass_time(1300)
    assert site.stages([number, other]) == ["gone", "gone"]
    assert site.book.held == {}, "they may be others: it had not been asked before"


@pytest.mark.parametrize("error", [PacsUnavailable("pacs", "down"), PacsTimeout("pacs", "mute")])
def test_silence_when_asked_is_no_answer(error: PacsError) -> None:
    pacs = ReceivingPacs()
    site = Site(pacs)
    (number,) = site.enter(1, 1)
    site.work()
    pacs.down = error
    site.pass_time(86_400)
    assert (site.stage(number), site.parcel(number).attempts) == ("sent", 0)
    assert len(pacs.sent) == 1
    pacs.down = None
    site.pass_time(700)
    assert site.stage(number) == "gone"


def test_rows_that_name_no_instances_are_no_answer() -> None:
    class Unnamed(ReceivingPacs):
        def find(self, level, identifier, *, max_rows=None):  # type: ignore[no-untyped-def]
            yield {"0020000D": {"vr": "UI", "Value": [ref(1, 1).study_instance_uid]}}

    site = Site(Unnamed())
    (number,) = site.enter(1, 1)
    site.pass_time(3600)
    assert site.stage(number) == "sent"


def test_rows_of_another_series_do_not_count() -> None:
    class Elsewhere(ReceivingPacs):
        def find(self, level, identifier, *, max_rows=None):  # type: ignore[no-untyped-def]
            for row in super().find(level, identifier):
                yield {**row, "0020000E": {"vr": "UI", "Value": ["1.9.9"]}}

    site = Site(Elsewhere())
    (number,) = site.enter(1, 1)
    site.pass_time(3600)
    assert site.stage(number) == "dead"


UNASKED = [PacsUnavailable("pacs", "no answer or refused"), PacsTimeout("pacs", "no answer")]


@pytest.mark.parametrize("error", UNASKED)
def test_who_does_not_take_the_question_is_asked_what_it_lists(error: PacsError) -> None:
    """It may not know us for commitments, and answer all else."""
    committing = Committing(fails=error)
    site = Site(commitments=committing)
    (number,) = site.enter(1, 1)
    site.pass_time(10)
    assert site.stage(number) == "gone"
    committing.fails = None
    site.enter(1, 2)
    site.pass_time(10)
    assert committing.asked == {}, "not soon again"
    site.pass_time(3600)
    site.enter(1, 3)
    site.pass_time(10)
    assert committing.asked == {"2.1": uids(1, 3)}


def test_who_is_away_is_asked_for_a_commitment_again() -> None:
    pacs, committing = ReceivingPacs(), Committing()
    site = Site(pacs, commitments=committing)
    (number,) = site.enter(1, 1)
    site.work()
    pacs.down = committing.fails = UNASKED[0]
    site.pass_time(86_400)
    assert (site.stage(number), site.parcel(number).attempts) == ("sent", 0)
    pacs.down = committing.fails = None
    site.pass_time(700)
    assert committing.asked == {"2.1": uids(1, 1)}


@pytest.mark.parametrize("error", UNASKED)
def test_commitment_alone_that_cannot_be_asked_for(error: PacsError) -> None:
    """Nothing else confirms; sending goes on, and it isn't asked all the time."""
    asked = 0

    class Prompt(Committing):
        def request(self, pacs: str, instances: Sequence[tuple[str, str]]) -> str:
            nonlocal asked
            asked += 1
            transaction = super().request(pacs, instances)
            kept = frozenset(self.asked[transaction])
            self.reports[transaction] = CommitmentReport(kept)
            return transaction

    pacs, committing = ReceivingPacs(), Prompt(fails=error)
    site = Site(pacs, commitments=committing, by=ConfirmBy.COMMITMENT)
    numbers = [site.enter(study, 1)[0] for study in range(1, 51)]
    site.pass_time(86_400)
    assert set(site.stages(numbers)) == {"sent"}
    assert asked < 200
    assert "can't be confirmed" in site.forwarder.progress()[0].last_error
    (other,) = site.enter(99, 1)
    site.work()
    assert site.stage(other) == "sent"
    assert (pacs.finds, site.forwarder.progress()[0].state) == (51, "idle"), "one a series"
    committing.fails = None
    site.pass_time(1300)
    assert set(site.stages([*numbers, other])) == {"gone"}
