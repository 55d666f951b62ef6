"""A PACS that is sent to, in memory and by script; and an account of what it was found to hold."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from farsight.dimse.status import is_stored
from farsight.errors import FarsightError, NotFound, PacsError
from farsight.model import Attributes, IdentifierKey, InstanceRef, Level, StoreReply
from farsight.ports.outbox import Parcel
from farsight.ports.pacs import Delivered, Outgoing

#: What a C-STORE is answered with: a status, or an error of the association.
Answer = int | PacsError
EXPLICIT = "1.2.840.10008.1.2.1"


@dataclass(frozen=True)
class Item:
    """The Outgoing port. content: where the instances are, by ref."""

    ref: InstanceRef
    content: dict[InstanceRef, bytes]
    sop_class_uid: str = "1.2.840.10008.5.1.4.1.1.2"
    transfer_syntax_uid: str = EXPLICIT

    @property
    def sop_instance_uid(self) -> str:
        return self.ref.sop_instance_uid

    def data_set(self, transfer_syntax_uid: str) -> bytes:
        if self.ref not in self.content:
            raise NotFound("not here")
        return self.content[self.ref]


@dataclass
class ReceivingPacs:
    """answers: SOPInstanceUID -> one answer after the other, then successes. down: every
    association fails so. hides: instances that it takes and never lists. before: called with the
    name of each method, and may raise."""

    name: str = "pacs"
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    unsendable: dict[str, FarsightError] = field(default_factory=dict)
    down: PacsError | None = None
    finds_fail: PacsError | None = None
    hides: set[str] = field(default_factory=set)
    before: Callable[[str], None] = lambda _: None
    after_each: Callable[[], None] = lambda: None
    associations: int = 0
    finds: int = 0
    sent: list[str] = field(default_factory=list)
    kept: dict[InstanceRef, bytes] = field(default_factory=dict)

    def store(self, instances: Sequence[Outgoing], delivered: Delivered) -> None:
        self.before("store")
        self.associations += 1
        if self.down is not None:
            raise self.down
        for outgoing in instances:
            delivered(outgoing, self._outcome(outgoing))
            self.after_each()

    def echo(self) -> None:
        self.before("echo")
        if self.down is not None:
            raise self.down

    def _outcome(self, outgoing: Outgoing) -> StoreReply | FarsightError:
        uid = outgoing.sop_instance_uid
        if uid in self.unsendable:
            return self.unsendable[uid]
        try:
            data = bytes(outgoing.data_set(EXPLICIT))
        except FarsightError as error:
            return error
        self.sent.append(uid)
        answers = self.answers.get(uid)
        answer = answers.pop(0) if answers else 0
        if isinstance(answer, PacsError):
            raise answer
        if is_stored(answer):
            assert isinstance(outgoing, Item)
            self.kept[outgoing.ref] = data
        self.before("answer")
        return StoreReply(answer, EXPLICIT if answer != 0x0122 else "")

    def find(
        self, level: Level, identifier: Sequence[IdentifierKey], *, max_rows: int | None = None
    ) -> Iterator[Attributes]:
        self.before("find")
        assert level is Level.IMAGE
        self.finds += 1
        self.associations += self.down is not None
        failure = self.down or self.finds_fail
        if failure is not None:
            raise failure
        asked = {key.tag: key.value for key in identifier}
        for ref in list(self.kept):
            matches = (ref.study_instance_uid, ref.series_instance_uid) == (
                asked["0020000D"],
                asked["0020000E"],
            )
            if matches and ref.sop_instance_uid not in self.hides:
                yield {"00080018": {"vr": "UI", "Value": [ref.sop_instance_uid]}}


@dataclass
class Book:
    """Of the CacheBook port, what sending on needs."""

    held: dict[InstanceRef, str] = field(default_factory=dict)
    before: Callable[[str], None] = lambda _: None

    def claim(self, refs: Collection[InstanceRef]) -> None:
        self.before("claim")
        for ref in refs:
            self.held.pop(ref, None)

    def confirmed(self, refs: Collection[InstanceRef], pacs: str) -> None:
        self.before("confirmed")
        self.held.update(dict.fromkeys(refs, pacs))


@dataclass
class StoredHere:
    """Of the Archive port, what sending on needs."""

    content: dict[InstanceRef, bytes] = field(default_factory=dict)

    def holds(self, ref: InstanceRef) -> bool:
        return ref in self.content

    def outgoing(self, parcel: Parcel) -> Item:
        return Item(parcel.what.ref, self.content)


@dataclass
class Clock:
    """Seconds since the epoch, that pass when they are told to."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now
