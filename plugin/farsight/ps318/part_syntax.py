"""In which transfer syntax pixels came: the reverse of frame_media_type (PS3.18 8.7.3.3).

The parameter of the part decides, then what the metadata says, if it fits the media type. Where
neither tells, the frame itself is looked at: table 8.7.3-5 would have the lossless default, but
most JPEGs have lost, and a syntax that is wrong makes an object that nobody can decode.
"""

from __future__ import annotations

from struct import unpack_from
from typing import Final

from farsight.dicom.transfer_syntax import (
    DEFLATED_IMAGE_FRAME,
    ENCAPSULATED_UNCOMPRESSED,
    EXPLICIT_VR_BIG_ENDIAN,
    NATIVE,
)
from farsight.ps318.bulk_parts import BulkPart
from farsight.ps318.encapsulated_stream import is_stream
from farsight.ps318.frame_media_type import OCTET_STREAM, SYNONYMS, frame_media_type
from farsight.ps318.refused import ValueUnfit
from farsight.ps318.store_reasons import FailureReason

_JPEG: Final = "1.2.840.10008.1.2.4."
_RLE: Final = "image/dicom-rle"
_Frame = bytes | memoryview

#: What comes as plain cells in little endian.
_UNCOMPRESSED: Final = (NATIVE | {ENCAPSULATED_UNCOMPRESSED}) - {EXPLICIT_VR_BIG_ENDIAN}
#: Names that clients use beside those of the tables.
_MORE_SYNONYMS: Final = {
    **SYNONYMS,
    "image/jpg": "image/jpeg",
    "image/j2k": "image/jp2",
    "image/j2c": "image/jp2",
    "video/h265": "video/H265",
}
#: Of these the most general one is right whatever the frame holds.
_GENERAL: Final = {
    _RLE: "1.2.840.10008.1.2.5",
    "image/jpx": _JPEG + "93",
    "image/jxl": _JPEG + "112",
    "video/mpeg": _JPEG + "100",
    "video/mp4": _JPEG + "102",
    "video/H265": _JPEG + "107",
}
#: How the frames of a media type begin. JPEG XL is a bare codestream or in a container.
_STARTS: Final = {
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/jls": (b"\xff\xd8\xff",),
    "image/jp2": (b"\xff\x4f\xff\x51",),
    "image/jpx": (b"\xff\x4f\xff\x51",),
    "image/jphc": (b"\xff\x4f\xff\x51",),
    "image/jxl": (b"\xff\x0a", b"\0\0\0\x0cJXL "),
}
_LONGEST_START: Final = 8
#: Of an RLE frame (PS3.5 G.5): the number of segments, and 15 offsets.
_RLE_HEADER_BYTES: Final = 64
#: JPEG markers of frame headers (ISO 10918-1 table B.1, ISO 14495-1) -> transfer syntax.
_JPEG_PROCESSES: Final = {0xC0: _JPEG + "50", 0xC1: _JPEG + "51", 0xC3: _JPEG + "57"}
_START_OF_SCAN: Final = 0xDA
_JPEG_LS_FRAME: Final = 0xF7
#: Of a JPEG 2000 codestream (ISO 15444-1 table A.2).
_CODING_STYLE: Final = 0x52
_HEADERS_WITHIN: Final = 1 << 20


def syntax_of(part: BulkPart, declared: str) -> str:
    """Transfer syntax of the pixels in a part; "" for plain cells in little endian.

    `declared`: what the metadata says; "" where it says nothing. Raises: ValueUnfit.
    """
    media_type = _MORE_SYNONYMS.get(part.media_type, part.media_type)
    told = part.transfer_syntax
    if told:
        return _told(media_type, told, part.data)
    if media_type == OCTET_STREAM:
        return ""
    if frame_media_type(declared) == media_type:
        return _checked(media_type, declared, part.data)
    return _found(media_type, part.data)


