"""C-STORE as SCU: one instance after the other, whichever way the PACS takes it (PS3.4 B).

Laws: what `delivered` was called for is never sent again; what got no reply on a kept association
that had died unseen is sent once more, on a fresh one, and the reply tells so. An association
without a context for something isn't kept: the next time the PACS may take it. Sending goes after
everything else there is to do with the PACS: between two instances it waits for whom a viewer
waits for, and gives the association back where somebody needs one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from farsight.adapters.association_pool import LeftAtRest, StaleConnection
from farsight.adapters.dimse_connection import AssociationEnded, Connection
from farsight.dimse import commands, status
from farsight.dimse.association import AcceptedContext, ProposedContext
from farsight.dimse.store_contexts import Kind, sendings, ways_to_send
from farsight.errors import (
    FarsightError,
    InvalidUid,
    PacsFailure,
    PacsUnavailable,
    UnsupportedDicom,
)
from farsight.model import StoreReply, checked_uid
from farsight.ports.pacs import Delivered, Outgoing

#: A connection for those contexts, within the limits of the PACS.
Lease = Callable[[tuple[ProposedContext, ...]], AbstractContextManager[Connection]]
_Waiting = deque[Outgoing]


class Sender:
    """Sends to one PACS. Thread-safe."""

    def __init__(
        self,
        name: str,
        lease: Lease,
        give_way: Callable[[], None],
        is_wanted: Callable[[], bool],
        *,
        uncompressed_only: bool,
    ) -> None:
        """`give_way` waits a little where a viewer waits for something; `is_wanted`: somebody
        waits for an association."""
        self._name = name
        self._lease = lease
        self._give_way = give_way
        self._is_wanted = is_wanted
        self._uncompressed_only = uncompressed_only

    def send(self, instances: Sequence[Outgoing], delivered: Delivered) -> None:
        """See ports.Pacs.store."""
        kinds = [_kind_or_none(outgoing) for outgoing in instances]
        at = 0
        for sending in sendings(kinds, uncompressed_only=self._uncompressed_only):
            waiting = deque(instances[at : at + sending.count])
            at += sending.count
            try:
                if sending.contexts:
                    self._send_all(waiting, sending.contexts, delivered)
                else:
                    _refuse(waiting, delivered)
            except _NotWanted as error:
                raise error.why from None

    def _send_all(
        self, waiting: _Waiting, proposed: tuple[ProposedContext, ...], delivered: Delivered
    ) -> None:
        died_at = -1
        resent: Outgoing | None = None
        while waiting:
            before = len(waiting)
            try:
                with self._lease(proposed) as connection:
                    association = _Association(self._name, connection, resent)
                    self._send_some(association, waiting, delivered)
            except StaleConnection:
                if died_at == before:
                    raise
                died_at = len(waiting)
                resent = waiting[0]

    def _send_some(
        self, association: _Association, waiting: _Waiting, delivered: Delivered
    ) -> None:
        """Until all are sent, the association is over, or somebody else needs it."""
        while waiting:
            self._give_way()
            outgoing = waiting[0]
            told = association.store(outgoing)
            waiting.popleft()
            try:
                delivered(outgoing, told)
            except FarsightError as error:
                raise _NotWanted(error) from error
            if association.is_over or self._is_wanted():
                return


def _kind_or_none(outgoing: Outgoing) -> Kind | None:
    """None where it can't be named in DIMSE."""
    try:
        return _kind(outgoing)
    except InvalidUid:
        return None


def _kind(outgoing: Outgoing) -> Kind:
    """Raises: InvalidUid."""
    checked_uid(outgoing.sop_instance_uid, "SOP Instance UID")
    return Kind(
        checked_uid(outgoing.sop_class_uid, "SOP Class UID"),
        checked_uid(outgoing.transfer_syntax_uid, "Transfer Syntax UID"),
    )


def _refuse(waiting: _Waiting, delivered: Delivered) -> None:
    """None of them can be named."""
    for outgoing in waiting:
        try:
            _kind(outgoing)
        except InvalidUid as error:
            delivered(outgoing, error)


class _Association:
    """One lease of a connection."""

    def __init__(self, name: str, connection: Connection, resent: Outgoing | None) -> None:
        """`resent`: was sent before, without an answer."""
        self._name = name
        self._connection = connection
        self._resent = resent
        self._may_be_stale = connection.was_used

    @property
    def is_over(self) -> bool:
        return not self._connection.usable

    def store(self, outgoing: Outgoing) -> StoreReply | FarsightError:
        """What is to be told of it; the association is over if it has no context for it.

        Raises: StaleConnection, PacsUnavailable, PacsTimeout, PacsFailure.
        """
        try:
            chosen = self._encoded(outgoing)
        except UnsupportedDicom as error:
            self._connection.release()
            return error
        except FarsightError as error:
            return error
        if chosen is None:
            self._connection.release()
            return StoreReply(
                status.SOP_CLASS_NOT_SUPPORTED, "", "no presentation context accepted"
            )
        context, data_set = chosen
        try:
            return self._exchanged(outgoing, context, data_set)
        except (AssociationEnded, PacsUnavailable) as error:
            if self._may_be_stale:
                raise StaleConnection(self._name, "kept association lost") from error
            raise

    def _encoded(self, outgoing: Outgoing) -> tuple[AcceptedContext, bytes | memoryview] | None:
        """Raises: as Outgoing.data_set, of the last way tried."""
        refusal: UnsupportedDicom | None = None
        for context in ways_to_send(_kind(outgoing), self._connection.accepted.contexts):
            try:
                return context, outgoing.data_set(context.transfer_syntax)
            except UnsupportedDicom as error:
                refusal = error
        if refusal is not None:
            raise refusal
        return None

    def _exchanged(
        self, outgoing: Outgoing, context: AcceptedContext, data_set: bytes | memoryview
    ) -> StoreReply:
        message_id = self._connection.next_message_id()
        uid = outgoing.sop_instance_uid
        request = commands.c_store_request(message_id, outgoing.sop_class_uid, uid)
        self._connection.send_object(context.context_id, request, data_set)
        reply = self._connection.receive_after_sending().command
        self._may_be_stale = False
        self._check(reply, message_id, uid)
        comment = reply.text(commands.ERROR_COMMENT)
        was_resent = outgoing is self._resent
        return StoreReply(reply.status, context.transfer_syntax, comment, was_resent)

    def _check(self, reply: commands.Command, message_id: int, sop_instance_uid: str) -> None:
        """Raises: PacsFailure for an answer to something else, or one that is none."""
        if reply.field != commands.C_STORE_RSP:
            raise PacsFailure(self._name, f"command 0x{reply.field:04X} in C-STORE")
        answered = reply.number(commands.MESSAGE_ID_BEING_RESPONDED_TO, default=-1)
        if answered != message_id:
            why = f"C-STORE: answer to message {answered}, not to {message_id}"
            raise PacsFailure(self._name, why)
        named = reply.text(commands.AFFECTED_SOP_INSTANCE_UID)
        if named not in ("", sop_instance_uid):
            raise PacsFailure(self._name, "C-STORE: answer for another SOP instance")
        if reply.status < 0 or reply.status in status.PENDING:
            raise PacsFailure(self._name, "C-STORE: answer without a final status")


class _NotWanted(LeftAtRest):
    """Whoever hears of the deliveries wants no more; `why` is what they raised."""

    def __init__(self, why: FarsightError) -> None:
        super().__init__(str(why))
        self.why = why
