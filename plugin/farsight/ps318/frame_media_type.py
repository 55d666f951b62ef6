"""The media type of a frame by its transfer syntax (PS3.18 tables 8.7.3-4 and 8.7.3-5)."""

from __future__ import annotations

from typing import Final

from farsight.dicom.transfer_syntax import (
    ENCAPSULATED_UNCOMPRESSED,
    EXPLICIT_VR_LITTLE_ENDIAN,
    NATIVE,
    VIDEO,
)

OCTET_STREAM: Final = "application/octet-stream"

_JPEG = "1.2.840.10008.1.2.4."

_COMPRESSED: Final[dict[str, str]] = {
    "1.2.840.10008.1.2.5": "image/dicom-rle",
    **{_JPEG + str(n): "image/jpeg" for n in (50, 51, 53, 55, 57, 70)},
    **{_JPEG + str(n): "image/jls" for n in (80, 81)},
    **{_JPEG + str(n): "image/jp2" for n in (90, 91)},
    **{_JPEG + str(n): "image/jpx" for n in (92, 93)},
    **{_JPEG + str(n): "image/jphc" for n in (201, 202, 203)},
    **{_JPEG + str(n): "image/jxl" for n in (110, 111, 112)},
    **dict.fromkeys(VIDEO, "video/mp4"),
    **{f"{_JPEG}{n}{suffix}": "video/mpeg" for n in (100, 101) for suffix in ("", ".1")},
    **{f"{_JPEG}{n}{suffix}": "video/H265" for n in (107, 108) for suffix in ("", ".1")},
}

#: What a media type means without a transfer syntax (PS3.18 tables 8.7.3-4 and -5): lossless all.
DEFAULTS: Final = frozenset((
    EXPLICIT_VR_LITTLE_ENDIAN, "1.2.840.10008.1.2.5", _JPEG + "70", _JPEG + "80", _JPEG + "90",
    _JPEG + "110", _JPEG + "201",
))  # fmt: skip

#: Names that clients use for the media types above.
SYNONYMS: Final[dict[str, str]] = {
    "image/x-dicom-rle": "image/dicom-rle",
    "image/x-jls": "image/jls",
    "video/mpeg2": "video/mpeg",
}


def frame_media_type(transfer_syntax_uid: str) -> str:
    """image/… or video/… for compressed pixel data, application/octet-stream for all other.

    Frames deflated one by one (1.2.840.10008.1.2.8.1) and private syntaxes have no media type
    of their own; there the transfer-syntax parameter tells what the octets are.
    """
    return _COMPRESSED.get(transfer_syntax_uid, OCTET_STREAM)


def is_native(transfer_syntax_uid: str) -> bool:
    """Whether frames come out as plain arrays of cells, served as Explicit VR Little Endian."""
    return transfer_syntax_uid in NATIVE or transfer_syntax_uid == ENCAPSULATED_UNCOMPRESSED
