"""A PACS that is sent instances, and does wrong on purpose: pynetdicom on a port of its own."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pynetdicom import AE, build_context, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import Verification

from fakes.taking import Taken
from farsight.dimse.status import is_stored

EXPLICIT_LE, IMPLICIT_LE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
CT = "1.2.840.10008.5.1.4.1.1.2"


@dataclass
class Receiving:
    """What goes wrong; may be changed while it runs.

    statuses: SOPInstanceUID -> status and comment of the answer; others succeed. ends_after: so
    many are answered, then `ends_by`: "abort", "reset", "close" or "silence" instead of an answer.
    ends_once: that happens once. edits: changes each answer's command set before it is sent.
    before: called before each instance is answered. ends_kept: an association on which anything
    was stored is reset when more comes.
    """

    statuses: dict[str, tuple[int, str]] = field(default_factory=dict)
    ends_after: int | None = None
    ends_by: str = "abort"
    ends_once: bool = False
    ends_kept: bool = False
    edits: Callable[[Dataset], None] | None = None
    before: Callable[[], None] | None = None


class ReceivingPacs:
    """Listens from construction to `close`."""

    def __init__(
        self,
        kinds: dict[str, list[str]] | None = None,
        max_pdu_bytes: int = 16_384,
        max_associations: int = 100,
        **script: object,
    ) -> None:
        """`kinds`: SOP Class UID -> the transfer syntaxes it is accepted in."""
        self.script = Receiving(**script)  # type: ignore[arg-type]
        self.taken: list[Taken] = []
        self.associations = 0
        self.proposed: list[int] = []
        self.asked: list[str] = []
        self.largest_pdu_bytes = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._answered_on: dict[int, int] = {}
        self._entity = entity = AE("PACS")
        entity.maximum_pdu_size = max_pdu_bytes
        entity.maximum_associations = max_associations
        entity.network_timeout = None
        entity.add_supported_context(Verification)
        self._kinds = kinds or {CT: [EXPLICIT_LE, IMPLICIT_LE]}
        self._server = entity.start_server(
            ("127.0.0.1", 0),
            block=False,
            evt_handlers=[
                (evt.EVT_REQUESTED, self._requested),
                (evt.EVT_C_STORE, self._store),
                (evt.EVT_DIMSE_SENT, self._sending),
                (evt.EVT_DATA_RECV, self._received),
            ],
        )
        self.port = int(self._server.socket.getsockname()[1])
        self.accept(self._kinds)

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def accept(self, kinds: dict[str, list[str]]) -> None:
        """On associations from now on: SOP Class UID -> transfer syntaxes."""
        named = {Verification: [EXPLICIT_LE, IMPLICIT_LE], **kinds}
        self._server.contexts = [build_context(uid, named[uid]) for uid in named]

    def abort_all(self) -> None:
        for association in self._server.active_associations:
            association.abort()

    def _requested(self, event: Event) -> None:
        with self._lock:
            self.associations += 1
            self.proposed.append(len(event.assoc.requestor.requested_contexts))

    def _received(self, event: Event) -> None:
        if event.data[0] == 0x04:
            with self._lock:
                self.largest_pdu_bytes = max(self.largest_pdu_bytes, len(event.data) - 6)

    def _sending(self, event: Event) -> None:
        command = event.message.command_set
        if self.script.edits is not None and command.CommandField == 0x8001:
            self.script.edits(command)

    def _store(self, event: Event) -> Dataset:
        uid = str(event.request.AffectedSOPInstanceUID)
        with self._lock:
            self.asked.append(uid)
        if self.script.before is not None:
            self.script.before()
        on = id(event.assoc)
        if self._ends(self._answered_on.get(on, 0)):
            _end(event, self.script.ends_by, self._closing)
            return _answer(0x0110, "")
        self._answered_on[on] = self._answered_on.get(on, 0) + 1
        status, comment = self.script.statuses.get(uid, (0, ""))
        if is_stored(status):
            with self._lock:
                stored = event.request.DataSet.getvalue()
                self.taken.append(Taken(uid, str(event.context.transfer_syntax), stored))
        return _answer(status, comment)

    def _ends(self, answered: int) -> bool:
        script = self.script
        if script.ends_kept and answered:
            script.ends_by = "reset"
            return True
        if script.ends_after is None or len(self.asked) <= script.ends_after:
            return False
        if script.ends_once:
            script.ends_after = None
        return True


def _answer(status: int, comment: str) -> Dataset:
    answer = Dataset()
    answer.Status = status
    if comment:
        answer.ErrorComment = comment
    return answer


def _end(event: Event, how: str, closing: threading.Event) -> None:
    connection = event.assoc.dul.socket.socket
    if how == "abort":
        event.assoc.abort()
    elif how == "silence":
        closing.wait(60)
    else:
        if how == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        else:
            connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def receiving_pacs(*arguments: object, **script: object) -> Iterator[ReceivingPacs]:
    """Listening, and closed whatever happens."""
    pacs = ReceivingPacs(*arguments, **script)  # type: ignore[arg-type]
    try:
        yield pacs
    finally:
        pacs.close()
