"""C-GET and C-MOVE: identifiers out, instances and counts in (PS3.4 C.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from farsight.adapters.association_pool import LeftAtRest, StaleConnection
from farsight.adapters.dimse_exchange import Exchange
from farsight.dimse import commands, contexts, status
from farsight.dimse.association import ProposedContext
from farsight.dimse.identifier_encoding import encode_identifier
from farsight.dimse.manners import MOST_UIDS, Way
from farsight.dimse.pdata import Message
from farsight.dimse.retrieve_identifier import retrieve_keys
from farsight.errors import FarsightError, PacsError, PacsFailure, PacsRefusedContexts
from farsight.model import IdentifierKey, Level, ReceivedInstance, SubOperations
from farsight.ports.pacs import Arrivals, Sink, Told, not_told


def get(
    name: str,
    exchange: Exchange,
    level: Level,
    keys: Sequence[IdentifierKey],
    sink: Sink,
    told: Told = not_told,
) -> SubOperations:
    """One C-GET. When `sink` raises, the PACS is told to stop and the error goes through.

    Raises: PacsRefusedService, PacsFailure, PacsTimeout, PacsUnavailable.
    """
    identifier = _identifier(exchange, level, keys)
    message = exchange.ask(commands.C_GET_RQ, identifier)
    while True:
        if message.command.field == commands.C_STORE_RQ:
            _take_instance(name, exchange, message, sink, of_study=level is Level.STUDY)
        elif message.command.field != commands.C_GET_RSP:
            raise PacsFailure(name, f"command 0x{message.command.field:04X} in C-GET")
        else:
            told(_counts(message))
            if message.command.status not in status.PENDING:
                exchange.check_end(message)
                return _counts(message)
        message = exchange.receive()


def _take_instance(
    name: str, exchange: Exchange, message: Message, sink: Sink, *, of_study: bool
) -> None:
    """Answers the C-STORE first, so that the PACS sends on while we look at what came."""
    command = message.command
    stored_as = exchange.connection.accepted.contexts.get(message.context_id)
    if stored_as is None or message.data_set is None:
        raise PacsFailure(name, "C-STORE without data set or on an unknown context")
    exchange.answer_store(message)
    received = ReceivedInstance(
        command.text(commands.AFFECTED_SOP_CLASS_UID),
        command.text(commands.AFFECTED_SOP_INSTANCE_UID),
        stored_as.transfer_syntax,
        message.data_set,
        of_study,
    )
    try:
        sink(received)
    except FarsightError as error:
        try:
            exchange.cancel_get()
        except PacsError:
            exchange.connection.abort()
        raise Abandoned(error) from error


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
    Raises: as `get`.
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


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to fetch, and how: one way of naming it, the contexts to propose for a C-GET.

    proposed: None has it moved to Orthanc by C-MOVE.
    """

    study_instance_uid: str
    series_instance_uid: str | None
    way: Way
    proposed: tuple[ProposedContext, ...] | None
    urgent: bool
    told: Told = not_told


class LeaseFor(Protocol):
    """How an exchange is had: operation, models, contexts for what is sent to us besides them."""

    def __call__(
        self,
        operation: str,
        sop_class_uids: Sequence[str],
        proposed: tuple[ProposedContext, ...] = (),
        *,
        urgent: bool,
    ) -> AbstractContextManager[Exchange]: ...


class Retriever:
    """Every request of one way on one association. Thread-safe."""

    def __init__(
        self,
        name: str,
        lease: LeaseFor,
        patient_id_of: Callable[[str], str | None],
        move_destination: str,
    ) -> None:
        """`patient_id_of`: for a Study Instance UID; asked only where the Patient root is used."""
        self._name = name
        self._lease = lease
        self._patient_id_of = patient_id_of
        self._move_destination = move_destination

    def retrieve(self, wanted: Wanted, sink: Sink, arrivals: Arrivals) -> SubOperations:
        """A kept association that died unseen is replaced once.

        Raises: PacsRefusedService, PacsFailure, PacsTimeout, PacsUnavailable; what `sink` and
        `arrivals` raise.
        """
        try:
            try:
                return self._on_exchange(wanted, sink, arrivals, None)
            except StaleConnection:
                return self._on_exchange(wanted, sink, arrivals, None)
            except _PatientIdNeeded as error:
                patient_id = self._patient_id_of(wanted.study_instance_uid)
                if not patient_id:
                    raise PacsFailure(self._name, _NO_PATIENT_ID) from error
                return self._on_exchange(wanted, sink, arrivals, patient_id)
        except Abandoned as error:
            raise error.why from None

    def headers(
        self, sop_instance_uids: Sequence[str], proposed: tuple[ProposedContext, ...], sink: Sink
    ) -> None:
        """Instances without bulk data (PS3.4 Z.4.2). Raises: as `retrieve`."""

        def fetch() -> None:
            services = (contexts.WITHOUT_BULK_DATA_GET,)
            with self._lease("C-GET", services, proposed, urgent=True) as exchange:
                for at in range(0, len(sop_instance_uids), MOST_UIDS):
                    uids = "\\".join(sop_instance_uids[at : at + MOST_UIDS])
                    keys = (IdentifierKey("00080018", "UI", uids),)
                    get(self._name, exchange, Level.IMAGE, keys, sink)

        try:
            try:
                fetch()
            except StaleConnection:
                fetch()
        except Abandoned as error:
            raise error.why from None

    def _on_exchange(
        self, wanted: Wanted, sink: Sink, arrivals: Arrivals, patient_id: str | None
    ) -> SubOperations:
        operation, models = "C-MOVE", contexts.MOVE_MODELS
        if wanted.proposed is not None:
            operation, models = "C-GET", contexts.GET_MODELS
        total = SubOperations(0, 0, 0, status.SUCCESS)
        with self._lease(
            operation, models, wanted.proposed or (), urgent=wanted.urgent
        ) as exchange:
            if exchange.patient_root and patient_id is None:
                raise _PatientIdNeeded
            if wanted.proposed and not exchange.accepts_any_of(wanted.proposed):
                why = "C-GET: no storage context of the instances is accepted"
                raise _NothingToSendOn(self._name, why)
            series = None if wanted.way.level is Level.STUDY else wanted.series_instance_uid
            for uids in wanted.way.sop_instance_uids or ((),):
                level, keys = retrieve_keys(
                    wanted.study_instance_uid,
                    series,
                    uids,
                    patient_id if exchange.patient_root else None,
                )
                if wanted.proposed is not None:
                    one = get(self._name, exchange, level, keys, sink, wanted.told)
                else:
                    to = self._move_destination
                    one = move(self._name, exchange, level, keys, to, arrivals, wanted.told)
                total = _added(total, one)
        return total


class _PatientIdNeeded(LeftAtRest):
    """Only the Patient root is offered, and its identifiers name the patient."""


class _NothingToSendOn(PacsRefusedContexts, LeftAtRest):
    """Found out before anything was asked on the association."""


_NO_PATIENT_ID = "offers the Patient root only, and tells no PatientID for the study"


def _added(one: SubOperations, other: SubOperations) -> SubOperations:
    """Counts of two requests together; the first status that isn't a success stays."""
    return SubOperations(
        completed=one.completed + other.completed,
        failed=one.failed + other.failed,
        warning=one.warning + other.warning,
        dimse_status=one.dimse_status or other.dimse_status,
    )
