"""Pictures as files of the types that browsers show. Runs in worker processes only."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import accumulate, pairwise
from struct import pack, unpack_from
from typing import Any, Final

from PIL import Image

from farsight.errors import UnsupportedDicom
from farsight.imaging.jobs import ImageType

_DEFAULT_QUALITY: Final = 90
_FORMATS: Final = {ImageType.JPEG: "JPEG", ImageType.PNG: "PNG", ImageType.JP2: "JPEG2000"}
_FASTEST_MS, _USUAL_MS = 20, 100
_LONGEST_MS: Final = 600_000
#: A limit of the JPEG library.
_LARGEST_JPEG: Final = 65_500
_ENUMERATED_COLOURS: Final = b"\x01\0\0"
_RESTRICTED_PROFILE: Final = b"\x02\0\0"


def saved(image: Image.Image, image_type: ImageType, quality: int | None, profile: bytes) -> bytes:
    """One image as a file of its type, the ICC profile in it where there is one and it can be.

    PNG and GIF of greys are exact, JP2 is unless a quality is named. Raises: UnsupportedDicom.
    """
    if image_type is ImageType.GIF:
        return animation([image], ())
    options: dict[str, Any] = {"icc_profile": profile} if profile else {}
    if image_type is ImageType.JPEG:
        if max(image.size) > _LARGEST_JPEG:
            raise UnsupportedDicom(f"a JPEG has no room for {image.width} x {image.height} pixels")
        options |= {"quality": quality or _DEFAULT_QUALITY}
    elif image_type is ImageType.PNG:
        options |= {"compress_level": 3}
    elif quality is not None:
        options |= {
            "irreversible": True,
            "quality_mode": "dB",
            "quality_layers": [30 + quality / 4],
        }
    out = io.BytesIO()
    try:
        image.save(out, _FORMATS[image_type], **options)
    except OSError as error:  # the encoder gave up: JPEG 2000 on very large pictures
        size = f"{image.width} x {image.height}"
        raise UnsupportedDicom(f"{size} pixels can't be written as {image_type.value}") from error
    file = out.getvalue()
    return _jp2_with(file, profile) if image_type is ImageType.JP2 and profile else file


def _jp2_with(file: bytes, profile: bytes) -> bytes:
    """A JP2 file with the profile in place of its enumerated colours (ITU-T T.800 I.5.3.3).

    Only the kinds of profiles the format allows: greys, or a matrix and three curves.
    """
    header = file.find(b"jp2h") - 4
    at = file.find(b"colr" + _ENUMERATED_COLOURS, header) - 4
    restricted = (b"rXYZ", b"kTRC")
    if header < 0 or at < 0 or b"A2B0" in profile or not any(tag in profile for tag in restricted):
        return file
    (size,), (old,) = unpack_from(">L", file, header), unpack_from(">L", file, at)
    colours = pack(">L", 11 + len(profile)) + b"colr" + _RESTRICTED_PROFILE + profile
    head = pack(">L", size + len(colours) - old) + file[header + 4 : at]
    return file[:header] + head + colours + file[at + old :]


def animation(images: Sequence[Image.Image], delays_ms: Sequence[int]) -> bytes:
    """A GIF: 256 greys are exact, colours are the 256 that fit best.

    Frames that are alike and follow each other become one that is shown for as long.
    """
    out = io.BytesIO()
    first, *others = images
    durations: int | list[int] = _USUAL_MS
    if len(delays_ms) == len(images):
        durations = _in_hundredths(delays_ms)
    if others:
        first.save(out, "GIF", save_all=True, append_images=others, duration=durations, loop=0)
    else:
        first.save(out, "GIF")
    return out.getvalue()


def _in_hundredths(delays_ms: Sequence[int]) -> list[int]:
    """Times that a GIF can tell, in steps of 10 ms, which add up as the true ones do."""
    times = (min(max(delay, _FASTEST_MS), _LONGEST_MS) for delay in delays_ms)
    ends = [0, *(round(end / 10) * 10 for end in accumulate(times))]
    return [stop - start for start, stop in pairwise(ends)]
