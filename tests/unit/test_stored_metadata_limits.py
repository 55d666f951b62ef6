"""Messages with metadata are wholly in memory: few at a time, and not above a limit."""

from __future__ import annotations

import threading

import pytest

from fakes.spool import MemorySpool
from farsight.errors import BadRequest, PayloadTooLarge
from farsight.ports.spool import InMemory
from farsight.ps318.store_request import PartKind, StorePart
from farsight.web.stored_metadata import Assembling

JSON = "application/dicom+json"
METADATA = StorePart(PartKind.METADATA, JSON)


def bulk(location: str) -> StorePart:
    return StorePart(PartKind.BULK_DATA, "application/octet-stream", location)


def test_all_of_a_message_counts() -> None:
    turns = threading.Semaphore(1)
    assembling = Assembling(MemorySpool(), 10, turns)
    assembling.take(JSON, METADATA, InMemory(b"[]"))
    assembling.take(JSON, bulk("a"), InMemory(bytes(8)))
    with pytest.raises(PayloadTooLarge, match=r"Farsight\.Stow\.MemoryMegabytes"):
        assembling.take(JSON, bulk("b"), InMemory(b"x"))
    assert not turns.acquire(blocking=False), "it has its turn"
    assembling.close()
    assert turns.acquire(blocking=False)


def test_files_alone_need_no_turn() -> None:
    turns = threading.Semaphore(0)
    assembling = Assembling(MemorySpool(), 10, turns)
    assert assembling.files() == []
    assembling.close()
    assert not turns.acquire(blocking=False), "none was given back"


def test_a_part_that_nothing_refers_to_is_refused() -> None:
    assembling = Assembling(MemorySpool(), 1000, threading.Semaphore(1))
    assembling.take(JSON, METADATA, InMemory(b"[]"))
    assembling.take(JSON, bulk("pixels"), InMemory(bytes(8)))
    with pytest.raises(BadRequest, match="'pixels'"):
        assembling.files()
