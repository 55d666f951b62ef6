"""DIMSE status codes and what they mean to us (PS3.4 C.4, PS3.7 annex C)."""

from __future__ import annotations

PENDING = (0xFF00, 0xFF01)
SUCCESS = 0x0000
CANCELLED = 0xFE00
#: C-GET, C-MOVE: sub-operations complete, one or more failures or warnings (PS3.4 C.4.3.1.4).
SUB_OPERATIONS_WARNING = 0xB000
#: The service itself isn't there (PS3.7 C.5.10, C.5.15 and kin): another engine may work.
REFUSED_SERVICE = frozenset({0x0118, 0x0122, 0x0211})
#: What we answer to a C-STORE sub-operation that we don't want any more (PS3.4 B.2.3).
OUT_OF_RESOURCES = 0xA700
#: The identifier isn't one this PACS takes at this level (PS3.4 C.4.2.1.5, C.4.3.1.4).
IDENTIFIER_MISMATCH = 0xA900

#: The SOP class isn't taken (PS3.7 C.5.6, PS3.4 B.2.3).
SOP_CLASS_NOT_SUPPORTED = 0x0122
_RESOURCE_LIMITATION = 0x0213
#: C-STORE: taken, with a remark (PS3.7 C.4, PS3.4 B.2.3).
_STORED_WITH_WARNING = frozenset({0x0001, 0x0107, 0x0116})

_MEANINGS = {
    0x0105: "no such attribute",
    0x0106: "invalid attribute value",
    0x0110: "processing failure",
    0x0112: "no such SOP instance",
    0x0111: "duplicate SOP instance",
    0x0117: "invalid SOP instance",
    0x0118: "no such SOP class",
    0x0122: "SOP class not supported",
    0x0124: "not authorized",
    0x0210: "duplicate invocation",
    0x0211: "unrecognized operation",
    0x0212: "mistyped argument",
    0x0213: "resource limitation",
    0xA700: "out of resources",
    0xA701: "out of resources, unable to calculate the number of matches",
    0xA702: "out of resources, unable to perform sub-operations",
    0xA801: "move destination unknown",
    0xA900: "identifier does not match SOP class",
    0xB000: "sub-operations complete, with failures or warnings",
    0xFE00: "cancelled",
}


def refuses_identifier(status: int | None) -> bool:
    """Whether asking in another way may help: at another level, or for one UID at a time."""
    if status is None:
        return False
    return status in (IDENTIFIER_MISMATCH, 0x0106, 0x0110) or 0xC000 <= status <= 0xCFFF


def is_out_of_resources(status: int) -> bool:
    """Whether it may be another answer some time later."""
    return 0xA700 <= status <= 0xA7FF or status == _RESOURCE_LIMITATION


def is_stored(status: int) -> bool:
    """Whether a C-STORE was answered by success or a warning: the PACS has the instance."""
    return status == SUCCESS or status in _STORED_WITH_WARNING or 0xB000 <= status <= 0xBFFF


def describe_store(status: int) -> str:
    """As `describe`, where the same code means another thing for C-STORE (PS3.4 B.2.3)."""
    if 0xB000 <= status <= 0xBFFF:
        return _STORE_WARNINGS.get(status, "stored, with a warning")
    if 0xA900 <= status <= 0xA9FF:
        return "data set does not match SOP class"
    if 0xC000 <= status <= 0xCFFF:
        return "cannot understand"
    return describe(status)


_STORE_WARNINGS = {
    0xB000: "coercion of data elements",
    0xB006: "elements discarded",
    0xB007: "data set does not match SOP class, stored all the same",
}


def describe(status: int) -> str:
    """A few words for a status; classes of codes where the standard defines a class."""
    if status in _MEANINGS:
        return _MEANINGS[status]
    if 0xC000 <= status <= 0xCFFF:
        return "unable to process"
    if 0xA700 <= status <= 0xA7FF:
        return "out of resources"
    return "failure"
