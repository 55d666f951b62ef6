"""Frames into values: beside pydicom on the whole collection, and hostile frames refused."""

from __future__ import annotations

import tracemalloc
import zlib
from dataclasses import replace
from struct import pack

import imagecodecs
import numpy as np
import pydicom
import pytest

from farsight.dicom.part10 import parse_object
from farsight.dicom.transfer_syntax import DEFLATED_IMAGE_FRAME
from farsight.errors import FarsightError, MalformedDicom, UnsupportedDicom
from farsight.imaging import syntaxes
from farsight.imaging.codestream import read_jpeg, read_jpeg_2000, read_jpeg_xl
from farsight.imaging.colours import rgb
from farsight.imaging.decode import Decoded, decode
from farsight.imaging.describe import picture_of
from farsight.imaging.encode import encode
from farsight.imaging.picture import Picture, PixelFormat
from farsight.ps318.frames import frame_bytes, frame_index
from tests.corpus import CorpusFile, corpus_root, manifest, requires_corpus
from tests.imaging_samples import NATIVE, Pixels, format_of

_FRAMES_EACH = 8
#: Pillow, by which pydicom reads these, rounds otherwise than libjpeg-turbo's fancy upsampling.
_BY_DCT = syntaxes.DCT_JPEG


def _decoded(file: CorpusFile, number: int = 1) -> Decoded:
    instance = parse_object(file.read())
    frame = frame_bytes(instance, frame_index(instance), number)
    return decode(picture_of(instance, number), frame)


def _named(name: str) -> CorpusFile:
    return next(file for file in manifest() if file.name == name)


def _theirs(file: CorpusFile, count: int) -> list[Pixels] | None:
    """What pydicom reads, or None where it has no codec for it."""
    try:
        data_set = pydicom.dcmread(file.path, force=True)
        if "PixelData" not in data_set:
            whole = data_set.pixel_array
            return [whole] if whole.ndim == 2 else list(whole)
        return [
            pydicom.pixels.pixel_array(data_set, index=index, raw=True) for index in range(count)
        ]
    except (RuntimeError, NotImplementedError, AttributeError, ValueError):
        return None


@requires_corpus
@pytest.mark.parametrize("file", manifest(), ids=lambda file: file.name)
def test_values_are_pydicoms_or_an_error_of_ours(file: CorpusFile) -> None:
    try:
        instance = parse_object(file.read())
        picture = picture_of(instance)
        index = frame_index(instance)
        count = min(index.number_of_frames, _FRAMES_EACH)
        ours = [decode(picture, frame_bytes(instance, index, n + 1)) for n in range(count)]
    except FarsightError:
        assert file.row["pixels"] != "decodes" or file.name in _NOT_OURS
        return
    theirs = _theirs(file, count)
    if theirs is None:
        return
    for mine, their in zip(ours, theirs, strict=False):
        if mine.photometric == "RGB" and picture.pixels.photometric != "RGB":
            assert mine.values.shape == their.shape
            continue  # converted by the codec: below
        np.testing.assert_array_equal(mine.values, np.squeeze(their).reshape(mine.values.shape))


#: Files that pydicom reads by force, and that are no DICOM file.
_NOT_OURS = frozenset({"codec-only/JLSL_RGB_ILV1.dcm"})


@requires_corpus
@pytest.mark.parametrize(
    "name",
    [
        "us/color3d_jpeg_baseline.dcm",
        "sc/image1.dcm",
        "wsi/multiframe_camelyon_challenge_image.dcm",
        "ts-variants/sc-rgb/SC_rgb_dcmtk_+eb+cy+np.dcm",
        "ts-variants/sc-rgb/SC_rgb_dcmtk_+eb+cy+s4.dcm",
        "ts-variants/sc-rgb/SC_rgb_small_odd_jpeg.dcm",
    ],
)
def test_ybr_jpeg_comes_out_as_rgb(name: str) -> None:
    file = _named(name)
    data_set = pydicom.dcmread(file.path)
    theirs = pydicom.pixels.pixel_array(data_set, index=0, raw=False).astype(float)
    difference = np.abs(_decoded(file).values.astype(float) - theirs)
    assert difference.mean() < 1.0  # they convert after rounding, libjpeg before
    assert difference.max() <= 4


