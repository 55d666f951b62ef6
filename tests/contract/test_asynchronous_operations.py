"""A PACS that negotiates asynchronous operations sends on without waiting for answers."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import AsynchronousOperationsWindowNegotiation

from farsight.adapters.dimse_pacs import DimsePacs
from farsight.adapters.pacs_address import PacsAddress
from farsight.dimse import commands
from farsight.dimse.association import RELEASE_RP
from farsight.dimse.pdata import Message, PdataReader
from farsight.dimse.pdata_writer import write_message
from farsight.model import ReceivedInstance

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
INSTANCES = 8


@dataclass
class EagerPacs:
    """Sends every C-STORE of a C-GET at once, and only then reads the answers."""

    port: int = 0
    proposed: list[tuple[int, int]] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)

    def serve(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            get_context, ct_context = self._accept(connection)
            reader = PdataReader()
            messages = self._messages(connection, reader)
            request = next(messages)
            assert request.command.field == commands.C_GET_RQ
            stream = b""
            for number in range(1, INSTANCES + 1):
                command = commands.write_command(
                    {
                        commands.AFFECTED_SOP_CLASS_UID: CT,
                        commands.COMMAND_FIELD: commands.C_STORE_RQ,
                        commands.MESSAGE_ID: number,
                        commands.PRIORITY: 0,
                        commands.DATA_SET_TYPE: commands.HAS_DATA_SET,
                        commands.AFFECTED_SOP_INSTANCE_UID: f"1.2.{number}",
                    }
                )
                stream += write_message(ct_context, command, b"\x08\0\x60\0CS\2\0CT", 16384)
            connection.sendall(stream)
            for _ in range(INSTANCES):
                answer = next(messages).command
                assert answer.field == commands.C_STORE_RSP
                assert answer.status == 0
                self.answered.append(answer.number(commands.MESSAGE_ID_BEING_RESPONDED_TO))
            self._finish(connection, get_context, request)
            list(messages)
            connection.sendall(RELEASE_RP)

    def _accept(self, connection: socket.socket) -> tuple[int, int]:
        head = self._exactly(connection, 6)
        (length,) = struct.unpack(">L", head[2:])
        request = A_ASSOCIATE_RQ()
        request.decode(head + self._exactly(connection, length))
        primitive = request.to_primitive()
        for item in primitive.user_information:
            if isinstance(item, AsynchronousOperationsWindowNegotiation):
                window = item.maximum_number_operations_performed
                self.proposed.append((item.maximum_number_operations_invoked, window))
        results = []
        accepted: dict[str, int] = {}
        for context in primitive.presentation_context_definition_list:
            usable = EXPLICIT_LE in context.transfer_syntax
            context.result = 0x00 if usable else 0x04
            context.transfer_syntax = [EXPLICIT_LE if usable else context.transfer_syntax[0]]
            if usable:
                accepted.setdefault(context.abstract_syntax, context.context_id)
            results.append(context)
        primitive.presentation_context_definition_results_list = results
        primitive.result, primitive.result_source = 0, 1
        reply = A_ASSOCIATE_AC()
        reply.from_primitive(primitive)
        connection.sendall(reply.encode())
        return accepted["1.2.840.10008.5.1.4.1.2.2.3"], accepted[CT]

    def _finish(self, connection: socket.socket, context_id: int, request: Message) -> None:
        command = commands.write_command(
            {
                commands.COMMAND_FIELD: commands.C_GET_RSP,
                commands.MESSAGE_ID_BEING_RESPONDED_TO: request.command.number(commands.MESSAGE_ID),
                commands.DATA_SET_TYPE: commands.NO_DATA_SET,
                commands.STATUS: 0,
                commands.COMPLETED: INSTANCES,
            }
        )
        connection.sendall(write_message(context_id, command, None, 16384))

    def _messages(self, connection: socket.socket, reader: PdataReader) -> Iterator[Message]:
        while True:
            spaces = reader.spaces()
            count = connection.recv_into(spaces[0])
            for space in spaces:
                space.release()
            if count == 0:
                return
            for event in reader.received(count):
                if not isinstance(event, Message):
                    return  # A-RELEASE
                yield event

    def _exactly(self, connection: socket.socket, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += connection.recv(count - len(data))
        return data


@contextmanager
def eager_pacs() -> Iterator[EagerPacs]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pacs = EagerPacs(int(listener.getsockname()[1]))
        thread = threading.Thread(target=pacs.serve, args=(listener,), daemon=True)
        thread.start()
        yield pacs
        thread.join(10)
        assert not thread.is_alive()


def test_stores_that_come_before_the_first_is_answered() -> None:
    with eager_pacs() as eager:
        pacs = DimsePacs(PacsAddress("pacs", "PACS", "127.0.0.1", eager.port, "FARSIGHT"))
        got: list[ReceivedInstance] = []
        outcome = pacs.retrieve("1.2", "1.3", (), (CT,), got.append)
        pacs.close()
    assert [one.sop_instance_uid for one in got] == [f"1.2.{n}" for n in range(1, INSTANCES + 1)]
    assert all(one.part10.endswith(b"\x08\0\x60\0CS\2\0CT") for one in got)
    assert outcome.completed == INSTANCES
    assert eager.answered == list(range(1, INSTANCES + 1))
    assert eager.proposed == [(1, 16)]
