"""Parts with bulk data: which one is meant, and cells that come as they are."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from farsight.ps318.assembled_instances import Assembled
from farsight.ps318.store_reasons import FailureReason
from metadata_samples import (
    BULK,
    CELLS,
    PIXELS,
    UIDS,
    frames,
    message,
    part,
    refused,
    written,
)

EXPLICIT = "1.2.840.10008.1.2.1"


def document(uri: str) -> dict[str, Any]:
    return {"00420011": {"vr": "OB", "BulkDataURI": uri}}


# -- which part --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "location"),
    [
        (BULK, BULK),
        (BULK, f" {BULK} "),
        ("http://h/a%7Eb/%c3%a4", "HTTP://H:80/a~b/%C3%A4"),
        ("https://h:443/x/../y?q=1", "https://h/y?q=1"),
        ("bulk/1", "./bulk/1"),
        ("http://h/bulk/1", "/bulk/1"),
        ("/bulk/1", "http://h/bulk/1"),
        ("cid:a@b", "cid:a@b"),
        ("caeb2e10-e5f5-01f1", "caeb2e10-e5f5-01f1"),
        ("http://[h/1", "http://[h/1"),
    ],
)
def test_a_part_is_found_by_its_location(uri: str, location: str) -> None:
    assert written(document(uri), part(b"abc", at=location)).raw(0x00420011) == b"abc\0"


@pytest.mark.parametrize(
    ("uri", "locations"),
    [
        (BULK, []),
        (BULK, [""]),
        (BULK, ["http://h/bulk/2"]),
        (BULK, ["http://other/bulk/1"]),
        (BULK, ["https://h/bulk/1"]),
        (BULK, ["http://h/bulk/1?x=1"]),
        (BULK, ["bulk/1"]),
        (BULK, ["http://h/bulk%2F1"]),
        ("/bulk/1", ["http://a/bulk/1", "http://b/bulk/1"]),
        (BULK, [BULK, BULK]),
        (BULK, ["http://H/bulk/1", "http://h:80/bulk/1"]),
        ("file:///etc/passwd", ["/etc/passwd/1"]),
    ],
)
def test_a_part_that_is_not_clearly_meant_is_not_taken(uri: str, locations: list[str]) -> None:
    failure = refused(document(uri), *(part(b"abc", at=location) for location in locations))
    assert failure.reason == FailureReason.CANNOT_UNDERSTAND
    assert "00420011" in failure.why


def test_what_was_told_goes_before_what_is_the_same() -> None:
    found = written(document("/bulk/1"), part(b"ab", at="/./bulk/1"), part(b"cd", at="/bulk/1"))
    assert found.raw(0x00420011) == b"cd"


def test_parts_that_nobody_refers_to_are_told() -> None:
    parts = [part(b"ab"), part(b"cd", at="left"), part(b"ef", at="")]
    found = message([{**UIDS, **document(BULK)}, {**UIDS, **document(BULK)}], *parts)
    assert [type(instance) for instance in found.instances] == [Assembled, Assembled]
    assert found.unclaimed == ["left", ""]


@pytest.mark.parametrize(
    ("vr", "data", "raw"),
    [
        ("UT", "Ü".encode(), b"\xdc "),
        ("DS", b"1\\2", b"1\\2 "),
        ("FD", struct.pack("<2d", 1, 2), struct.pack("<2d", 1, 2)),
        ("UN", b"\xff\xfe\xfd", b"\xff\xfe\xfd\0"),
    ],
)
def test_other_values_may_be_elsewhere_too(vr: str, data: bytes, raw: bytes) -> None:
    changes = {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 100"]},
        "00091001": {"vr": vr, "BulkDataURI": BULK},
    }
    assert written(changes, part(data)).raw(0x00091001) == raw


@pytest.mark.parametrize(
    ("vr", "data"), [("UT", b"\xff"), ("FD", b"1234567"), ("SQ", b""), ("OL", b"123456")]
)
def test_values_that_do_not_fit(vr: str, data: bytes) -> None:
    assert "00091001" in refused({"00091001": {"vr": vr, "BulkDataURI": BULK}}, part(data)).why


# -- plain cells -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    ["application/octet-stream", "", "application/octet-stream; transfer-syntax=*",
     f'application/octet-stream; transfer-syntax="{EXPLICIT}"',
     "application/octet-stream; transfer-syntax=1.2.840.10008.1.2"],
)  # fmt: skip
def test_native_pixels(content_type: str) -> None:
    back = written(PIXELS, part(CELLS, content_type))
    assert back.transfer_syntax_uid == EXPLICIT
    assert back.raw(0x7FE00010) == CELLS + b"\0"
    assert back.elements[0x7FE00010].vr == "OB"


def test_cells_above_8_bits_are_words() -> None:
    changes = {**PIXELS, "00280100": {"vr": "US", "Value": [16]}}
    assert written(changes, part(CELLS * 2)).elements[0x7FE00010].vr == "OW"


def test_native_frames_may_come_one_by_one() -> None:
    parts = [part(bytes([n]) * 9, at=f"{BULK}/frames/{n}") for n in (2, 3, 1)]
    assert written(frames(3), *parts).raw(0x7FE00010) == b"\1" * 9 + b"\2" * 9 + b"\3" * 9 + b"\0"


@pytest.mark.parametrize(
    ("changes", "cells"),
    [
        (PIXELS, CELLS[:-1]),
        (PIXELS, CELLS + b"\0\0"),
        (PIXELS, b""),
        (frames(2), CELLS),
        ({**PIXELS, "00280010": {"vr": "US", "Value": [4]}}, CELLS),
        ({**PIXELS, "00280010": {"vr": "US", "Value": [0]}}, CELLS),
        ({**PIXELS, "00280010": {"vr": "US"}}, CELLS),
        ({**PIXELS, "7FE00008": {"vr": "OF", "InlineBinary": "AAAA"}}, CELLS),
    ],
)
def test_pixels_have_to_be_as_many_as_are_described(changes: dict[str, Any], cells: bytes) -> None:
    failure = refused(changes, part(cells))
    assert failure.reason in (FailureReason.DOES_NOT_MATCH, FailureReason.CANNOT_UNDERSTAND)
