"""A PACS over DIMSE: C-FIND, C-GET, C-MOVE and C-ECHO in the Study root (PS3.4 C, PS3.7 9.1)."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from farsight.adapters.association_pool import AssociationPool, PoolLimits
from farsight.adapters.dimse_connection import Connection, Timeouts
from farsight.dimse import commands, contexts, status
from farsight.dimse.association import AcceptedContext, AssociationRequest, ProposedContext
from farsight.dimse.identifier_encoding import encode_identifier
from farsight.dimse.pdata import Message
from farsight.dimse.retrieve_identifier import retrieve_keys
from farsight.errors import PacsError, PacsFailure, PacsRefusedService, PacsUnavailable
from farsight.model import Attributes, IdentifierKey, Level, ReceivedInstance, SubOperations
from farsight.ports.pacs import Sink
from farsight.ps318.dicom_json import identifier_attributes

LOG = logging.getLogger("farsight.dimse")
_MOST_DRAINED = 1000


@dataclass(frozen=True, slots=True)
class PacsAddress:
    """Where a PACS is and how it is to be spoken to."""

    name: str
    ae_title: str
    host: str
    port: int
    calling_ae_title: str
    retrieve: str = "auto"  # "c-get", "c-move" or "auto"
    uncompressed_only: bool = False
    limits: PoolLimits = field(default_factory=PoolLimits)
    timeouts: Timeouts = field(default_factory=Timeouts)


class DimsePacs:
    """The Pacs port over real associations."""

    def __init__(self, address: PacsAddress) -> None:
        self._address = address
        self._pool = AssociationPool(address.name, address.limits, self._connect)
        self._engine = "c-get" if address.retrieve == "auto" else address.retrieve

    @property
    def name(self) -> str:
        return self._address.name

    @property
    def ae_title(self) -> str:
        return self._address.ae_title

    @property
    def open_associations(self) -> int:
        return self._pool.open_associations

    @property
    def engine(self) -> str:
        """How instances are fetched now: "c-get", or "c-move" where that was set or learned."""
        return self._engine

    def close(self) -> None:
        self._pool.close()

    def _connect(self, request: AssociationRequest) -> Connection:
        address = self._address
        return Connection(address.name, (address.host, address.port), request, address.timeouts)

    def _request(
        self, proposed: tuple[ProposedContext, ...], roles: tuple[str, ...] = ()
    ) -> AssociationRequest:
        address = self._address
        return AssociationRequest(address.calling_ae_title, address.ae_title, proposed, roles)

    def _accepted(self, connection: Connection, sop_class_uid: str, what: str) -> AcceptedContext:
        context = connection.accepted.context_for(sop_class_uid)
        if context is None:
            raise PacsRefusedService(self.name, f"{what} is not offered by this PACS")
        return context

    # ---- C-ECHO

    def echo(self) -> None:
        """See ports.Pacs."""
        request = self._request(contexts.service_contexts(contexts.VERIFICATION))
        with self._pool.lease(request, urgent=True) as connection:
            context = self._accepted(connection, contexts.VERIFICATION, "C-ECHO")
            message_id = connection.next_message_id()
            connection.send(
                context.context_id,
                commands.request(
                    commands.C_ECHO_RQ, message_id, contexts.VERIFICATION, data_set=False
                ),
            )
            code = connection.receive().command.status
            if code != status.SUCCESS:
                raise PacsFailure(self.name, f"C-ECHO: {status.describe(code)}", code)

    # ---- C-FIND

    def find(
        self, level: Level, identifier: Sequence[IdentifierKey], *, max_rows: int | None = None
    ) -> Iterator[Attributes]:
        """See ports.Pacs."""
        request = self._request(contexts.service_contexts(contexts.STUDY_ROOT_FIND))
        try:
            rows = self._find_on_lease(request, level, identifier, max_rows)
            first = next(rows, None)
        except _StaleConnection:
            rows = self._find_on_lease(request, level, identifier, max_rows)
            first = next(rows, None)
        with closing(rows):
            if first is not None:
                yield first
                yield from rows

    def _find_on_lease(
        self,
        request: AssociationRequest,
        level: Level,
        identifier: Sequence[IdentifierKey],
        max_rows: int | None,
    ) -> Generator[Attributes]:
        with self._pool.lease(request, urgent=True) as connection:
            context = self._accepted(connection, contexts.STUDY_ROOT_FIND, "C-FIND")
            data_set = encode_identifier(level, identifier, context.transfer_syntax, "ISO_IR 192")
            message_id = connection.next_message_id()
            try:
                self._ask(connection, context, commands.C_FIND_RQ, message_id, data_set)
                message = connection.receive()
            except PacsUnavailable as error:
                if message_id > 1:  # a kept association that died unseen: worth a fresh one
                    raise _StaleConnection(self.name, "kept association lost") from error
                raise
            sent = 0
            while message.command.status in status.PENDING:
                finished = False
                try:
                    yield identifier_attributes(message.data_set or b"", context.transfer_syntax)
                    sent += 1
                    finished = sent == max_rows
                except GeneratorExit:
                    self._cancel(connection, context, message_id)
                    raise
                if finished:
                    self._cancel(connection, context, message_id)
                    return
                message = connection.receive()
            self._check_find_end(message)

    def _check_find_end(self, message: Message) -> None:
        code = message.command.status
        if code in (status.SUCCESS, status.CANCELLED):
            return
        why = f"C-FIND: {status.describe(code)}"
        if code in status.REFUSED_SERVICE:
            raise PacsRefusedService(self.name, why, code)
        raise PacsFailure(self.name, why, code)

    def _ask(
        self,
        connection: Connection,
        context: AcceptedContext,
        field_: int,
        message_id: int,
        data_set: bytes,
        **extra: str,
    ) -> None:
        command = commands.request(
            field_, message_id, context.abstract_syntax, data_set=True, **extra
        )
        connection.send(context.context_id, command, data_set)

    def _cancel(self, connection: Connection, context: AcceptedContext, message_id: int) -> None:
        """C-CANCEL, then the rest is read away so that the association can be used again."""
        connection.send(context.context_id, commands.cancel(message_id))
        for _ in range(_MOST_DRAINED):
            message = connection.receive()
            if message.command.field == commands.C_STORE_RQ:
                continue  # unanswered: the PACS was told to stop
            if message.command.status not in status.PENDING:
                return
        connection.abort()

    # ---- C-GET, C-MOVE

    def retrieve(
        self,
        study_instance_uid: str,
        series_instance_uid: str | None,
        sop_instance_uids: Sequence[str],
        sop_class_uids: Sequence[str],
        sink: Sink,
        *,
        urgent: bool = False,
        attempt: int = 0,
    ) -> SubOperations:
        """See ports.Pacs."""
        level, keys = retrieve_keys(study_instance_uid, series_instance_uid, sop_instance_uids)
        if self._engine == "c-move":
            return self._move(level, keys, urgent=urgent)
        try:
            proposed = contexts.get_contexts(
                tuple(sorted(set(sop_class_uids))),
                uncompressed_only=self._address.uncompressed_only,
                attempt=attempt,
            )
            outcome = self._get(level, keys, proposed, sink, urgent=urgent)
        except PacsRefusedService as error:
            if self._address.retrieve != "auto":
                raise
            LOG.warning("%s; using C-MOVE from now on", error)
            outcome = self._move(level, keys, urgent=urgent)
            self._engine = "c-move"
        return outcome

    def _get(
        self,
        level: Level,
        keys: Sequence[IdentifierKey],
        proposed: tuple[ProposedContext, ...],
        sink: Sink,
        *,
        urgent: bool,
    ) -> SubOperations:
        roles = tuple(dict.fromkeys(c.abstract_syntax for c in proposed[1:]))
        with self._pool.lease(self._request(proposed, roles), urgent=urgent) as connection:
            context = self._accepted(connection, contexts.STUDY_ROOT_GET, "C-GET")
            data_set = encode_identifier(level, keys, context.transfer_syntax, None)
            message_id = connection.next_message_id()
            self._ask(connection, context, commands.C_GET_RQ, message_id, data_set)
            while True:
                message = connection.receive()
                if message.command.field == commands.C_STORE_RQ:
                    self._take_instance(connection, message, sink)
                elif message.command.field != commands.C_GET_RSP:
                    raise PacsFailure(self.name, f"command 0x{message.command.field:04X} in C-GET")
                elif message.command.status not in status.PENDING:
                    return self._outcome("C-GET", message)

    def _take_instance(self, connection: Connection, message: Message, sink: Sink) -> None:
        """Answers the C-STORE first, so that the PACS sends on while we look at what came."""
        command = message.command
        stored_as = connection.accepted.contexts.get(message.context_id)
        if stored_as is None or message.data_set is None:
            raise PacsFailure(self.name, "C-STORE without data set or on an unknown context")
        sop_class_uid = command.text(commands.AFFECTED_SOP_CLASS_UID)
        sop_instance_uid = command.text(commands.AFFECTED_SOP_INSTANCE_UID)
        connection.send(
            message.context_id,
            commands.c_store_response(
                command.number(commands.MESSAGE_ID), sop_class_uid, sop_instance_uid
            ),
        )
        syntax = stored_as.transfer_syntax
        sink(ReceivedInstance(sop_class_uid, sop_instance_uid, syntax, message.data_set))

    def _move(self, level: Level, keys: Sequence[IdentifierKey], *, urgent: bool) -> SubOperations:
        request = self._request(contexts.service_contexts(contexts.STUDY_ROOT_MOVE))
        with self._pool.lease(request, urgent=urgent) as connection:
            context = self._accepted(connection, contexts.STUDY_ROOT_MOVE, "C-MOVE")
            data_set = encode_identifier(level, keys, context.transfer_syntax, None)
            self._ask(
                connection,
                context,
                commands.C_MOVE_RQ,
                connection.next_message_id(),
                data_set,
                move_destination=self._address.calling_ae_title,
            )
            while True:
                message = connection.receive()
                if message.command.field != commands.C_MOVE_RSP:
                    raise PacsFailure(self.name, f"command 0x{message.command.field:04X} in C-MOVE")
                if message.command.status not in status.PENDING:
                    return self._outcome("C-MOVE", message)

    def _outcome(self, operation: str, message: Message) -> SubOperations:
        command = message.command
        code = command.status
        if code in status.REFUSED_SERVICE:
            raise PacsRefusedService(self.name, f"{operation}: {status.describe(code)}", code)
        if code not in (status.SUCCESS, status.CANCELLED, status.SUB_OPERATIONS_WARNING):
            raise PacsFailure(self.name, f"{operation}: {status.describe(code)}", code)
        return SubOperations(
            completed=command.number(commands.COMPLETED),
            failed=command.number(commands.FAILED),
            warning=command.number(commands.WARNING),
            dimse_status=code,
        )


class _StaleConnection(PacsError):
    """A kept association turned out to be dead before it gave any answer."""
