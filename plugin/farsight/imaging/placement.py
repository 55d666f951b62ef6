"""Where a point of an image comes to lie on what is shown of it, and back (PS3.3 C.10.4, C.10.6).

Points are continuous, as in PS3.3 C.10.5: 0, 0 is the outer corner of the upper left pixel, and
that pixel's middle is 0.5, 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Placement:
    """A displayed area in pixels of the image, from 0, right and bottom not in it; turned
    clockwise by `rotation` degrees, and only then flipped from left to right."""

    left: float
    top: float
    right: float
    bottom: float
    rotation: int = 0
    flip: bool = False

    @property
    def size(self) -> Point:
        """Width and height as shown."""
        width, height = self.right - self.left, self.bottom - self.top
        return (height, width) if self.rotation in (90, 270) else (width, height)

    def shown(self, point: Point) -> Point:
        """A point of the image, as a point of what is shown."""
        width, height = self.right - self.left, self.bottom - self.top
        x, y = point[0] - self.left, point[1] - self.top
        if self.rotation == 90:
            x, y = height - y, x
        elif self.rotation == 180:
            x, y = width - x, height - y
        elif self.rotation == 270:
            x, y = y, width - x
        return (self.size[0] - x, y) if self.flip else (x, y)

    def of_image(self, point: Point) -> Point:
        """A point of what is shown, as a point of the image."""
        width, height = self.right - self.left, self.bottom - self.top
        x, y = point
        if self.flip:
            x = self.size[0] - x
        if self.rotation == 90:
            x, y = y, height - x
        elif self.rotation == 180:
            x, y = width - x, height - y
        elif self.rotation == 270:
            x, y = width - y, x
        return x + self.left, y + self.top
