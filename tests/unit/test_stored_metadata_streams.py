"""Compressed pixels that come as a file has them: one value with offset table and fragments."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from pathlib import Path
from typing import Any

import pydicom
import pytest

from farsight.dicom.elements import DicomObject
from farsight.dicom.part10 import parse_object
from farsight.dicom.writing import encapsulated_value, extended_tables
from farsight.ps318.assembled_instances import Assembled, AssemblyFailure, assemble
from farsight.ps318.encapsulated_stream import frames_within
from farsight.ps318.frames import frame_bytes, frame_index
from farsight.ps318.refused import ValueUnfit
from metadata_samples import BULK, FRAME, PIXELS, UIDS, frames, part, refused, written
from taken_apart import JSON

RLE, JPEG, XL, MPEG, MP4 = (
    f"1.2.840.10008.1.2.{number}" for number in ("5", "4.50", "4.110", "4.100", "4.102")
)
RLE_FRAME = struct.pack("<16L", 1, 64, *[0] * 14) + b"\x07abcdefgh\0"
COMPRESSED = [
    "JPEG2000.dcm", "JPEG-lossy.dcm", "JPEGLSNearLossless_16.dcm", "MR_small_RLE.dcm",
    "SC_rgb_rle_2frame.dcm", "SC_rgb_rle_16bit_2frame.dcm", "emri_small_RLE.dcm",
    "emri_small_jpeg_2k_lossless.dcm", "emri_small_jpeg_ls_lossless.dcm", "examples_jpeg2k.dcm",
    "color3d_jpeg_baseline.dcm", "JPGExtended.dcm",
]  # fmt: skip


def stream(*fragments: bytes, table: bool = True) -> bytes:
    return b"".join(encapsulated_value(fragments, table=table))


def declared(uid: str, count: int = 1) -> dict[str, Any]:
    return {**frames(count), "00083002": {"vr": "UI", "Value": [uid]}}


def inline(uid: str, value: bytes, count: int = 1) -> dict[str, Any]:
    pixels = {"vr": "OB", "InlineBinary": b64encode(value).decode()}
    return {**declared(uid, count), "7FE00010": pixels}


def frames_of(instance: DicomObject) -> list[bytes]:
    index = frame_index(instance)
    return [bytes(frame_bytes(instance, index, n + 1)) for n in range(index.number_of_frames)]


def pydicom_files() -> list[Path]:
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    return [folder / name for name in COMPRESSED if (folder / name).exists()]


@pytest.mark.parametrize("path", pydicom_files(), ids=lambda path: path.name)
def test_what_pydicom_makes_of_a_compressed_file_keeps_its_frames(path: Path) -> None:
    before = parse_object(path.read_bytes())
    file = pydicom.dcmread(path)
    attributes = {**UIDS, **file.to_json_dict()}
    syntax = str(file.file_meta.TransferSyntaxUID)
    attributes["00083002"] = {"vr": "UI", "Value": [syntax]}
    (found,) = assemble(JSON, [json.dumps(attributes).encode()], []).instances
    assert isinstance(found, Assembled), found
    after = parse_object(found.part10())
    assert after.transfer_syntax_uid == syntax
    assert frames_of(after) == frames_of(before)


@pytest.mark.parametrize("with_end", [True, False])
@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize(("uid", "frame"), [(RLE, RLE_FRAME), (JPEG, FRAME)], ids=["RLE", "JPEG"])
def test_items_are_taken_apart(uid: str, frame: bytes, table: bool, with_end: bool) -> None:
    value = stream(frame, frame + b"\1\1", table=table)
    value = value if with_end else value[:-8]
    back = written(inline(uid, value, 2))
    assert back.transfer_syntax_uid == uid
    assert frames_of(back) == [frame, frame + b"\1\1"]
    content_types = ["", f"application/octet-stream; transfer-syntax={uid}"]
    if uid == JPEG:
        content_types.append("image/jpeg")
    for content_type in content_types:
        assert frames_of(written(declared(uid, 2), part(value, content_type))) == frames_of(back)


def test_frames_in_several_fragments() -> None:
    one, other = FRAME, FRAME + b"abcd"
    pieces = [one[:4], one[4:], other[:6], other[6:8], other[8:]]
    offsets = struct.pack("<2L", 0, 8 + 4 + 8 + len(one) - 4)
    items = b"".join(encapsulated_value(pieces, table=False))[8:]
    value = b"\xfe\xff\x00\xe0" + struct.pack("<L", 8) + offsets + items
    assert frames_of(written(inline(JPEG, value, 2))) == [one, other]
    assert frames_of(written(inline(JPEG, stream(*pieces[:2]), 1))) == [one]
    video = b"\0\0\1\xb3" + bytes(8)
    (found,) = frames_within(stream(video[:4], video[4:]), 7, is_video=True)
    assert bytes(found) == video


@pytest.mark.parametrize(
    "table",
    [b"", struct.pack("<2L", 0, 4), struct.pack("<2L", 12, 24), struct.pack("<2L", 12, 0),
     struct.pack("<3L", 0, 12, 24), struct.pack("<L", 0), struct.pack("<2L", 0, 0), b"\0\0"],
)  # fmt: skip
def test_which_fragments_make_a_frame_is_never_guessed(table: bytes) -> None:
    items = stream(b"\xff\xd8\xff\0", b"abcd", b"\xff\xd8\xff\0", table=False)[8:]
    value = b"\xfe\xff\x00\xe0" + struct.pack("<L", len(table)) + table + items
    with pytest.raises(ValueUnfit, match="offset table"):
        frames_within(value, 2, is_video=False)


@pytest.mark.parametrize(
    "value",
    [
        stream(FRAME)[:-9],
        stream(FRAME) + b"\0\0",
        stream(FRAME) + stream(FRAME)[-8:],
        stream(),
        b"\xfe\xff\x00\xe0",
        b"\xfe\xff\x00\xe0\xff\xff\xff\xff",
        b"\xfe\xff\x00\xe0\0\0\0\0" + b"\xfe\xff\x00\xe0\3\0\0\0abc",
        stream(FRAME) + b"abcdefgh" + stream(FRAME)[-8:],
    ],
    ids=range(8),
)
def test_items_that_do_not_fill_the_value(value: bytes) -> None:
    assert "item" in refused(inline(JPEG, value)).why


def test_odd_lengths_in_tables_are_not_those_of_padded_fragments() -> None:
    offsets, lengths = extended_tables([FRAME + b"a", FRAME + b"a"])
    tables = {
        tag: {"vr": "OV", "InlineBinary": b64encode(table).decode()}
        for tag, table in (("7FE00001", offsets), ("7FE00002", lengths))
    }
    value = stream(FRAME + b"a", FRAME + b"a", table=False)
    back = written({**inline(JPEG, value, 2), **tables})
    assert 0x7FE00002 not in back.elements
    assert frames_of(back) == [FRAME + b"a\0"] * 2


@pytest.mark.parametrize("uid", [RLE, XL, MPEG, MP4, JPEG])
def test_frames_that_are_still_in_items(uid: str) -> None:
    """Two of them, as if each were a file's; and where no syntax says that it is one value."""
    value = stream(RLE_FRAME)
    failure = refused(declared(uid, 2), part(value), part(value))
    assert "7FE00010" in failure.why
    types = {RLE: "image/dicom-rle", XL: "image/jxl", MPEG: "video/mpeg", MP4: "video/mp4"}
    assert "7FE00010" in refused(PIXELS, part(value, types.get(uid, "image/jpeg"))).why


@pytest.mark.parametrize(
    "header",
    [(0, 64), (16, 64), (1, 0), (1, 66), (2, 64, 0), (2, 64, 64), (2, 64, 1000), (2**31, 64)],
)
def test_what_has_no_header_of_rle(header: tuple[int, ...]) -> None:
    head = struct.pack(f"<{len(header)}L", *header).ljust(64, b"\0")
    for frame in (head + b"abcd", RLE_FRAME[:63]):
        failure = refused(PIXELS, part(frame, "image/dicom-rle"))
        assert isinstance(failure, AssemblyFailure)
        assert "RLE" in failure.why


def test_what_is_no_jpeg_xl() -> None:
    kind = f"image/jxl; transfer-syntax={XL}"
    assert "codestream" in refused(PIXELS, part(b"\xff\x0b", kind)).why
    for start in (b"\xff\x0a", b"\0\0\0\x0cJXL "):
        assert written(PIXELS, part(start, kind, BULK)).transfer_syntax_uid == XL
