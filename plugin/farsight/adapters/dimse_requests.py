"""One C-GET or C-MOVE on a leased association: identifiers out, instances and counts in (PS3.4
C.4)."""

from __future__ import annotations

from collections.abc import Sequence

from farsight.adapters.association_pool import LeftAtRest
from farsight.adapters.dimse_exchange import Exchange
from farsight.dimse import commands, status
from farsight.dimse.identifier_encoding import encode_identifier
from farsight.dimse.pdata import Message
from farsight.errors import FarsightError, PacsError, PacsFailure
from farsight.model import IdentifierKey, Level, ReceivedInstance, SubOperations
from farsight.ports.pacs import Arrivals, Sink, Told, not_told


class Getting:
    """One C-GET, step by step; nothing is asked before the first.

    When `sink` raises, the PACS is told to stop and Abandoned goes through.
    """

    def __init__(
        self,
        name: str,
        exchange: Exchange,
        level: Level,
        keys: Sequence[IdentifierKey],
        sink: Sink,
        told: Told = not_told,
    ) -> None:
        self._name = name
        self._exchange = exchange
        self._level = level
        self._keys = keys
        self._sink = sink
        self._told = told
        self._is_asked = False

    def step(self) -> str | SubOperations:
        """The SOPInstanceUID of the next instance, once the sink has it, or the counts at the end.

        Raises: PacsRefusedService, PacsFailure, PacsTimeout, PacsUnavailable, Abandoned.
        """
        while True:
            message = self._next_message()
            if message.command.field == commands.C_STORE_RQ:
                return self._take(message)
            if message.command.field != commands.C_GET_RSP:
                raise PacsFailure(self._name, f"command 0x{message.command.field:04X} in C-GET")
            self._told(_counts(message))
            if message.command.status not in status.PENDING:
                self._exchange.check_end(message)
                return _counts(message)

    def to_its_end(self) -> SubOperations:
        """All of it. Raises: as step."""
        while isinstance(outcome := self.step(), str):
            pass
        return outcome

    def _next_message(self) -> Message:
        if self._is_asked:
            return self._exchange.receive()
        self._is_asked = True
        identifier = _identifier(self._exchange, self._level, self._keys)
        return self._exchange.ask(commands.C_GET_RQ, identifier)

    def _take(self, message: Message) -> str:
        """Answers the C-STORE first, so that the PACS sends on while we look at what came."""
        command = message.command
        stored_as = self._exchange.connection.accepted.contexts.get(message.context_id)
        if stored_as is None or message.data_set is None:
            raise PacsFailure(self._name, "C-STORE without data set or on an unknown context")
        self._exchange.answer_store(message)
        received = ReceivedInstance(
            command.text(commands.AFFECTED_SOP_CLASS_UID),
            command.text(commands.AFFECTED_SOP_INSTANCE_UID),
            stored_as.transfer_syntax,
            message.data_set,
            of_study=self._level is Level.STUDY,
        )
        try:
            self._sink(received)
        except FarsightError as error:
            try:
                self._exchange.cancel_get()
            except PacsError:
                self._exchange.connection.abort()
            raise Abandoned(error) from error
        return received.sop_instance_uid


class Abandoned(LeftAtRest):
    """Whoever took the instances wants no more; `why` is what they raised."""

    def __init__(self, why: FarsightError) -> None:
        super().__init__(str(why))
        self.why = why


def move(
    name: str,
    exchange: Exchange,
    level: Level,
    keys: Sequence[IdentifierKey],
    destination: str,
    arrivals: Arrivals,
    told: Told = not_told,
) -> SubOperations:
    """One C-MOVE; the instances arrive elsewhere, which `arrivals` counts.

    When `arrivals` raises, the PACS is told to stop and the error goes through.
    Raises: PacsRefusedService, PacsFailure, PacsTimeout, PacsUnavailable.
    """
    seen = -1

    def idle() -> bool:
        nonlocal seen
        before = seen
        try:
            seen = arrivals()
        except FarsightError as error:
            raise Abandoned(error) from error
        return seen != before

    identifier = _identifier(exchange, level, keys)
    idle()  # before anything is under way that would have to be cancelled
    try:
        message = exchange.ask(commands.C_MOVE_RQ, identifier, idle, move_destination=destination)
        while message.command.status in status.PENDING:
            _check_move_response(name, message)
            told(_counts(message))
            idle()
            message = exchange.receive(idle)
    except Abandoned:
        try:
            exchange.cancel()
        except PacsError:
            exchange.connection.abort()
        raise
    _check_move_response(name, message)
    told(_counts(message))
    exchange.check_end(message)
    return _counts(message)


def _check_move_response(name: str, message: Message) -> None:
    if message.command.field != commands.C_MOVE_RSP:
        raise PacsFailure(name, f"command 0x{message.command.field:04X} in C-MOVE")


def _identifier(exchange: Exchange, level: Level, keys: Sequence[IdentifierKey]) -> bytes:
    """UIDs need no character set; the PatientID of the Patient root may."""
    plain = all(key.value.isascii() for key in keys)
    return encode_identifier(level, keys, exchange.transfer_syntax, None if plain else "ISO_IR 192")


def _counts(message: Message) -> SubOperations:
    command = message.command
    return SubOperations(
        completed=command.number(commands.COMPLETED),
        failed=command.number(commands.FAILED),
        warning=command.number(commands.WARNING),
        dimse_status=command.status,
        remaining=command.number(commands.REMAINING) if command.has(commands.REMAINING) else None,
    )
