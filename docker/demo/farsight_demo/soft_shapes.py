"""Shapes with soft edges, blended into an image of physical values one after another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Grid:
    """Pixel centres of a square field of view: x to the right, y downwards, in mm."""

    x: Image  # shape (1, columns)
    y: Image  # shape (rows, 1)
    pixel_mm: float

    @classmethod
    def square(cls, size: int, field_of_view_mm: float) -> Grid:
        pixel_mm = field_of_view_mm / size
        axis = ((np.arange(size) - (size - 1) / 2) * pixel_mm).astype(np.float32)
        return cls(axis[np.newaxis, :], axis[:, np.newaxis], pixel_mm)


@dataclass(frozen=True)
class Window:
    """The rows and columns of a grid that a shape can touch; blending is confined to them."""

    rows: slice
    columns: slice


def window(grid: Grid, x: float, y: float, half_width: float, half_height: float) -> Window:
    """All lengths in mm."""
    columns = _span(grid.x[0], x, half_width + grid.pixel_mm)
    return Window(_span(grid.y[:, 0], y, half_height + grid.pixel_mm), columns)


def _span(axis: Image, centre: float, half: float) -> slice:
    return slice(*np.searchsorted(axis, (centre - half, centre + half)).tolist())


def ellipse(
    image: Image, grid: Grid, value: float, x: float, y: float, a: float, b: float, power: int = 2
) -> None:
    """Blend a (super)ellipse of half axes a, b (mm) into `image`; nothing when it is empty."""
    if a <= 0 or b <= 0:
        return
    part = window(grid, x, y, a, b)
    dx = np.abs((grid.x[:, part.columns] - x) / np.float32(a))
    dy = np.abs((grid.y[part.rows] - y) / np.float32(b))
    radius = (dx**power + dy**power) ** np.float32(1 / power)
    cover = np.clip((1 - radius) * np.float32(min(a, b) / grid.pixel_mm) + 0.5, 0, 1)
    blend(image[part.rows, part.columns], cover, value)


def blend(image: Image, cover: Image, value: float) -> None:
    """image becomes value where cover is 1, stays where it is 0. In place."""
    image += cover * (np.float32(value) - image)
