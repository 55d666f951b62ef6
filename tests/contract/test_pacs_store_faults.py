"""C-STORE to PACS that answer wrongly, late or not at all, and to those with little room."""

from __future__ import annotations

import itertools
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AllStoragePresentationContexts

from fakes.pacs import FakePacs
from fakes.receiving_pacs import CT, EXPLICIT_LE, IMPLICIT_LE, receiving_pacs
from fakes.scripted_pacs import mute_listener, scripted_pacs
from fakes.taking import Taken
from farsight.adapters.association_pool import PoolLimits
from farsight.adapters.dimse_connection import Timeouts
from farsight.adapters.dimse_pacs import DimsePacs
from farsight.adapters.pacs_address import PacsAddress
from farsight.errors import (
    ArchiveError,
    FarsightError,
    InvalidUid,
    NotFound,
    OutboxError,
    PacsError,
    PacsFailure,
    PacsTimeout,
    PacsUnavailable,
    UnsupportedDicom,
)
from farsight.model import ReceivedInstance, StoreReply
from farsight.ports.pacs import Outgoing, Pacs
from free_ports import free_port
from pacs_peers import requires_dcmtk, storescp
from sample_files import ct_slice, study_uid

JPEG = "1.2.840.10008.1.2.4.70"
STATUSES = (0x0000, 0xB000, 0xB006, 0xB007, 0xA700, 0xA900, 0xC000, 0x0122, 0x0111, 0x0110, 0x0124)


@dataclass(frozen=True)
class Instance:
    """An Outgoing without DICOM: DIMSE doesn't look into data sets. asked: for which syntaxes."""

    sop_instance_uid: str
    sop_class_uid: str = CT
    transfer_syntax_uid: str = EXPLICIT_LE
    content: bytes = b"\x08\0\x60\0CS\2\0CT"
    encodings: frozenset[str] = frozenset({EXPLICIT_LE, IMPLICIT_LE})
    failure: FarsightError | None = None
    asked: list[str] = field(default_factory=list, compare=False)

    def data_set(self, transfer_syntax_uid: str) -> bytes | memoryview:
        self.asked.append(transfer_syntax_uid)
        if self.failure is not None:
            raise self.failure
        if transfer_syntax_uid == self.transfer_syntax_uid:
            return self.content
        if transfer_syntax_uid not in self.encodings:
            raise UnsupportedDicom("not to be had so")
        return transfer_syntax_uid.encode() + self.content


def some(count: int, **more: object) -> list[Instance]:
    return [Instance(f"1.2.{number}", **more) for number in range(1, count + 1)]  # type: ignore[arg-type]


def pacs_at(port: int, **more: object) -> DimsePacs:
    return DimsePacs(PacsAddress("pacs", "PACS", "127.0.0.1", port, "FARSIGHT", **more))  # type: ignore[arg-type]


class Heard:
    """Calls itself `delivered`."""

    def __init__(self, then: Callable[[int], None] = lambda _count: None) -> None:
        self.uids: list[str] = []
        self.said: list[StoreReply | FarsightError] = []
        self._then = then

    def __call__(self, outgoing: Outgoing, said: StoreReply | FarsightError) -> None:
        self.uids.append(outgoing.sop_instance_uid)
        self.said.append(said)
        self._then(len(self.said))

    @property
    def statuses(self) -> list[int]:
        return [one.dimse_status for one in self.said if isinstance(one, StoreReply)]


# ---- what both promise: the one in memory and the real one


@dataclass(frozen=True)
class Either:
    """A PACS and what it is told to do."""

    pacs: Pacs
    taken: list[Taken]
    answer: Callable[[dict[str, tuple[int, str]]], None]
    accept_only: Callable[[str], None]


