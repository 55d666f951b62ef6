"""A head that looks like one in MR: scalp, skull, grey and white matter, ventricles.

Invented anatomy with the contrast of two weightings; z in mm from the lowest slice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farsight_demo.soft_shapes import Grid, Image, ellipse

LENGTH_MM = 144.0
FIELD_OF_VIEW_MM = 240.0


@dataclass(frozen=True)
class Weighting:
    """Signal of each tissue, in the arbitrary units of MR."""

    name: str
    fat: float
    bone: float
    fluid: float
    grey: float
    white: float
    lesion: float


T1 = Weighting("T1", fat=920, bone=60, fluid=130, grey=430, white=600, lesion=330)
T2 = Weighting("T2", fat=620, bone=50, fluid=980, grey=520, white=380, lesion=760)


def head_volume(weighting: Weighting, slices: int, size: int = 256) -> NDArray[np.int16]:
    """Signal, shape (slices, size, size), lowest slice first, with Rician noise."""
    grid = Grid.square(size, FIELD_OF_VIEW_MM)
    random = np.random.default_rng(19730703)
    folds = random.uniform(0, 2 * np.pi, 6)
    volume = np.empty((slices, size, size), np.int16)
    for index in range(slices):
        image = _slice(weighting, (index + 0.5) * LENGTH_MM / slices, grid, folds)
        real, imaginary = (random.standard_normal(image.shape, np.float32) * 14 for _ in range(2))
        shading = 1 + 0.12 * (grid.x / 120) - 0.08 * (grid.y / 120)  # the receive coil's profile
        volume[index] = np.sqrt((image * shading + real) ** 2 + imaginary**2)
    return volume


def _slice(weighting: Weighting, z: float, grid: Grid, folds: NDArray[np.float64]) -> Image:
    image = np.zeros((grid.y.size, grid.x.size), np.float32)
    scale = float(max(0.0, 1 - ((z - 50) / 100) ** 2) ** 0.5)
    a, b = 74 * scale, 92 * scale
    for value, inset in ((weighting.fat, 0), (weighting.bone, 6), (weighting.fluid, 13)):
        ellipse(image, grid, value, 0, 0, a - inset, b - inset)
    ellipse(image, grid, weighting.grey, 0, 0, a - 16, b - 16)
    _white_matter(image, weighting, grid, (a - 16, b - 16), z, folds)
    open_ = 1 - ((z - 66) / 34) ** 2
    for side in (-1, 1):
        if open_ > 0:
            s = open_**0.5
            ellipse(image, grid, weighting.fluid, side * 11, -22 * s, 7 * s, 20 * s)
            ellipse(image, grid, weighting.fluid, side * 17, 24 * s, 6 * s, 22 * s)
            ellipse(image, grid, weighting.grey, side * 22, -4, 8 * s, 15 * s)  # basal ganglia
        if z < 30:
            ellipse(image, grid, weighting.grey, side * 30, 46, 24 * scale, 18 * scale)
            ellipse(image, grid, weighting.fluid, side * 30, -72, 14, 12)  # eyes
    lesion = 81 - (z - 84) ** 2
    ellipse(image, grid, weighting.lesion, 36, 20, max(lesion, 0) ** 0.5, max(lesion, 0) ** 0.5)
    ellipse(image, grid, weighting.fluid, 0, 0, 1.2, b - 16)  # between the hemispheres
    return image


def _white_matter(
    image: Image,
    weighting: Weighting,
    grid: Grid,
    half_axes: tuple[float, float],
    z: float,
    folds: NDArray[np.float64],
) -> None:
    """White matter with a folded border, which gives the cortex its gyri."""
    if min(half_axes) <= 10:
        return
    dx, dy = grid.x / half_axes[0], grid.y / half_axes[1]
    angle = np.arctan2(dy, dx)
    wave = np.zeros_like(angle)
    for index, fold in enumerate(folds):
        wave += np.sin(angle * (9 + 5 * index) + fold + z / (7 + index)).astype(np.float32)
    border = 0.86 + 0.028 * wave
    distance = (border - np.sqrt(dx**2 + dy**2)) * min(half_axes) / grid.pixel_mm
    cover = np.clip(distance + 0.5, 0, 1).astype(np.float32)
    image += cover * (np.float32(weighting.white) - image)
