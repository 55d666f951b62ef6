"""Value representations (PS3.5 6.2): their length fields, and the VR where an element has none.

Implicit VR data sets and elements of VR UN get theirs from the data dictionary (PS3.6), private
ones from the dictionary of their creator (PS3.5 7.8), both as pydicom carries them.
"""

from __future__ import annotations

import functools
from typing import Final

from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import get_entry, get_private_entry
from pydicom.tag import Tag

#: VRs with a 16-bit length field in explicit VR (PS3.5 table 7.1-2), keyed as they are encoded.
SHORT_VRS: Final = {
    name.encode(): name
    for name in (
        "AE",
        "AS",
        "AT",
        "CS",
        "DA",
        "DS",
        "DT",
        "FL",
        "FD",
        "IS",
        "LO",
        "LT",
        "PN",
        "SH",
        "SL",
        "SS",
        "ST",
        "TM",
        "UI",
        "UL",
        "US",
    )
}
#: VRs with two reserved bytes and a 32-bit length field (PS3.5 table 7.1-1).
LONG_VRS: Final = {
    name.encode(): name
    for name in ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
}

US_OR_SS: Final = "US or SS"
US_OR_OW: Final = "US or OW"

#: VRs that the rest of the data set decides; whichever else is ambiguous is OW in implicit VR.
AMBIGUOUS: Final = frozenset({US_OR_SS, US_OR_OW})

#: Size in bytes of the units whose byte order matters.
WORD_BYTES: Final = {
    **dict.fromkeys(("AT", "US", "SS", "OW"), 2),
    **dict.fromkeys(("UL", "SL", "FL", "OL", "OF"), 4),
    **dict.fromkeys(("UV", "SV", "FD", "OV", "OD"), 8),
}

#: VRs whose values read the same in either byte order.
NO_BYTE_ORDER: Final = (set(SHORT_VRS.values()) | set(LONG_VRS.values())) - {*WORD_BYTES, "SQ"}

_PER_STANDARD = {"OB or OW": "OW", "OB_OW": "OW", "US or SS or OW": "OW", "NONE": "UN"}


def _settled(vr: str) -> str:
    return _PER_STANDARD.get(vr, vr)


#: VR by tag for every public element whose tag has no repeating part.
PUBLIC_VRS: Final[dict[int, str]] = {
    tag: _settled(entry[0]) for tag, entry in DicomDictionary.items() if tag >> 16 != 0xFFFE
}


@functools.lru_cache(maxsize=4096)
def public_vr(tag: int) -> str | None:
    """The VR of a public element, repeating groups (50xx, 60xx) included; None if unknown."""
    if tag & 0xFFFF == 0:
        return "UL"  # group length
    try:
        return _settled(get_entry(Tag(tag))[0])
    except KeyError:
        return None


@functools.lru_cache(maxsize=16384)
def private_vr(tag: int, creator: str) -> str | None:
    """The VR of a private element by its private creator; None if nobody knows it."""
    try:
        return _settled(get_private_entry(Tag(tag), creator)[0])
    except KeyError:
        return None


def is_private(tag: int) -> bool:
    return bool(tag & 0x00010000)


def is_private_creator(tag: int) -> bool:
    """(gggg,0010-00FF) with odd gggg names the owner of a private block (PS3.5 7.8.1)."""
    return bool(tag & 0x00010000) and 0x10 <= tag & 0xFFFF <= 0xFF
