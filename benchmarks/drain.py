"""A C-GET whose objects are thrown away unread: as fast as the PACS sends to one Python thread."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from pydicom.uid import CTImageStorage

from farsight.adapters.dimse_connection import Connection, Timeouts
from farsight.adapters.dimse_exchange import Exchange
from farsight.dimse import commands, contexts, status
from farsight.dimse.association import AssociationRequest
from farsight.dimse.identifier_encoding import encode_identifier
from farsight.dimse.pdata import Message
from farsight.dimse.retrieve_identifier import retrieve_keys


def drained(port: int, study_instance_uid: str, series_instance_uid: str) -> int:
    """How many objects were sent."""
    proposed = contexts.get_contexts((CTImageStorage,), uncompressed_only=False, attempt=0)
    services = contexts.service_contexts(*contexts.GET_SERVICES)
    request = AssociationRequest(
        "FARSIGHT", "PACS", (*services, *proposed), scp_role_for=(CTImageStorage,)
    )
    connection = Connection("pacs", ("127.0.0.1", port), request, Timeouts())
    exchange = Exchange("pacs", connection, contexts.GET_MODELS, "C-GET")
    level, keys = retrieve_keys(study_instance_uid, series_instance_uid, (), None)
    identifier = encode_identifier(level, keys, exchange.transfer_syntax, None)
    command = commands.request(
        commands.C_GET_RQ, 1, exchange.context.abstract_syntax, data_set=True
    )
    connection.send(exchange.context.context_id, command, identifier)
    count = 0
    for message in _messages(connection):
        if message.command.field == commands.C_STORE_RQ:
            exchange.answer_store(message)
            count += 1
        elif message.command.status not in status.PENDING:
            break
    connection.release()
    return count


def _messages(connection: Connection) -> Iterator[Message]:
    """Messages with their commands, without their data sets."""
    sender = connection._socket
    scratch = memoryview(bytearray(1 << 20))
    headers = bytearray()
    command = None
    while True:
        while len(headers) < 12:
            headers += sender.recv(4096)
            sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        length, context_id, control = struct.unpack_from(">LxxxxBB", headers, 2)
        while control & 1 and len(headers) < 6 + length:
            headers += sender.recv(4096)
        if control & 1:
            command = commands.read_command(bytes(headers[12 : 6 + length]))
        left = 6 + length - len(headers)
        del headers[: 6 + length]
        while left > 0:
            count = sender.recvmsg_into([scratch[4096 : 4096 + left], scratch[:4096]])[0]
            sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            headers += scratch[: max(0, count - left)]
            left -= count
        if control & 2 and (not control & 1 or not command.has_data_set):
            yield Message(context_id, command)
