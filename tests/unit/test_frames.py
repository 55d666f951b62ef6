"""Frames byte for byte: real files beside pydicom, and every way of finding a frame."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, encapsulate_extended

from corpus import CorpusFile, files_in, requires_corpus, storable_files
from expected_frames import expected_frames, one_bit_frames
from farsight.dicom.elements import DicomObject
from farsight.dicom.part10 import parse_object, write_part10
from farsight.dicom.transfer_syntax import NATIVE
from farsight.errors import MalformedDicom, NotFound, UnsupportedDicom
from farsight.ps318.frame_media_type import frame_media_type
from farsight.ps318.frames import frame_bytes, frame_index

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
JPEG, RLE, J2K = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90"
MPEG4 = "1.2.840.10008.1.2.4.102"


def read(instance: DicomObject) -> list[bytes]:
    """All frames, also through their extents, which have to give the same."""
    index = frame_index(instance)
    frames = []
    for number in range(1, index.number_of_frames + 1):
        frame = bytes(frame_bytes(instance, index, number))
        chunks = [instance.body[at : at + n] for at, n in index.extents(number)]
        assert bytes(index.assemble(chunks, number)) == frame
        frames.append(frame)
    return frames


# -- real files -------------------------------------------------------------------------------


def with_pixels() -> list[CorpusFile]:
    files = [*storable_files(), *files_in("ts-variants", "codec-only")]
    return [file for file in files if file.row["rows"] and file.row["file_meta"] == "yes"]


@requires_corpus
@pytest.mark.parametrize("file", with_pixels(), ids=lambda file: file.name)
def test_frames_of_real_files(file: CorpusFile) -> None:
    data = file.read()
    instance = parse_object(data)
    theirs = pydicom.dcmread(io.BytesIO(data))
    if not {"PixelData", "FloatPixelData", "DoubleFloatPixelData"} & set(theirs.dir()):
        with pytest.raises(UnsupportedDicom):
            frame_index(instance)
        return
    index = frame_index(instance)
    frames = read(instance)
    assert frames == expected_frames(theirs)
    assert index.media_type == frame_media_type(instance.transfer_syntax_uid)
    native = instance.transfer_syntax_uid in NATIVE
    assert index.transfer_syntax_uid == (EXPLICIT if native else instance.transfer_syntax_uid)
    for number in (0, len(frames) + 1, -1):
        with pytest.raises(NotFound):
            frame_bytes(instance, index, number)


# -- native -----------------------------------------------------------------------------------


def native(
    pixels: bytes,
    *,
    syntax: str = EXPLICIT,
    vr: bytes = b"OW",
    rows: int = 2,
    columns: int = 3,
    samples: int = 1,
    bits: int = 8,
    frames: str = "",
    photometric: str = "MONOCHROME2",
    tag: int = 0x7FE00010,
) -> DicomObject:
    order = ">" if syntax == BIG else "<"

    def element(tag: int, vr: bytes, value: bytes) -> bytes:
        value += b" " * (len(value) % 2)
        if syntax == IMPLICIT:
            return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value
        if vr in (b"OW", b"OB", b"OF", b"OD"):
            head = struct.pack(order + "HH2sHL", tag >> 16, tag & 0xFFFF, vr, 0, len(value))
        else:
            head = struct.pack(order + "HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value))
        return head + value

    def short(value: int) -> bytes:
        return struct.pack(order + "H", value)

    body = b"".join(
        (
            element(0x00280002, b"US", short(samples)),
            element(0x00280004, b"CS", photometric.encode()),
            element(0x00280008, b"IS", frames.encode()),
            element(0x00280010, b"US", short(rows)),
            element(0x00280011, b"US", short(columns)),
            element(0x00280100, b"US", short(bits)),
            element(tag, vr, pixels),
        )
    )
    return parse_object(write_part10("1.2", "1.2.3", syntax, body))


@given(
    rows=st.integers(1, 7),
    columns=st.integers(1, 7),
    count=st.integers(1, 5),
    noise=st.randoms(use_true_random=False),
)
def test_one_bit_frames_begin_in_their_first_bit(
    rows: int, columns: int, count: int, noise: object
) -> None:
    size = -(-rows * columns * count // 8)
    pixels = noise.randbytes(size)  # type: ignore[attr-defined]
    padded = pixels + b"\0" * (size % 2)
    data_set = pydicom.Dataset()
    data_set.Rows, data_set.Columns = rows, columns
    expected = one_bit_frames(data_set, pixels, count)
    little = native(padded, bits=1, rows=rows, columns=columns, frames=str(count), vr=b"OB")
    assert read(little) == expected
    swapped = b"".join(padded[at : at + 2][::-1] for at in range(0, len(padded), 2))
    big = native(swapped, bits=1, rows=rows, columns=columns, frames=str(count), syntax=BIG)
    assert read(big) == expected


@pytest.mark.parametrize(
    ("bits", "vr", "word"),
    [(8, b"OB", 1), (8, b"OW", 2), (16, b"OW", 2), (16, b"OB", 2), (32, b"OW", 4), (64, b"OW", 8)],
)
def test_big_endian_frames_come_out_little_endian(bits: int, vr: bytes, word: int) -> None:
    cells = bytes(range(3 * 3 * 3 * bits // 8))
    even = cells + b"\0" * (-len(cells) % max(word, 2))
    turned = b"".join(even[at : at + word][::-1] for at in range(0, len(even), word))
    instance = native(turned, syntax=BIG, vr=vr, bits=bits, rows=3, columns=3, frames="3")
    size = len(cells) // 3
    assert read(instance) == [cells[at * size : (at + 1) * size] for at in range(3)]


@pytest.mark.parametrize(("tag", "vr", "bits"), [(0x7FE00008, b"OF", 32), (0x7FE00009, b"OD", 64)])
def test_float_pixels(tag: int, vr: bytes, bits: int) -> None:
    code = {32: "f", 64: "d"}[bits]
    values = [0.5 * at for at in range(12)]
    for syntax, order in ((EXPLICIT, "<"), (BIG, ">"), (IMPLICIT, "<")):
        pixels = struct.pack(f"{order}12{code}", *values)
        instance = native(pixels, syntax=syntax, vr=vr, bits=bits, frames="2", tag=tag)
        assert b"".join(read(instance)) == struct.pack(f"<12{code}", *values)


def test_halved_chrominance_takes_two_bytes_per_pixel() -> None:
    pixels = bytes(range(16))
    instance = native(pixels, rows=2, columns=2, samples=3, frames="2", photometric="YBR_FULL_422")
    assert read(instance) == [pixels[:8], pixels[8:]]
    declared_only = native(
        bytes(12), rows=2, columns=2, samples=3, frames="1", photometric="YBR_FULL_422"
    )
    assert read(declared_only) == [bytes(12)]


@pytest.mark.parametrize("frames", ["", "0", "-3", "many"])
def test_without_a_usable_number_there_is_one_frame(frames: str) -> None:
    assert read(native(b"abcdef", frames=frames)) == [b"abcdef"]


def test_pixel_data_that_ends_early_is_noticed_for_the_frame_that_lacks() -> None:
    instance = native(b"abcdefgh", frames="2")
    index = frame_index(instance)
    assert bytes(frame_bytes(instance, index, 1)) == b"abcdef"
    with pytest.raises(MalformedDicom, match="within frame 2"):
        frame_bytes(instance, index, 2)


def test_absurd_dimensions_allocate_nothing() -> None:
    instance = native(b"ab", rows=65535, columns=65535, bits=64, frames="2147483647")
    with pytest.raises(MalformedDicom, match="within frame 1"):
        frame_bytes(instance, frame_index(instance), 1)
    with pytest.raises(MalformedDicom, match="Rows"):
        frame_index(native(b"ab", rows=0))


def test_native_frames_are_views_not_copies() -> None:
    instance = native(b"abcdefghijkl", frames="2")
    frame = frame_bytes(instance, frame_index(instance), 2)
    assert isinstance(frame, memoryview)
    assert frame.obj is instance.body


def test_objects_without_pixels() -> None:
    with pytest.raises(UnsupportedDicom, match="no pixel data"):
        frame_index(native(b""))
    odd = native(b"abcdef", syntax="1.2.840.113619.5.2.1")
    with pytest.raises(UnsupportedDicom, match="not encapsulated"):
        frame_index(odd)


# -- encapsulated -------------------------------------------------------------------------------


def encapsulated(
    value: bytes, *, frames: int, syntax: str = JPEG, before: bytes = b""
) -> DicomObject:
    count = str(frames).encode()
    count += b" " * (len(count) % 2)
    body = (
        b"\x28\0\x08\0IS" + struct.pack("<H", len(count)) + count
        + before
        + b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff" + value + b"\xfe\xff\xdd\xe0\0\0\0\0"
    )  # fmt: skip
    return parse_object(write_part10("1.2", "1.2.3", syntax, body))


def items(*values: bytes) -> bytes:
    return b"".join(b"\xfe\xff\0\xe0" + struct.pack("<L", len(value)) + value for value in values)


def offsets(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}L", *values)


#: Like JPEG: markers at both ends, none in between, no fragment too short for the first one.
_FRAMES = st.lists(
    st.binary(min_size=12, max_size=40).map(
        lambda noise: b"\xff\xd8\xff" + noise.replace(b"\xff", b"\0") + b"\xff\xd9"
    ),
    min_size=1,
    max_size=5,
)


@given(_FRAMES, st.booleans(), st.integers(1, 3))
def test_basic_offset_table_or_none(frames: list[bytes], table: bool, fragments: int) -> None:
    value = encapsulate(frames, fragments_per_frame=fragments, has_bot=table)
    instance = encapsulated(value, frames=len(frames))
    padded = [frame + b"\0" * (len(frame) % 2) for frame in frames]
    assert read(instance) == padded


@given(_FRAMES)
def test_extended_offset_table_gives_the_true_lengths(frames: list[bytes]) -> None:
    value, starts, _ = encapsulate_extended(frames)  # whose lengths count the padding
    lengths = struct.pack(f"<{len(frames)}Q", *map(len, frames))
    table = b"".join(
        b"\xe0\x7f" + number + b"\0OV\0\0" + struct.pack("<L", len(column)) + column
        for number, column in ((b"\1", starts), (b"\2", lengths))
    )
    assert read(encapsulated(value, frames=len(frames), before=table)) == frames


A, B, C = b"\xff\xd8\xff1", b"\xff\xd8\xff2", b"\xff\xd8\xff3"
TAIL = b"rest"


@pytest.mark.parametrize(
    ("value", "count", "frames"),
    [
        (items(b"", A, TAIL, B, C, TAIL), 3, [A + TAIL, B, C + TAIL]),  # by how they begin
        (items(b"", b"a1\xff\xd9", b"b1", b"b2\xff\xd9"), 2, [b"a1\xff\xd9", b"b1b2\xff\xd9"]),
        (items(b"", b"a1", b"\xff\xd9\0\0", b"b\xff\xd9\0"), 2,
         [b"a1\xff\xd9\0\0", b"b\xff\xd9\0"]),  # by how they end, padding aside
        (items(b"", A, TAIL, B), 1, [A + TAIL + B]),  # one frame: all there is
        (items(offsets(0), A, TAIL, B), 1, [A + TAIL + B]),
        (items(offsets(0, 24), A, TAIL, B), 2, [A + TAIL, B]),
        (items(offsets(0, 999), A, B), 2, [A, B]),  # a table that leads nowhere
        (items(offsets(12, 0), A, B), 2, [A, B]),  # out of order
        (items(offsets(0), A, B), 2, [A, B]),  # too short
        (items(offsets(0, 0), A, B), 2, [A, B]),
    ],
)  # fmt: skip
def test_fragments_to_frames(value: bytes, count: int, frames: list[bytes]) -> None:
    assert read(encapsulated(value, frames=count)) == frames


@pytest.mark.parametrize(
    ("value", "count", "words"),
    [
        (items(b"", b"ab"), 2, "only 1 fragments"),
        (items(b"", b"ab", b"cd", b"ef"), 2, "can't be told apart"),
        (items(b""), 1, "no fragments"),
        (b"", 1, "no pixel data"),
    ],
)
def test_fragments_that_make_no_frames(value: bytes, count: int, words: str) -> None:
    with pytest.raises((MalformedDicom, UnsupportedDicom), match=words):
        frame_index(encapsulated(value, frames=count))


def test_a_broken_extended_table_is_passed_over() -> None:
    table = b"\xe0\x7f\1\0OV\0\0" + struct.pack("<L", 16) + struct.pack("<2Q", 0, 7)
    table += b"\xe0\x7f\2\0OV\0\0" + struct.pack("<L", 16) + struct.pack("<2Q", 4, 4)
    value = items(b"", A, B)
    assert read(encapsulated(value, frames=2, before=table)) == [A, B]


def test_video_is_one_stream() -> None:
    instance = encapsulated(items(b"", b"ab", b"cd"), frames=300, syntax=MPEG4)
    assert read(instance) == [b"abcd"]
    assert frame_index(instance).media_type == "video/mp4"


def test_encapsulated_uncompressed_frames_are_native_octets() -> None:
    instance = encapsulated(items(b"", b"ab", b"cd"), frames=2, syntax=EXPLICIT + ".98")
    index = frame_index(instance)
    assert (index.media_type, index.transfer_syntax_uid) == ("application/octet-stream", EXPLICIT)
    assert read(instance) == [b"ab", b"cd"]


@pytest.mark.parametrize(
    ("syntax", "media_type"),
    [
        *((uid, "application/octet-stream") for uid in sorted(NATIVE)),
        (RLE, "image/dicom-rle"),
        (JPEG, "image/jpeg"),
        ("1.2.840.10008.1.2.4.51", "image/jpeg"),
        ("1.2.840.10008.1.2.4.57", "image/jpeg"),
        ("1.2.840.10008.1.2.4.70", "image/jpeg"),
        ("1.2.840.10008.1.2.4.80", "image/jls"),
        ("1.2.840.10008.1.2.4.81", "image/jls"),
        (J2K, "image/jp2"),
        ("1.2.840.10008.1.2.4.91", "image/jp2"),
        ("1.2.840.10008.1.2.4.92", "image/jpx"),
        ("1.2.840.10008.1.2.4.201", "image/jphc"),
        ("1.2.840.10008.1.2.4.203", "image/jphc"),
        ("1.2.840.10008.1.2.4.110", "image/jxl"),
        ("1.2.840.10008.1.2.4.100", "video/mpeg"),
        ("1.2.840.10008.1.2.4.101.1", "video/mpeg"),
        ("1.2.840.10008.1.2.4.106", "video/mp4"),
        ("1.2.840.10008.1.2.4.107", "video/H265"),
        ("1.2.840.10008.1.2.8.1", "application/octet-stream"),
        ("1.2.3.4", "application/octet-stream"),
    ],
)
def test_media_types(syntax: str, media_type: str) -> None:
    assert frame_media_type(syntax) == media_type


@pytest.mark.parametrize(("big", "little"), [("rtdose_expb_1frame.dcm", "rtdose_1frame.dcm")])
def test_the_same_dose_in_both_byte_orders(big: str, little: str) -> None:
    frames: list[Sequence[bytes]] = []
    for name in (big, little):
        path = get_testdata_file(name)
        assert path is not None
        with open(path, "rb") as file:
            frames.append(read(parse_object(file.read())))
    assert frames[0] == frames[1]
