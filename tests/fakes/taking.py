"""C-STORE as the Pacs port has it, for PACS in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from farsight.dimse.contexts import UNCOMPRESSED
from farsight.errors import FarsightError, PacsError, UnsupportedDicom
from farsight.model import StoreReply, checked_uid
from farsight.ports.pacs import Delivered, Outgoing


@dataclass(frozen=True)
class Taken:
    """One instance as it came."""

    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set: bytes


@dataclass
class Taking:
    """What a PACS does with what it is sent; may be changed while it is used.

    accepts: transfer syntaxes, None for all. refuses_classes: no context of theirs is accepted.
    statuses: SOPInstanceUID -> what it answers; others succeed. ends_after: so many are answered,
    then `ends_with` is raised. taken: whatever it said is stored, in order.
    """

    accepts: frozenset[str] | None = None
    refuses_classes: frozenset[str] = frozenset()
    statuses: dict[str, tuple[int, str]] = field(default_factory=dict)
    ends_after: int | None = None
    ends_with: PacsError | None = None
    taken: list[Taken] = field(default_factory=list)

    def store(self, instances: Sequence[Outgoing], delivered: Delivered) -> None:
        """See ports.Pacs."""
        for outgoing in instances:
            delivered(outgoing, self._told(outgoing))

    def _told(self, outgoing: Outgoing) -> StoreReply | FarsightError:
        try:
            for uid in (outgoing.sop_class_uid, outgoing.sop_instance_uid):
                checked_uid(uid, "UID")
            chosen = self._encoded(outgoing)
        except FarsightError as error:
            return error
        if chosen is None:
            return StoreReply(0x0122, "", "no presentation context accepted")
        self._count()
        status, comment = self.statuses.get(outgoing.sop_instance_uid, (0, ""))
        if status == 0 or status >> 12 == 0xB:
            self.taken.append(Taken(outgoing.sop_instance_uid, *chosen))
        return StoreReply(status, chosen[0], comment)

    def _count(self) -> None:
        if self.ends_after is None or self.ends_with is None:
            return
        if self.ends_after == 0:
            raise self.ends_with
        self.ends_after -= 1

    def _encoded(self, outgoing: Outgoing) -> tuple[str, bytes] | None:
        if outgoing.sop_class_uid in self.refuses_classes:
            return None
        refusal: UnsupportedDicom | None = None
        for syntax in dict.fromkeys((outgoing.transfer_syntax_uid, *UNCOMPRESSED)):
            if self.accepts is not None and syntax not in self.accepts:
                continue
            try:
                return syntax, bytes(outgoing.data_set(syntax))
            except UnsupportedDicom as error:
                refusal = error
        if refusal is not None:
            raise refusal
        return None
