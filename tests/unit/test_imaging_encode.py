"""Values into frames: lossless ones exact, read back by us and by DCMTK; lossy ones near enough."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from farsight.imaging import syntaxes
from farsight.imaging.jobs import TranscodeJob
from farsight.imaging.perform import perform
from farsight.imaging.picture import Picture
from farsight.imaging.syntaxes import can_encode, is_lossy
from tests.imaging_samples import NATIVE, Pixels, format_of, pixels_as, round_trip, write_file

LOSSLESS = [syntax for syntax in syntaxes.ENCODABLE if not is_lossy(syntax)]
LOSSY = [syntax for syntax in syntaxes.ENCODABLE if is_lossy(syntax)]
_TOOLS = {
    syntaxes.JPEG_LOSSLESS: "dcmdjpeg",
    syntaxes.JPEG_LOSSLESS_SV1: "dcmdjpeg",
    syntaxes.JPEG_LS: "dcmdjpls",
    syntaxes.RLE: "dcmdrle",
}
_SHAPES = [(1, 1), (1, 7), (9, 1), (13, 11), (64, 64)]


def _noise(shape: tuple[int, ...], bits: int, *, signed: bool, seed: int = 1) -> Pixels:
    low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if signed else (0, 1 << bits)
    kind = f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}"
    return np.random.default_rng(seed).integers(low, high, shape).astype(kind)


def _smooth(bits: int, *, signed: bool = False, colours: bool = False) -> Pixels:
    """Hills and a sharp edge, over all that the bits hold."""
    y, x = np.mgrid[0:96, 0:80] / 40
    hills = (np.sin(3 * x) * np.cos(2 * y) + 1) / 2
    hills[20:40, 20:40] = 1
    if colours:
        hills = np.stack((hills, hills[::-1], 1 - hills), -1)
    kind = f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}"
    return (hills * ((1 << bits) - 1) - (1 << (bits - 1)) * signed).astype(kind)


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("signed", [False, True])
def test_lossless_greys_are_exact(syntax: str, bits: int, signed: bool) -> None:
    for shape in _SHAPES:
        values = _noise(shape, bits, signed=signed)
        pixels = format_of(values, bits=bits)
        assert can_encode(pixels, syntax)
        for one in (values, np.full_like(values, values.ravel()[0])):
            frame, photometric, found = round_trip(one, pixels, syntax)
            assert photometric == "MONOCHROME2"
            assert len(frame) % 2 == 0 or syntax == NATIVE
            assert found.values.dtype == one.dtype
            np.testing.assert_array_equal(found.values, one)


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
@pytest.mark.parametrize("bits", [8, 16])
def test_lossless_colours_are_exact(syntax: str, photometric: str, bits: int) -> None:
    for shape in _SHAPES:
        values = _noise((*shape, 3), bits, signed=False)
        _, said, found = round_trip(values, format_of(values, photometric=photometric), syntax)
        wavelets = syntax in (syntaxes.JPEG_2000_LOSSLESS, syntaxes.HTJ2K_LOSSLESS)
        assert said == ("YBR_RCT" if wavelets and photometric == "RGB" else photometric)
        np.testing.assert_array_equal(found.values, values)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 16), st.booleans(), st.data())
def test_lossless_at_any_shape(
    rows: int, columns: int, bits: int, signed: bool, data: st.DataObject
) -> None:
    syntax = data.draw(st.sampled_from(LOSSLESS))
    values = _noise((rows, columns), bits, signed=signed, seed=rows)
    found = round_trip(values, format_of(values, bits=bits), syntax)[2]
    np.testing.assert_array_equal(found.values, values)


@pytest.mark.dcmtk
@pytest.mark.parametrize("syntax", sorted(_TOOLS))
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("kind", ["grey", "signed", "colour"])
def test_dcmtk_reads_the_same_values(syntax: str, bits: int, kind: str, tmp_path: Path) -> None:
    tool = shutil.which(_TOOLS[syntax])
    if tool is None:
        pytest.skip(f"DCMTK's {_TOOLS[syntax]} isn't installed")
    if kind == "colour" and bits != 8:
        pytest.skip("DCMTK reads colours of 8 bits only in some of these")
    values = _smooth(bits, signed=kind == "signed", colours=kind == "colour")
    pixels = format_of(values, bits=bits)
    frame, photometric, _ = round_trip(values, pixels, syntax)
    there = write_file(tmp_path / "in.dcm", pixels_as(pixels, photometric), frame, syntax)
    back = tmp_path / "out.dcm"
    options = ["--planar-restore"] if tool.endswith("x") else []
    done = subprocess.run(
        [tool, *options, there, back], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    data_set = pydicom.dcmread(back)
    np.testing.assert_array_equal(pydicom.pixels.pixel_array(data_set, raw=True), values)


def test_pillow_reads_the_same_jpeg_2000() -> None:
    for values in (_smooth(8), _smooth(8, colours=True)):
        frame = round_trip(values, format_of(values), syntaxes.JPEG_2000_LOSSLESS)[0]
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(frame))), values)


# ---- lossy


def _error(values: Pixels, found: Pixels) -> float:
    """Root of the mean square, as a part of the range there is."""
    difference = found.astype(float) - values.astype(float)
    return float(np.sqrt((difference**2).mean()) / (float(values.max()) - float(values.min())))


@pytest.mark.parametrize("syntax", LOSSY)
@pytest.mark.parametrize(
    ("bits", "signed"), [(8, False), (12, False), (16, False), (12, True), (16, True)]
)
def test_lossy_greys_are_near_and_nearer_at_higher_quality(
    syntax: str, bits: int, signed: bool
) -> None:
    values = _smooth(bits, signed=signed)
    pixels = format_of(values, bits=bits)
    if not can_encode(pixels, syntax):
        assert syntax in (syntaxes.JPEG_BASELINE, syntaxes.JPEG_EXTENDED, syntaxes.JPEG_LS_NEAR)
        return
    errors, sizes = [], []
    for quality in (20, 60, 90, 100):
        frame, _, found = round_trip(values, pixels, syntax, quality)
        errors.append(_error(values, found.values))
        sizes.append(len(frame))
    assert errors[2] < 0.02
    assert errors[0] >= errors[1] >= errors[2] >= errors[3]
    assert sizes[0] <= sizes[1] <= sizes[2] <= sizes[3]


@pytest.mark.parametrize("syntax", LOSSY)
def test_lossy_colours_are_near(syntax: str) -> None:
    values = _smooth(8, colours=True)
    _, photometric, found = round_trip(values, format_of(values), syntax)
    assert found.photometric == "RGB"
    assert photometric in ("RGB", "YBR_FULL_422", "YBR_ICT")
    assert _error(values, found.values) < 0.04  # halved chrominance at a sharp edge


@pytest.mark.parametrize("syntax", LOSSY)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_what_has_few_steps_is_not_levelled(syntax: str, kind: type) -> None:
    values = (np.indices((16, 16)).sum(0) % 2).astype(kind)
    pixels = format_of(values)
    if syntax not in syntaxes.DCT_JPEG:
        np.testing.assert_array_equal(round_trip(values, pixels, syntax)[2].values, values)


def test_near_lossless_stays_within_the_stored_bits() -> None:
    values = _noise((64, 64), 12, signed=False)
    values[::2] = 4095
    found = round_trip(values, format_of(values, bits=12), syntaxes.JPEG_LS_NEAR, 50)[2]
    assert found.values.max() <= 4095


def test_jpeg_takes_only_depths_it_fills() -> None:
    for bits, syntax, can in (
        (8, syntaxes.JPEG_BASELINE, True),
        (7, syntaxes.JPEG_BASELINE, False),
        (12, syntaxes.JPEG_EXTENDED, True),
        (10, syntaxes.JPEG_EXTENDED, False),
        (16, syntaxes.JPEG_EXTENDED, False),
    ):
        values = _noise((4, 4), bits, signed=False)
        assert can_encode(format_of(values, bits=bits), syntax) is can


def test_a_job_tells_the_photometric_interpretation_first() -> None:
    values = _smooth(8, colours=True)
    job = TranscodeJob(Picture(NATIVE, format_of(values)), syntaxes.JPEG_2000_LOSSLESS)
    blocks = perform(job, [values.tobytes(), values.tobytes()])
    assert blocks[0] == b"YBR_RCT"
    assert len(blocks) == 3
