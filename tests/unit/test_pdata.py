"""The reader of P-DATA: however the bytes come, and whatever they are."""

from __future__ import annotations

import contextlib
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farsight.dimse import commands
from farsight.dimse.association import PDU_ABORT, PDU_DATA, PDU_RELEASE_RQ, ProtocolError
from farsight.dimse.pdata import Message, PdataReader, Pdu
from farsight.dimse.pdata_writer import write_message

CT = "1.2.840.10008.5.1.4.1.1.2"
KNOWN_TYPES = {0x02, 0x03, PDU_DATA, PDU_RELEASE_RQ, 0x06, PDU_ABORT}


def feed(reader: PdataReader, data: bytes, sizes: list[int]) -> list[Message | Pdu]:
    """Puts the bytes in by pieces of those sizes, the last of them over and over."""
    out: list[Message | Pdu] = []
    at = turn = 0
    while at < len(data):
        spaces = reader.spaces()
        assert all(len(space) > 0 for space in spaces)
        size = min(sizes[min(turn, len(sizes) - 1)], sum(map(len, spaces)), len(data) - at)
        left = data[at : at + size]
        for space in spaces:
            with space:
                space[: len(left)] = left[: len(space)]
                left = left[len(space) :]
        out += reader.received(size)
        at, turn = at + size, turn + 1
    return out


def pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxL", kind, len(body)) + body


def pdv(context_id: int, control: int, value: bytes) -> bytes:
    return struct.pack(">LBB", len(value) + 2, context_id, control) + value


def store_command(message_id: int = 1) -> bytes:
    return commands.write_command(
        {
            commands.AFFECTED_SOP_CLASS_UID: CT,
            commands.COMMAND_FIELD: commands.C_STORE_RQ,
            commands.MESSAGE_ID: message_id,
            commands.DATA_SET_TYPE: commands.HAS_DATA_SET,
            commands.AFFECTED_SOP_INSTANCE_UID: f"1.2.{message_id}",
        }
    )


chunk_sizes = st.lists(st.integers(1, 5000), min_size=1, max_size=40)
data_sets = st.lists(st.one_of(st.none(), st.binary(min_size=1, max_size=9000)), max_size=5)


def stream(contents: list[bytes | None], max_pdu_bytes: int) -> bytes:
    written = b""
    for number, content in enumerate(contents, start=1):
        if content is None:
            command = commands.request(commands.C_ECHO_RQ, number, "1.2.3", data_set=False)
            written += write_message(1, command, None, max_pdu_bytes)
        else:
            written += write_message(3, store_command(number), content, max_pdu_bytes)
    return written + pdu(PDU_RELEASE_RQ, bytes(4))


@given(data_sets, st.sampled_from([0, 300, 4096, 16384]), chunk_sizes)
def test_any_split_gives_the_same_messages(
    contents: list[bytes | None], max_pdu_bytes: int, sizes: list[int]
) -> None:
    reader = PdataReader()
    *messages, release = feed(reader, stream(contents, max_pdu_bytes), sizes)
    assert release == Pdu(PDU_RELEASE_RQ, bytes(4))
    assert not reader.in_message
    assert [m.command.number(commands.MESSAGE_ID) for m in messages] == list(
        range(1, len(contents) + 1)
    )
    for message, content in zip(messages, contents, strict=True):
        assert message.context_id == (1 if content is None else 3)
        assert message.data_set == content


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 400_000), min_size=1, max_size=4),
    st.sampled_from([16384, 40_000, 131_072]),
    st.lists(st.sampled_from([1, 11, 4096, 32_768, 70_000, 131_000, 1 << 20]), min_size=1),
)
def test_long_values_are_received_to_where_they_stay(
    lengths: list[int], max_pdu_bytes: int, sizes: list[int]
) -> None:
    contents = [random.Random(length).randbytes(length) for length in lengths]
    reader = PdataReader(lambda context_id, _command: bytes([context_id]) * 3)
    *messages, _release = feed(reader, stream(list(contents), max_pdu_bytes), [*sizes, 9999])
    assert [message.data_set for message in messages] == [b"\3\3\3" + c for c in contents]
    assert not reader.in_message


