"""Pictures: shades by PS3.3's formulas and beside DCMTK's, geometry, files, captions, icons."""

from __future__ import annotations

import io
import math
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from farsight.dicom.part10 import parse_object
from farsight.errors import FarsightError, UnsupportedDicom
from farsight.imaging.annotate import caption
from farsight.imaging.colours import through_palette
from farsight.imaging.describe import picture_of
from farsight.imaging.files import saved
from farsight.imaging.icc import profile_bytes
from farsight.imaging.jobs import IconJob, ImageType, RenderJob
from farsight.imaging.perform import perform
from farsight.imaging.picture import Display, Lut, SegmentedLut, Window
from farsight.imaging.render import OutsideImage, drawn
from farsight.imaging.shades import grey
from farsight.ps318.frames import frame_bytes, frame_index
from farsight.ps318.rendering_query import (
    FractionRegion,
    IccProfile,
    Region,
    RenderingQuery,
    Viewport,
    VoiFunction,
    WindowQuery,
)
from tests.corpus import CorpusFile, files_in, requires_corpus
from tests.imaging_samples import Pixels, format_of, picture_from, ramp, write_file

_PLAIN = RenderingQuery()


def _rendered(
    values: Pixels, query: RenderingQuery = _PLAIN, display: Display | None = None, **job: Any
) -> Pixels:
    """As PNG, which is exact."""
    job = {"image_type": ImageType.PNG} | job
    (file,) = perform(RenderJob((picture_from(values, display),), query, **job), [values.tobytes()])
    return np.asarray(Image.open(io.BytesIO(file)))


def _shade(value: float, window: Window) -> float:
    """PS3.3 C.11.2.1.2.1, C.11.2.1.3.1, C.11.2.1.3.2 as they are printed, from 0 to 255."""
    c, w = window.center, window.width
    if window.function is VoiFunction.SIGMOID:
        return 255 / (1 + math.exp(min(-4 * (value - c) / w, 700)))
    if window.function is VoiFunction.LINEAR_EXACT:
        if value <= c - w / 2:
            return 0
        return 255 if value > c + w / 2 else ((value - c) / w + 0.5) * 255
    if value <= c - 0.5 - (w - 1) / 2:
        return 0
    if value > c - 0.5 + (w - 1) / 2:
        return 255
    return ((value - (c - 0.5)) / (w - 1) + 0.5) * 255


@settings(max_examples=80, deadline=None)
@given(
    st.floats(-3000, 3000),
    st.floats(1, 6000),
    st.sampled_from(VoiFunction),
    st.sampled_from([(1.0, 0.0), (1.0, -1024.0), (0.37, 12.5), (-2.0, 100.0)]),
    st.sampled_from(["u1", "i1", "u2", "i2", "i4", "u4", "f4"]),
)
def test_windows_are_those_of_the_standard(
    center: float, width: float, function: VoiFunction, rescale: tuple[float, float], kind: str
) -> None:
    low, high = {"u1": (0, 255), "i1": (-128, 127)}.get(kind, (0 if "u" in kind else -2000, 3000))
    values = ramp(20, 20, low, high, np.dtype(kind).type)
    window = Window(center, width, function)
    display = Display(slope=rescale[0], intercept=rescale[1], windows=(window,))
    expected = [_shade(v * rescale[0] + rescale[1], window) for v in values.ravel().tolist()]
    found = grey(values, format_of(values), display, None).ravel().astype(float)
    assert np.abs(found - expected).max() <= 0.51
    inverse = grey(values, format_of(values), replace(display, inverse=True), None)
    assert np.abs(255 - inverse.ravel().astype(float) - expected).max() <= 0.51


@pytest.mark.parametrize("kind", ["i1", "i2"])
def test_signed_values_over_their_whole_range(kind: str) -> None:
    info = np.iinfo(kind)
    values = np.array([[info.min, -1, 0, 1, info.max]], kind)
    found = grey(values, format_of(values), Display(), None)[0]
    assert found.tolist() in ([0, 127, 128, 129, 255], [0, 127, 128, 128, 255])


