"""DICOM files (PS3.10 section 7): reading them, and wrapping a data set into one."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from struct import pack
from typing import Final

from farsight.dicom.elements import DataSet, DicomObject, Instance
from farsight.dicom.positions import Span
from farsight.dicom.scan import Scanner
from farsight.dicom.transfer_syntax import (
    DEFLATED,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    is_big_endian,
    is_implicit_vr,
)
from farsight.dicom.vr import LONG_VRS, SHORT_VRS
from farsight.errors import MalformedDicom

#: A UUID-derived UID (PS3.5 B.2): it names this implementation and needs no registration.
IMPLEMENTATION_CLASS_UID: Final = "2.25.194878634767162637579887321202930695820"
IMPLEMENTATION_VERSION_NAME: Final = "FARSIGHT"

MAX_INFLATED_BYTES: Final = 512 * 1024 * 1024

_TRANSFER_SYNTAX_UID: Final = 0x00020010
_VRS: Final = SHORT_VRS.keys() | LONG_VRS.keys()


def parse_object(data: bytes, *, max_inflated_bytes: int = MAX_INFLATED_BYTES) -> DicomObject:
    """Tokenize a DICOM file. Values are not decoded, sequences of defined length not entered.

    Without preamble, or without file meta information, the encoding is guessed, and the guess
    counts only if the data set then has SOP Class and SOP Instance UIDs. Where the first
    element contradicts the transfer syntax about explicit VR, the element is believed.

    Raises: MalformedDicom.
    """
    offset, syntax, guessed = opening(data)
    body, start = data, offset
    if syntax in DEFLATED:
        body, start = _inflate(memoryview(data)[offset:], max_inflated_bytes), 0
    parsed = DicomObject(data, body, span_of(body, start, syntax), offset, syntax)
    if guessed:
        check_guess(parsed)
    return parsed


def opening(data: bytes) -> tuple[int, str, bool]:
    """Where the data set of a file begins, its transfer syntax, and whether that is a guess.

    `data`: the file, or the beginning of it. Raises MalformedDicom.
    """
    if data[128:132] == b"DICM":
        offset, syntax = _file_meta(data, 132)
    elif data[:4] == b"\2\0\0\0":
        offset, syntax = _file_meta(data, 0)
    else:
        offset, syntax = 0, ""
    return offset, syntax or _guess(data, offset), not syntax


def check_guess(parsed: Instance) -> None:
    """Raises MalformedDicom unless a guess led to an instance."""
    if not (parsed.sop_class_uid and parsed.sop_instance_uid):
        raise MalformedDicom("neither file meta information nor a SOP instance can be read")


def parse_dataset(
    data: bytes, transfer_syntax_uid: str, *, max_inflated_bytes: int = MAX_INFLATED_BYTES
) -> DataSet:
    """Tokenize a bare data set, as DIMSE messages carry it. Raises MalformedDicom."""
    if transfer_syntax_uid in DEFLATED:
        data = _inflate(memoryview(data), max_inflated_bytes)
    return DataSet(Scanner(data), span_of(data, 0, transfer_syntax_uid))


def part10_head(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """What makes a DICOM file of an encoded data set that is put behind it as it is.

    Raises: MalformedDicom for UIDs that can't be written.
    """
    meta = b"".join(
        (
            b"\2\0\1\0OB\0\0\2\0\0\0\0\1",
            _short(0x0002, "UI", sop_class_uid),
            _short(0x0003, "UI", sop_instance_uid),
            _short(0x0010, "UI", transfer_syntax_uid),
            _short(0x0012, "UI", IMPLEMENTATION_CLASS_UID),
            _short(0x0013, "SH", IMPLEMENTATION_VERSION_NAME),
        )
    )
    return b"\0" * 128 + b"DICM" + b"\2\0\0\0UL\4\0" + pack("<L", len(meta)) + meta


def write_part10(
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
    dataset: bytes | Iterable[bytes | memoryview],
) -> bytes:
    """A DICOM file around an encoded data set, which is taken as it is, in one piece or several.

    Raises: MalformedDicom for UIDs that can't be written.
    """
    pieces = (dataset,) if isinstance(dataset, bytes) else dataset
    return b"".join((part10_head(sop_class_uid, sop_instance_uid, transfer_syntax_uid), *pieces))


def _short(number: int, vr: str, text: str) -> bytes:
    """One element of group 0002, padded to even length as its VR demands."""
    try:
        value = text.encode("ascii")
    except UnicodeEncodeError as error:
        raise MalformedDicom(f"not a UID: {text[:80]!r}") from error
    if len(value) > 64:
        raise MalformedDicom(f"a UID of {len(value)} characters")
    if len(value) % 2:
        value += b"\0" if vr == "UI" else b" "
    return pack("<HH2sH", 2, number, vr.encode("ascii"), len(value)) + value


def _file_meta(data: bytes, offset: int) -> tuple[int, str]:
    """Where the data set begins, and its transfer syntax ("" if unsaid).

    The group length isn't trusted: the group ends where its elements do (PS3.10 7.1).
    """
    explicit = data[offset + 4 : offset + 6] in _VRS
    syntax, stop = "", len(data)
    while offset + 8 <= stop and data[offset : offset + 2] == b"\2\0":
        number = int.from_bytes(data[offset + 2 : offset + 4], "little")
        if not explicit:
            start, length = offset + 8, int.from_bytes(data[offset + 4 : offset + 8], "little")
        elif data[offset + 4 : offset + 6] in LONG_VRS:
            start, length = offset + 12, int.from_bytes(data[offset + 8 : offset + 12], "little")
        else:
            start, length = offset + 8, int.from_bytes(data[offset + 6 : offset + 8], "little")
        offset = start + length
        if offset > stop:
            raise MalformedDicom("the file meta information is cut off")
        if number == _TRANSFER_SYNTAX_UID & 0xFFFF:
            syntax = data[start:offset][:64].decode("latin-1").strip(" \0")
    return offset, syntax


def _guess(data: bytes, offset: int) -> str:
    """The transfer syntax that the first element suggests; groups of a first element are small."""
    if data[offset + 4 : offset + 6] not in _VRS:
        return IMPLICIT_VR_LITTLE_ENDIAN
    if data[offset] == 0 and data[offset + 1] != 0:
        return EXPLICIT_VR_BIG_ENDIAN
    return EXPLICIT_VR_LITTLE_ENDIAN


def span_of(body: bytes, start: int, transfer_syntax_uid: str) -> Span:
    """The whole of `body` from `start`, in the encoding its first element shows."""
    implicit = is_implicit_vr(transfer_syntax_uid)
    big_endian = is_big_endian(transfer_syntax_uid)
    code = body[start + 4 : start + 6]
    if len(code) == 2 and not big_endian:
        implicit = code not in _VRS and (implicit or not (code.isalpha() and code.isupper()))
    return Span(start, len(body), implicit, big_endian)


def _inflate(deflated: memoryview, max_bytes: int) -> bytes:
    """A raw deflate stream (PS3.5 A.5), its size bounded."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        body = inflater.decompress(deflated, max_bytes + 1)
    except zlib.error as error:
        raise MalformedDicom(f"the deflated data set can't be inflated: {error}") from error
    if len(body) > max_bytes:
        raise MalformedDicom(f"the data set inflates to more than {max_bytes} bytes")
    if not inflater.eof:
        raise MalformedDicom("the deflated data set is cut off")
    return body
