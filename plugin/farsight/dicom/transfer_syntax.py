"""What a transfer syntax UID says about the encoding of a data set (PS3.5 section 10, annex A)."""

from __future__ import annotations

from typing import Final

IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
ENCAPSULATED_UNCOMPRESSED: Final = "1.2.840.10008.1.2.1.98"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
DEFLATED_IMAGE_FRAME: Final = "1.2.840.10008.1.2.8.1"

#: The whole data set is one raw deflate stream (PS3.5 A.5; JPIP's deflated forms A.6, A.11).
DEFLATED: Final = frozenset(
    {
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        "1.2.840.10008.1.2.4.95",
        "1.2.840.10008.1.2.4.205",
    }
)

#: Pixel data is a plain array of cells.
NATIVE: Final = frozenset(
    {
        IMPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_LITTLE_ENDIAN,
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_BIG_ENDIAN,
    }
)

#: One continuous stream for all frames: MPEG2, MPEG-4 AVC, HEVC, also in fragmentable form.
VIDEO: Final = frozenset(
    f"1.2.840.10008.1.2.4.{number}{fragmentable}"
    for number in (*range(100, 107), 107, 108)
    for fragmentable in ("", ".1")
)

#: Pixels in one of these have lost already (PS3.5 8.2, A.4); in the near-lossless they may have.
LOSSY: Final = VIDEO | frozenset(
    f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 53, 55, 81, 91, 93, 111, 112, 203)
)


def is_implicit_vr(transfer_syntax_uid: str) -> bool:
    """True where elements carry no VR; GE's private syntax is one, only its pixels differ."""
    return transfer_syntax_uid in (IMPLICIT_VR_LITTLE_ENDIAN, "1.2.840.113619.5.2")


def is_big_endian(transfer_syntax_uid: str) -> bool:
    return transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN
