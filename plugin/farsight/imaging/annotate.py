"""What is written and drawn over an image: captions, overlay planes; and icons."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from farsight.imaging.jobs import IconJob
from farsight.imaging.picture import Overlay

#: Knows more letters than the font that Pillow carries, where it is installed.
_FONT_FILE: Final = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
_SMALLEST_LETTERS, _LARGEST_LETTERS = 8, 32
_LINES_IN_HEIGHT: Final = 32
_MOST_LETTERS: Final = 200
_MOST_LINES: Final = 64
_LINE_SPACING: Final = 1.35
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@cache
def font(size: int) -> Font:
    """The letters that are written with, `size` pixels high."""
    if _FONT_FILE.is_file():
        return ImageFont.truetype(str(_FONT_FILE), size)
    return ImageFont.load_default(size)


def ink(image: Image.Image, colour: Colour) -> int | Colour:
    """A colour as pixels of the image have it; of grey images, its red."""
    return colour[0] if image.mode == "L" else colour


def letter_size(image: Image.Image) -> int:
    """Letters that can be read on an image of its size, and hide little of it."""
    return min(max(image.height // _LINES_IN_HEIGHT, _SMALLEST_LETTERS), _LARGEST_LETTERS)


def caption(image: Image.Image, lines: Sequence[str]) -> None:
    """Lines of text in the upper left corner, white with a black rim: readable on anything.

    Letters get smaller until the longest line fits; what doesn't fit even so is cut off.
    """
    texts = [_printable(line) for line in lines[:_MOST_LINES]]
    size = letter_size(image)
    room = image.width - 2 * (size // 2)
    while size > _SMALLEST_LETTERS and any(font(size).getlength(text) > room for text in texts):
        size -= 1
    rim, draw, y = max(1, size // 12), ImageDraw.Draw(image), size // 2
    for text in texts:
        if y + size > image.height and y > size // 2:
            break
        draw.text(
            (size // 2, y),
            _cut(text, room, size),
            fill=ink(image, _WHITE),
            font=font(size),
            stroke_width=rim,
            stroke_fill=ink(image, _BLACK),
        )
        y += round(size * _LINE_SPACING)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:_MOST_LETTERS])


def _cut(text: str, room: float, size: int) -> str:
    if font(size).getlength(text) <= room:
        return text
    while text and font(size).getlength(text + "…") > room:
        text = text[:-1]
    return text + "…" if text else ""


def plane_mask(overlay: Overlay) -> Image.Image:
    """The bits of an overlay plane as 0 and 255."""
    bits = np.unpackbits(np.frombuffer(overlay.data, np.uint8), bitorder="little")
    plane = bits[: overlay.rows * overlay.columns].reshape(overlay.rows, overlay.columns)
    return Image.fromarray((plane * 255).astype(np.uint8))


def draw_overlay(image: Image.Image, overlay: Overlay) -> None:
    """A bit plane in its colour (PS3.3 C.9.2)."""
    place = (overlay.left - 1, overlay.top - 1)
    image.paste(ink(image, overlay.colour), place, plane_mask(overlay))


# ---- icons


def icon(job: IconJob) -> Image.Image:
    """A sheet of paper with the modality's code, on a dark ground."""
    width, height = job.width, job.height
    image = Image.new("RGB", (width, height), (24, 26, 31))
    draw = ImageDraw.Draw(image)
    edge = min(width, height)
    wide, high, fold = edge * 0.48, edge * 0.62, edge * 0.12
    left, top = (width - wide) / 2, (height - high) / 2
    right, bottom = left + wide, top + high
    outline = [
        (left, top),
        (right - fold, top),
        (right, top + fold),
        (right, bottom),
        (left, bottom),
    ]
    draw.polygon(outline, fill=(52, 58, 70), outline=(128, 140, 160))
    draw.line(
        [(right - fold, top), (right - fold, top + fold), (right, top + fold)], (128, 140, 160)
    )
    middle = ((left + right) / 2, (top + bottom) / 2)
    _fit(draw, middle, _printable(job.label)[:16], (226, 232, 240), edge * 0.16, wide * 0.84)
    if edge >= 96 and job.caption:
        below = (width / 2, (bottom + height) / 2)
        _fit(draw, below, _printable(job.caption), (148, 160, 178), edge * 0.065, width * 0.92)
    return image


def _fit(
    draw: ImageDraw.ImageDraw,
    middle: tuple[float, float],
    text: str,
    colour: Colour,
    letters: float,
    room: float,
) -> None:
    size = max(_SMALLEST_LETTERS, int(letters))
    while size > _SMALLEST_LETTERS and font(size).getlength(text) > room:
        size -= 1
    draw.text(middle, _cut(text, room, size), colour, font(size), anchor="mm")