def test_a_window_asked_for_goes_before_the_image_s_own() -> None:
    values = ramp(16, 16, 0, 255, np.uint8)
    query = RenderingQuery(window=WindowQuery(100, 1, VoiFunction.LINEAR))
    found = _rendered(values, query, Display(windows=(Window(10, 10),)))
    np.testing.assert_array_equal(found, np.where(values <= 99.5, 0, 255))


def test_tables_in_their_order() -> None:
    values = np.array([[0, 10, 11, 12, 13, 200]], np.uint8)
    modality = Lut(10, 16, np.array([0, 100, 50, 400], "<u2").tobytes())
    found = _rendered(values, display=Display(modality_lut=modality))
    assert found.tolist() == [[0, 0, 64, 32, 255, 255]]
    voi = Lut(0, 8, bytes(range(0, 250, 50)), wide=False)
    assert _rendered(values, display=Display(voi_luts=(voi,)))[0, 0] == 0
    reverse = Lut(0, 8, bytes(range(255, -1, -1)), wide=False)
    straight = ramp(16, 16, 0, 255, np.uint8)
    found = _rendered(
        straight, display=Display(windows=(Window(128, 256),), presentation_lut=reverse)
    )
    assert np.abs(found.astype(int) - (255 - straight)).max() <= 1


def test_padding_is_no_part_of_the_range() -> None:
    values = np.array([[-2000, 0, 50, 100]], np.int16)
    found = _rendered(values, display=Display(padding=(-2000, -2000)))
    assert found.tolist() == [[0, 0, 128, 255]]
    lone = np.array([[0, 0, 9, 9]], np.uint8)  # one value, and its padding, can be told apart
    assert _rendered(lone, display=Display(padding=(0, 0))).tolist() == [[0, 0, 255, 255]]


def test_real_numbers_that_are_none() -> None:
    values = np.array([[np.nan, 0.0, 0.5, 1.0, np.inf]], np.float32)
    assert _rendered(values).tolist() == [[0, 0, 128, 255, 255]]


def test_colours_of_16_bits_are_scaled() -> None:
    values = np.array([[[0, 32768, 65535]]], np.uint16)
    assert _rendered(values).tolist() == [[[0, 128, 255]]]


@pytest.mark.parametrize("wide", [True, False])
def test_segments_of_a_palette(wide: bool) -> None:
    """Three entries, four more up to 50, and both again: by an offset in bytes."""
    if wide:
        data = np.array([0, 3, 1, 2, 10, 1, 4, 50, 2, 2, 0, 0], "<u2").tobytes()
    else:
        data = bytes([0, 3, 1, 2, 10, 1, 4, 50, 2, 2, 0, 0, 0, 0])
    lut = SegmentedLut(0, 14, 16 if wide else 8, data, wide=wide)
    found = through_palette(np.arange(14, dtype=np.uint8)[None], (lut, lut, lut))[0, :, 0]
    assert found.tolist() == [1, 2, 10, 20, 30, 40, 50] * 2


# ---- beside DCMTK


def _dcmtk(path: Path, out: Path, *options: str) -> Pixels:
    tool = shutil.which("dcmj2pnm")
    if tool is None:
        pytest.skip("DCMTK's dcmj2pnm isn't installed")
    subprocess.run(
        [tool, "-O", "--write-raw-pnm", *options, path, out], check=True, capture_output=True
    )
    return np.asarray(Image.open(out)).astype(int)


