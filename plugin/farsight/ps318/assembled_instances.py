"""Metadata and bulk data put together to DICOM files (PS3.18 10.5.1.4, 8.6.1.2).

Laws: each data set becomes one instance or one failure, in the order sent, whatever becomes of the
others; a file is in Explicit VR Little Endian or has its pixels in the transfer syntax they came
in; all files together are not much longer than the message; nothing that was sent is left out but
group lengths, file meta information and (0008,3002), which name the transfer syntax here, and
offset tables of pixels, which are made anew.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from farsight.dicom.part10 import part10_head
from farsight.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from farsight.dicom.writing import EXTENDED_LENGTHS, EXTENDED_OFFSETS, Piece, extended_tables
from farsight.errors import InvalidUid, PayloadTooLarge, UnsupportedMediaType
from farsight.model import InstanceRef, JsonAttribute, checked_uid
from farsight.ps318.bulk_parts import SHARED_BYTES, BulkPart, BulkParts
from farsight.ps318.data_set_bytes import PIXELS, Coercion, DataSetWriter, find_pixels, level_of
from farsight.ps318.json_reader import MAX_DOCUMENT_BYTES, read_json
from farsight.ps318.media_type import DICOM_JSON, DICOM_XML
from farsight.ps318.pixel_parts import Pixels
from farsight.ps318.refused import InstanceRefused, ValueUnfit
from farsight.ps318.store_reasons import FailureReason
from farsight.ps318.text_encoding import NotInSet
from farsight.ps318.xml_reader import read_xml

_SOP_CLASS_UID: Final = 0x00080016
_SOP_INSTANCE_UID: Final = 0x00080018
_NAMES: Final = {
    _SOP_CLASS_UID: "SOPClassUID",
    _SOP_INSTANCE_UID: "SOPInstanceUID",
    0x0020000D: "StudyInstanceUID",
    0x0020000E: "SeriesInstanceUID",
}
_TRANSFER_SYNTAX_UID: Final = 0x00020010
_AVAILABLE_TRANSFER_SYNTAX_UID: Final = 0x00083002
#: What takes a file in counts its bytes in 32 bits.
_MAX_FILE_BYTES: Final = 0xFFFFFFFE


@dataclass(frozen=True, slots=True)
class Assembled:
    """One DICOM file, as `pieces` in order, `size_bytes` together; they refer to the parts sent.

    coercions: what is written in another way than it was sent (PS3.18 10.5.3, 0xB000).
    """

    ref: InstanceRef
    sop_class_uid: str
    transfer_syntax_uid: str
    pieces: Sequence[Piece]
    size_bytes: int
    coercions: tuple[Coercion, ...] = ()

    def part10(self) -> bytes:
        """In one piece: a copy."""
        return b"".join(self.pieces)


@dataclass(frozen=True, slots=True)
class AssemblyFailure:
    """One instance that can't be stored. The UIDs are "" where they can't be told.

    reason: Failure Reason (0008,1197); why: without patient data.
    """

    sop_class_uid: str
    sop_instance_uid: str
    reason: FailureReason
    why: str


@dataclass(frozen=True, slots=True)
class AssembledMessage:
    """What came of a message. unclaimed: Content-Locations of parts that no metadata refers to."""

    instances: Sequence[Assembled | AssemblyFailure]
    unclaimed: Sequence[str]


def assemble(
    media_type: str, documents: Sequence[bytes | memoryview], bulk: Sequence[BulkPart]
) -> AssembledMessage:
    """`media_type`: of the documents, application/dicom+json or application/dicom+xml.

    A JSON document holds any number of instances, one in XML holds one. Raises: BadRequest where
    a document isn't JSON or XML; PayloadTooLarge; UnsupportedMediaType.
    """
    metadata_bytes = sum(map(len, documents))
    if metadata_bytes > MAX_DOCUMENT_BYTES:
        raise PayloadTooLarge(f"metadata of more than {MAX_DOCUMENT_BYTES} bytes")
    data_sets: list[Any]
    if media_type == DICOM_JSON:
        data_sets = [data_set for document in documents for data_set in read_json(document)]
    elif media_type == DICOM_XML:
        data_sets = [read_xml(document) for document in documents]
    else:
        raise UnsupportedMediaType(f"metadata can't be in {media_type[:80]!r}")
    parts = BulkParts(bulk)
    left_bytes = metadata_bytes + sum(len(part.data) for part in bulk) + SHARED_BYTES
    instances: list[Assembled | AssemblyFailure] = []
    for data_set in data_sets:
        found = _assembled(data_set, parts, left_bytes)
        left_bytes -= found.size_bytes if isinstance(found, Assembled) else 0
        instances.append(found)
    return AssembledMessage(instances, parts.unclaimed())


def _assembled(attributes: Any, parts: BulkParts, left_bytes: int) -> Assembled | AssemblyFailure:
    """`left_bytes`: what it may have at most. Of one that fails nothing is kept."""
    level: dict[int, JsonAttribute] = {}
    try:
        level = level_of(attributes)
        uids = {tag: _required_uid(level, tag, name) for tag, name in _NAMES.items()}
        declared = _declared_syntax(level)
        found = _written(level, declared, uids, parts)
        _check_size(found.size_bytes, left_bytes)
        return found
    except InstanceRefused as error:
        sop_class = _uid_or_nothing(level, _SOP_CLASS_UID)
        sop_instance = _uid_or_nothing(level, _SOP_INSTANCE_UID)
        return AssemblyFailure(sop_class, sop_instance, error.reason, str(error))


def _check_size(size_bytes: int, left_bytes: int) -> None:
    if size_bytes > _MAX_FILE_BYTES:
        raise InstanceRefused(FailureReason.OUT_OF_RESOURCES, "it is longer than a file can be")
    if size_bytes > left_bytes:
        why = "the instances of the message are longer than what was sent"
        raise InstanceRefused(FailureReason.CANNOT_UNDERSTAND, why)


def _written(
    level: dict[int, JsonAttribute], declared: str, uids: dict[int, str], parts: BulkParts
) -> Assembled:
    level = {tag: level[tag] for tag in level if tag >> 16 != 2}
    level.pop(_AVAILABLE_TRANSFER_SYNTAX_UID, None)
    pixels = _pixels(level, declared, parts)
    parts.mark()
    try:
        writer = DataSetWriter(parts, unicode=False, declared=declared, pixels=pixels)
        size = writer.write(level)
    except NotInSet:
        parts.rewind()
        writer = DataSetWriter(parts, unicode=True, declared=declared, pixels=pixels)
        size = writer.write(level)
    syntax = pixels.transfer_syntax_uid if pixels else ""
    syntax = syntax or EXPLICIT_VR_LITTLE_ENDIAN
    sop_class, sop_instance, study, series = uids.values()
    head = part10_head(sop_class, sop_instance, syntax)
    return Assembled(
        InstanceRef(study, series, sop_instance),
        sop_class,
        syntax,
        [head, *writer.pieces],
        len(head) + size,
        tuple(writer.coercions),
    )


def _pixels(level: dict[int, JsonAttribute], declared: str, parts: BulkParts) -> Pixels | None:
    """Those of the instance, of which there is one kind at most; `level` gets their tables."""
    tags = [tag for tag in PIXELS if tag in level]
    if not tags:
        return None
    if len(tags) > 1:
        raise InstanceRefused(FailureReason.CANNOT_UNDERSTAND, "there are pixels of two kinds")
    try:
        pixels = find_pixels(tags[0], level, parts, declared)
    except ValueUnfit as error:
        raise InstanceRefused(error.reason, f"{tags[0]:08X}: {error}") from error
    for tag in (EXTENDED_OFFSETS, EXTENDED_LENGTHS):
        level.pop(tag, None)
    if pixels.needs_extended_table:
        offsets, lengths = extended_tables(pixels.chunks)
        level[EXTENDED_OFFSETS], level[EXTENDED_LENGTHS] = _inline(offsets), _inline(lengths)
    return pixels


def _inline(value: bytes) -> JsonAttribute:
    return {"vr": "OV", "InlineBinary": b64encode(value).decode("ascii")}


def _uid(level: dict[int, JsonAttribute], tag: int) -> str:
    """The one value of an attribute; "" where it has none, or several, or no text."""
    values = level.get(tag, {}).get("Value")
    is_one = isinstance(values, list) and len(values) == 1 and type(values[0]) is str
    return str(values[0]).strip(" \0") if is_one and values else ""


def _required_uid(level: dict[int, JsonAttribute], tag: int, name: str) -> str:
    uid = _uid(level, tag)
    if not uid or level[tag]["vr"] != "UI":
        raise InstanceRefused(FailureReason.MISSING_ATTRIBUTE, f"{name} is missing")
    try:
        return checked_uid(uid, name)
    except InvalidUid as error:
        why = f"{name} is not a valid UID"
        raise InstanceRefused(FailureReason.INVALID_INSTANCE, why) from error


def _uid_or_nothing(level: dict[int, JsonAttribute], tag: int) -> str:
    try:
        return checked_uid(_uid(level, tag), "UID")
    except InvalidUid:
        return ""


def _declared_syntax(level: dict[int, JsonAttribute]) -> str:
    """By the file meta information, which some send along, else by what can be retrieved."""
    return _uid(level, _TRANSFER_SYNTAX_UID) or _uid(level, _AVAILABLE_TRANSFER_SYNTAX_UID)
