"""Compressed pixels in parts: one a frame, in the transfer syntax that is told or found in them."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from corpus import files_in, requires_corpus
from farsight.dicom.elements import DicomObject
from farsight.dicom.encapsulated import fragments_of
from farsight.dicom.part10 import parse_object
from farsight.dicom.writing import encapsulated_value, extended_tables
from farsight.errors import MalformedDicom
from farsight.ps318.assembled_instances import Assembled
from farsight.ps318.bulk_parts import BulkPart, BulkParts
from farsight.ps318.frames import frame_bytes, frame_index
from farsight.ps318.part_syntax import syntax_of
from farsight.ps318.refused import ValueUnfit
from farsight.ps318.store_reasons import FailureReason
from metadata_samples import (
    BULK,
    CELLS,
    FRAME,
    PIXELS,
    frames,
    part,
    refused,
    store,
    written,
)

JPEG, J2K = "1.2.840.10008.1.2.4.", "1.2.840.10008.1.2.4.9"
EXPLICIT = "1.2.840.10008.1.2.1"


def encapsulated_frames(back: DicomObject) -> list[bytes]:
    index = frame_index(back)
    return [bytes(frame_bytes(back, index, n + 1)) for n in range(index.number_of_frames)]


@pytest.mark.parametrize("in_order", [True, False])
def test_one_part_is_one_frame(in_order: bool) -> None:
    numbers = [1, 2, 3] if in_order else [3, 1, 2]
    suffixes = ["", "", ""] if in_order else ["/frames/3", "/frames/1", "/frames/2"]
    parts = [
        part(FRAME + bytes([number]) * number, "image/jpeg", BULK + suffix)
        for number, suffix in zip(numbers, suffixes, strict=True)
    ]
    back = written(frames(3), *parts)
    assert back.transfer_syntax_uid == JPEG + "50"
    assert encapsulated_frames(back) == [FRAME + b"\1\0", FRAME + b"\2\2", FRAME + b"\3\3\3\0"]
    table, *fragments = fragments_of(back.body, back.elements[0x7FE00010])
    offsets = struct.unpack("<3L", back.body[table.offset : table.offset + table.length])
    assert list(offsets) == [fragment.offset - fragments[0].offset for fragment in fragments]


@pytest.mark.parametrize(
    ("count", "parts"),
    [
        (1, [part(FRAME, "image/jpeg")] * 2),
        (3, [part(FRAME, "image/jpeg")] * 2),
        (2, [part(FRAME * 2, "image/jpeg")]),
        (2, [part(FRAME, "image/jpeg", f"{BULK}/frames/{n}") for n in (1, 3)]),
        (2, [part(FRAME, "image/jpeg", f"{BULK}/frames/{n}") for n in (1, 1)]),
        (2, [part(FRAME, "image/jpeg"), part(FRAME, "image/jls")]),
        (1, [part(FRAME, "image/jp2")]),
        (1, [part(b"", "image/jpeg")]),
        (1, [part(b"\0\0\0\x0cjP  \r\n", f"image/jp2; transfer-syntax={J2K}0")]),
    ],
)
def test_frames_that_do_not_fit(count: int, parts: list[BulkPart]) -> None:
    assert "7FE00010" in refused(frames(count), *parts).why


@pytest.mark.parametrize(
    "content_type",
    ["image/png", "image/gif", "text/plain", "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.90",
     "image/jpeg; transfer-syntax=1.2.3", "application/octet-stream; transfer-syntax=1.2.3",
     "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.2",
     "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.94",
     f"image/jpeg; transfer-syntax={EXPLICIT}"],
)  # fmt: skip
def test_syntaxes_that_can_not_be_stored(content_type: str) -> None:
    assert refused(PIXELS, part(FRAME, content_type)).reason == FailureReason.UNSUPPORTED_SYNTAX


def declared(uid: str, tag: str = "00020010") -> dict[str, Any]:
    return {**PIXELS, tag: {"vr": "UI", "Value": [uid]}}


@pytest.mark.parametrize(
    ("changes", "content_type", "data", "expected"),
    [
        (declared(JPEG + "51"), "image/jpeg", FRAME, JPEG + "51"),
        (declared(JPEG + "51", "00083002"), "image/jpeg", FRAME, JPEG + "51"),
        (declared(J2K + "0"), "image/jpeg", FRAME, JPEG + "50"),
        (declared(JPEG + "51"), f"image/jpeg; transfer-syntax={JPEG}50", FRAME, JPEG + "50"),
        (declared(JPEG + "50"), "application/octet-stream", FRAME, JPEG + "50"),
        (declared(JPEG + "50"), "application/octet-stream", CELLS, EXPLICIT),
        (declared("1.2.840.10008.1.2.2"), "application/octet-stream", CELLS, EXPLICIT),
        (PIXELS, f"application/octet-stream; transfer-syntax={JPEG}50", FRAME, JPEG + "50"),
        (PIXELS, "image/x-dicom-rle", b"\1\0\0\0@" + b"\0" * 59, "1.2.840.10008.1.2.5"),
        (PIXELS, "video/mp4", b"\0\0\0\x18ftyp", JPEG + "102"),
        (declared(JPEG + "104"), "video/mp4", b"\0\0\0\x18ftyp", JPEG + "104"),
        (frames(2), "video/mpeg2", b"\0\0\1\xb3", JPEG + "100"),
    ],
)
def test_the_transfer_syntax(
    changes: dict[str, Any], content_type: str, data: bytes, expected: str
) -> None:
    assert written(changes, part(data, content_type)).transfer_syntax_uid == expected


def test_pixels_inline_in_the_syntax_that_is_declared() -> None:
    inline = {"7FE00010": {"vr": "OB", "InlineBinary": "/9j/2Q=="}}
    back = written({**declared(JPEG + "50"), **inline})
    assert encapsulated_frames(back) == [b"\xff\xd8\xff\xd9"]


def test_icons_are_plain_or_in_the_syntax_of_the_instance() -> None:
    icon = {**PIXELS, "7FE00010": {"vr": "OB", "BulkDataURI": "icon"}}
    changes = {**PIXELS, "00880200": {"vr": "SQ", "Value": [icon]}}
    for data, kind in ((CELLS, ""), (FRAME, "image/jpeg")):
        back = written(changes, part(FRAME, "image/jpeg"), part(data, kind, "icon"))
        (span,) = back.item_spans(back.elements[0x00880200])
        item = back.item(span)
        assert item.elements[0x7FE00010].undefined == (kind != "")
        assert data in item.raw(0x7FE00010)
    assert (
        "00880200/1/7FE00010"
        in refused(changes, part(CELLS), part(FRAME, "image/jpeg", "icon")).why
    )


#: Transfer syntaxes whose frames can't be told from those of another, wider one.
WIDER = {
    J2K + "0": J2K + "1",
    JPEG + "201": JPEG + "203",
    JPEG + "80": JPEG + "81",
    JPEG + "110": JPEG + "112",
    JPEG + "111": JPEG + "112",
    JPEG + "57": JPEG + "70",
}
#: Progressive JPEG, retired: only who names them means them.
RETIRED = (JPEG + "53", JPEG + "55")


@requires_corpus
def test_frames_tell_their_transfer_syntax_themselves() -> None:
    """Those without parameter, in every JPEG there is."""
    seen = set()
    for file in files_in("ts-variants", "transfer-syntax", "mr", "us"):
        try:
            instance = parse_object(file.read())
        except MalformedDicom:
            continue
        syntax = instance.transfer_syntax_uid
        if 0x7FE00010 not in instance.elements or not instance.elements[0x7FE00010].undefined:
            continue
        index = frame_index(instance)
        frame = bytes(frame_bytes(instance, index, 1))
        if syntax in RETIRED:
            with pytest.raises(ValueUnfit):
                syntax_of(BulkPart(index.media_type, "", frame), "")
            continue
        found = syntax_of(BulkPart(index.media_type, "", frame), "")
        assert WIDER.get(found, found) == WIDER.get(syntax, syntax), file.name
        seen.add(found)
    assert len(seen) >= 7


# -- offset tables -----------------------------------------------------------------------------


def test_lengths_that_were_known_stay_known() -> None:
    tables = {
        "7FE00001": {"vr": "OV", "InlineBinary": "AAAA"},
        "7FE00002": {"vr": "OV", "BulkDataURI": "gone"},
    }
    parts = [part(FRAME + b"\1", "image/jpeg"), part(FRAME, "image/jpeg")]
    back = written({**frames(2), **tables}, *parts)
    assert struct.unpack("<2Q", back.raw(0x7FE00001)) == (0, 8 + len(FRAME) + 2)
    assert struct.unpack("<2Q", back.raw(0x7FE00002)) == (len(FRAME) + 1, len(FRAME))
    assert encapsulated_frames(back) == [FRAME + b"\1", FRAME]
    assert fragments_of(back.body, back.elements[0x7FE00010])[0].length == 0


class Long(bytes):
    """A fragment that says to be longer than any machine should have to hold."""

    def __len__(self) -> int:
        return 0xFFFF_FFF0


def test_beyond_4_gib_only_the_extended_table_reaches() -> None:
    fragments = [Long(), Long(), Long()]
    header = encapsulated_value(fragments)[0]
    assert header == b"\xfe\xff\x00\xe0\0\0\0\0"
    offsets, lengths = extended_tables(fragments)
    step = 8 + 0xFFFF_FFF0
    assert struct.unpack("<3Q", offsets) == (0, step, 2 * step)
    assert struct.unpack("<3Q", lengths) == (0xFFFF_FFF0,) * 3


def test_pixels_are_not_copied() -> None:
    cells, frame = memoryview(CELLS), memoryview(FRAME)
    for data, kind in ((cells, ""), (frame, "image/jpeg")):
        found = store(PIXELS, BulkPart(kind, BULK, data))
        assert isinstance(found, Assembled)
        assert any(piece is data for piece in found.pieces)


def test_frames_are_counted_apart_from_other_parts() -> None:
    parts = BulkParts([part(b"", at=f"{BULK}/frames/1")])
    with pytest.raises(ValueUnfit):
        parts.one(BULK)
    assert len(parts.frames(BULK, 1)) == 1