@pytest.mark.dcmtk
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    ("options", "elements"),
    [
        (("+Ww", "40", "400"), {"WindowCenter": 40, "WindowWidth": 400}),
        (("+Wi", "1"), {"WindowCenter": "-100.5", "WindowWidth": "1500"}),
        (("+Wm",), {}),
        (
            ("+Wfs", "+Wi", "1"),
            {"WindowCenter": 40, "WindowWidth": 400, "VOILUTFunction": "SIGMOID"},
        ),
    ],
)
def test_shades_are_dcmtks(
    photometric: str, options: tuple[str, ...], elements: dict[str, Any], tmp_path: Path
) -> None:
    values = ramp(64, 64, 0, 4095, np.uint16)
    pixels = format_of(values, bits=12, photometric=photometric)
    elements = {"RescaleSlope": 1, "RescaleIntercept": -1024} | elements
    path = write_file(tmp_path / "a.dcm", pixels, values.tobytes(), **elements)
    ours = np.asarray(drawn(picture_of(parse_object(path.read_bytes())), values.tobytes(), _PLAIN))
    assert np.abs(ours - _dcmtk(path, tmp_path / "a.pgm", *options)).max() <= 1


#: DCMTK rounds what it rescales to whole numbers: nothing is left of counts of 1e-8 each.
_ROUNDED_AWAY = "nm-pt/GH610.dcm"


@requires_corpus
@pytest.mark.dcmtk
@pytest.mark.parametrize(
    "file",
    files_in("ct", "mr", "nm-pt", "us", "palette", "sc", "xa-rf"),
    ids=lambda file: file.name,
)
def test_real_images_are_dcmtks(file: CorpusFile, tmp_path: Path) -> None:
    try:
        instance = parse_object(file.read())
        picture = picture_of(instance)
        frame = frame_bytes(instance, frame_index(instance), 1)
    except FarsightError as error:
        pytest.skip(f"no pixels: {error}")
    if int(file.row["size"]) > 3_000_000 or file.name == _ROUNDED_AWAY:
        pytest.skip("large, or not comparable")
    options: tuple[str, ...] = ()
    if not picture.pixels.is_colour:
        options = ("+Wi", "1") if picture.display.windows else ("+Wm",)
    try:
        theirs = _dcmtk(file.path, tmp_path / "a.pnm", "+F", "1", *options)
    except subprocess.CalledProcessError:
        pytest.skip("DCMTK doesn't read it")
    ours = np.asarray(drawn(picture, frame, _PLAIN)).astype(int)
    if theirs.ndim < ours.ndim:
        theirs = np.repeat(theirs[..., None], 3, axis=2)
    native_ybr = picture.pixels.photometric.startswith("YBR") and "RLE" in file.name
    assert np.abs(ours - theirs).max() <= (2 if native_ybr else 1)  # DCMTK cuts decimals off there


# ---- geometry

_CHESS = np.kron([[0, 80], [160, 255]], np.ones((4, 4))).astype(np.uint8)  # 8 x 8, four shades


@pytest.mark.parametrize(
    ("region", "corners"),
    [
        (Region(0, 0, 4, 4), {0}),
        (Region(4, 0, 4, 4), {80}),
        (Region(0, 4, 4, 4), {160}),
        (Region(4, 4, None, None), {255}),
    ],
)
def test_regions_are_where_they_say(region: Region, corners: set[int]) -> None:
    window = Display(windows=(Window(127.5, 255, VoiFunction.LINEAR_EXACT),))
    found = _rendered(_CHESS, RenderingQuery(viewport=Viewport(16, 16, region)), window)
    assert found.shape == (16, 16)
    assert len(set(found.ravel().tolist())) == 1
    assert abs(int(found[0, 0]) - corners.pop()) <= 1


@pytest.mark.parametrize("step", [(2, 2), (3, 3), (4, 2), (1, 2)])
def test_whole_steps_are_the_mean_of_what_they_cover(step: tuple[int, int]) -> None:
    down, across = step
    size = (12, 12)
    chosen = np.random.default_rng(sum(step))
    part = chosen.integers(0, 256, (size[0] * down, size[1] * across), dtype=np.uint8)
    image = chosen.integers(0, 256, (part.shape[0] + 9, part.shape[1] + 7), dtype=np.uint8)
    image[5 : 5 + part.shape[0], 3 : 3 + part.shape[1]] = part
    region = Region(3, 5, part.shape[1], part.shape[0])
    window = Display(windows=(Window(127.5, 255, VoiFunction.LINEAR_EXACT),), aspect=across / down)
    viewport = RenderingQuery(viewport=Viewport(size[1], size[0], region))
    shades = _rendered(image, display=window)[5 : 5 + part.shape[0], 3 : 3 + part.shape[1]]
    means = shades.astype(float).reshape(size[0], down, size[1], across).mean(axis=(1, 3))
    found = _rendered(image, viewport, window)
    assert found.shape == size
    assert np.abs(found - means).max() <= 0.6, "rounded once"


