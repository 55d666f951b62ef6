"""DIMSE command sets (PS3.7 6.3, annex E): always Implicit VR Little Endian, group 0000."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from farsight.dimse.association import ProtocolError

C_STORE_RQ, C_STORE_RSP = 0x0001, 0x8001
C_GET_RQ, C_GET_RSP = 0x0010, 0x8010
C_FIND_RQ, C_FIND_RSP = 0x0020, 0x8020
C_MOVE_RQ, C_MOVE_RSP = 0x0021, 0x8021
C_ECHO_RQ, C_ECHO_RSP = 0x0030, 0x8030
C_CANCEL_RQ = 0x0FFF

NO_DATA_SET = 0x0101
HAS_DATA_SET = 0x0001

# Elements of group 0000, by element number.
AFFECTED_SOP_CLASS_UID = 0x0002
COMMAND_FIELD = 0x0100
MESSAGE_ID = 0x0110
MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
MOVE_DESTINATION = 0x0600
PRIORITY = 0x0700
DATA_SET_TYPE = 0x0800
STATUS = 0x0900
ERROR_COMMENT = 0x0902
AFFECTED_SOP_INSTANCE_UID = 0x1000
REMAINING, COMPLETED, FAILED, WARNING = 0x1020, 0x1021, 0x1022, 0x1023

_NUMBERS = frozenset({
    COMMAND_FIELD, MESSAGE_ID, MESSAGE_ID_BEING_RESPONDED_TO, PRIORITY, DATA_SET_TYPE, STATUS,
    REMAINING, COMPLETED, FAILED, WARNING,
})  # fmt: skip

PRIORITY_MEDIUM = 0x0000


@dataclass(frozen=True, slots=True)
class Command:
    """One received command set: element number of group 0000 -> raw value."""

    elements: dict[int, bytes]

    def number(self, element: int, default: int = 0) -> int:
        """An unsigned 16-bit value, or the default where it is absent."""
        raw = self.elements.get(element)
        return int.from_bytes(raw, "little") if raw else default

    def has(self, element: int) -> bool:
        return bool(self.elements.get(element))

    def text(self, element: int) -> str:
        """A UID or text value without its padding; "" where absent."""
        return self.elements.get(element, b"").rstrip(b"\0 ").decode("ascii", "replace")

    @property
    def field(self) -> int:
        return self.number(COMMAND_FIELD)

    @property
    def status(self) -> int:
        return self.number(STATUS, default=-1)

    @property
    def has_data_set(self) -> bool:
        return self.number(DATA_SET_TYPE, NO_DATA_SET) != NO_DATA_SET


def read_command(data: bytes) -> Command:
    """Raises: ProtocolError when the bytes aren't a command set."""
    elements: dict[int, bytes] = {}
    offset, end = 0, len(data)
    while offset < end:
        if offset + 8 > end:
            raise ProtocolError("truncated command set")
        group, element, length = struct.unpack_from("<HHL", data, offset)
        offset += 8
        if group != 0 or length > end - offset:
            raise ProtocolError(f"bad element ({group:04X},{element:04X}) in command set")
        if element in _NUMBERS and length not in (0, 2):
            raise ProtocolError(f"command element (0000,{element:04X}) has {length} bytes, not 2")
        elements[element] = data[offset : offset + length]
        offset += length
    if COMMAND_FIELD not in elements:
        raise ProtocolError("command set without Command Field")
    return Command(elements)


def write_command(values: dict[int, int | str]) -> bytes:
    """The command set with its group length; numbers are US, strings are padded to even."""
    body = bytearray()
    for element in sorted(values):
        value = values[element]
        if isinstance(value, int):
            raw = struct.pack("<H", value)
        else:
            padding = b" " if element == MOVE_DESTINATION else b"\0"
            raw = value.encode("ascii")
            raw += padding * (len(raw) % 2)
        body += struct.pack("<HHL", 0, element, len(raw)) + raw
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + bytes(body)


def c_store_response(
    context_message_id: int, sop_class: str, sop_instance: str, status: int = 0x0000
) -> bytes:
    """The answer to one C-STORE sub-operation (PS3.7 9.3.1.2)."""
    return write_command(
        {
            AFFECTED_SOP_CLASS_UID: sop_class,
            COMMAND_FIELD: C_STORE_RSP,
            MESSAGE_ID_BEING_RESPONDED_TO: context_message_id,
            DATA_SET_TYPE: NO_DATA_SET,
            STATUS: status,
            AFFECTED_SOP_INSTANCE_UID: sop_instance,
        }
    )


def c_store_request(message_id: int, sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """C-STORE-RQ (PS3.7 9.3.1.1)."""
    return write_command(
        {
            AFFECTED_SOP_CLASS_UID: sop_class_uid,
            COMMAND_FIELD: C_STORE_RQ,
            MESSAGE_ID: message_id,
            PRIORITY: PRIORITY_MEDIUM,
            DATA_SET_TYPE: HAS_DATA_SET,
            AFFECTED_SOP_INSTANCE_UID: sop_instance_uid,
        }
    )


def request(
    field: int, message_id: int, sop_class_uid: str, *, data_set: bool, **extra: str
) -> bytes:
    """A request command. `extra`: move_destination for C-MOVE."""
    values: dict[int, int | str] = {
        AFFECTED_SOP_CLASS_UID: sop_class_uid,
        COMMAND_FIELD: field,
        MESSAGE_ID: message_id,
        DATA_SET_TYPE: HAS_DATA_SET if data_set else NO_DATA_SET,
    }
    if field in (C_GET_RQ, C_FIND_RQ, C_MOVE_RQ):
        values[PRIORITY] = PRIORITY_MEDIUM
    if "move_destination" in extra:
        values[MOVE_DESTINATION] = extra["move_destination"]
    return write_command(values)


def cancel(message_id: int) -> bytes:
    """C-CANCEL-RQ (PS3.7 9.3.2.3)."""
    return write_command(
        {
            COMMAND_FIELD: C_CANCEL_RQ,
            MESSAGE_ID_BEING_RESPONDED_TO: message_id,
            DATA_SET_TYPE: NO_DATA_SET,
        }
    )