@requires_corpus
@pytest.mark.parametrize("suffix", ["+eb+cr", "+eb+cy+np", "+eb+cy+n1", "+eb+cy+s4"])
def test_colours_of_jpeg_with_whatever_markers(suffix: str) -> None:
    lossless = _decoded(_named("sc/SC_rgb.dcm")).values.astype(float)
    found = _decoded(_named(f"ts-variants/sc-rgb/SC_rgb_dcmtk_{suffix}.dcm"))
    assert found.photometric == "RGB"
    assert np.abs(found.values.astype(float) - lossless).mean() < 6


@requires_corpus
@pytest.mark.parametrize("kind", ["rle", "deflate", "j2k"])
def test_single_bits_in_any_syntax_are_the_native_ones(kind: str) -> None:
    for number in (1, 2, 3):
        native = _decoded(_named("seg/liver/liver.dcm"), number).values
        packed = _decoded(_named(f"seg/liver/liver_{kind}.dcm"), number).values
        np.testing.assert_array_equal(packed != 0, native != 0)
        assert native.any() or number > 1


def test_the_collection_is_there_to_be_counted() -> None:
    if corpus_root() is not None:
        assert sum(file.row["pixels"] == "decodes" for file in manifest()) > 300


# ---- cells


def _native(pixels: PixelFormat, frame: bytes) -> Decoded:
    return decode(Picture(NATIVE, pixels), frame)


def test_bits_above_and_below_the_stored_ones_are_dropped() -> None:
    cells = np.array([[0xF7F1, 0x8010]], np.uint16)  # stored: bits 4 to 11
    pixels = replace(format_of(cells, bits=8), high_bit=11)
    assert _native(pixels, cells.tobytes()).values.tolist() == [[0x7F, 0x01]]
    signed = replace(pixels, signed=True)
    cells[0, 1] = 0xF80F
    assert _native(signed, cells.tobytes()).values.tolist() == [[0x7F, -128]]


def test_rle_keeps_to_the_stored_bits_too() -> None:
    cells = np.array([[0xF7F1, 0x8010]], np.uint16)
    pixels = replace(format_of(cells, bits=12), high_bit=11)
    assert decode(Picture(syntaxes.RLE, pixels), _rle(cells)).values.tolist() == [[0x7F1, 0x10]]


def test_rle_of_32_bits() -> None:
    cells = np.array([[0xFFFFFFFE, 1, 0x12345678]], np.uint32)
    found = decode(Picture(syntaxes.RLE, format_of(cells)), _rle(cells))
    np.testing.assert_array_equal(found.values, cells)


def _rle(cells: Pixels) -> bytes:
    width = cells.dtype.itemsize
    octets = np.ascontiguousarray(cells).view(np.uint8).reshape(-1, width)
    parts = [bytes(imagecodecs.packbits_encode(octets[:, i].tobytes())) for i in range(width)][::-1]
    starts, at = [], 64
    for part in parts:
        starts.append(at)
        at += len(part)
    return pack(f"<{1 + width}L", width, *starts).ljust(64, b"\0") + b"".join(parts)


@pytest.mark.parametrize("columns", [1, 2, 3, 5, 6])
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_halved_chrominance_of_any_width(rows: int, columns: int) -> None:
    count = rows * columns
    luminance = np.arange(10, 10 + count, dtype=np.uint8)
    stream = bytearray()
    for pair in range(-(-count // 2)):
        stream += bytes((luminance[2 * pair], luminance[min(2 * pair + 1, count - 1)], 100, 150))
    pixels = format_of(np.zeros((rows, columns, 3), np.uint8), photometric="YBR_FULL_422")
    found = _native(pixels, bytes(stream[: 2 * count]))
    assert found.photometric == "YBR_FULL"
    np.testing.assert_array_equal(found.values[..., 0].ravel(), luminance)
    if count > 1:
        assert (found.values[..., 1] == 100).all()
        assert (found.values[..., 2] == 150).all()


def test_colours_by_plane_and_by_pixel_are_the_same() -> None:
    values = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    pixels = format_of(values)
    by_plane = _native(replace(pixels, by_plane=True), values.transpose(2, 0, 1).tobytes())
    np.testing.assert_array_equal(by_plane.values, values)
    np.testing.assert_array_equal(_native(pixels, values.tobytes()).values, values)


def test_single_bits_are_packed_from_the_lowest_on() -> None:
    pixels = replace(format_of(np.zeros((3, 3), np.uint8)), bits_allocated=1, bits_stored=1)
    assert _native(pixels, b"\x0b\x01").values.tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 1]]