def test_flips() -> None:
    found = _rendered(
        _CHESS, RenderingQuery(viewport=Viewport(8, 8, Region(0, 0, 8, 8, True, False)))
    )
    np.testing.assert_array_equal(found, _CHESS[:, ::-1])
    found = _rendered(
        _CHESS, RenderingQuery(viewport=Viewport(8, 8, Region(0, 0, 8, 8, False, True)))
    )
    np.testing.assert_array_equal(found, _CHESS[::-1])


@pytest.mark.parametrize(
    ("viewport", "aspect", "enlarge", "size"),
    [
        ((200, 100), 1.0, True, (50, 100)),
        ((10, 100), 1.0, True, (10, 20)),
        ((200, 100), 2.0, True, (25, 100)),
        ((200, 200), 0.5, True, (200, 200)),
        ((200, 200), 1.0, False, (20, 40)),
    ],
)
def test_the_largest_that_fits(
    viewport: tuple[int, int], aspect: float, enlarge: bool, size: tuple[int, int]
) -> None:
    query = RenderingQuery(viewport=Viewport(*viewport, None))
    found = _rendered(
        ramp(40, 20, 0, 255, np.uint8), query, Display(aspect=aspect), enlarge=enlarge
    )
    assert found.shape[::-1] == size


def test_rows_alone_never_make_a_picture_without_end() -> None:
    values = np.zeros((2000, 1), np.uint8)
    found = _rendered(values, RenderingQuery(columns=200), Display(aspect=100.0))
    assert found.shape[0] <= 16_384


def test_a_part_in_its_own_size_has_whole_pixels() -> None:
    values = ramp(10, 10, 0, 255, np.uint8)
    query = RenderingQuery(region=FractionRegion(0.33, 0.0, 0.68, 0.5))
    np.testing.assert_array_equal(_rendered(values, query), values[:5, 3:7])


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0, 30), st.floats(0, 30), st.floats(1e-6, 40), st.floats(1e-6, 40),
    st.integers(1, 60), st.integers(1, 60), st.floats(0.02, 50),
)  # fmt: skip
def test_any_region_is_a_picture_in_its_viewport_or_outside(
    left: float, top: float, width: float, height: float, wide: int, high: int, aspect: float
) -> None:
    query = RenderingQuery(viewport=Viewport(wide, high, Region(left, top, width, height)))
    try:
        found = _rendered(ramp(12, 17, 0, 255, np.uint8), query, Display(aspect=aspect))
    except OutsideImage:
        assert left >= 17 or top >= 12 or left + width <= left or top + height <= top
    else:
        assert 1 <= found.shape[0] <= high
        assert 1 <= found.shape[1] <= wide


# ---- files


def test_png_and_jp2_are_exact_and_a_named_quality_is_smaller() -> None:
    values = ramp(64, 64, 0, 255, np.uint8)
    for kind in (ImageType.PNG, ImageType.JP2, ImageType.GIF):
        np.testing.assert_array_equal(_rendered(values, image_type=kind), values)
    image = Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64), np.uint8))
    for kind in (ImageType.JPEG, ImageType.JP2):
        assert len(saved(image, kind, 5, b"")) < len(saved(image, kind, 95, b""))


