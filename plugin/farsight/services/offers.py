"""What a client wants stored, looked at before anything is: is it an instance, may it be here?"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from farsight.dicom.elements import Instance
from farsight.dicom.far_body import FarBody
from farsight.dicom.head import head_of
from farsight.dicom.part10 import opening, parse_object
from farsight.dicom.sop_classes import is_storage_class
from farsight.errors import (
    ArchiveFull,
    ArchiveRefused,
    FarsightError,
    InvalidUid,
    MalformedDicom,
)
from farsight.model import InstanceRef, checked_uid
from farsight.ports.archive import StoredObject
from farsight.ports.spool import SpooledPart
from farsight.ps318.store_reasons import FailureReason

_HEAD_BYTES = 64 << 10
_STEP_BYTES = 1 << 20
_PATIENT_ID = 0x00100020
_UNREADABLE = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class Offer:
    """One instance, readable, and of the right study. data_at: where its data set begins."""

    ref: InstanceRef
    sop_class_uid: str
    transfer_syntax_uid: str
    patient_id: str
    data_at: int
    part: SpooledPart

    def refused(self, reason: FailureReason, why: str) -> Refusal:
        """It isn't stored."""
        return Refusal(reason, why, self.sop_class_uid, self.ref.sop_instance_uid)

    def failed(self, error: FarsightError | None) -> Refusal:
        """It was fit to be stored, and isn't. None: it took too long."""
        reason = FailureReason.PROCESSING_FAILURE
        if isinstance(error, ArchiveFull):
            reason = FailureReason.OUT_OF_RESOURCES
        elif isinstance(error, ArchiveRefused):
            reason = FailureReason.CANNOT_UNDERSTAND
        return self.refused(reason, str(error or "it took too long"))


@dataclass(frozen=True, slots=True)
class Refusal:
    """One that isn't stored. reason: as PS3.18 table I.2-2 has them; the UIDs are "" if unknown.

    part: its number in the message, from 1 on; 0 where that doesn't tell which it is.
    """

    reason: FailureReason
    why: str
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    part: int = 0


def examine(part: SpooledPart, study_instance_uid: str | None) -> Offer | Refusal:
    """`study_instance_uid`: the only study it may be of, if that was said. Raises: ArchiveError."""
    try:
        part = _with_preamble(part)
        instance, data_at = _read(part)
    except MalformedDicom as error:
        return Refusal(FailureReason.CANNOT_UNDERSTAND, str(error))
    sop_class_uid, sop_instance_uid = instance.sop_class_uid, instance.sop_instance_uid
    for name, uid in (
        ("SOPClassUID", sop_class_uid),
        ("SOPInstanceUID", sop_instance_uid),
        ("StudyInstanceUID", instance.study_instance_uid),
        ("SeriesInstanceUID", instance.series_instance_uid),
    ):
        if not uid:
            return Refusal(FailureReason.MISSING_ATTRIBUTE, f"{name} is missing")
    try:
        ref = InstanceRef(
            checked_uid(instance.study_instance_uid, "StudyInstanceUID"),
            checked_uid(instance.series_instance_uid, "SeriesInstanceUID"),
            checked_uid(sop_instance_uid, "SOPInstanceUID"),
        )
        checked_uid(sop_class_uid, "SOPClassUID")
    except InvalidUid as error:
        return Refusal(FailureReason.INVALID_INSTANCE, str(error))
    named = (sop_class_uid, sop_instance_uid)
    if study_instance_uid not in (None, ref.study_instance_uid):
        why = f"it is of study {ref.study_instance_uid}, not of {study_instance_uid}"
        return Refusal(FailureReason.OTHER_STUDY, why, *named)
    if not is_storage_class(sop_class_uid):
        why = f"objects of SOP class {sop_class_uid} are not there to be stored"
        return Refusal(FailureReason.UNSUPPORTED_SOP_CLASS, why, *named)
    patient_id = _plain(instance.character_sets().decode(instance.raw(_PATIENT_ID)))
    return Offer(ref, sop_class_uid, instance.transfer_syntax_uid, patient_id, data_at, part)


def is_of_another(offer: Offer, patient_ids: Collection[str]) -> bool:
    """Whether it belongs to none of the patients, as the archive has their IDs.

    An ID that can't be decoded tells nothing: the archive decodes in another way.
    """
    known = {_plain(patient_id) for patient_id in patient_ids}
    if not known or any(_UNREADABLE in text for text in (offer.patient_id, *known)):
        return False
    return offer.patient_id not in known


def _plain(text: str) -> str:
    """Without what stands around it, and behind a NUL."""
    return text.partition("\0")[0].strip()


class _Preceded:
    """A part with something before it."""

    __slots__ = ("_part", "_preamble", "size")

    def __init__(self, preamble: bytes, part: SpooledPart) -> None:
        self._preamble = preamble
        self._part = part
        self.size = len(preamble) + part.size

    def read(self, start: int, length: int) -> bytes:
        before = self._preamble[start : start + length]
        start = max(0, start - len(self._preamble))
        return before + self._part.read(start, length - len(before))

    def whole(self) -> bytes:
        return b"".join((self._preamble, self._part.whole()))


def _with_preamble(part: SpooledPart) -> SpooledPart:
    """The file as PS3.10 7.1 wants it: some clients leave out the preamble and its prefix, and
    begin with the file meta information. Raises: MalformedDicom, ArchiveError."""
    beginning = part.read(0, min(part.size, 132))
    if beginning[128:] == b"DICM":
        return part
    if beginning[:2] != b"\2\0":
        raise MalformedDicom("it has neither preamble nor file meta information (PS3.10 7.1)")
    return _Preceded(bytes(128) + b"DICM", part)


def _read(part: SpooledPart) -> tuple[Instance, int]:
    """Its header, and where in the file the data set begins. Raises: MalformedDicom, ArchiveError.

    A guess at what bytes without a preamble are (PS3.10 7.1) is good for reading, not for storing.
    """
    beginning = part.read(0, min(part.size, _HEAD_BYTES))
    instance: Instance | None = None
    if part.size > _HEAD_BYTES:
        instance = head_of(FarBody(part.read, part.size))
    try:
        data_at, _, guessed = opening(beginning)
    except MalformedDicom:
        data_at, _, guessed = opening(bytes(part.whole()))
    if guessed:
        raise MalformedDicom("its file meta information names no transfer syntax (PS3.10 7.1)")
    return instance or parse_object(bytes(part.whole())), data_at


def same_content(offer: Offer, stored: StoredObject) -> bool:
    """Whether both have the same data set, encoded alike: file meta information says who wrote a
    file, not what is in it. Raises: ArchiveError."""
    try:
        data_at, syntax, _ = opening(stored.read(0, min(stored.size, _HEAD_BYTES)))
    except FarsightError:
        return _alike(offer.part, 0, stored, 0)
    if syntax != offer.transfer_syntax_uid:
        return False
    return _alike(offer.part, offer.data_at, stored, data_at)


def same_content_sent(offer: Offer, other: Offer) -> bool:
    """The same of two that were sent. Raises: ArchiveError."""
    if other.transfer_syntax_uid != offer.transfer_syntax_uid:
        return False
    return _alike(offer.part, offer.data_at, other.part, other.data_at)


def _alike(
    part: SpooledPart | StoredObject, at: int, other: SpooledPart | StoredObject, other_at: int
) -> bool:
    left = part.size - at
    if left != other.size - other_at:
        return False
    while left:
        step = min(left, _STEP_BYTES)
        if part.read(at, step) != other.read(other_at, step):
            return False
        at, other_at, left = at + step, other_at + step, left - step
    return True
