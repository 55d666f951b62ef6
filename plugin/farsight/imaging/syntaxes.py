"""Which transfer syntaxes pixels can be decoded from and encoded in, and which of them lose."""

from __future__ import annotations

from typing import Final

from farsight.dicom.transfer_syntax import (
    DEFLATED_IMAGE_FRAME,
    ENCAPSULATED_UNCOMPRESSED,
    EXPLICIT_VR_LITTLE_ENDIAN,
    LOSSY,
    NATIVE,
)
from farsight.imaging.picture import PixelFormat

_JPEG = "1.2.840.10008.1.2.4."
RLE: Final = "1.2.840.10008.1.2.5"
JPEG_BASELINE: Final = _JPEG + "50"
JPEG_EXTENDED: Final = _JPEG + "51"
JPEG_LOSSLESS: Final = _JPEG + "57"
JPEG_LOSSLESS_SV1: Final = _JPEG + "70"
JPEG_LS: Final = _JPEG + "80"
JPEG_LS_NEAR: Final = _JPEG + "81"
JPEG_2000_LOSSLESS: Final = _JPEG + "90"
JPEG_2000: Final = _JPEG + "91"
HTJ2K_LOSSLESS: Final = _JPEG + "201"
HTJ2K: Final = _JPEG + "203"
JPEG_XL_LOSSLESS: Final = _JPEG + "110"

DCT_JPEG: Final = frozenset(_JPEG + n for n in ("50", "51", "53", "55"))
LOSSLESS_JPEG: Final = frozenset((JPEG_LOSSLESS, JPEG_LOSSLESS_SV1))
JPEG_LS_BOTH: Final = frozenset((JPEG_LS, JPEG_LS_NEAR))
ANY_JPEG_2000: Final = frozenset(_JPEG + n for n in ("90", "91", "92", "93"))
ANY_HTJ2K: Final = frozenset(_JPEG + n for n in ("201", "202", "203"))
ANY_JPEG_XL: Final = frozenset(_JPEG + n for n in ("110", "111", "112"))

DECODABLE: Final = (
    NATIVE
    | DCT_JPEG
    | LOSSLESS_JPEG
    | JPEG_LS_BOTH
    | ANY_JPEG_2000
    | ANY_HTJ2K
    | ANY_JPEG_XL
    | {RLE, ENCAPSULATED_UNCOMPRESSED, DEFLATED_IMAGE_FRAME}
)
#: In the order they are offered. Two are left out because nothing maintained writes them: JPEG
#: 2000 part 2 (.92, .93) and HTJ2K in RPCL order (.202).
ENCODABLE: Final = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_LOSSLESS_SV1,
    JPEG_LOSSLESS,
    JPEG_LS,
    JPEG_2000_LOSSLESS,
    HTJ2K_LOSSLESS,
    RLE,
    JPEG_XL_LOSSLESS,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LS_NEAR,
    JPEG_2000,
    HTJ2K,
)
#: Bits stored that these take (PS3.5 8.2.1): of fewer, a lossy frame would overshoot them.
_DEPTHS: Final = {JPEG_BASELINE: (8,), JPEG_EXTENDED: (8, 12)}


def can_decode(transfer_syntax_uid: str) -> bool:
    return transfer_syntax_uid in DECODABLE


def can_encode(pixels: PixelFormat, transfer_syntax_uid: str) -> bool:
    """Whether such pixels may be written so: the codecs take whole cells of at most 16 bits."""
    if transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN:
        return True
    if pixels.cell != "int" or pixels.bits_allocated not in (8, 16) or pixels.samples not in (1, 3):
        return False
    if is_lossy(transfer_syntax_uid) and pixels.photometric == "PALETTE COLOR":
        return False  # indices next to each other mean nothing
    if pixels.signed and transfer_syntax_uid in DCT_JPEG | {JPEG_LS_NEAR}:
        return False  # they know no sign, and -1 and 0 in two's complement are far apart
    if transfer_syntax_uid == JPEG_BASELINE and pixels.bits_allocated != 8:
        return False
    return pixels.bits_stored in _DEPTHS.get(transfer_syntax_uid, range(1, 17))


def is_lossy(transfer_syntax_uid: str) -> bool:
    return transfer_syntax_uid in LOSSY
