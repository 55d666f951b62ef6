"""How a client wants an image drawn, as a value: the query of a rendered resource (PS3.18 8.3.5).

Laws: nothing is guessed: a value that can't be drawn is refused by the parameter's name; a
parameter that isn't known is ignored, as PS3.18 8.3 demands, and `unknown_parameters` names it for
a warning. What is left out stays None: only the image can fill it in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from farsight.errors import InvalidParameter
from farsight.ps318.query_values import bounded, decimal, once, uint

#: Widest and highest picture that is drawn, in pixels.
MAX_VIEWPORT: Final = 16_384
#: Rows and Columns are unsigned 16-bit values (PS3.3 C.7.6.3): no image reaches further.
MAX_COORDINATE: Final = 65_535
#: In pixel values. Beyond, single precision has no room left for the arithmetic of a window.
MAX_WINDOW: Final = 1e30
_LEAST_WIDTH: Final = 1 / MAX_WINDOW
_VIEWPORT_VALUES: Final = 6

RENDERED_PARAMETERS: Final = frozenset(
    {"accept", "annotation", "charset", "iccprofile", "quality", "viewport", "window"}
)
THUMBNAIL_PARAMETERS: Final = frozenset({"accept", "charset", "viewport"})


class VoiFunction(StrEnum):
    """VOI LUT functions (PS3.3 C.11.2.1.3), as PS3.18 8.3.5.1.4 spells them."""

    LINEAR = "linear"
    LINEAR_EXACT = "linear-exact"
    SIGMOID = "sigmoid"


class IccProfile(StrEnum):
    """Which colour profile the picture is to carry (PS3.18 8.3.5.1.5)."""

    NO = "no"
    YES = "yes"
    SRGB = "srgb"
    ADOBE_RGB = "adobergb"
    ROMM_RGB = "rommrgb"
    DISPLAY_P3 = "displayp3"


class Annotation(StrEnum):
    """What is to be written into the picture (PS3.18 8.3.5.1.1)."""

    PATIENT = "patient"
    TECHNIQUE = "technique"


@dataclass(frozen=True, slots=True)
class WindowQuery:
    """Window center and width in output units of the Modality LUT, and the function."""

    center: float
    width: float
    function: VoiFunction


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the stored image, in its pixels. width, height: None is up to the edge.

    May reach beyond the image: only the image knows its size.
    """

    left: float
    top: float
    width: float | None
    height: float | None
    flip_horizontal: bool = False
    flip_vertical: bool = False


@dataclass(frozen=True, slots=True)
class FractionRegion:
    """A part of the stored image, its edges as fractions of its size, 0 to 1 (PS3.18 9.1.2.2)."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Viewport:
    """The box a picture is scaled into, in pixels, and the part of the image; None is all of it."""

    width: int
    height: int
    region: Region | None


@dataclass(frozen=True, slots=True)
class RenderingQuery:
    """Everything a client may say about a picture. rows, columns: WADO-URI's maximal size."""

    window: WindowQuery | None = None
    viewport: Viewport | None = None
    region: FractionRegion | None = None
    quality: int | None = None
    annotations: frozenset[Annotation] = frozenset()
    icc_profile: IccProfile = IccProfile.NO
    rows: int | None = None
    columns: int | None = None


def parse_rendering_query(query: Sequence[tuple[str, str]]) -> RenderingQuery:
    """Decoded query pairs of a rendered resource. Raises: InvalidParameter, naming it."""
    pairs = bounded(query)
    window, viewport = once(pairs, "window"), once(pairs, "viewport")
    quality, profile = once(pairs, "quality"), once(pairs, "iccprofile")
    annotation = once(pairs, "annotation")
    return RenderingQuery(
        window=None if window is None else _window(window),
        viewport=None if viewport is None else _viewport(viewport),
        quality=None if quality is None else parse_quality("quality", quality),
        annotations=frozenset() if annotation is None else parse_annotations(annotation),
        icc_profile=IccProfile.NO if profile is None else parse_icc_profile(profile),
    )


