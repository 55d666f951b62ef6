"""One association over a socket: the only place where DIMSE meets the network.

Receives to where the reader says and asks for quick acknowledgements after every read:
without them a default peer waits for its delayed-ACK timer on each PDU.
"""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from farsight.adapters import dimse_socket
from farsight.dicom.part10 import part10_head
from farsight.dimse.association import (
    ABORT,
    PDU_ABORT,
    PDU_RELEASE_RP,
    PDU_RELEASE_RQ,
    RELEASE_RP,
    RELEASE_RQ,
    Accepted,
    AssociationRequest,
    ProtocolError,
    Rejected,
    encode_request,
    read_reply,
)
from farsight.dimse.commands import (
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    C_STORE_RQ,
    Command,
)
from farsight.dimse.pdata import Message, PdataReader, Pdu
from farsight.dimse.pdata_writer import message_pieces, write_message
from farsight.errors import MalformedDicom, PacsError, PacsFailure, PacsTimeout, PacsUnavailable

LOG = logging.getLogger("farsight.dimse")
_RELEASE_WAIT_S = 2.0
#: How often whoever waits looks at what goes on elsewhere.
_SLICE_S = 1.0
Idle = Callable[[], bool]
#: As large as one can be: on the loopback.
_SEGMENT_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each phase may take, in seconds."""

    connect_s: float = 5.0
    acse_s: float = 10.0
    dimse_s: float = 30.0


class TooManyAssociations(PacsUnavailable):
    """The PACS refused this association for having too many already (PS3.8 table 9-21)."""


class AssociationEnded(PacsFailure):
    """The PACS aborted or released the association instead of answering."""


class Connection:
    """An established association. Not for two threads at once.

    After any error it is closed; `usable` says whether it may be kept for another request.
    """

    def __init__(
        self,
        name: str,
        address: tuple[str, int],
        request: AssociationRequest,
        timeouts: Timeouts,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Raises: PacsUnavailable, PacsTimeout, PacsFailure."""
        self.request = request
        self._name = name
        self._tls = tls
        self._timeouts = timeouts
        self._reader = PdataReader(self._head_of)
        self._ready: list[Message | Pdu] = []
        self._message_id = 0
        self._least_bytes = 1
        self.usable = True
        self._socket = dimse_socket.connected(
            name, address, timeouts.connect_s, timeouts.acse_s, tls
        )
        try:
            self.accepted = self._negotiate(request)
        except BaseException:
            self.close()
            raise

    def _negotiate(self, request: AssociationRequest) -> Accepted:
        started = time.monotonic()
        self._send(encode_request(request))
        event = self._next_event(self._timeouts.acse_s, "an answer to the association request")
        self.round_trip_s = time.monotonic() - started
        try:
            if not isinstance(event, Pdu):
                raise ProtocolError("data before the association was accepted")
            reply = read_reply(request, event.pdu_type, event.body)
        except ProtocolError as error:
            raise PacsFailure(self._name, str(error)) from error
        if isinstance(reply, Rejected):
            kind = TooManyAssociations if reply.too_many else PacsUnavailable
            raise kind(self._name, str(reply))
        return reply

    def _head_of(self, context_id: int, command: Command) -> bytes:
        """An object that is sent to us becomes a DICOM file while it arrives."""
        stored_as = self.accepted.contexts.get(context_id)
        if command.field != C_STORE_RQ:
            return b""
        if stored_as is None:
            raise ProtocolError(f"C-STORE on presentation context {context_id}, never accepted")
        try:
            return part10_head(
                command.text(AFFECTED_SOP_CLASS_UID),
                command.text(AFFECTED_SOP_INSTANCE_UID),
                stored_as.transfer_syntax,
            )
        except MalformedDicom as error:
            raise ProtocolError(f"C-STORE: {error}") from error

    @property
    def was_used(self) -> bool:
        """Whether anything was asked on it yet."""
        return self._message_id > 0

    def next_message_id(self) -> int:
        self._message_id = self._message_id % 0xFFFF + 1
        return self._message_id

    def send(self, context_id: int, command: bytes, data_set: bytes | None = None) -> None:
        """Raises: PacsUnavailable when the connection is gone."""
        self._send(write_message(context_id, command, data_set, self.accepted.max_pdu_bytes))

    def send_object(self, context_id: int, command: bytes, data_set: bytes | memoryview) -> None:
        """A command with a data set however large, of which nothing is copied.

        Raises: PacsTimeout when the PACS takes nothing for dimse_s, PacsUnavailable when the
        connection is gone.
        """
        pieces = message_pieces(context_id, command, data_set, self.accepted.max_pdu_bytes)
        try:
            self._socket.settimeout(self._timeouts.dimse_s)
            dimse_socket.send_pieces(self._socket, pieces)
        except TimeoutError as error:
            why = f"took nothing of an instance for {self._timeouts.dimse_s:g} s"
            raise self._broken(PacsTimeout(self._name, why)) from error
        except OSError as error:
            raise self._broken(PacsUnavailable(self._name, "connection lost")) from error

    def receive_after_sending(self) -> Message:
        """The same as receive; while what was sent is still on its way, that isn't silence."""
        unsent = dimse_socket.unsent_bytes(self._socket)

        def under_way() -> bool:
            nonlocal unsent
            before, unsent = unsent, dimse_socket.unsent_bytes(self._socket)
            return unsent < before

        return self.receive(under_way if unsent else None)

    def send_together(self, *commands: tuple[int, bytes]) -> None:
        """Commands without data sets, by context ID: whoever reads the first finds the next."""
        most = self.accepted.max_pdu_bytes
        self._send(b"".join(write_message(where, what, None, most) for where, what in commands))

    def _send(self, data: bytes) -> None:
        try:
            self._socket.settimeout(self._timeouts.dimse_s)
            self._socket.sendall(data)
        except OSError as error:
            raise self._broken(PacsUnavailable(self._name, "connection lost")) from error

    def receive(self, idle: Idle | None = None, at_most_s: float | None = None) -> Message:
        """The next DIMSE message. `at_most_s`: less patience than dimse_s.

        `idle` is called every second of silence; True: something goes on elsewhere, which isn't
        silence. What it raises goes through, and the connection stays usable.

        Raises: PacsTimeout after dimse_s of silence, PacsFailure on abort or protocol breach,
        PacsUnavailable when the connection is gone.
        """
        timeout_s = min(self._timeouts.dimse_s, at_most_s or math.inf)
        event = self._next_event(timeout_s, "a DIMSE message", idle)
        if isinstance(event, Message):
            return event
        if event.pdu_type == PDU_ABORT:
            raise self._broken(AssociationEnded(self._name, "association aborted by the PACS"))
        if event.pdu_type == PDU_RELEASE_RQ:
            with contextlib.suppress(OSError):
                self._socket.sendall(RELEASE_RP)
            raise self._broken(AssociationEnded(self._name, "association released by the PACS"))
        raise self._broken(PacsFailure(self._name, f"unexpected PDU 0x{event.pdu_type:02X}"))

    def _next_event(
        self, timeout_s: float, awaited: str, idle: Idle | None = None
    ) -> Message | Pdu:
        silent_s = 0.0
        while not self._ready:
            spaces = self._reader.spaces()
            slice_s = timeout_s if idle is None else min(_SLICE_S, timeout_s)
            try:
                self._socket.settimeout(slice_s)
                self._wait_for_much()
                count = dimse_socket.receive_into(self._socket, spaces)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            except TimeoutError as error:
                silent_s = 0.0 if idle is not None and idle() else silent_s + slice_s
                if silent_s < timeout_s:
                    continue
                why = f"{awaited} did not come within {timeout_s:g} s"
                raise self._broken(PacsTimeout(self._name, why)) from error
            except OSError as error:
                raise self._broken(PacsUnavailable(self._name, "connection lost")) from error
            finally:
                for space in spaces:
                    space.release()
            silent_s = 0.0
            if count == 0:
                why = "connection closed by the PACS" + (
                    " in the middle of a message" if self._reader.in_message else ""
                )
                raise self._broken(PacsUnavailable(self._name, why))
            try:
                self._ready = list(self._reader.received(count))[::-1]
            except ProtocolError as error:
                raise self._broken(PacsFailure(self._name, str(error))) from error
        return self._ready.pop()

    def _wait_for_much(self) -> None:
        """Has the next read wake us once for most of a PDU instead of for every segment.

        Not for its last segment: a peer with Nagle's algorithm sends that when the others are
        acknowledged, which our next read makes happen at once.
        """
        self._wake_for(max(1, self._reader.missing_bytes - _SEGMENT_BYTES))

    def _wake_for(self, least: int) -> None:
        if least != self._least_bytes and self._tls is None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least)
            self._least_bytes = least

    def _broken(self, error: PacsError) -> PacsError:
        self.abort()
        return error

    def accepts(self, request: AssociationRequest) -> bool:
        """Whether what `request` would like best was accepted here."""
        return self.accepted.context_for(request.contexts[0].abstract_syntax) is not None

    def is_alive(self) -> bool:
        """Whether an idle connection may be used again: open, and nothing unasked has come."""
        if not self.usable or self._ready:
            return False
        self._wake_for(1)  # an A-ABORT is ten bytes
        return not dimse_socket.is_readable(self._socket)

    def release(self) -> None:
        """A-RELEASE, politely; whatever happens, the socket is closed afterwards."""
        if not self.usable:
            return
        self.usable = False
        deadline = time.monotonic() + _RELEASE_WAIT_S
        with contextlib.suppress(OSError, PacsError):
            self._socket.sendall(RELEASE_RQ)
            for event in self._until(deadline):
                if isinstance(event, Pdu) and event.pdu_type in (PDU_RELEASE_RP, PDU_ABORT):
                    break
        self.close()

    def _until(self, deadline: float) -> Iterator[Message | Pdu]:
        while (remaining := deadline - time.monotonic()) > 0:
            yield self._next_event(remaining, "the answer to A-RELEASE")

    def abort(self) -> None:
        """A-ABORT, then close. For abandoned or broken associations."""
        if self.usable:
            self.usable = False
            with contextlib.suppress(OSError):
                self._socket.settimeout(0.5)
                self._socket.sendall(ABORT)
        self.close()

    def close(self) -> None:
        self.usable = False
        self._socket.close()
