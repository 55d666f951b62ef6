"""Why an instance is not stored, or stored with a warning, in DICOM's codes (PS3.18 annex I.2).

A code that table I.2-2 doesn't have may be used where none of it fits (I.2.2):

- the wrong study: archives in the field say 0xA901 (Azure), 0xC409 (dcm4chee) and 0x0110 (Orthanc);
  taken is the one that a conformance statement explains in these words, and that the table's range
  A9xx makes a mismatch;
- another object of the same name, and what is missing or no UID: the codes of PS3.7 annex C.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class FailureReason(IntEnum):
    """Values of Failure Reason (0008,1197)."""

    PROCESSING_FAILURE = 0x0110  # PS3.18 table I.2-2
    DUPLICATE_INSTANCE = 0x0111  # PS3.7 C.5: another object has this SOP Instance UID
    INVALID_INSTANCE = 0x0117  # PS3.7 C.5: the SOP Instance UID is no UID
    MISSING_ATTRIBUTE = 0x0120  # PS3.7 C.5
    UNSUPPORTED_SOP_CLASS = 0x0122  # PS3.18 table I.2-2
    NOT_AUTHORISED = 0x0124  # PS3.7 C.5
    OUT_OF_RESOURCES = 0xA700  # PS3.18 table I.2-2
    DOES_NOT_MATCH = 0xA900  # PS3.18 table I.2-2
    OTHER_STUDY = 0xA901  # ours, in the range A9xx
    CANNOT_UNDERSTAND = 0xC000  # PS3.18 table I.2-2
    UNSUPPORTED_SYNTAX = 0xC122  # PS3.18 table I.2-2


class WarningReason(IntEnum):
    """Values of Warning Reason (0008,1196): it is stored, but (PS3.18 table I.2-1)."""

    COERCED = 0xB000
    ELEMENTS_DISCARDED = 0xB006
    DOES_NOT_MATCH = 0xB007


MEANINGS: Final[dict[FailureReason | WarningReason, str]] = {
    FailureReason.PROCESSING_FAILURE: "processing failed",
    FailureReason.DUPLICATE_INSTANCE: "another object has this SOP Instance UID",
    FailureReason.INVALID_INSTANCE: "the SOP Instance UID is not a valid UID",
    FailureReason.MISSING_ATTRIBUTE: "a required attribute is missing",
    FailureReason.UNSUPPORTED_SOP_CLASS: "the SOP class is not supported",
    FailureReason.NOT_AUTHORISED: "not authorised",
    FailureReason.OUT_OF_RESOURCES: "out of resources",
    FailureReason.DOES_NOT_MATCH: "the data set does not match its SOP class",
    FailureReason.OTHER_STUDY: "the Study Instance UID is not that of the request",
    FailureReason.CANNOT_UNDERSTAND: "it cannot be understood",
    FailureReason.UNSUPPORTED_SYNTAX: "the transfer syntax is not supported",
    WarningReason.COERCED: "data elements were coerced",
    WarningReason.ELEMENTS_DISCARDED: "data elements were discarded",
    WarningReason.DOES_NOT_MATCH: "the data set does not match its SOP class",
}
