"""P-DATA-TF PDUs for what we send (PS3.8 9.3.5, annex E).

Command and data set go into PDUs of their own, which every peer understands. Fragments have an
even length, whatever odd maximum a peer names.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from farsight.dimse.association import PDU_DATA

#: However much a peer would take.
MAX_SENT_PDU_BYTES: Final = 131_072
_LEAST_FRAGMENT_BYTES: Final = 256
_LAST, _COMMAND, _DATA_SET = 0x02, 0x01, 0x00
_HEADERS: Final = struct.Struct(">BxLLBB")


def message_pieces(
    context_id: int, command: bytes, data_set: bytes | memoryview | None, max_pdu_bytes: int
) -> Iterator[bytes | memoryview]:
    """What goes over the line for one message, nothing of the data set copied.

    No PDU is longer than the peer's maximum (0: no limit).
    """
    most = min(max_pdu_bytes or MAX_SENT_PDU_BYTES, MAX_SENT_PDU_BYTES)
    room = max(most - 6, _LEAST_FRAGMENT_BYTES) & ~1
    for value, kind in ((command, _COMMAND), (data_set, _DATA_SET)):
        if value is None:
            continue
        whole = memoryview(value)
        for offset in range(0, max(len(whole), 1), room):
            piece = whole[offset : offset + room]
            last = _LAST if offset + room >= len(whole) else 0
            length = len(piece)
            yield _HEADERS.pack(PDU_DATA, length + 6, length + 2, context_id, kind | last)
            if length:
                yield piece


def write_message(
    context_id: int, command: bytes, data_set: bytes | None, max_pdu_bytes: int
) -> bytes:
    """The same in one piece."""
    return b"".join(message_pieces(context_id, command, data_set, max_pdu_bytes))
