"""Comparing with the PACS: what is confirmed, what is told, and what can't be said."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from booked import Clock, resource
from fakes.cache_book import FakeCacheBook
from fakes.memory_archive import MemoryArchive
from fakes.outbox import MemoryOutbox
from fakes.series_source import SeriesSource, part10
from farsight.dicom.part10 import parse_object
from farsight.errors import Conflict, PacsUnavailable
from farsight.model import InstanceRef, SeriesRef
from farsight.ports.outbox import Consignment
from farsight.services.claiming_outbox import ClaimingOutbox
from farsight.services.same_content import Verdict, compared
from farsight.services.series_locks import SeriesLocks
from farsight.services.verification import Verifier
from farsight.services.verification_report import Finding, JobReport, JobState, SeriesReport
from multi_frame import encapsulated
from sample_files import ct_slice, instance_uid, series_uid, study_uid

SERIES = SeriesRef(study_uid(), series_uid())


def ref(number: int) -> InstanceRef:
    return InstanceRef(study_uid(), series_uid(), instance_uid(number))


def image(number: int, change: Callable[[FileDataset], None] = lambda _: None) -> FileDataset:
    made = ct_slice(number, size=8)
    change(made)
    return made


def written(made: Dataset, syntax: UID) -> bytes:
    """In another native transfer syntax."""
    file = BytesIO()
    made.file_meta.TransferSyntaxUID = syntax
    little = syntax != ExplicitVRBigEndian
    if not little:
        made.PixelData = np.frombuffer(made.PixelData, "<u2").astype(">u2").tobytes()
    dcmwrite(
        file,
        made,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=little,
        force_encoding=True,
    )
    return file.getvalue()


class Site:
    def __init__(self, *sources: SeriesSource, moves: bool = False) -> None:
        self.archive = MemoryArchive()
        self.book = FakeCacheBook(Clock())
        self.busy = 0
        self.outbox = ClaimingOutbox(MemoryOutbox(), self.book)
        confirm = self.outbox.found_held
        self.verifier = Verifier(
            sources, self.archive, confirm, SeriesLocks(), lambda _: moves, self.is_busy, Clock()
        )

    def is_busy(self) -> bool:
        self.busy = max(0, self.busy - 1)
        return self.busy > 0

    def keep(self, *data: bytes) -> None:
        for one in data:
            parsed = parse_object(one)
            of = InstanceRef(
                parsed.study_instance_uid, parsed.series_instance_uid, parsed.sop_instance_uid
            )
            self.book.claim([of])
            self.archive.store(of, one)
            self.book.stored(of, resource(of), len(one))

    def verify(self, *studies: str) -> JobReport:
        number = self.verifier.submit(studies or (study_uid(),)).number
        deadline = time.monotonic() + 20
        while True:
            job = next(one for one in self.verifier.jobs() if one.number == number)
            if job.state in (JobState.DONE, JobState.STOPPED):
                return job
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def report(self) -> SeriesReport:
        job = self.verify()
        assert job.state is JobState.DONE
        assert not job.errors
        assert job.series_total == 1
        (report,) = job.series
        return report

    @property
    def unconfirmed(self) -> int:
        return self.book.totals().unconfirmed_instances


@pytest.fixture
def start() -> Iterator[Callable[..., Site]]:
    sites: list[Site] = []

    def make(*sources: SeriesSource, moves: bool = False) -> Site:
        sites.append(Site(*sources, moves=moves))
        return sites[-1]

    yield make
    for site in sites:
        site.verifier.close(10)


Start = Callable[..., Site]


def test_what_the_pacs_has_too_is_confirmed(start: Start) -> None:
    site = start(SeriesSource([image(number) for number in range(1, 51)]))
    site.keep(*(part10(image(number)) for number in range(1, 51)))
    site.busy = 3
    report = site.report()
    assert report.counts == {Finding.SAME: 50}
    assert report.pacs == ("pacs",)
    assert not report.warnings
    assert site.unconfirmed == 0
    assert site.book.instances(SERIES)[0].held_by == "pacs"


def test_every_difference_is_told_and_none_confirmed(start: Start) -> None:
    other = image(2, lambda made: setattr(made, "StudyID", "9"))
    source = SeriesSource([image(1), other, image(4), image(6)])
    source.omits[instance_uid(6)] = 9
    site = start(source)
    site.keep(*(part10(image(number)) for number in (1, 2, 3, 6)))
    report = site.report()
    assert report.named == {
        Finding.DIFFERS: [instance_uid(2)],
        Finding.ONLY_HERE: [instance_uid(3)],
        Finding.ONLY_AT_PACS: [instance_uid(4)],
        Finding.NOT_DELIVERED: [instance_uid(6)],
    }
    assert report.counts[Finding.SAME] == 1
    assert site.unconfirmed == 3


def test_what_is_not_readable_here_is_told(start: Start) -> None:
    site = start(SeriesSource([image(1), image(2)]))
    site.keep(part10(image(1)), part10(image(2)))
    site.archive.stored[ref(1)] = b"\0" * 1000
    assert site.report().named == {Finding.UNREADABLE_HERE: [instance_uid(1)]}


def test_a_second_pacs_confirms_what_the_first_has_otherwise(start: Start) -> None:
    changed = image(1, lambda made: setattr(made, "StudyID", "9"))
    first = SeriesSource([changed, image(2)], "first")
    second = SeriesSource([image(1)], "second")
    site = start(first, second)
    site.keep(part10(image(1)), part10(image(2)))
    report = site.report()
    assert report.counts == {Finding.SAME: 2}
    held = {one.ref.sop_instance_uid: one.held_by for one in site.book.instances(SERIES)}
    assert held == {instance_uid(1): "second", instance_uid(2): "first"}


def test_a_pacs_that_is_down_makes_nothing_certain(start: Start) -> None:
    source = SeriesSource([image(1)])
    source.failure = PacsUnavailable("pacs", "refused")
    site = start(source)
    site.keep(part10(image(1)))
    report = site.report()
    assert report.counts == {Finding.NOT_LISTED: 1}
    assert report.warnings == ("PACS 'pacs': refused",)
    source.fails_after = 0
    report = site.report()
    assert report.counts == {Finding.NOT_DELIVERED: 1}
    assert site.unconfirmed == 1


def test_a_pacs_that_only_counts_is_read_as_a_whole(start: Start) -> None:
    source = SeriesSource([image(1), image(2)])
    source.lists_instances = False
    site = start(source)
    site.keep(part10(image(1)), part10(image(3)))
    assert site.report().counts == {Finding.SAME: 1, Finding.NOT_LISTED: 1}


def test_a_pacs_that_moves_only_is_not_asked_to(start: Start) -> None:
    source = SeriesSource([image(1)])
    site = start(source, moves=True)
    site.keep(part10(image(1)))
    report = site.report()
    assert report.counts == {Finding.NOT_DELIVERED: 1}
    assert report.warnings == ("PACS 'pacs' sends by C-MOVE only",)
    assert not source.retrieved


def test_a_series_no_pacs_knows_is_only_here(start: Start) -> None:
    site = start(SeriesSource([]))
    site.keep(part10(image(1)))
    assert site.report().counts == {Finding.ONLY_HERE: 1}


def test_a_study_that_is_not_stored_is_an_error_of_its_own(start: Start) -> None:
    site = start(SeriesSource([image(1)]))
    site.keep(part10(image(1)))
    job = site.verify("9.9", study_uid(), "9.9")
    assert job.studies == ("9.9", study_uid())
    assert job.errors == {"9.9": "nothing of it is stored"}
    assert job.instances_compared == 1
    assert [one.number for one in site.verifier.jobs()] == [1]


def test_jobs_are_bounded_and_stop_when_closed(start: Start) -> None:
    site = start(SeriesSource([image(1)]))
    site.keep(part10(image(1)))
    for _ in range(25):
        site.verify()
    assert [job.number for job in site.verifier.jobs()] == list(range(25, 5, -1))
    site.busy = 10**9
    for _ in range(10):
        site.verifier.submit([study_uid()])
    with pytest.raises(Conflict, match="10 verifications"):
        site.verifier.submit([study_uid()])
    site.verifier.close(10)
    states = {job.state for job in site.verifier.jobs()[:10]}
    assert states == {JobState.STOPPED}


NATIVE = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]


@pytest.mark.parametrize("one", NATIVE)
@pytest.mark.parametrize("other", NATIVE)
def test_native_syntaxes_are_compared_by_what_they_say(one: UID, other: UID) -> None:
    stored = parse_object(written(image(1), one))
    same = parse_object(written(image(1), other))
    assert compared(stored, same) is Verdict.SAME
    changed = image(1, lambda made: setattr(made, "StudyID", "9"))
    differs = parse_object(written(changed, other))
    expected = Verdict.DIFFERS if one == other else Verdict.OTHER_SYNTAX
    assert compared(stored, differs) is expected


def test_how_sequences_are_delimited_makes_no_difference() -> None:
    def undefined(made: FileDataset) -> None:
        made["RequestAttributesSequence"].is_undefined_length = True

    one, other = part10(image(1)), part10(image(1, undefined))
    assert one != other
    assert compared(parse_object(one), parse_object(other)) is Verdict.SAME


def test_an_encapsulated_form_of_a_native_one_can_not_be_told() -> None:
    jpeg = parse_object(encapsulated(1, 100))
    assert jpeg.transfer_syntax_uid == JPEGBaseline8Bit
    assert compared(parse_object(part10(image(1))), jpeg) is Verdict.OTHER_SYNTAX
    assert compared(jpeg, parse_object(encapsulated(1, 100))) is Verdict.SAME
    assert compared(jpeg, parse_object(encapsulated(1, 102))) is Verdict.DIFFERS


def test_what_still_has_to_go_elsewhere_is_not_confirmed() -> None:
    site = Site(SeriesSource([ct_slice(1)]))
    site.keep(part10(ct_slice(1)))
    ref = next(iter(site.archive.stored))
    numbers = site.outbox.announce([Consignment("other", ref, "1.2", "1.2.840.10008.1.2.1")])
    site.outbox.promise(numbers)
    assert not site.outbox.found_held(ref, "pacs")
    assert site.book.one(ref.series).unconfirmed == 1
    site.outbox.withdraw(numbers)
    assert site.outbox.found_held(ref, "pacs")
    assert site.book.one(ref.series).unconfirmed == 0
