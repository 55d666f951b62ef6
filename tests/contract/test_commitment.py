"""Storage Commitment: what the port promises, in memory and by Orthanc before several PACS."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification

from fakes.commitments import FakeCommitments
from fakes.scripted_pacs import mute_listener
from farsight import errors
from farsight.errors import FarsightError, NotFound, PacsError, PacsRefusedService, PacsUnavailable
from farsight.ports.commitment import CommitmentReport, Commitments
from free_ports import free_port
from orthanc_process import PLUGINS, OrthancProcess, requires_orthanc
from sample_files import instance_uid, write_series

CT = "1.2.840.10008.5.1.4.1.1.2"
PUSH_INSTANCE = "1.2.840.10008.1.20.1.1"
THERE, MISSING = (CT, instance_uid(1)), (CT, instance_uid(2))


@dataclass(frozen=True)
class Subject:
    """What is under test, and names of PACS: one that keeps THERE, one that offers nothing, one
    that never reports, some that can't be asked."""

    commitments: Commitments
    keeps: str = "keeps"
    offers_nothing: str = "plain"
    never_reports: str = "quiet"
    not_to_be_asked: Sequence[str] = ("dead",)
    restart: Callable[[], None] = lambda: None


class InMemory:
    """Several FakeCommitments as one."""

    def __init__(self) -> None:
        self.of = {name: FakeCommitments("keeps", "quiet") for name in ("keeps", "plain", "quiet")}
        self.of["dead"] = FakeCommitments()
        self.of["dead"].unavailable = PacsUnavailable("dead", "no connection")
        self.of["keeps"].holds = {THERE[1]}
        self.of["quiet"].silent = True

    def request(self, pacs: str, instances: Sequence[tuple[str, str]]) -> str:
        return f"{pacs}/{self.of[pacs].request(pacs, instances)}"

    def report(self, transaction: str) -> CommitmentReport | None:
        pacs, _, number = transaction.rpartition("/")
        return self.of[pacs or "keeps"].report(number)

    def restart(self) -> None:
        for one in self.of.values():
            one.restart()


class InOrthanc:
    """OrthancCommitments in an Orthanc, by the test's plugin."""

    def __init__(self, process: OrthancProcess) -> None:
        self._process = process

    def _call(self, method: str, *arguments: Any) -> Any:
        body = json.dumps(arguments).encode()
        answer = json.loads(self._process.request("POST", f"/commitments/{method}", body))
        if "error" in answer:
            kind = getattr(errors, answer["error"])
            made = kind.__new__(kind)
            FarsightError.__init__(made, answer["says"])
            raise made
        return answer["result"]

    def request(self, pacs: str, instances: Sequence[tuple[str, str]]) -> str:
        return str(self._call("request", pacs, instances))

    def report(self, transaction: str) -> CommitmentReport | None:
        told = self._call("report", transaction)
        return None if told is None else CommitmentReport(frozenset(told[0]), told[1])


class CommitmentPeer:
    """A PACS by pynetdicom. answers: the status of N-ACTION. reports: SOP Instance UID -> Failure
    Reason, or None for what it keeps; sent to `report_to` once asked. ends: aborts when asked."""

    def __init__(self) -> None:
        self.answers = 0x0000
        self.ends = False
        self.reports: dict[str, int | None] | None = None
        self.report_to = 0
        self._entity = AE("PEER")
        self._entity.add_supported_context(StorageCommitmentPushModel)
        handlers = [(evt.EVT_N_ACTION, self._asked), (evt.EVT_RELEASED, self._released)]
        self._server = self._entity.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=handlers
        )
        self._transaction = ""
        self.port = int(self._server.socket.getsockname()[1])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _asked(self, event: Event) -> tuple[int, None]:
        self._transaction = str(event.action_information.TransactionUID)
        if self.ends:
            event.assoc.abort()
        return self.answers, None

    def _released(self, event: Event) -> None:
        if self.reports is None or not self._transaction:
            return
        told = Dataset()
        told.TransactionUID, self._transaction = self._transaction, ""
        told.ReferencedSOPSequence = [
            _item(uid) for uid, why in self.reports.items() if why is None
        ]
        told.FailedSOPSequence = [
            _item(uid, why) for uid, why in self.reports.items() if why is not None
        ]
        entity = AE("PEER")
        entity.add_requested_context(StorageCommitmentPushModel)
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        association = entity.associate(
            "127.0.0.1", self.report_to, ext_neg=[role], ae_title="FARSIGHT"
        )
        assert association.is_established
        association.send_n_event_report(
            told, 2 if told.FailedSOPSequence else 1, StorageCommitmentPushModel, PUSH_INSTANCE
        )
        association.release()


