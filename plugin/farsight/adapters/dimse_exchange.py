"""One DIMSE request and its answers on a leased association."""

from __future__ import annotations

import time
from collections.abc import Sequence

from farsight.adapters.association_pool import StaleConnection
from farsight.adapters.dimse_connection import AssociationEnded, Connection, Idle
from farsight.dimse import commands, status
from farsight.dimse.association import ProposedContext
from farsight.dimse.contexts import PATIENT_ROOT_FIND, PATIENT_ROOT_GET, PATIENT_ROOT_MOVE
from farsight.dimse.pdata import Message
from farsight.errors import PacsFailure, PacsRefusedService, PacsUnavailable

_PATIENT_ROOT = frozenset({PATIENT_ROOT_FIND, PATIENT_ROOT_GET, PATIENT_ROOT_MOVE})
_MOST_DRAINED = 1000
_DRAIN_S = 2.0


class Exchange:
    """Speaks the first of `sop_class_uids` that the PACS accepted. One request at a time."""

    def __init__(
        self, name: str, connection: Connection, sop_class_uids: Sequence[str], operation: str
    ) -> None:
        """Raises: PacsRefusedService when none was accepted."""
        accepted = [connection.accepted.context_for(uid) for uid in sop_class_uids]
        context = next((found for found in accepted if found is not None), None)
        if context is None:
            raise PacsRefusedService(name, f"{operation} is not offered by this PACS")
        self.connection = connection
        self.context = context
        self._name = name
        self._operation = operation
        self._message_id = 0

    @property
    def patient_root(self) -> bool:
        """Whether identifiers need a PatientID (PS3.4 C.6.1)."""
        return self.context.abstract_syntax in _PATIENT_ROOT

    @property
    def transfer_syntax(self) -> str:
        return self.context.transfer_syntax

    def accepts_any_of(self, proposed: Sequence[ProposedContext]) -> bool:
        """Whether the PACS took one of those contexts."""
        return any(self.connection.accepted.context_for(c.abstract_syntax) for c in proposed)

    def ask(
        self, field: int, identifier: bytes | None, idle: Idle | None = None, **extra: str
    ) -> Message:
        """Sends a request; the first message of its answer. `idle`: as for receive.

        Raises: StaleConnection, PacsUnavailable when the connection is gone; as receive.
        """
        try:
            self._send(field, identifier, **extra)
            return self.connection.receive(idle)
        except (AssociationEnded, PacsUnavailable) as error:
            if self._message_id > 1:  # others used it before, and it died unseen
                raise StaleConnection(self._name, "kept association lost") from error
            raise

    def _send(self, field: int, identifier: bytes | None, **extra: str) -> None:
        self._message_id = self.connection.next_message_id()
        command = commands.request(
            field,
            self._message_id,
            self.context.abstract_syntax,
            data_set=identifier is not None,
            **extra,
        )
        self.connection.send(self.context.context_id, command, identifier)

    def receive(self, idle: Idle | None = None) -> Message:
        """See Connection.receive."""
        return self.connection.receive(idle)

    def answer_store(self, message: Message) -> None:
        """Answers a C-STORE sub-operation of a C-GET (PS3.7 9.3.1.2): it is taken."""
        self.connection.send(*_store_answer(message, status.SUCCESS))

    def cancel(self) -> None:
        """C-CANCEL of a C-FIND or C-MOVE.

        The rest is read away, so that the association can be used again.

        Raises: PacsError.
        """
        self.connection.send(self.context.context_id, commands.cancel(self._message_id))
        self._read_away()

    def cancel_get(self) -> None:
        """The same for a C-GET whose last sub-operation has been answered.

        The C-CANCEL goes along with the answer to the next sub-operation, which is refused: some
        PACS take a C-CANCEL only between two of them, and one that comes while they wait for an
        answer for a wrong answer. Raises: PacsError.
        """
        message = self.connection.receive()
        if message.command.field != commands.C_STORE_RQ:
            if message.command.status in status.PENDING:
                self.cancel_get()
            return
        cancel = (self.context.context_id, commands.cancel(self._message_id))
        self.connection.send_together(_store_answer(message, status.OUT_OF_RESOURCES), cancel)
        self._read_away()

    def _read_away(self) -> None:
        """Sub-operations that come nevertheless are refused: a PACS waits for each answer."""
        deadline = time.monotonic() + _DRAIN_S
        for _ in range(_MOST_DRAINED):
            message = self.connection.receive(at_most_s=max(0.1, deadline - time.monotonic()))
            if message.command.field == commands.C_STORE_RQ:
                self.connection.send(*_store_answer(message, status.OUT_OF_RESOURCES))
            elif message.command.status not in status.PENDING:
                return
            if time.monotonic() > deadline:
                break
        self.connection.abort()

    def check_end(self, message: Message) -> None:
        """Raises: PacsRefusedService, PacsFailure for a final status that isn't a success."""
        code = message.command.status
        if code in (status.SUCCESS, status.CANCELLED, status.SUB_OPERATIONS_WARNING):
            return
        why = f"{self._operation}: {status.describe(code)}"
        if code in status.REFUSED_SERVICE:
            raise PacsRefusedService(self._name, why, code)
        raise PacsFailure(self._name, why, code)


def _store_answer(message: Message, code: int) -> tuple[int, bytes]:
    command = message.command
    return message.context_id, commands.c_store_response(
        command.number(commands.MESSAGE_ID),
        command.text(commands.AFFECTED_SOP_CLASS_UID),
        command.text(commands.AFFECTED_SOP_INSTANCE_UID),
        code,
    )