@pytest.fixture(params=["memory", "pynetdicom"])
def either(request: pytest.FixtureRequest) -> Iterator[Either]:
    if request.param == "memory":
        fake = FakePacs([])
        fake.taking.accepts = frozenset({EXPLICIT_LE, IMPLICIT_LE})

        def accept_only(syntax: str) -> None:
            fake.taking.accepts = frozenset({syntax})

        yield Either(fake, fake.taking.taken, fake.taking.statuses.update, accept_only)
        return
    with receiving_pacs() as peer:
        pacs = pacs_at(peer.port)

        def accept_only_so(syntax: str) -> None:
            peer.accept({CT: [syntax]})

        yield Either(pacs, peer.taken, peer.script.statuses.update, accept_only_so)
        pacs.close()


def test_every_status_is_told(either: Either) -> None:
    instances = some(len(STATUSES))
    answers = {
        one.sop_instance_uid: (status, f"comment {status:04X}")
        for one, status in zip(instances, STATUSES, strict=True)
    }
    either.answer(answers)
    heard = Heard()
    either.pacs.store(instances, heard)
    assert heard.uids == [one.sop_instance_uid for one in instances]
    assert heard.said == [
        StoreReply(status, EXPLICIT_LE, f"comment {status:04X}") for status in STATUSES
    ]
    assert [one.sop_instance_uid for one in either.taken] == heard.uids[:4]


def test_implicit_only(either: Either) -> None:
    either.accept_only(IMPLICIT_LE)
    heard = Heard()
    (one,) = some(1)
    either.pacs.store([one], heard)
    assert heard.said == [StoreReply(0, IMPLICIT_LE)]
    assert either.taken == [Taken("1.2.1", IMPLICIT_LE, IMPLICIT_LE.encode() + one.content)]


def test_what_cannot_be_sent_does_not_keep_the_next(either: Either) -> None:
    """Not decompressible, gone, unreadable, without a name."""
    instances = [
        Instance("1.2.1"),
        Instance("1.2.2", transfer_syntax_uid=JPEG, encodings=frozenset()),
        Instance("1.2.3", failure=NotFound("gone")),
        Instance("1.2.4", failure=ArchiveError("broken")),
        Instance("1.2.<5>"),
        Instance("1.2.6", sop_class_uid=""),
        Instance("1.2.7", transfer_syntax_uid=JPEG),
    ]
    heard = Heard()
    either.pacs.store(instances, heard)
    assert [type(said) for said in heard.said] == [
        StoreReply, UnsupportedDicom, NotFound, ArchiveError, InvalidUid, InvalidUid, StoreReply,
    ]  # fmt: skip
    assert [taken.transfer_syntax_uid for taken in either.taken] == [EXPLICIT_LE, EXPLICIT_LE]


def test_nobody_wants_more(either: Either) -> None:
    def enough(count: int) -> None:
        if count == 2:
            raise OutboxError("full")

    heard = Heard(enough)
    with pytest.raises(OutboxError):
        either.pacs.store(some(4), heard)
    assert [taken.sop_instance_uid for taken in either.taken] == heard.uids == ["1.2.1", "1.2.2"]


# ---- ends


@pytest.mark.parametrize(
    ("by", "error"),
    [("abort", PacsFailure), ("reset", PacsUnavailable), ("close", PacsUnavailable),
     ("silence", PacsTimeout)],
)  # fmt: skip
def test_an_end_in_the_middle(by: str, error: type[PacsError]) -> None:
    with receiving_pacs(ends_after=2, ends_by=by) as peer:
        pacs = pacs_at(peer.port, timeouts=Timeouts(dimse_s=1))
        heard = Heard()
        with pytest.raises(error):
            pacs.store(some(5), heard)
        assert heard.uids == ["1.2.1", "1.2.2"]
        assert heard.statuses == [0, 0]
        assert peer.asked == ["1.2.1", "1.2.2", "1.2.3"], "the third was tried once"
        assert pacs.open_associations == 0
        pacs.close()


def test_an_end_while_a_large_one_is_sent() -> None:
    with receiving_pacs() as peer:
        pacs = pacs_at(peer.port)
        large = [Instance(f"1.2.{number}", content=bytes(16 << 20)) for number in range(200)]
        heard = Heard(lambda count: threading.Timer(0.02, peer.abort_all).start())
        with pytest.raises((PacsUnavailable, PacsFailure)):
            pacs.store(large, heard)
        assert 1 <= len(heard.said) < 200
        assert pacs.open_associations == 0
        pacs.close()