def _item(uid: str, why: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, uid
    if why is not None:
        item.FailureReason = why
    return item


@contextlib.contextmanager
def _plain_peer() -> Iterator[int]:
    entity = AE("PLAIN")
    entity.add_supported_context(Verification)
    server = entity.start_server(("127.0.0.1", 0), block=False)
    try:
        yield int(server.socket.getsockname()[1])
    finally:
        server.shutdown()
        server.server_close()


def _modality(ae_title: str, port: int) -> dict[str, Any]:
    return {"AET": ae_title, "Host": "127.0.0.1", "Port": port, "AllowStorageCommitment": True}


@dataclass(frozen=True)
class Around:
    """An Orthanc with the test's plugin, a second one as PACS, other peers."""

    process: OrthancProcess
    peer: CommitmentPeer

    def restart(self) -> None:
        self.process.stop()
        self.process.start()


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Around]:
    directory = tmp_path_factory.mktemp("commitment")
    with ExitStack() as stack:
        ours, pacs_port = free_port(), free_port()
        pacs = OrthancProcess(
            directory / "pacs",
            {"DicomAet": "KEEPS", "DicomPort": pacs_port,
             "DicomModalities": {"farsight": _modality("FARSIGHT", ours)}},
        )  # fmt: skip
        peer = CommitmentPeer()
        stack.callback(peer.close)
        peer.report_to = ours
        modalities = {
            "keeps": _modality("KEEPS", pacs_port),
            "plain": _modality("PLAIN", stack.enter_context(_plain_peer())),
            "quiet": _modality("PEER", peer.port),
            "dead": _modality("DEAD", free_port()),
            "mute": _modality("MUTE", stack.enter_context(mute_listener())),
        }
        gateway = OrthancProcess(
            directory / "gateway",
            {"DicomAet": "FARSIGHT", "DicomPort": ours, "DicomModalities": modalities,
             "Plugins": [str(PLUGINS / "libOrthancPython.so")],
             "PythonScript": str(Path(__file__).parent.parent / "commitment_plugin.py"),
             "Python": {"AllowThreads": True}},
        )  # fmt: skip
        for process in (pacs, gateway):
            process.start()
            stack.callback(process.stop)
        (file,) = write_series(directory / "files", 1)
        pacs.store(file.read_bytes())
        yield Around(gateway, peer)


@pytest.fixture(params=["memory", pytest.param("orthanc", marks=requires_orthanc)])
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "memory":
        fake = InMemory()
        return Subject(fake, restart=fake.restart)
    around: Around = request.getfixturevalue("around")
    around.peer.answers, around.peer.reports, around.peer.ends = 0, None, False
    return Subject(
        InOrthanc(around.process),
        not_to_be_asked=("dead", "mute", "unknown"),
        restart=around.restart,
    )


def _told(commitments: Commitments, transaction: str) -> CommitmentReport:
    deadline = time.monotonic() + 30
    while (told := commitments.report(transaction)) is None:
        assert time.monotonic() < deadline, "no report came"
        time.sleep(0.05)
    return told


def test_what_is_kept_and_what_is_not(subject: Subject) -> None:
    transaction = subject.commitments.request(subject.keeps, [THERE, MISSING])
    told = _told(subject.commitments, transaction)
    assert told == CommitmentReport(frozenset({THERE[1]}), {MISSING[1]: 0x0112})


def test_all_is_kept(subject: Subject) -> None:
    transactions = [subject.commitments.request(subject.keeps, [THERE]) for _ in range(3)]
    assert len(set(transactions)) == 3
    for transaction in transactions:
        told = _told(subject.commitments, transaction)
        assert told == CommitmentReport(frozenset({THERE[1]}), {})


def test_one_that_does_not_offer_it(subject: Subject) -> None:
    with pytest.raises(PacsRefusedService):
        subject.commitments.request(subject.offers_nothing, [THERE])


def test_one_that_never_reports(subject: Subject) -> None:
    transaction = subject.commitments.request(subject.never_reports, [THERE])
    assert subject.commitments.report(transaction) is None


def test_those_that_cannot_be_asked(subject: Subject) -> None:
    for pacs in subject.not_to_be_asked:
        with pytest.raises(PacsError) as raised:
            subject.commitments.request(pacs, [THERE])
        assert not isinstance(raised.value, PacsRefusedService)


def test_a_transaction_nobody_knows(subject: Subject) -> None:
    with pytest.raises(NotFound):
        subject.commitments.report("2.25.1234567")
    transaction = subject.commitments.request(subject.keeps, [THERE])
    subject.restart()
    with pytest.raises(NotFound):
        subject.commitments.report(transaction)


# ---- what only real peers do


@requires_orthanc
def test_failures_of_every_kind(around: Around) -> None:
    commitments = InOrthanc(around.process)
    around.peer.answers, around.peer.ends = 0, False
    around.peer.reports = {"1.2.1": 0x0110, "1.2.2": 0x0213, "1.2.3": None, "1.2.4": 0x0131}
    transaction = commitments.request("quiet", [(CT, uid) for uid in around.peer.reports])
    told = _told(commitments, transaction)
    assert told == CommitmentReport(
        frozenset({"1.2.3"}), {"1.2.1": 0x0110, "1.2.2": 0x0213, "1.2.4": 0x0131}
    )


@requires_orthanc
@pytest.mark.parametrize("how", ["refused", "aborted"])
def test_requests_that_are_not_taken(around: Around, how: str) -> None:
    commitments = InOrthanc(around.process)
    around.peer.reports = None
    around.peer.answers, around.peer.ends = (0x0110, False) if how == "refused" else (0, True)
    with pytest.raises(PacsUnavailable):
        commitments.request("quiet", [THERE])


@requires_orthanc
def test_a_report_of_less_than_was_asked(around: Around) -> None:
    """What it says nothing of is neither kept nor lost."""
    commitments = InOrthanc(around.process)
    around.peer.answers, around.peer.ends = 0, False
    around.peer.reports = {"1.2.1": None}
    transaction = commitments.request("quiet", [(CT, "1.2.1"), (CT, "1.2.2")])
    assert _told(commitments, transaction) == CommitmentReport(frozenset({"1.2.1"}), {})