def test_values_beyond_the_stored_bits_do_not_wrap() -> None:
    values = np.full((1, 1, 3), 5000, np.uint16)
    assert rgb(Decoded(values, "RGB"), format_of(values, bits=12)).tolist() == [[[255, 255, 255]]]


def test_a_frame_narrower_than_its_cells_is_widened() -> None:
    values = np.arange(64, dtype=np.uint8).reshape(8, 8)
    pixels = format_of(values.astype(np.uint16))
    frame = bytes(imagecodecs.jpegls_encode(values))
    found = decode(Picture(syntaxes.JPEG_LS, pixels), frame).values
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, values)


def test_real_numbers_are_never_compressed() -> None:
    pixels = format_of(np.zeros((4, 4), np.float32))
    with pytest.raises(UnsupportedDicom):
        decode(Picture(syntaxes.RLE, pixels), bytes(64))


# ---- hostile frames: refused before anything of their size is made

_SMALL = format_of(np.zeros((16, 16), np.uint16))


def _huge_jpeg(marker: int) -> bytes:
    frame = pack(">BBHBHHBBBB", 0xFF, marker, 11, 16, 65535, 65535, 1, 1, 0x11, 0)
    return b"\xff\xd8" + frame + b"\xff\xda\0\x08\1\1\0\0\0\0" + bytes(64)


def _huge_jpeg_2000() -> bytes:
    frame = bytearray(imagecodecs.jpeg2k_encode(np.zeros((16, 16), np.uint16), codecformat="j2k"))
    frame[8:16] = pack(">LL", 65535, 65535)
    frame[24:32] = pack(">LL", 65535, 65535)
    return bytes(frame)


def _huge_jpeg_xl() -> bytes:
    """A header of 65,536 x 65,536 pixels: a size of 18 bits, and as wide as it is high."""
    bits = 0b0 | 0b10 << 1 | 65535 << 3 | 1 << 21 | 1 << 24
    return b"\xff\x0a" + bits.to_bytes(8, "little")


_BOMBS = {
    syntaxes.JPEG_BASELINE: _huge_jpeg(0xC0),
    syntaxes.JPEG_EXTENDED: _huge_jpeg(0xC1),
    syntaxes.JPEG_LOSSLESS: _huge_jpeg(0xC3),
    syntaxes.JPEG_LS: _huge_jpeg(0xF7),
    syntaxes.JPEG_2000: _huge_jpeg_2000(),
    syntaxes.HTJ2K: _huge_jpeg_2000(),
    syntaxes.JPEG_XL_LOSSLESS: _huge_jpeg_xl(),
}


