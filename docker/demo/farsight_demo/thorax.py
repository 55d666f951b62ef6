"""A thorax that looks like one in CT: lungs with vessels, heart, aorta, spine, ribs, liver.

Invented anatomy in Hounsfield units, smooth along z, the same on every machine. Axes are the
patient's (PS3.3 C.7.6.2.1.1): x to the left side, y to the back, z to the head, in mm; z = 0 is
the lowest slice and LENGTH_MM the highest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farsight_demo.soft_shapes import Grid, Image, ellipse

LENGTH_MM = 300.0
FIELD_OF_VIEW_MM = 380.0
WIDTH_MM = 160.0  # half the width of the trunk
RIB_SPACING_MM = 26.0

AIR, LUNG, FAT, MUSCLE = -1000.0, -860.0, -105.0, 45.0
LIVER, BLOOD, MYOCARDIUM = 115.0, 260.0, 95.0
MARROW, CORTEX, DISC, CARTILAGE, TABLE = 220.0, 750.0, 85.0, 120.0, -450.0


@dataclass(frozen=True)
class Vessel:
    """A lung vessel: a straight tapering tube between two points (x, y, z)."""

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius_mm: float


@dataclass(frozen=True)
class Cage:
    """The pixels that ribs can touch, the same in every slice, as flat arrays."""

    pixels: tuple[NDArray[np.intp], ...]
    across: Image  # distance from the middle of the wall, in half thicknesses of a rib
    drop_mm: Image  # how far a rib has fallen there since it left the spine
    cartilage: NDArray[np.bool_]

    @classmethod
    def of(cls, grid: Grid) -> Cage:
        dx, dy = np.abs(grid.x / np.float32(WIDTH_MM - 21)), (grid.y - 10) / np.float32(95)
        across = np.abs((dx**3 + np.abs(dy) ** 3) ** np.float32(1 / 3) - 1) * np.float32(95 / 4.5)
        front = np.arctan2(-dy, dx) / np.float32(np.pi) + np.float32(0.5)  # 0 behind, 1 in front
        pixels = np.nonzero((across < 1.3) & (front > 0.07) & (front < 0.93))
        front = front[pixels]
        return cls(pixels, across[pixels], 105 * front, front > 0.85)


@dataclass(frozen=True)
class Thorax:
    """One patient. nodule_radius_mm: a round lesion in the right upper lobe; 0 for none."""

    nodule_radius_mm: float = 7.0
    seed: int = 20240314

    def slice_at(self, z: float, grid: Grid, cage: Cage, vessels: tuple[Vessel, ...]) -> Image:
        """Hounsfield units of the axial slice at height z, without noise."""
        image = np.full((grid.y.size, grid.x.size), AIR, np.float32)
        _table(image, grid)
        _trunk(image, grid)
        _lungs(image, grid, z)
        for vessel in vessels:
            _vessel(image, grid, z, vessel)
        _abdomen(image, grid, z)
        _mediastinum(image, grid, z)
        _spine(image, grid, z)
        _ribs(image, grid, z, cage)
        nodule = max(0.0, self.nodule_radius_mm**2 - (z - 205) ** 2) ** 0.5
        ellipse(image, grid, 40, -82, 18, nodule, nodule)
        return image

    def vessels(self) -> tuple[Vessel, ...]:
        """Tubes from each hilum outwards, thinner the further they reach."""
        random = np.random.default_rng(self.seed)
        tubes = []
        for index in range(90):
            side = -1 if index % 2 else 1
            hilum = (side * 32.0, 8.0, 165 + random.uniform(-20, 20))
            angle, reach = random.uniform(-1.5, 1.5), random.uniform(35, 75)
            end = (
                side * (34 + reach * np.cos(angle)),
                8 + reach * np.sin(angle),
                hilum[2] + random.uniform(-110, 95),
            )
            tubes.append(Vessel(hilum, end, random.uniform(1.4, 4.2)))
        return tuple(tubes)


def thorax_volume(
    thorax: Thorax, slices: int, size: int = 512, noise_hu: float = 14.0
) -> NDArray[np.int16]:
    """Hounsfield units, shape (slices, size, size), lowest slice first, with scanner noise."""
    grid = Grid.square(size, FIELD_OF_VIEW_MM)
    cage, vessels = Cage.of(grid), thorax.vessels()
    volume = np.empty((slices, size, size), np.int16)
    random = np.random.default_rng(thorax.seed)
    for index in range(slices):
        image = thorax.slice_at((index + 0.5) * LENGTH_MM / slices, grid, cage, vessels)
        noise = random.standard_normal((size + 1, size), np.float32)
        noise *= np.float32(noise_hu / 2**0.5)
        volume[index] = image + noise[1:] + noise[:-1]  # neighbours in CT are correlated
    return volume


def _table(image: Image, grid: Grid) -> None:
    ellipse(image, grid, TABLE, 0, 152, 185, 34)
    ellipse(image, grid, AIR, 0, 149, 182, 30)
    image[: np.searchsorted(grid.y[:, 0], 142)] = AIR


def _trunk(image: Image, grid: Grid) -> None:
    ellipse(image, grid, 30, 0, 10, WIDTH_MM + 2, 117, 3)  # skin
    ellipse(image, grid, FAT, 0, 10, WIDTH_MM, 115, 3)
    ellipse(image, grid, MUSCLE, 0, 10, WIDTH_MM - 16, 101, 3)
    for side in (-1, 1):  # the muscles along the spine, between layers of fat
        ellipse(image, grid, FAT, side * 30, 84, 27, 17)
        ellipse(image, grid, MUSCLE, side * 30, 85, 24, 14)


def _lung_scale(z: float, base: float) -> float:
    """How much of the widest outline a lung has at height z: domes at both ends."""
    apex = 288.0
    if not base < z < apex:
        return 0.0
    rising = min(1.0, ((z - base) / 70) ** 0.5)
    return float(rising * (1 - max(0.0, (z - 150) / (apex - 150)) ** 2.4) ** 0.5)


def _lungs(image: Image, grid: Grid, z: float) -> None:
    for side, base in ((-1, 52.0), (1, 38.0)):
        scale = _lung_scale(z, base)
        ellipse(image, grid, LUNG, side * 74, 8, 58 * scale, 84 * scale, 3)


def _vessel(image: Image, grid: Grid, z: float, vessel: Vessel) -> None:
    low, high = vessel.start[2], vessel.end[2]
    along = (z - low) / (high - low) if abs(high - low) > 4 else 0.5
    if not 0 <= along <= 1 or (abs(high - low) <= 4 and abs(z - low) > 2):
        return
    x, y = (vessel.start[i] + along * (vessel.end[i] - vessel.start[i]) for i in (0, 1))
    column = int(np.searchsorted(grid.x[0], x))
    row = int(np.searchsorted(grid.y[:, 0], y))
    inside = row < image.shape[0] and column < image.shape[1] and image[row, column] < -600
    if inside or along < 0.15:
        radius = vessel.radius_mm * (1 - 0.75 * along)
        ellipse(image, grid, 150, x, y, radius * 1.2, radius)


def _abdomen(image: Image, grid: Grid, z: float) -> None:
    """Liver below the right dome; spleen and a stomach with its gas below the left one."""
    dome = 1 - (z / 98) ** 2
    if dome > 0:
        ellipse(image, grid, LIVER, -58, 2, 78 * dome**0.5, 88 * dome**0.5)
        ellipse(image, grid, 190, -40, 10, 9 * dome, 5 * dome)
    left = 1 - (z / 76) ** 2
    if left > 0:
        ellipse(image, grid, 130, 100, 46, 34 * left**0.5, 42 * left**0.5)
        ellipse(image, grid, 35, 62, -22, 48 * left**0.5, 38 * left**0.5)
        ellipse(image, grid, AIR, 62, -34, 38 * left**0.5, 19 * left**0.5)


def _mediastinum(image: Image, grid: Grid, z: float) -> None:
    upper = float(np.clip((z - 190) / 60, 0, 1))
    ellipse(image, grid, FAT, 2, 0, 40 - 12 * upper, 62 - 14 * upper)
    ellipse(image, grid, MUSCLE, 0, 36, 9, 7)  # oesophagus
    heart = 1 - ((z - 122) / 62) ** 2
    if heart > 0:
        s = heart**0.5
        ellipse(image, grid, MYOCARDIUM, 22, -18, 64 * s, 50 * s)
        ellipse(image, grid, BLOOD, 44, -6, 27 * s, 22 * s)  # left ventricle
        ellipse(image, grid, BLOOD - 60, -4, -36, 30 * s, 18 * s)  # right ventricle
        ellipse(image, grid, BLOOD, 8, 14, 26 * s, 13 * s)  # left atrium
        ellipse(image, grid, BLOOD - 60, -26, -8, 15 * s, 20 * s)  # right atrium
    if z < 222:
        ellipse(image, grid, BLOOD, 24, 48, 12.5, 12.5)  # descending aorta
    if 150 < z < 222:
        ellipse(image, grid, BLOOD, -12, -20, 15, 15)  # ascending aorta
        ellipse(image, grid, BLOOD - 90, -32, -10, 9, 10)  # superior vena cava
    if 212 < z < 234:  # the arch joins both
        ellipse(image, grid, BLOOD, 7, 14, 19, 42)
    for x, y in ((-16, -6), (2, -12), (18, 2)):  # its branches
        if z >= 232:
            ellipse(image, grid, BLOOD, x, y, 6, 6)
    if 158 < z < 186:  # pulmonary trunk
        ellipse(image, grid, BLOOD - 20, 16, -16, 16, 13)
        ellipse(image, grid, BLOOD - 20, 0, 8, 42, 9)
    spread = max(0.0, 178 - z) * 0.75
    if z > 140:
        for side in (-1, 1) if spread else (0,):
            ellipse(image, grid, AIR, side * (7 + spread), 22, 8.5, 8)


def _spine(image: Image, grid: Grid, z: float) -> None:
    phase = (z / 27.0) % 1.0
    disc = phase < 0.2
    waist = 1.0 + 0.1 * float(np.cos(2 * np.pi * (phase - 0.1)))
    ellipse(image, grid, DISC if disc else CORTEX, 0, 68, 21 * waist, 16 * waist)
    if not disc:
        ellipse(image, grid, MARROW, 0, 68, 21 * waist - 2.2, 16 * waist - 2.2)
    if 0.45 < phase < 0.95:  # arch and processes
        ellipse(image, grid, CORTEX, 0, 93, 19, 13)
        ellipse(image, grid, MARROW, 0, 93, 16, 10)
        ellipse(image, grid, CORTEX, 0, 108, 3.5, 12)
        for side in (-1, 1):
            ellipse(image, grid, CORTEX - 200, side * 26, 96, 14, 4.5)
    ellipse(image, grid, -40, 0, 90, 11, 9)
    ellipse(image, grid, 35, 0, 90, 6, 5)  # cord


def _ribs(image: Image, grid: Grid, z: float, cage: Cage) -> None:
    """Ribs fall towards the front: an axial slice cuts each of them once, obliquely."""
    phase = (np.float32(z) + cage.drop_mm) / np.float32(RIB_SPACING_MM) % np.float32(1)
    along = np.abs(phase - np.float32(0.5)) * np.float32(RIB_SPACING_MM / 5.5)
    distance = np.sqrt(cage.across**2 + along**2)
    value = np.where(distance < 0.62, np.float32(MARROW), np.float32(CORTEX))
    value[cage.cartilage] = CARTILAGE
    cover = np.clip((1 - distance) * np.float32(4.5 / grid.pixel_mm) + 0.5, 0, 1)
    image[cage.pixels] += cover * (value - image[cage.pixels])
    if z > 90:
        ellipse(image, grid, CORTEX, 0, -84, 19, 6.5)
        ellipse(image, grid, MARROW - 60, 0, -84, 16.5, 4)
