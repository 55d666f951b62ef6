"""C-STORE by the Pacs port: one suite for the one in memory and for PACS that others wrote."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from corpus import CorpusFile, requires_corpus, storable_files
from fakes.pacs import FakePacs
from fakes.receiving_pacs import ReceivingPacs, receiving_pacs
from fakes.taking import Taken
from farsight.adapters.dimse_pacs import DimsePacs
from farsight.adapters.pacs_address import PacsAddress
from farsight.dicom.part10 import opening, parse_object
from farsight.errors import FarsightError, UnsupportedDicom
from farsight.imaging.jobs import Job
from farsight.imaging.perform import perform
from farsight.model import InstanceRef, StoreReply
from farsight.ports.pacs import Outgoing, Pacs
from farsight.services.outgoing import StoredOutgoing
from farsight.services.transcoding import TranscodeService
from multi_frame import slice_bytes
from orthanc_process import OrthancProcess, requires_orthanc
from pacs_peers import Peer, dcmqrscp, orthanc_pacs, requires_dcmtk, storescp

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
UNCOMPRESSED = frozenset({EXPLICIT, IMPLICIT, "1.2.840.10008.1.2.2"})
#: HTJ2K, JPEG XL, deflated frames: not every DCMTK that is in use knows them.
_NEW = re.compile(r"1\.2\.840\.10008\.1\.2\.(4\.20\d|4\.11\d|8\.1)$")
CT = "1.2.840.10008.5.1.4.1.1.2"
UNKNOWN_CLASS = "1.2.840.10008.5.1.4.1.1.99999"


class InThisProcess:
    """The Imaging port without its processes."""

    def run(self, job: Job, frames: Sequence[bytes | memoryview] = ()) -> Sequence[bytes]:
        return perform(job, frames)


TRANSCODER = TranscodeService(InThisProcess())


def outgoing_of(part10: bytes) -> StoredOutgoing:
    found = parse_object(part10)
    ref = InstanceRef(found.study_instance_uid, found.series_instance_uid, found.sop_instance_uid)
    return StoredOutgoing(
        ref, found.sop_class_uid, found.transfer_syntax_uid, lambda _ref: part10, TRANSCODER
    )


@dataclass(frozen=True)
class Told:
    """Everything `delivered` was called with, in order."""

    of: list[Outgoing]
    said: list[StoreReply | FarsightError]


def send(pacs: Pacs, instances: Sequence[Outgoing]) -> Told:
    told = Told([], [])

    def delivered(outgoing: Outgoing, reply: StoreReply | FarsightError) -> None:
        told.of.append(outgoing)
        told.said.append(reply)

    try:
        pacs.store(instances, delivered)
    finally:
        assert told.of == list(instances[: len(told.of)]), "each once, in the order given"
    return told


@dataclass(frozen=True)
class Subject:
    """A PACS under test. exact: it keeps a data set as it came; `takes`: syntaxes, None for all;
    knows_new: those of the last years too."""

    pacs: Pacs
    taken: Callable[[], list[Taken]]
    exact: bool = True
    takes: frozenset[str] | None = None
    knows_new: bool = True

    def takes_as_stored(self, outgoing: Outgoing) -> bool:
        syntax = outgoing.transfer_syntax_uid
        if not self.knows_new and _NEW.match(syntax):
            return False
        return self.takes is None or syntax in self.takes


def _pacs_at(peer: Peer | ReceivingPacs, **more: object) -> DimsePacs:
    return DimsePacs(PacsAddress("pacs", "PACS", "127.0.0.1", peer.port, "FARSIGHT", **more))  # type: ignore[arg-type]


def _in_files(directory: Path) -> list[Taken]:
    """Files of the receivers of DCMTK, hidden ones and indices aside."""
    return [
        _as_taken(file.read_bytes())
        for file in sorted(directory.iterdir())
        if file.is_file() and not file.name.startswith((".", "index"))
    ]


def _as_taken(part10: bytes) -> Taken:
    offset, syntax, _ = opening(part10)
    return Taken(parse_object(part10).sop_instance_uid, syntax, part10[offset:])


@functools.cache
def kinds_of_files() -> tuple[CorpusFile, ...]:
    """The smallest file of each pair of SOP class and transfer syntax."""
    smallest: dict[tuple[str, str], CorpusFile] = {}
    for file in sorted(storable_files(), key=lambda file: file.path.stat().st_size):
        kind = file.row["sop_class_uid"], file.row["transfer_syntax_uid"]
        smallest.setdefault(kind, file)
    return tuple(smallest.values())


@contextmanager
def _in_memory(_directory: Path) -> Iterator[Subject]:
    fake = FakePacs([])
    yield Subject(fake, lambda: fake.taking.taken)


@contextmanager
def _implicit_in_memory(_directory: Path) -> Iterator[Subject]:
    fake = FakePacs([])
    fake.taking.accepts = frozenset({IMPLICIT})
    yield Subject(fake, lambda: fake.taking.taken, takes=fake.taking.accepts)


@contextmanager
def _dcmqrscp(directory: Path) -> Iterator[Subject]:
    with dcmqrscp(directory, [], options=["+B"]) as peer:
        pacs = _pacs_at(peer)
        yield Subject(pacs, lambda: _in_files(directory / "db"), takes=UNCOMPRESSED)
        pacs.close()


@contextmanager
def _storescp(
    directory: Path, options: Sequence[str], takes: frozenset[str] | None
) -> Iterator[Subject]:
    with storescp(directory, options) as peer:
        pacs = _pacs_at(peer)
        yield Subject(pacs, lambda: _in_files(directory / "taken"), takes=takes, knows_new=False)
        pacs.close()


@contextmanager
def _orthanc(directory: Path) -> Iterator[Subject]:
    with orthanc_pacs(directory, []) as peer:
        process = peer.process
        assert isinstance(process, OrthancProcess)

        def taken() -> list[Taken]:
            return [
                _as_taken(process.request("GET", f"/instances/{found}/file"))
                for found in process.json("/instances")
            ]

        pacs = _pacs_at(peer)
        yield Subject(pacs, taken, exact=False, knows_new=False)
        pacs.close()


@contextmanager
def _pynetdicom(_directory: Path) -> Iterator[Subject]:
    kinds: dict[str, list[str]] = {}
    for file in kinds_of_files():
        row = file.row
        kinds.setdefault(row["sop_class_uid"], [EXPLICIT, IMPLICIT])
        if row["transfer_syntax_uid"] not in kinds[row["sop_class_uid"]]:
            kinds[row["sop_class_uid"]].append(row["transfer_syntax_uid"])
    kinds.setdefault(CT, [EXPLICIT, IMPLICIT])
    with receiving_pacs(kinds) as peer:
        pacs = _pacs_at(peer)
        yield Subject(pacs, lambda: peer.taken)
        pacs.close()


SUBJECTS = {
    "memory": _in_memory,
    "memory-implicit": _implicit_in_memory,
    "dcmqrscp": _dcmqrscp,
    "storescp": functools.partial(_storescp, options=[], takes=UNCOMPRESSED),
    "storescp-all": functools.partial(_storescp, options=["+xa"], takes=None),
    "storescp-implicit": functools.partial(_storescp, options=["+xi"], takes=frozenset({IMPLICIT})),
    "orthanc": _orthanc,
    "pynetdicom": _pynetdicom,
}
_MARKS = {"orthanc": (requires_orthanc,), "dcmqrscp": (requires_dcmtk,)} | {
    name: (requires_dcmtk,) for name in SUBJECTS if name.startswith("storescp")
}


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=_MARKS.get(name, ())) for name in SUBJECTS],
)
def subject(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Subject]:
    with SUBJECTS[request.param](tmp_path_factory.mktemp("pacs") / "it") as running:
        yield running


def _checked(subject: Subject, instances: Sequence[StoredOutgoing], told: Told) -> int:
    """Each as it is stored where that is taken, else in another encoding of the same; how many
    were stored."""
    held = {taken.sop_instance_uid: taken for taken in subject.taken()}
    stored = 0
    for outgoing, said in zip(instances, told.said, strict=True):
        if isinstance(said, UnsupportedDicom):
            assert not subject.takes_as_stored(outgoing)
            with pytest.raises(UnsupportedDicom):
                outgoing.data_set(EXPLICIT)
            continue
        assert isinstance(said, StoreReply), said
        if said.dimse_status != 0:
            assert outgoing.sop_instance_uid not in held
            continue
        stored += 1
        if subject.takes_as_stored(outgoing):
            assert said.transfer_syntax_uid == outgoing.transfer_syntax_uid
        else:
            assert said.transfer_syntax_uid in {outgoing.transfer_syntax_uid, *UNCOMPRESSED}
        taken = held[outgoing.sop_instance_uid]
        if subject.exact:
            assert taken.transfer_syntax_uid == said.transfer_syntax_uid
            assert taken.data_set == bytes(outgoing.data_set(said.transfer_syntax_uid))
    return stored


def test_a_few_slices_arrive_bit_for_bit(subject: Subject) -> None:
    instances = [outgoing_of(slice_bytes(number)) for number in range(1, 6)]
    told = send(subject.pacs, instances)
    assert [said for said in told.said if not isinstance(said, StoreReply)] == []
    assert _checked(subject, instances, told) == 5
    held = {taken.sop_instance_uid: taken.data_set for taken in subject.taken()}
    for outgoing in instances:  # what Orthanc writes anew is what it read, without oddities
        as_sent = IMPLICIT if subject.takes == frozenset({IMPLICIT}) else EXPLICIT
        assert held[outgoing.sop_instance_uid] == bytes(outgoing.data_set(as_sent))


@requires_corpus
def test_every_kind_of_object_there_is(subject: Subject) -> None:
    instances = [outgoing_of(file.read()) for file in kinds_of_files()]
    told = send(subject.pacs, instances)
    assert _checked(subject, instances, told) >= len(instances) - 2, "most are known everywhere"


def test_what_no_context_is_accepted_for(subject: Subject) -> None:
    if isinstance(subject.pacs, FakePacs):
        subject.pacs.taking.refuses_classes = frozenset({UNKNOWN_CLASS})
    strange = slice_bytes(8, lambda made: setattr(made, "SOPClassUID", UNKNOWN_CLASS))
    instances = [outgoing_of(data) for data in (slice_bytes(7), strange, slice_bytes(9))]
    said = send(subject.pacs, instances).said
    assert [reply.dimse_status for reply in said if isinstance(reply, StoreReply)] == [0, 0x122, 0]
    assert isinstance(said[1], StoreReply)
    assert said[1].transfer_syntax_uid == ""


def test_nothing_to_send(subject: Subject) -> None:
    assert send(subject.pacs, []).said == []
