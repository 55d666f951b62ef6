"""How one image's pixels are encoded, and how its data set says they are to be shown.

Plain values, made of a data set inside Orthanc and sent to a worker process together with the
bytes of frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from farsight.ps318.rendering_query import VoiFunction


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """The Image Pixel module (PS3.3 C.7.6.3). cell: "int", "float" or "double"."""

    rows: int
    columns: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    signed: bool = False
    by_plane: bool = False
    cell: str = "int"
    high_bit: int = -1

    @property
    def is_colour(self) -> bool:
        """Three samples a pixel; palettes have one."""
        return self.samples > 1

    @property
    def cells(self) -> int:
        """Values in a decoded frame."""
        return self.rows * self.columns * self.samples


@dataclass(frozen=True, slots=True)
class Lut:
    """A look-up table (PS3.3 C.11.1.1): the value of `first` and below is the first entry's.

    data: entries of 16 bits in little endian, or of 8 bits where `wide` is false.
    """

    first: int
    bits: int
    data: bytes
    wide: bool = True


@dataclass(frozen=True, slots=True)
class SegmentedLut:
    """A segmented palette (PS3.3 C.7.9.2): `data` are its segments, words in little endian."""

    first: int
    entries: int
    bits: int
    data: bytes
    wide: bool = True


@dataclass(frozen=True, slots=True)
class Window:
    """One VOI window (PS3.3 C.11.2)."""

    center: float
    width: float
    function: VoiFunction = VoiFunction.LINEAR


@dataclass(frozen=True, slots=True)
class Overlay:
    """One bit plane (PS3.3 C.9.2): origin from 1, bits packed from the lowest on.

    group: its 60xx, by which presentation states name it.
    """

    rows: int
    columns: int
    top: int
    left: int
    data: bytes
    group: int = 0
    colour: tuple[int, int, int] = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Display:
    """From stored values to what is shown (PS3.4 N.2): modality, VOI, presentation.

    palette: over stored values where PhotometricInterpretation is PALETTE COLOR, else over the
    greys that all before it make. aspect: height of a pixel by its width. padding: stored values
    from .. to that are no image.
    """

    slope: float = 1.0
    intercept: float = 0.0
    modality_lut: Lut | None = None
    windows: tuple[Window, ...] = ()
    voi_luts: tuple[Lut, ...] = ()
    inverse: bool = False
    presentation_lut: Lut | None = None
    palette: tuple[Lut | SegmentedLut, ...] = ()
    icc_profile: bytes = field(default=b"", repr=False)
    aspect: float = 1.0
    padding: tuple[int, int] | None = None
    overlays: tuple[Overlay, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """One frame, or several that are shown alike."""

    transfer_syntax_uid: str
    pixels: PixelFormat
    display: Display = Display()