def parse_thumbnail_query(query: Sequence[tuple[str, str]]) -> RenderingQuery:
    """Decoded query pairs of a thumbnail: only its size can be chosen (PS3.18 8.3.5.2).

    Raises: InvalidParameter, naming it.
    """
    text = once(bounded(query), "viewport")
    if text is None:
        return RenderingQuery()
    viewport = _viewport(text)
    if viewport.region is not None:
        raise InvalidParameter("viewport", text, "a thumbnail takes a width and a height only")
    return RenderingQuery(viewport=viewport)


def unknown_parameters(
    query: Sequence[tuple[str, str]], known: frozenset[str] = RENDERED_PARAMETERS
) -> list[str]:
    """Names that say nothing to a rendered resource (or a thumbnail), sorted, each once.

    For warning.ignored_parameters. Raises: InvalidParameter for what is no text.
    """
    return sorted({name for name, _ in bounded(query)} - known)


def parse_quality(name: str, text: str) -> int:
    """1 to 100, best last (PS3.18 8.3.5.1.2). Raises: InvalidParameter."""
    return uint(name, text, 1, 100)


def parse_annotations(text: str) -> frozenset[Annotation]:
    """The keywords, separated by commas. Raises: InvalidParameter for others, or none at all."""
    return frozenset(Annotation(_keyword("annotation", item, Annotation))
                     for item in text.split(","))  # fmt: skip


def parse_icc_profile(text: str) -> IccProfile:
    """Raises: InvalidParameter."""
    return IccProfile(_keyword("iccprofile", text, IccProfile))


def checked_window(
    names: tuple[str, str], center: str, width: str, function: VoiFunction
) -> WindowQuery:
    """A window from its texts; `names`: the parameters they came in, of center and width.

    The linear function is defined for a width from 1, the others above 0 (PS3.3 C.11.2.1.2.1,
    C.11.2.1.3). Raises: InvalidParameter.
    """
    least = 1.0 if function is VoiFunction.LINEAR else _LEAST_WIDTH
    return WindowQuery(
        center=decimal(names[0], center, -MAX_WINDOW, MAX_WINDOW),
        width=decimal(names[1], width, least, MAX_WINDOW),
        function=function,
    )


def _window(text: str) -> WindowQuery:
    """`center,width,function`. Clients leave out the function, then it is linear."""
    values = [value.strip(" ") for value in text.split(",")]
    if len(values) not in (2, 3):
        raise InvalidParameter("window", text, "expected center,width,function")
    name = values[2] if len(values) == 3 else ""
    function = VoiFunction.LINEAR
    if name:
        # PS3.3 spells LINEAR_EXACT what PS3.18 spells linear-exact
        function = VoiFunction(_keyword("window", name.replace("_", "-"), VoiFunction))
    return checked_window(("window", "window"), values[0], values[1], function)


def _viewport(text: str) -> Viewport:
    """`vw,vh[,sx,sy[,sw,sh]]`, all but the first two may be empty (PS3.18 8.3.5.1.3)."""
    values = [value.strip(" ") for value in text.split(",")]
    if not 2 <= len(values) <= _VIEWPORT_VALUES:
        raise InvalidParameter("viewport", text, "expected vw,vh or vw,vh,sx,sy,sw,sh")
    source = values[2:] + [""] * (_VIEWPORT_VALUES - len(values))
    return Viewport(
        width=uint("viewport", values[0], 1, MAX_VIEWPORT),
        height=uint("viewport", values[1], 1, MAX_VIEWPORT),
        region=_region(source) if any(source) else None,
    )


def _region(source: Sequence[str]) -> Region:
    """`sx,sy,sw,sh`: absolute values count, a negative width or height asks for a flip."""
    left, top, width, height = (
        decimal("viewport", value, -MAX_COORDINATE, MAX_COORDINATE) if value else None
        for value in source
    )
    if width == 0 or height == 0:
        raise InvalidParameter("viewport", ",".join(source), "a region has a width and a height")
    return Region(
        left=abs(left or 0.0),
        top=abs(top or 0.0),
        width=None if width is None else abs(width),
        height=None if height is None else abs(height),
        flip_horizontal=width is not None and width < 0,
        flip_vertical=height is not None and height < 0,
    )


def _keyword(name: str, text: str, allowed: type[StrEnum]) -> str:
    keyword = text.strip(" ").lower()
    if keyword not in set(allowed):
        raise InvalidParameter(name, text, f"expected one of {', '.join(allowed)}")
    return keyword
