"""The lean reader of P-DATA (PS3.8 9.3.5, annex E), sans-io, and its writer.

Laws:
- The owner asks `space()` where received bytes go, puts them there and says how many with
  `received(n)`; complete messages and PDUs come out in order.
- Nothing is decoded: a message is its context ID, its command, and its data set in one piece
  behind the head its owner wants there. A byte is copied once, from the receive buffer to there.
- Anything the standard forbids raises ProtocolError, and the reader is of no further use.
- Memory is bounded by max_pdu_bytes plus max_message_bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO

from farsight.dimse.association import (
    PDU_ABORT,
    PDU_DATA,
    PDU_RELEASE_RP,
    PDU_RELEASE_RQ,
    ProtocolError,
)
from farsight.dimse.commands import Command, read_command

_BUFFER_BYTES = 1 << 20
_LAST, _COMMAND = 0x02, 0x01
_PDU_HEADER = struct.Struct(">BxL")
_PDV_HEADER = struct.Struct(">LBB")


@dataclass(frozen=True, slots=True)
class Message:
    """One whole DIMSE message. data_set: behind its head if it was given one; None without."""

    context_id: int
    command: Command
    data_set: bytes | None = None


@dataclass(frozen=True, slots=True)
class Pdu:
    """A PDU that isn't P-DATA, body without the six-byte header."""

    pdu_type: int
    body: bytes


#: What goes before the data set of a message: context ID, command -> bytes.
HeadOf = Callable[[int, Command], bytes]


def _no_head(_context_id: int, _command: Command) -> bytes:
    return b""


class PdataReader:
    """Turns received bytes into messages. One per association, one thread."""

    def __init__(
        self,
        head_of: HeadOf = _no_head,
        max_pdu_bytes: int = 16 << 20,
        max_message_bytes: int = 4 << 30,
    ) -> None:
        self._head_of = head_of
        self._max_pdu_bytes = max_pdu_bytes
        self._max_message_bytes = max_message_bytes
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._start = 0
        self._end = 0
        self._needed = 6
        self._reset_message()

    def _reset_message(self) -> None:
        self._context_id = -1
        self._command_parts: list[bytes] = []
        self._command: Command | None = None
        self._data_set: BytesIO | None = None
        self._message_bytes = 0

    @property
    def in_message(self) -> bool:
        """Whether a message or PDU has begun and isn't whole yet."""
        return self._context_id != -1 or self._end > self._start

    @property
    def missing_bytes(self) -> int:
        """How many bytes the PDU under way still lacks, as far as its header has come."""
        return max(0, self._needed - (self._end - self._start))

    def space(self) -> memoryview:
        """Where the next received bytes go; never empty. Release it before `received`."""
        if self._start == self._end:
            self._start = self._end = 0
        elif len(self._buffer) - self._start < self._needed or self._end == len(self._buffer):
            self._make_room()
        return self._view[self._end :]

    def _make_room(self) -> None:
        kept = self._buffer[self._start : self._end]
        size = max(_BUFFER_BYTES, self._needed)
        if size != len(self._buffer):
            self._buffer = bytearray(size)
            self._view = memoryview(self._buffer)
        self._buffer[: len(kept)] = kept
        self._start, self._end = 0, len(kept)

    def received(self, count: int) -> Iterator[Message | Pdu]:
        """What became whole with the `count` bytes just put into `space()`.

        Raises: ProtocolError. The iterator has to be exhausted before the next `space()`.
        """
        self._end += count
        while self._end - self._start >= 6:
            pdu_type, length = _PDU_HEADER.unpack_from(self._buffer, self._start)
            self._check_header(pdu_type, length)
            if self._end - self._start < 6 + length:
                self._needed = 6 + length
                return
            body_start = self._start + 6
            self._start = body_start + length
            if pdu_type == PDU_DATA:
                yield from self._read_pdvs(body_start, self._start)
            else:
                yield Pdu(pdu_type, bytes(self._buffer[body_start : self._start]))
        self._needed = 6

    def _check_header(self, pdu_type: int, length: int) -> None:
        if pdu_type not in (0x02, 0x03, PDU_DATA, PDU_RELEASE_RQ, PDU_RELEASE_RP, PDU_ABORT):
            raise ProtocolError(f"unexpected PDU type 0x{pdu_type:02X}")
        if length > self._max_pdu_bytes:
            raise ProtocolError(f"PDU of {length} bytes, more than {self._max_pdu_bytes}")

    def _read_pdvs(self, offset: int, end: int) -> Iterator[Message]:
        while offset < end:
            if end - offset < 6:
                raise ProtocolError("truncated presentation data value")
            length, context_id, control = _PDV_HEADER.unpack_from(self._buffer, offset)
            value_start = offset + 6
            offset += 4 + length
            if length < 2 or offset > end:
                raise ProtocolError(
                    f"presentation data value of {length} bytes doesn't fit its PDU"
                )
            message = self._add(context_id, control, self._view[value_start:offset])
            if message is not None:
                yield message

    def _add(self, context_id: int, control: int, value: memoryview) -> Message | None:
        """Takes one fragment; the message if it is whole with it."""
        if self._context_id not in (-1, context_id):
            raise ProtocolError("fragments of two messages interleaved (PS3.8 annex E.1)")
        self._context_id = context_id
        self._message_bytes += len(value)
        if self._message_bytes > self._max_message_bytes:
            raise ProtocolError(f"message above {self._max_message_bytes} bytes")
        if control & _COMMAND:
            if self._command is not None:
                raise ProtocolError("command fragment where data was expected")
            self._command_parts.append(bytes(value))
            if not control & _LAST:
                return None
            self._command = read_command(b"".join(self._command_parts))
            return None if self._command.has_data_set else self._finish(self._command)
        if self._command is None:
            raise ProtocolError("data fragment before its command")
        if self._data_set is None:
            self._data_set = BytesIO()
            self._data_set.write(self._head_of(context_id, self._command))
        self._data_set.write(value)
        return self._finish(self._command) if control & _LAST else None

    def _finish(self, command: Command) -> Message:
        # getvalue() hands the buffer itself over, cut to size.
        data_set = None if self._data_set is None else self._data_set.getvalue()
        message = Message(self._context_id, command, data_set)
        self._reset_message()
        return message


def write_message(
    context_id: int, command: bytes, data_set: bytes | None, max_pdu_bytes: int
) -> bytes:
    """P-DATA-TF PDUs for one message, none longer than the peer's maximum (0: no limit).

    Command and data set go into PDUs of their own, which every peer understands.
    """
    room = max(max_pdu_bytes - 6, 256) if max_pdu_bytes else MAX_SENT_PDU_BYTES
    room = min(room, MAX_SENT_PDU_BYTES)
    pdus = bytearray()
    for value, kind in ((command, _COMMAND), (data_set, 0)):
        if value is None:
            continue
        for offset in range(0, max(len(value), 1), room):
            piece = value[offset : offset + room]
            last = _LAST if offset + room >= len(value) else 0
            pdus += _PDU_HEADER.pack(PDU_DATA, len(piece) + 6)
            pdus += _PDV_HEADER.pack(len(piece) + 2, context_id, kind | last)
            pdus += piece
    return bytes(pdus)


MAX_SENT_PDU_BYTES = 131_072
