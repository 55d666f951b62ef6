"""C-GET as an exchange of messages: what is told of a request that fails."""

from __future__ import annotations

import pytest

from farsight.adapters.dimse_requests import Getting
from farsight.dimse import commands, status
from farsight.dimse.commands import read_command
from farsight.dimse.identifier_encoding import EXPLICIT_LE
from farsight.dimse.pdata import Message
from farsight.errors import PacsFailure
from farsight.model import IdentifierKey, Level, SubOperations

OUT_OF_RESOURCES = 0xA702


def response(code: int, **counts: int) -> Message:
    elements: dict[int, int | str] = {
        commands.COMMAND_FIELD: commands.C_GET_RSP,
        commands.MESSAGE_ID_BEING_RESPONDED_TO: 1,
        commands.DATA_SET_TYPE: commands.NO_DATA_SET,
        commands.STATUS: code,
    }
    elements |= {getattr(commands, name): count for name, count in counts.items()}
    return Message(1, read_command(commands.write_command(elements)))


class Peer:
    """An exchange whose answers are given."""

    transfer_syntax = EXPLICIT_LE

    def __init__(self, *messages: Message) -> None:
        self._messages = list(messages)

    def ask(self, _field: int, _identifier: bytes) -> Message:
        return self.receive()

    def receive(self) -> Message:
        return self._messages.pop(0)

    def check_end(self, message: Message) -> None:
        if message.command.status != status.SUCCESS:
            raise PacsFailure("pacs", "C-GET", message.command.status)


def asked(peer: Peer, told: list[SubOperations]) -> SubOperations:
    keys = (IdentifierKey("0020000D", "UI", "1.2"),)
    getting = Getting("pacs", peer, Level.STUDY, keys, lambda _: None, told.append)  # type: ignore[arg-type]
    return getting.to_its_end()


def test_the_counts_of_a_failure_are_told() -> None:
    pending = response(0xFF00, REMAINING=2, COMPLETED=1, FAILED=0, WARNING=0)
    failure = response(OUT_OF_RESOURCES, COMPLETED=1, FAILED=2, WARNING=0)
    told: list[SubOperations] = []
    with pytest.raises(PacsFailure):
        asked(Peer(pending, failure), told)
    assert told == [
        SubOperations(1, 0, 0, 0xFF00, remaining=2),
        SubOperations(1, 2, 0, OUT_OF_RESOURCES),
    ]


def test_the_counts_of_a_success_are_told_and_returned() -> None:
    told: list[SubOperations] = []
    outcome = asked(Peer(response(status.SUCCESS, COMPLETED=3, FAILED=0, WARNING=0)), told)
    assert told == [outcome] == [SubOperations(3, 0, 0, status.SUCCESS)]