def compressed_syntax(declared: str) -> str:
    """The transfer syntax that the metadata says, if pixels in it come in fragments; else ""."""
    is_known = frame_media_type(declared) != OCTET_STREAM or declared == DEFLATED_IMAGE_FRAME
    return declared if is_known else ""


def check_frame(transfer_syntax_uid: str, frame: _Frame) -> None:
    """Raises: ValueUnfit where a frame doesn't begin as its codestream has to."""
    _checked(frame_media_type(transfer_syntax_uid), transfer_syntax_uid, frame)


def _told(media_type: str, told: str, frame: _Frame) -> str:
    if told in _UNCOMPRESSED and media_type == OCTET_STREAM:
        return ""
    if not compressed_syntax(told) or media_type not in (OCTET_STREAM, frame_media_type(told)):
        raise _unsupported("the media type and transfer syntax of its pixels don't go together")
    return _checked(frame_media_type(told), told, frame)


def _checked(media_type: str, transfer_syntax_uid: str, frame: _Frame) -> str:
    head = bytes(frame[:_LONGEST_START])
    if not head or not head.startswith(_STARTS.get(media_type, b"")):
        raise ValueUnfit(f"a frame is not the codestream of {media_type}")
    if is_stream(frame):
        raise ValueUnfit("a frame is in items, as it stands in a file")
    if media_type == _RLE:
        _check_rle(frame)
    return transfer_syntax_uid


def _check_rle(frame: _Frame) -> None:
    """The segments named lie one behind the other, from the end of the header on."""
    if len(frame) < _RLE_HEADER_BYTES:
        raise ValueUnfit("a frame is shorter than the header of RLE")
    count, *offsets = unpack_from("<16L", frame)
    named = offsets[:count] if 1 <= count <= len(offsets) else []
    ends = [*named[1:], len(frame) + 1]
    if named[:1] != [_RLE_HEADER_BYTES] or any(a >= b for a, b in zip(named, ends, strict=True)):
        raise ValueUnfit("a frame has no header of RLE")


def _found(media_type: str, frame: _Frame) -> str:
    found = _GENERAL.get(media_type, "")
    if media_type in _STARTS and not found:
        _checked(media_type, "", frame)
        markers = _markers(frame)
        if media_type == "image/jpeg":
            found = _jpeg(markers)
        elif media_type == "image/jls" and _JPEG_LS_FRAME in markers:
            near = markers.get(_START_OF_SCAN, b"")
            found = _JPEG + ("80" if near[-3:-2] == b"\0" else "81")
        elif media_type in ("image/jp2", "image/jphc"):
            style = markers.get(_CODING_STYLE, b"")
            lossless, general = ("90", "91") if media_type == "image/jp2" else ("201", "203")
            found = _JPEG + (lossless if style[9:10] == b"\1" else general)
    if not found:
        raise _unsupported("the media type of its pixels is none that can be stored")
    return found


def _jpeg(markers: dict[int, bytes]) -> str:
    found = next((_JPEG_PROCESSES[code] for code in markers if code in _JPEG_PROCESSES), "")
    scan = markers.get(_START_OF_SCAN, b"")
    if found == _JPEG + "57" and scan[-3:-2] == b"\1":  # selection value 1
        return _JPEG + "70"
    return found


def _markers(frame: _Frame) -> dict[int, bytes]:
    """The first segment of each marker up to the first scan, without its length."""
    head = bytes(frame[:_HEADERS_WITHIN])
    found: dict[int, bytes] = {}
    at = 2
    while at + 4 <= len(head) and head[at] == 0xFF and _START_OF_SCAN not in found:
        code, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        if code == 0xFF:  # fill byte
            at += 1
            continue
        if length < 2:
            break
        found.setdefault(code, head[at + 4 : at + 2 + length])
        at += 2 + length
    return found


def _unsupported(why: str) -> ValueUnfit:
    return ValueUnfit(why, FailureReason.UNSUPPORTED_SYNTAX)