@given(data_sets.filter(bool), st.data())
def test_truncated_streams_are_waiting_for_more(
    contents: list[bytes | None], data: st.DataObject
) -> None:
    whole = stream(contents, 300)
    cut = data.draw(st.integers(1, len(whole) - 1))
    reader = PdataReader()
    got = feed(reader, whole[:cut], [700])
    assert len(got) <= len(contents)
    rest = feed(reader, whole[cut:], [700])
    assert len(got) + len(rest) == len(contents) + 1


@given(st.binary(max_size=400), chunk_sizes)
def test_noise_is_a_protocol_error_or_nothing(noise: bytes, sizes: list[int]) -> None:
    reader = PdataReader()
    try:
        got = feed(reader, noise, sizes)
    except ProtocolError:
        return
    assert all(isinstance(found, Message | Pdu) for found in got)


@settings(max_examples=300)
@given(data_sets.filter(bool), st.data())
def test_damaged_streams_end_in_protocol_errors(
    contents: list[bytes | None], data: st.DataObject
) -> None:
    damaged = bytearray(stream(contents, 300))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ProtocolError):  # any other exception is a failure
        feed(PdataReader(), bytes(damaged), [512])


@pytest.mark.parametrize("kind", sorted(set(range(256)) - KNOWN_TYPES))
def test_unknown_pdu_types(kind: int) -> None:
    with pytest.raises(ProtocolError, match=f"0x{kind:02X}"):
        feed(PdataReader(), pdu(kind, b""), [100])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\0\0\0", "truncated presentation data value"),
        (struct.pack(">LBB", 1, 1, 3), "doesn't fit"),
        (struct.pack(">LBB", 0, 1, 3), "doesn't fit"),
        (struct.pack(">LBB", 500, 1, 3) + b"abc", "doesn't fit"),
        (struct.pack(">LBB", 0xFFFFFFFF, 1, 3) + b"abc", "doesn't fit"),
        (pdv(1, 0x02, b"data"), "data fragment before its command"),
        (pdv(1, 0x01, b"ab") + pdv(3, 0x01, b"cd"), "interleaved"),
        (pdv(1, 0x03, store_command()) + pdv(1, 0x03, b""), "where data was expected"),
        (pdv(1, 0x03, b"\0\0"), "truncated command set"),
        (pdv(1, 0x03, store_command()[:-1]), "bad element"),
        (pdv(1, 0x03, b""), "without Command Field"),
    ],
)
def test_what_the_standard_forbids(body: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        feed(PdataReader(), pdu(PDU_DATA, body), [1000])


def test_lengths_are_bounded() -> None:
    with pytest.raises(ProtocolError, match="more than 1000"):
        feed(PdataReader(max_pdu_bytes=1000), struct.pack(">BxL", PDU_DATA, 1001), [6])
    reader = PdataReader(max_message_bytes=500)
    with pytest.raises(ProtocolError, match="above 500"):
        feed(reader, write_message(1, store_command(), bytes(600), 300), [100])


def test_pdus_larger_than_the_buffer() -> None:
    content = bytes(range(256)) * (3 << 12)
    reader = PdataReader()
    written = write_message(1, store_command(), None, 0)
    written += pdu(PDU_DATA, pdv(1, 0x02, content))
    for _ in range(2):
        (message,) = feed(reader, written, [70_000])
        assert message.data_set == content


@given(st.binary(max_size=3000), st.sampled_from([0, 262, 1000]))
def test_written_pdus_keep_to_the_peers_maximum(content: bytes, max_pdu_bytes: int) -> None:
    written = write_message(1, store_command(), content, max_pdu_bytes)
    at = 0
    while at < len(written):
        (length,) = struct.unpack_from(">2xL", written, at)
        assert not max_pdu_bytes or length <= max_pdu_bytes
        at += 6 + length
    assert at == len(written)
