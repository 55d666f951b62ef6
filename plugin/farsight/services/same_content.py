"""Whether two DICOM files say the same."""

from __future__ import annotations

from enum import StrEnum

from farsight.dicom.elements import DicomObject
from farsight.dicom.explicit import rewritten
from farsight.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, NATIVE
from farsight.errors import MalformedDicom

_STEP = 1 << 20


class Verdict(StrEnum):
    SAME = "same"
    DIFFERS = "differs"
    OTHER_SYNTAX = "other transfer syntax"


def compared(one: DicomObject, other: DicomObject) -> Verdict:
    """By their data sets: file meta information is of whoever wrote the file.

    How sequences are delimited, group lengths, and for native syntaxes the byte order and whether
    VRs are written, make no difference. What is in another syntax and isn't found to be the same
    can't be told: decoders and dictionaries differ. Raises: MalformedDicom.
    """
    of_one_syntax = one.transfer_syntax_uid == other.transfer_syntax_uid
    if of_one_syntax and _same_bytes(one, other):
        return Verdict.SAME
    comparable = of_one_syntax or {one.transfer_syntax_uid, other.transfer_syntax_uid} <= NATIVE
    if comparable and _normal(one) == _normal(other):
        return Verdict.SAME
    return Verdict.DIFFERS if of_one_syntax else Verdict.OTHER_SYNTAX


def _same_bytes(one: DicomObject, other: DicomObject) -> bool:
    """Of the data sets. Step by step: others want the interpreter too."""
    start, begins = one.dataset_offset, other.dataset_offset
    length = len(one.data) - start
    return length == len(other.data) - begins and all(
        one.data[start + at : start + at + _STEP] == other.data[begins + at : begins + at + _STEP]
        for at in range(0, length, _STEP)
    )


def _normal(instance: DicomObject) -> bytes:
    """Its elements in one way of writing them. Raises: MalformedDicom."""
    try:
        return rewritten(instance, EXPLICIT_VR_LITTLE_ENDIAN, {})
    except (LookupError, ValueError) as error:
        raise MalformedDicom(f"can't be read through: {type(error).__name__}") from error