@pytest.mark.parametrize("colours", [True, False])
@pytest.mark.parametrize("wanted", IccProfile)
@pytest.mark.parametrize("kind", [ImageType.PNG, ImageType.JPEG, ImageType.JP2])
def test_profiles_are_in_the_file_where_asked_for(
    colours: bool, wanted: IccProfile, kind: ImageType
) -> None:
    values = ramp(16, 16, 0, 255, np.uint8)
    values = np.stack((values, values.T, values[::-1]), -1) if colours else values
    job = RenderJob((picture_from(values),), RenderingQuery(icc_profile=wanted), kind)
    (file,) = perform(job, [values.tobytes()])
    image = Image.open(io.BytesIO(file))
    image.load()
    found = image.info.get("icc_profile")
    if kind is ImageType.JP2:  # Pillow doesn't read them there
        at = file.find(b"colr\x02\0\0")
        found = file[at + 7 :] if at > 0 else None
    assert (found is None) == (wanted is IccProfile.NO)
    if found is not None:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(found)).profile
        assert profile.xcolor_space.strip() == ("RGB" if image.mode == "RGB" else "GRAY")


@pytest.mark.parametrize(
    "space", [s for s in IccProfile if s not in (IccProfile.NO, IccProfile.YES)]
)
def test_our_profiles_convert_there_and_back(space: IccProfile) -> None:
    srgb = io.BytesIO(profile_bytes(IccProfile.SRGB))
    values = np.random.default_rng(2).integers(30, 226, (32, 32, 3), np.uint8)
    there = ImageCms.profileToProfile(
        Image.fromarray(values), srgb, io.BytesIO(profile_bytes(space)))  # fmt: skip
    srgb.seek(0)
    back = ImageCms.profileToProfile(there, io.BytesIO(profile_bytes(space)), srgb)
    # 8 bits between: the wider the space, the coarser its steps.
    difference = np.abs(np.asarray(back).astype(int) - values)
    assert difference.max() <= (6 if space is IccProfile.ROMM_RGB else 4)
    assert difference.mean() < 1
    white = Image.new("RGB", (1, 1), (255, 255, 255))
    srgb.seek(0)
    target = io.BytesIO(profile_bytes(space))
    assert min(ImageCms.profileToProfile(white, srgb, target).getpixel((0, 0))) >= 254


def test_animations_keep_frames_times_and_greys() -> None:
    frames = [np.roll(ramp(16, 16, 0, 255, np.uint8), shift, 0) for shift in range(5)]
    job = RenderJob((picture_from(frames[0]),), _PLAIN, ImageType.GIF, delays_ms=(33,) * 5)
    (file,) = perform(job, [frame.tobytes() for frame in frames])
    image, times = Image.open(io.BytesIO(file)), []
    assert image.n_frames == 5
    for number, frame in enumerate(frames):
        image.seek(number)
        times.append(image.info["duration"])
        np.testing.assert_array_equal(np.asarray(image.convert("L")), frame)
    assert sum(times) in (160, 170)


def test_a_jpeg_that_is_too_wide_is_refused() -> None:
    with pytest.raises(UnsupportedDicom):
        saved(Image.new("L", (65_535, 1)), ImageType.JPEG, None, b"")


# ---- words


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=300), max_size=70), st.integers(1, 300), st.integers(1, 300))
def test_any_caption_on_any_image(lines: list[str], width: int, height: int) -> None:
    for mode in ("L", "RGB"):
        image = Image.new(mode, (width, height), 0)
        caption(image, lines)
        assert image.size == (width, height)


def test_a_long_caption_stays_within_the_image() -> None:
    image = Image.new("L", (512, 512), 0)
    caption(image, ["W" * 60, "W" * 400])
    drawn_at = np.argwhere(np.asarray(image))
    assert drawn_at[:, 1].max() < 511
    assert len(drawn_at) > 500


@pytest.mark.parametrize("kind", ImageType)
@pytest.mark.parametrize("size", [(1, 1), (16, 200), (128, 128), (256, 256)])
def test_icons(kind: ImageType, size: tuple[int, int]) -> None:
    job = IconJob("RTSTRUCT", "Radiotherapy structure set \ud800", *size, kind)
    (file,) = perform(job, [])
    assert Image.open(io.BytesIO(file)).size == size
