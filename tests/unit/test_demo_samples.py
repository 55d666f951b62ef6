"""The generated studies: valid, reproducible, and with an anatomy to look at."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
from farsight_demo.bundled import bundled_files
from farsight_demo.generated import THORAX, ct_series, write_series
from farsight_demo.head import T1, T2, head_volume
from farsight_demo.soft_shapes import Grid, ellipse
from farsight_demo.thorax import FIELD_OF_VIEW_MM, LENGTH_MM, Thorax, thorax_volume

SLICES, SIDE = 12, 128


def test_a_series_is_the_same_on_every_run(tmp_path: Path) -> None:
    runs = []
    for name in ("a", "b"):
        volume = thorax_volume(Thorax(), SLICES, SIDE)
        paths = write_series(tmp_path / name, THORAX, ct_series(2, "CT", volume))
        runs.append([path.read_bytes() for path in paths])
    assert runs[0] == runs[1]


def test_images_make_a_volume(tmp_path: Path) -> None:
    volume = thorax_volume(Thorax(), SLICES, SIDE)
    paths = list(write_series(tmp_path, THORAX, ct_series(2, "CT", volume)))
    images = [pydicom.dcmread(path) for path in paths]
    assert len({image.SOPInstanceUID for image in images}) == SLICES
    assert len({image.SeriesInstanceUID for image in images}) == 1
    heights = np.array([image.ImagePositionPatient[2] for image in images], float)
    np.testing.assert_allclose(np.diff(heights), LENGTH_MM / SLICES)
    for image, expected in zip(images, volume, strict=True):
        assert image.PixelSpacing == [round(FIELD_OF_VIEW_MM / SIDE, 5)] * 2
        hounsfield = image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)
        np.testing.assert_array_equal(hounsfield, np.clip(expected, -1024, 3071))


def test_the_thorax_has_lungs_bone_and_a_nodule() -> None:
    with_nodule = thorax_volume(Thorax(nodule_radius_mm=12), 30, 256, noise_hu=0)
    without = thorax_volume(Thorax(nodule_radius_mm=0), 30, 256, noise_hu=0)
    middle = without[15]
    assert (middle < -800).mean() > 0.3  # lungs and the air around
    assert (middle > 500).any()  # ribs or spine
    difference = np.nonzero(with_nodule != without)
    assert 0 < len(difference[0]) < 3000
    assert abs(difference[0].mean() - 205 / LENGTH_MM * 30) < 1


def test_fluid_is_dark_in_t1_and_bright_in_t2() -> None:
    t1, t2 = (head_volume(weighting, 12)[5] for weighting in (T1, T2))
    ventricle = (slice(100, 110), slice(136, 144))
    assert t1[ventricle].mean() < t1[128, 60:200].mean()
    assert t2[ventricle].mean() > t2[128, 60:200].mean()


def test_an_ellipse_has_its_area() -> None:
    grid = Grid.square(200, 200.0)
    image = np.zeros((200, 200), np.float32)
    ellipse(image, grid, 1, 10, -20, 50, 30)
    assert abs(image.sum() - np.pi * 50 * 30) < 20
    assert image[80, 110] == 1


def test_bundled_files_can_be_stored_together() -> None:
    instances: Counter[str] = Counter()
    for path in bundled_files():
        header = pydicom.dcmread(path, stop_before_pixels=True)
        assert header.StudyInstanceUID
        assert header.SeriesInstanceUID
        instances[header.SOPInstanceUID] += 1
    assert instances.most_common(1)[0][1] == 1