@pytest.mark.parametrize("syntax", sorted(_BOMBS))
def test_a_frame_of_another_size_never_reaches_its_codec(
    syntax: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for codec in ("jpeg8", "jpegls", "jpeg2k", "jpegxl"):
        monkeypatch.setattr(imagecodecs, f"{codec}_decode", None)  # a call would be a TypeError
    with pytest.raises(MalformedDicom, match="a frame says to be of 6553"):
        decode(Picture(syntax, _SMALL), _BOMBS[syntax])


def test_a_decoy_before_the_codestream_does_not_count() -> None:
    small = bytes(imagecodecs.jpeg2k_encode(np.zeros((16, 16), np.uint16), codecformat="j2k"))
    decoy = pack(">L4s", 8 + len(small), b"uuid") + small
    real = _huge_jpeg_2000()
    file = b"\0\0\0\x0cjP  \r\n\x87\n" + decoy + pack(">L4s", 8 + len(real), b"jp2c") + real
    assert read_jpeg_2000(file).columns == 65535


def test_rle_and_deflate_unpack_to_what_there_is_room_for() -> None:
    bomb = b"\x81\0" * 2_000_000  # 256 MB
    pixels = format_of(np.zeros((16, 16), np.uint8))
    header = pack("<2L", 1, 64).ljust(64, b"\0")
    deflater = zlib.compressobj(9, wbits=-15)
    deflated = deflater.compress(bytes(100_000_000)) + deflater.flush()
    tracemalloc.start()
    try:
        with pytest.raises(MalformedDicom):
            decode(Picture(syntaxes.RLE, pixels), header + bomb)
        found = decode(Picture(DEFLATED_IMAGE_FRAME, pixels), deflated)
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()
    assert not found.values.any()


@pytest.mark.parametrize("syntax", sorted(syntaxes.DECODABLE))
def test_noise_is_malformed_and_nothing_else(syntax: str) -> None:
    random = np.random.default_rng(7)
    starts = (b"", b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\xff\x0a", b"\2\0\0\0\x40\0\0\0", b"\1")
    for start in starts:
        for size in (0, 1, 30, 63, 200):
            frame = start + random.integers(0, 256, size, np.uint8).tobytes()
            try:
                decode(Picture(syntax, _SMALL), frame)
            except MalformedDicom:
                continue
            raise AssertionError("a frame that small can't hold the image")


@pytest.mark.parametrize("syntax", sorted(set(syntaxes.ENCODABLE) - {NATIVE}))
def test_a_frame_cut_off_or_changed_is_values_or_malformed(syntax: str) -> None:
    random = np.random.default_rng(3)
    values = random.integers(0, 200, (24, 20), np.uint8)
    pixels = format_of(values)
    whole, _ = encode(Decoded(values, "MONOCHROME2"), pixels, syntax, None)
    for _ in range(60):
        frame = bytearray(whole[: random.integers(1, len(whole))])
        frame[random.integers(0, len(frame))] ^= 1 << int(random.integers(0, 8))
        try:
            found = decode(Picture(syntax, pixels), bytes(frame))
        except MalformedDicom:
            continue
        assert found.values.shape == (24, 20)
        assert found.values.dtype == np.uint8


# ---- what codestreams say of themselves


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (16, 8), (7, 300), (256, 256), (3, 2000)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("samples", [1, 3])
def test_sizes_read_are_sizes_written(shape: tuple[int, int], kind: type, samples: int) -> None:
    values = np.zeros(shape if samples == 1 else (*shape, samples), kind)
    values[0] = 100
    bits = 8 * values.dtype.itemsize
    said = (*shape, samples, bits)
    for boxed in (False, True):
        xl = read_jpeg_xl(
            bytes(imagecodecs.jpegxl_encode(values, lossless=True, usecontainer=boxed))
        )
        assert (xl.rows, xl.columns, xl.components, xl.bits) == said
        j2k = read_jpeg_2000(
            bytes(imagecodecs.jpeg2k_encode(values, codecformat="jp2" if boxed else "j2k"))
        )
        assert (j2k.rows, j2k.columns, j2k.components, j2k.bits) == said
    ls = read_jpeg(bytes(imagecodecs.jpegls_encode(values)))
    assert (ls.rows, ls.columns, ls.components, ls.bits) == said


def test_animations_and_transparency_of_jpeg_xl_are_refused() -> None:
    values = np.arange(4 * 8 * 8 * 3, dtype=np.uint8).reshape(4, 8, 8, 3)
    with pytest.raises(MalformedDicom, match="animation"):
        read_jpeg_xl(bytes(imagecodecs.jpegxl_encode(values, lossless=True)))
    with pytest.raises(MalformedDicom, match="channels"):
        read_jpeg_xl(bytes(imagecodecs.jpegxl_encode(np.zeros((8, 8, 4), np.uint8), lossless=True)))
