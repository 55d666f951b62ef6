"""The lean reader of P-DATA (PS3.8 9.3.5, annex E), sans-io; its writer is pdata_writer.

Laws:
- The owner asks `spaces()` where received bytes go, puts them there and says how many with
  `received(n)`; complete messages and PDUs come out in order.
- Nothing is decoded: a message is its context ID, its command, and its data set in one piece
  behind the head its owner wants there.
- What is missing of a long value is received to where it stays; the rest is copied once.
- Anything the standard forbids raises ProtocolError, and the reader is of no further use.
- Memory is bounded by max_pdu_bytes plus one and a half times max_message_bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from farsight.dimse.assembly import Assembly
from farsight.dimse.association import (
    PDU_ABORT,
    PDU_ASSOCIATE_AC,
    PDU_ASSOCIATE_RJ,
    PDU_DATA,
    PDU_RELEASE_RP,
    PDU_RELEASE_RQ,
    ProtocolError,
)
from farsight.dimse.commands import Command, read_command

_BUFFER_BYTES = 1 << 20
#: From how many missing bytes on a value is received to where it stays, and how much of what
#: follows is then received with it: the headers of the next one, and little that gets copied.
_LONG_BYTES, _AHEAD_BYTES = 65_536, 4096
#: A data set is expected to be as long as the one before, and a little more; at most so long.
_SPARE_BYTES, _MOST_RESERVED_BYTES = 4096, 16 << 20
_LAST, _COMMAND = 0x02, 0x01
_PDU_TYPES = frozenset(
    (PDU_ASSOCIATE_AC, PDU_ASSOCIATE_RJ, PDU_DATA, PDU_RELEASE_RQ, PDU_RELEASE_RP, PDU_ABORT)
)
_NO_VALUE = -1
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
        self._direct = 0
        self._pdu_left = 0
        self._value_left = _NO_VALUE
        self._in_place = False
        self._is_last = False
        self._begins_long = False
        self._last_bytes = 0
        self._whole: Message | Pdu | None = None
        self._reset_message()

    def _reset_message(self) -> None:
        self._context_id = -1
        self._command_parts: list[bytes] = []
        self._command: Command | None = None
        self._assembly: Assembly | None = None
        self._message_bytes = 0

    @property
    def in_message(self) -> bool:
        """Whether a message or PDU has begun and isn't whole yet."""
        return self._context_id != -1 or self._pdu_left > 0 or self._end > self._start

    @property
    def missing_bytes(self) -> int:
        """How many bytes the PDU under way still lacks, as far as its header has come."""
        return max(0, max(self._needed, self._pdu_left) - (self._end - self._start))

    def spaces(self) -> list[memoryview]:
        """Where the next received bytes go, in order; none is empty.

        Release them before `received`.
        """
        if self._start == self._end:
            self._start = self._end = 0
        self._direct = 0
        if self._in_place and self._assembly is not None:
            self._direct = self._value_left
            return [self._assembly.room(self._direct), self._view[:_AHEAD_BYTES]]
        if len(self._buffer) - self._start < self._needed or self._end == len(self._buffer):
            self._make_room()
        if self._begins_long:
            return [self._view[self._end : self._start + self._needed + _AHEAD_BYTES]]
        return [self._view[self._end :]]

    def _make_room(self) -> None:
        kept = self._buffer[self._start : self._end]
        size = max(_BUFFER_BYTES, self._needed)
        if size != len(self._buffer):
            self._buffer = bytearray(size)
            self._view = memoryview(self._buffer)
        self._buffer[: len(kept)] = kept
        self._start, self._end = 0, len(kept)

    def received(self, count: int) -> Iterator[Message | Pdu]:
        """What became whole with the `count` bytes just put into `spaces()`.

        Raises: ProtocolError. The iterator has to be exhausted before the next `spaces()`.
        """
        if self._direct and self._assembly is not None:
            direct = min(count, self._direct)
            self._assembly.filled(direct)
            self._value_left -= direct
            self._pdu_left -= direct
            count -= direct
        self._end += count
        while self._step():
            if self._whole is not None:
                whole, self._whole = self._whole, None
                yield whole

    def _step(self) -> bool:
        """Reads the next thing; False where bytes of it are missing."""
        if self._value_left != _NO_VALUE:
            return self._take_value()
        return self._open_value() if self._pdu_left else self._open_pdu()

    def _has(self, count: int) -> bool:
        self._needed = count
        return self._end - self._start >= count

    def _open_pdu(self) -> bool:
        if not self._has(6):
            return False
        pdu_type, length = _PDU_HEADER.unpack_from(self._buffer, self._start)
        if pdu_type not in _PDU_TYPES:
            raise ProtocolError(f"unexpected PDU type 0x{pdu_type:02X}")
        if length > self._max_pdu_bytes:
            raise ProtocolError(f"PDU of {length} bytes, more than {self._max_pdu_bytes}")
        if pdu_type == PDU_DATA:
            self._pdu_left = length
            self._start += 6
            return True
        if not self._has(6 + length):
            return False
        body_start = self._start + 6
        self._start = body_start + length
        self._whole = Pdu(pdu_type, bytes(self._view[body_start : self._start]))
        return True

    def _open_value(self) -> bool:
        """Begins a presentation data value; takes it if it is all there."""
        if self._pdu_left < 6:
            raise ProtocolError("truncated presentation data value")
        if not self._has(6):
            return False
        length, context_id, control = _PDV_HEADER.unpack_from(self._buffer, self._start)
        if length < 2 or 4 + length > self._pdu_left:
            raise ProtocolError(f"presentation data value of {length} bytes doesn't fit its PDU")
        is_whole = self._has(4 + length)
        if control & _COMMAND and not is_whole:
            return False
        self._check_fragment(context_id, control, length - 2)
        self._start += 6
        self._pdu_left -= 6
        self._is_last = bool(control & _LAST)
        if control & _COMMAND:
            self._take_command(length - 2)
        elif is_whole and self._is_last and self._assembly is None:
            self._finish(self._head() + self._view[self._start : self._start + length - 2])
            self._skip(length - 2)
        else:
            self._value_left = length - 2
            there = self._end - self._start
            self._in_place = self._value_left - there >= _LONG_BYTES
            if self._assembly is None:
                self._begin(length - 2)
        return True

    def _check_fragment(self, context_id: int, control: int, length: int) -> None:
        if self._context_id not in (-1, context_id):
            raise ProtocolError("fragments of two messages interleaved (PS3.8 annex E.1)")
        self._context_id = context_id
        self._message_bytes += length
        if self._message_bytes > self._max_message_bytes:
            raise ProtocolError(f"message above {self._max_message_bytes} bytes")
        if control & _COMMAND and self._command is not None:
            raise ProtocolError("command fragment where data was expected")
        if not control & _COMMAND and self._command is None:
            raise ProtocolError("data fragment before its command")

    def _skip(self, count: int) -> None:
        self._start += count
        self._pdu_left -= count

    def _take_command(self, length: int) -> None:
        self._command_parts.append(bytes(self._view[self._start : self._start + length]))
        self._skip(length)
        if self._is_last:
            self._command = read_command(b"".join(self._command_parts))
            if not self._command.has_data_set:
                self._finish(None)

    def _head(self) -> bytes:
        assert self._command is not None
        return self._head_of(self._context_id, self._command)

    def _begin(self, length: int) -> None:
        """A data set in several pieces, of which the first has `length` bytes."""
        self._begins_long = length >= _LONG_BYTES
        head = self._head()
        expected = max(self._last_bytes, len(head) + length) + _SPARE_BYTES
        self._assembly = Assembly(head, min(expected, _MOST_RESERVED_BYTES))

    def _take_value(self) -> bool:
        """Whatever is there of the value of a data set."""
        assert self._assembly is not None
        there = min(self._value_left, self._end - self._start)
        self._assembly.append(self._view[self._start : self._start + there])
        self._skip(there)
        self._value_left -= there
        if self._value_left:
            self._needed = self._value_left
            return False
        self._value_left, self._in_place = _NO_VALUE, False
        if self._is_last:
            data_set = self._assembly.finish()
            self._last_bytes = len(data_set)
            self._finish(data_set)
        return True

    def _finish(self, data_set: bytes | None) -> None:
        assert self._command is not None
        self._whole = Message(self._context_id, self._command, data_set)
        self._reset_message()
