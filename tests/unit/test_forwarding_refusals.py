"""Sending on: what the PACS refuses, what can't be sent, and when it is given up."""

from __future__ import annotations

import pytest

from fakes.forwarding import LIMITS, Site, ref, uids
from fakes.receiving import ReceivingPacs
from farsight.errors import (
    ArchiveError,
    FarsightError,
    ImagingBusy,
    MalformedDicom,
    NotFound,
    PacsFailure,
    UnsupportedDicom,
)

CUT = PacsFailure("pacs", "aborted")


@pytest.mark.parametrize("status", [0xA900, 0xC000, 0xC123, 0x0122, 0x0110, 0x0124, 0x0117])
def test_a_refusal_holds_back_its_study_alone_until_it_is_given_up(status: int) -> None:
    pacs = ReceivingPacs(answers={uids(1, 1)[0]: [status] * 99})
    site = Site(pacs)
    refused, behind = site.enter(1, 1, 2)
    (other,) = site.enter(2, 1)
    site.pass_time(2.4)
    assert site.stages([refused, behind, other]) == ["waiting", "waiting", "gone"]
    assert f"0x{status:04X}" in site.parcel(refused).error
    assert site.parcel(refused).attempts == 1
    site.pass_time(3600)
    assert site.stages([refused, behind]) == ["dead", "gone"]
    assert pacs.sent == [*uids(1, 1), *uids(2, 1), *uids(1, 1, 1), *uids(1, 2)]
    failures = site.forwarder.statistics.totals().failures
    assert failures == {("pacs", f"0x{status:04X}"): LIMITS.attempts}
    assert site.forwarder.retry([refused]) == 1
    pacs.answers.clear()
    site.pass_time(5)
    assert site.stage(refused) == "gone"


def test_no_context_is_told_as_such() -> None:
    site = Site(ReceivingPacs(answers={uids(1, 1)[0]: [0x0122] * 9}))
    site.enter(1, 1)
    site.pass_time(3600)
    (error,) = site.dead()
    assert "no presentation context" in error


@pytest.mark.parametrize("status", [0xB000, 0xB007, 0x0107])
def test_a_warning_is_a_success(status: int) -> None:
    site = Site(ReceivingPacs(answers={uids(1, 1)[0]: [status]}))
    (number,) = site.enter(1, 1)
    site.pass_time(3)
    assert site.stage(number) == "gone"
    assert site.book.held == {ref(1, 1): "pacs"}


def test_what_the_pacs_discarded_elements_of_stays_data() -> None:
    site = Site(ReceivingPacs(answers={uids(1, 1)[0]: [0xB006]}))
    (number,) = site.enter(1, 1)
    site.pass_time(3)
    assert site.stage(number) == "gone"
    assert site.book.held == {}


def test_a_duplicate_is_given_up() -> None:
    pacs = ReceivingPacs(answers={uids(1, 1)[0]: [0x0111] * 9})
    pacs.kept[ref(1, 1)] = b"of other content"
    site = Site(pacs)
    site.enter(1, 1)
    site.pass_time(3600)
    assert site.dead() == ["duplicate SOP instance (0x0111)"]
    assert site.book.held == {}


def test_a_duplicate_after_it_may_have_been_taken_is_confirmed_and_stays_data() -> None:
    pacs = ReceivingPacs(answers={uids(1, 1)[0]: [CUT, 0x0111]})
    pacs.kept[ref(1, 1)] = b"first"
    site = Site(pacs)
    (number,) = site.enter(1, 1)
    while site.stage(number) == "waiting":
        site.pass_time(1)
    assert site.stage(number) == "sent"
    assert "0x0111" in site.parcel(number).error
    site.restart()
    site.pass_time(60)
    assert site.stage(number) == "gone"
    assert site.book.held == {}


def test_a_duplicate_of_what_was_taken_and_not_listed() -> None:
    uid = uids(1, 1)[0]
    pacs = ReceivingPacs(answers={uid: [0, 0x0111]}, hides={uid})
    site = Site(pacs)
    (number,) = site.enter(1, 1)
    site.pass_time(9)
    pacs.hides.clear()
    site.pass_time(60)
    assert site.stage(number) == "gone"
    assert len(pacs.sent) in (1, 2)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (NotFound("x"), "not stored here any more"),
        (MalformedDicom("no DICOM"), "can't be sent: no DICOM"),
        (UnsupportedDicom("no encoding"), "can't be sent: no encoding"),
    ],
)
def test_what_cannot_be_sent_is_given_up_and_the_rest_goes_on(
    error: FarsightError, says: str
) -> None:
    site = Site(ReceivingPacs(unsendable={uids(1, 2)[0]: error}))
    numbers = site.enter(1, 1, 2, 3)
    site.pass_time(3)
    assert site.stages(numbers) == ["gone", "dead", "gone"]
    assert site.dead() == [says]


def test_deleted_meanwhile() -> None:
    site = Site()
    numbers = site.enter(1, 1, 2)
    del site.archive.content[ref(1, 1)]
    site.pass_time(3)
    assert site.stages(numbers) == ["dead", "gone"]


def test_a_disk_that_cannot_be_read_counts() -> None:
    site = Site(ReceivingPacs(unsendable={uids(1, 1)[0]: ArchiveError("I/O error")}))
    numbers = site.enter(1, 1, 2)
    site.pass_time(3)
    assert site.stages(numbers) == ["waiting", "waiting"]
    site.pass_time(600)
    assert site.stages(numbers) == ["dead", "gone"]
    assert site.dead() == ["can't be read: I/O error"]


def test_want_of_a_worker_does_not_count() -> None:
    pacs = ReceivingPacs(unsendable={uids(1, 1)[0]: ImagingBusy("all at work")})
    site = Site(pacs)
    (number,) = site.enter(1, 1)
    site.pass_time(600)
    assert (site.stage(number), site.parcel(number).attempts) == ("waiting", 0)
    pacs.unsendable.clear()
    site.pass_time(15)
    assert site.stage(number) == "gone"
