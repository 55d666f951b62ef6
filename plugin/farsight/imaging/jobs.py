"""What a worker process is asked to do, beside the bytes of the frames it is to be done with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from farsight.imaging.picture import Overlay, Picture
from farsight.ps318.rendering_query import RenderingQuery


class ImageType(StrEnum):
    """Rendered media types (PS3.18 table 8.7.4-1)."""

    JPEG = "image/jpeg"
    PNG = "image/png"
    GIF = "image/gif"
    JP2 = "image/jp2"


@dataclass(frozen=True, slots=True)
class Mark:
    """One graphic or text of a presentation state; points in pixels of the image.

    Points are continuous, the middle of the first pixel is 0.5, 0.5 (PS3.3 C.10.5). TEXT has one
    point, where it begins, or two, opposite corners of its box; justify: "LEFT", "CENTER",
    "RIGHT" in that. thickness: times that of a usual line.
    """

    kind: str
    points: tuple[tuple[float, float], ...]
    filled: bool = False
    text: str = ""
    colour: tuple[int, int, int] = (255, 255, 255)
    fill: tuple[int, int, int] | None = None
    thickness: float = 1.0
    justify: str = "LEFT"


@dataclass(frozen=True, slots=True)
class Graphics:
    """What a presentation state puts over an image, and how it turns it (PS3.3 C.10).

    shutters: outside of any of them `shutter_colour` is shown; their points are numbers of
    pixels, from 0. bitmap_shutter: its bits are hidden. rotation in degrees, clockwise, the flip
    from left to right comes after it. area: left, top, right, bottom in pixels, from 0, the last
    two not in it. Order: shutters, overlays, area, turns, marks: text stays upright.
    """

    marks: tuple[Mark, ...] = ()
    shutters: tuple[Mark, ...] = ()
    shutter_colour: tuple[int, int, int] = (0, 0, 0)
    bitmap_shutter: Overlay | None = None
    overlays: tuple[Overlay, ...] = ()
    rotation: int = 0
    flip: bool = False
    area: tuple[int, int, int, int] | None = None
    aspect: float | None = None


@dataclass(frozen=True, slots=True)
class RenderJob:
    """Frames into one file: several make an animation, each shown for its time of `delays_ms`.

    `pictures`: one for all frames, or one for each. captions: lines burnt into the image.
    enlarge: whether an image smaller than the viewport is blown up to it.
    """

    pictures: tuple[Picture, ...]
    query: RenderingQuery
    image_type: ImageType
    delays_ms: tuple[int, ...] = ()
    captions: tuple[str, ...] = ()
    graphics: Graphics | None = None
    enlarge: bool = True


@dataclass(frozen=True, slots=True)
class IconJob:
    """A small picture of what has no image: its kind in words."""

    label: str
    caption: str
    width: int
    height: int
    image_type: ImageType


@dataclass(frozen=True, slots=True)
class TranscodeJob:
    """Each frame into another transfer syntax; the result has one block of bytes per frame.

    In the first block of all: the photometric interpretation that the frames have then.
    """

    picture: Picture
    transfer_syntax_uid: str
    quality: int | None = None


Job = RenderJob | IconJob | TranscodeJob
