"""A frame, or several, as a picture that any browser shows. Runs in worker processes only."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image

from farsight.errors import UnsupportedDicom
from farsight.imaging.annotate import caption, draw_overlay
from farsight.imaging.colours import in_pseudo_colour, rgb, through_palette, with_profile
from farsight.imaging.decode import decode
from farsight.imaging.files import animation, saved
from farsight.imaging.graphics import draw_graphics
from farsight.imaging.jobs import ImageType, RenderJob
from farsight.imaging.picture import Picture, Window
from farsight.imaging.shades import grey
from farsight.ps318.rendering_query import MAX_VIEWPORT, FractionRegion, Region, RenderingQuery

#: Bytes of all frames of an animation together, before it is written.
_LARGEST_ANIMATION = 1 << 30


def render(job: RenderJob, frames: Sequence[bytes | memoryview]) -> bytes:
    """The file asked for. Raises: MalformedDicom, UnsupportedDicom."""
    images: list[Image.Image] = []
    profile, spent = b"", 0
    for index, frame in enumerate(frames):
        picture = job.pictures[index if len(job.pictures) > 1 else 0]
        image, profile = _finished(job, picture, frame)
        spent += image.width * image.height * len(image.getbands())
        if spent > _LARGEST_ANIMATION:
            raise UnsupportedDicom("an animation of this size can't be made: ask for a smaller one")
        images.append(image)
    if job.image_type is ImageType.GIF:
        return animation(images, job.delays_ms)
    return saved(images[0], job.image_type, job.query.quality, profile)


def _finished(
    job: RenderJob, picture: Picture, frame: bytes | memoryview
) -> tuple[Image.Image, bytes]:
    image = drawn(picture, frame, job.query)
    for overlay in picture.display.overlays:
        draw_overlay(image, overlay)
    aspect = picture.display.aspect
    if job.graphics is not None:
        image, aspect = draw_graphics(image, job.graphics, aspect)
    image = fitted(image, job.query, aspect, enlarge=job.enlarge)
    image, profile = with_profile(image, picture.display.icc_profile, job.query.icc_profile)
    if job.captions:
        caption(image, job.captions)
    return image, profile


def drawn(picture: Picture, frame: bytes | memoryview, query: RenderingQuery) -> Image.Image:
    """The pixels as they are to be seen, in their own size: mode L or RGB."""
    pixels = picture.pixels
    decoded = decode(picture, frame)
    if pixels.is_colour:
        return Image.fromarray(rgb(decoded, pixels))
    if pixels.photometric == "PALETTE COLOR":
        return Image.fromarray(through_palette(decoded.values, picture.display.palette))
    window = query.window
    wanted = None if window is None else Window(window.center, window.width, window.function)
    shades = grey(decoded.values, pixels, picture.display, wanted)
    if picture.display.palette:
        return Image.fromarray(in_pseudo_colour(shades, picture.display.palette))
    return Image.fromarray(shades)


# ---- size


def fitted(
    image: Image.Image, query: RenderingQuery, aspect: float, *, enlarge: bool
) -> Image.Image:
    """The region asked for, turned, in the largest size that fits the viewport (8.3.5.1.3)."""
    viewport = query.viewport
    region = None if viewport is None else viewport.region
    whole = _room(query) == (None, None)
    left, top, right, bottom = _box(image, region, query.region, whole=whole)
    size = _size(right - left, bottom - top, query, aspect, enlarge=enlarge)
    if (left, top, right, bottom) != (0, 0, image.width, image.height) or size != image.size:
        image = _resized(image, (left, top, right, bottom), size)
    if region is not None and region.flip_horizontal:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if region is not None and region.flip_vertical:
        image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return image


def _resized(
    image: Image.Image, box: tuple[float, float, float, float], size: tuple[int, int]
) -> Image.Image:
    """A part of it in another size."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    # Cut out first: what lies beside the part asked for is not to be blended into it.
    edge_x, edge_y = math.floor(left), math.floor(top)
    edges = (edge_x, edge_y, math.ceil(right), math.ceil(bottom))
    if edges == box and _is_whole_step(width, size[0]) and _is_whole_step(height, size[1]):
        return image.reduce((int(width) // size[0], int(height) // size[1]), edges)
    shrinks = size[0] < width or size[1] < height
    is_even = shrinks and _is_whole_step(width, size[0])
    filter_ = Image.Resampling.BOX if is_even else Image.Resampling.BILINEAR
    inside = (left - edge_x, top - edge_y, right - edge_x, bottom - edge_y)
    return image.crop(edges).resize(size, filter_, inside, reducing_gap=2.0)


def _is_whole_step(before: float, after: int) -> bool:
    return before % after == 0


def _box(
    image: Image.Image, region: Region | None, fractions: FractionRegion | None, *, whole: bool
) -> tuple[float, float, float, float]:
    """The part asked for, cut to what there is. whole: no pixel is to be divided.

    Raises: OutsideImage for nothing at all.
    """
    if fractions is not None:
        left, top = fractions.left * image.width, fractions.top * image.height
        right, bottom = fractions.right * image.width, fractions.bottom * image.height
    elif region is not None:
        left, top = region.left, region.top
        right = image.width if region.width is None else left + region.width
        bottom = image.height if region.height is None else top + region.height
    else:
        return 0, 0, image.width, image.height
    right, bottom = min(right, image.width), min(bottom, image.height)
    if right <= left or bottom <= top:
        raise OutsideImage(image.width, image.height)
    if whole:
        left, top = (
            min(math.floor(left + 0.5), image.width - 1),
            min(math.floor(top + 0.5), image.height - 1),
        )
        right, bottom = (
            max(math.floor(right + 0.5), left + 1),
            max(math.floor(bottom + 0.5), top + 1),
        )
    return left, top, right, bottom


class OutsideImage(Exception):
    """The region asked for has nothing of the image."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__(f"lies outside of the image, which has {width} x {height} pixels")


def _size(
    width: float, height: float, query: RenderingQuery, aspect: float, *, enlarge: bool
) -> tuple[int, int]:
    most_wide, most_high = _room(query)
    if most_wide is None and most_high is None:
        return max(1, round(width)), max(1, round(height))
    most_wide, most_high = most_wide or MAX_VIEWPORT, most_high or MAX_VIEWPORT
    height *= aspect
    scale = min(most_wide / width, most_high / height)
    if not enlarge:
        scale = min(scale, 1.0)
    return (
        min(max(1, round(width * scale)), most_wide),
        min(max(1, round(height * scale)), most_high),
    )


def _room(query: RenderingQuery) -> tuple[int | None, int | None]:
    if query.viewport is not None:
        return query.viewport.width, query.viewport.height
    return query.columns, query.rows