@requires_dcmtk
def test_one_that_takes_nothing_more(tmp_path: Path) -> None:
    with storescp(tmp_path) as peer:
        pacs = pacs_at(peer.port, timeouts=Timeouts(dimse_s=1))
        heard = Heard()
        pacs.store(some(1), heard)
        assert isinstance(peer.process, subprocess.Popen)
        peer.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(PacsTimeout, match="took nothing"):
                pacs.store([Instance("1.2.2", content=bytes(64 << 20))], heard)
        finally:
            peer.process.send_signal(signal.SIGCONT)
        assert heard.uids == ["1.2.1"]
        pacs.close()


def test_nobody_there() -> None:
    heard = Heard()
    with pytest.raises(PacsUnavailable):
        pacs_at(free_port()).store(some(2), heard)
    with mute_listener() as port, pytest.raises(PacsTimeout):
        pacs_at(port, timeouts=Timeouts(acse_s=0.5)).store(some(2), heard)
    assert heard.said == []


def test_a_kept_association_that_died_is_replaced_and_nothing_sent_twice() -> None:
    with receiving_pacs(ends_kept=True, ends_by="reset") as peer:
        pacs = pacs_at(peer.port)
        heard = Heard()
        pacs.store(some(1), heard)
        pacs.store([Instance("1.3.1")], heard)
        assert heard.uids == ["1.2.1", "1.3.1"]
        assert heard.statuses == [0, 0]
        assert peer.associations == 2
        assert peer.asked == ["1.2.1", "1.3.1", "1.3.1"]
        assert [reply.was_resent for reply in heard.said] == [False, True]
        with pytest.raises(PacsUnavailable):  # after a reply nothing is repeated
            pacs.store(some(3), heard)
        pacs.close()


def test_the_association_is_kept_and_used_again() -> None:
    with receiving_pacs() as peer:
        pacs = pacs_at(peer.port)
        for number in range(3):
            pacs.store(some(2), Heard())
            assert peer.associations == 1, number
        pacs.close()


# ---- answers


@pytest.mark.parametrize(
    ("element", "value", "says"),
    [
        ("MessageIDBeingRespondedTo", 999, "message 999"),
        ("AffectedSOPInstanceUID", "1.2.999", "another SOP instance"),
        ("Status", None, "without a final status"),
        ("Status", 0xFF00, "without a final status"),
        ("CommandField", 0x8030, "0x8030"),
    ],
)
def test_answers_to_something_else(element: str, value: object, says: str) -> None:
    def edit(command: Dataset) -> None:
        if value is None:
            delattr(command, element)
        else:
            setattr(command, element, value)

    with receiving_pacs(edits=edit) as peer:
        pacs = pacs_at(peer.port)
        heard = Heard()
        with pytest.raises(PacsFailure, match=says):
            pacs.store(some(2), heard)
        assert heard.said == []
        assert pacs.open_associations == 0
        pacs.close()


def test_an_answer_that_does_not_name_the_instance() -> None:
    def edit(command: Dataset) -> None:
        del command.AffectedSOPInstanceUID

    with receiving_pacs(edits=edit) as peer:
        pacs = pacs_at(peer.port)
        heard = Heard()
        pacs.store(some(2), heard)
        assert heard.statuses == [0, 0]
        pacs.close()


# ---- contexts, PDUs


def test_uncompressed_only() -> None:
    with receiving_pacs({CT: [JPEG, EXPLICIT_LE, IMPLICIT_LE]}) as peer:
        careful = pacs_at(peer.port, uncompressed_only=True)
        heard = Heard()
        careful.store([Instance("1.2.1", transfer_syntax_uid=JPEG)], heard)
        plain = pacs_at(peer.port)
        plain.store([Instance("1.2.2", transfer_syntax_uid=JPEG)], heard)
        assert heard.said == [StoreReply(0, EXPLICIT_LE), StoreReply(0, JPEG)]
        assert peer.proposed == [2, 3]
        careful.close()
        plain.close()


def test_more_kinds_than_one_association_has_contexts_for() -> None:
    classes = [str(c.abstract_syntax) for c in AllStoragePresentationContexts][:100]
    instances = [
        Instance(f"1.2.{number}", sop_class_uid=uid, transfer_syntax_uid=JPEG)
        for number, uid in enumerate(classes * 2)
    ]
    with receiving_pacs({uid: [JPEG] for uid in classes}) as peer:
        pacs = pacs_at(peer.port)
        heard = Heard()
        pacs.store(instances, heard)
        assert heard.uids == [one.sop_instance_uid for one in instances]
        assert heard.statuses == [0] * 200
        assert peer.asked == heard.uids, "in order"
        assert max(peer.proposed) <= 128
        assert len(peer.proposed) == 5
        pacs.close()


@pytest.mark.parametrize("max_pdu_bytes", [0, 4096, 16_383, 131_072, 1_000_000])
def test_the_peers_maximum_is_kept(max_pdu_bytes: int) -> None:
    content = bytes(range(256)) * 4001
    with receiving_pacs(max_pdu_bytes=max_pdu_bytes) as peer:
        pacs = pacs_at(peer.port)
        heard = Heard()
        pacs.store([Instance("1.2.1", content=content), Instance("1.2.2", content=b"")], heard)
        assert heard.statuses == [0, 0]
        assert peer.taken[0].data_set == content
        assert peer.largest_pdu_bytes <= min(max_pdu_bytes or 131_072, 131_072)
        assert peer.largest_pdu_bytes > min(max_pdu_bytes or 131_072, 131_072) - 8
        pacs.close()


def test_not_on_an_association_of_a_c_get() -> None:
    """There the PACS sends to us: the same contexts are accepted in the other role."""
    image = ct_slice(1)
    got: list[ReceivedInstance] = []
    with scripted_pacs([image]) as peer:
        pacs = pacs_at(peer.port)
        pacs.retrieve(study_uid(), None, (), (CT,), got.append)
        assert len(got) == 1
        assert peer.connections_made == 1
        heard = Heard()
        pacs.store(some(1), heard)
        assert peer.connections_made == 2
        pacs.close()


# ---- room for others


@pytest.mark.parametrize("max_associations", [1, 2, 3])
def test_whoever_waits_for_an_association_gets_one(max_associations: int) -> None:
    """However long there is something to send."""
    began, asked = threading.Event(), threading.Event()

    def count(number: int) -> None:
        if number == 1:
            began.set()
        if number > 1 and not asked.is_set() and number < 500:
            assert asked.wait(0.01) in (True, False)

    with receiving_pacs() as peer:
        pacs = pacs_at(peer.port, limits=PoolLimits(max_associations=max_associations))
        heard = Heard(count)
        with ThreadPoolExecutor() as threads:
            sending = threads.submit(pacs.store, some(500), heard)
            assert began.wait(20)
            pacs.echo()
            told_before = len(heard.said)
            asked.set()
            sending.result(60)
        assert told_before < 500
        assert heard.statuses == [0] * 500
        assert len(peer.asked) == 500
        pacs.close()


def test_not_two_sendings_in_turn_for_each_instance() -> None:
    """With one association the second waits until the first is through."""
    with receiving_pacs() as peer:
        pacs = pacs_at(peer.port, limits=PoolLimits(max_associations=1))
        with ThreadPoolExecutor() as threads:
            first = threads.submit(pacs.store, [Instance(f"1.2.{n}") for n in range(50)], Heard())
            second = threads.submit(pacs.store, [Instance(f"1.3.{n}") for n in range(50)], Heard())
            first.result(60)
            second.result(60)
        of = [uid[:4] for uid in peer.asked]
        assert sum(one != other for one, other in itertools.pairwise(of)) == 1
        pacs.close()
