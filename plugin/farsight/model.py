"""The values that travel between layers. All frozen; none knows where it came from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from farsight.errors import InvalidUid

#: One attribute in the DICOM JSON model: {"vr": ..., "Value" | "BulkDataURI" | "InlineBinary"}.
JsonAttribute = dict[str, Any]
#: One data set in the DICOM JSON model (PS3.18 F.2): eight upper-case hex digits -> attribute.
Attributes = dict[str, JsonAttribute]

_UID = re.compile(r"[0-9.]{1,64}\Z")


def checked_uid(value: str, where: str) -> str:
    """The value itself if it is made of digits and dots, 1 to 64 of them.

    PS3.5 9.1 also forbids leading zeros and empty components, but real objects break those
    rules and must stay reachable; the alphabet is what keeps paths and queries safe.

    Raises: InvalidUid.
    """
    if not _UID.match(value):
        raise InvalidUid(where, value)
    return value


class Level(StrEnum):
    """Query/Retrieve levels of the Study root (PS3.4 C.3.2); values as (0008,0052) spells them."""

    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


@dataclass(frozen=True, slots=True)
class SeriesRef:
    """Names one series by its two UIDs."""

    study_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True, slots=True)
class InstanceRef:
    """Names one instance by its three UIDs."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str

    @property
    def series(self) -> SeriesRef:
        return SeriesRef(self.study_instance_uid, self.series_instance_uid)


@dataclass(frozen=True, slots=True)
class IdentifierKey:
    """One key of a C-FIND identifier: tag as eight hex digits, VR, value ("" for universal).

    The value is Unicode; the adapter encodes it in a character set the PACS understands.
    """

    tag: str
    vr: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class ReceivedInstance:
    """One instance as it came over DIMSE, wrapped into Part 10 bytes, otherwise untouched.

    of_study: the PACS was asked for the whole study, so it may be of any series.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    part10: bytes
    of_study: bool = False


@dataclass(frozen=True, slots=True)
class StoreReply:
    """What a PACS says of one C-STORE (PS3.7 9.1.1.1, PS3.4 B.2.3).

    transfer_syntax_uid: in which it was sent; "": it wasn't, no context was accepted for it.
    was_resent: it was sent before, and the association ended without an answer.
    """

    dimse_status: int
    transfer_syntax_uid: str
    comment: str = ""
    was_resent: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """How an instance came into the archive. kind: "dicom", "rest", "plugin" or another word.

    remote_ae_title: of the sender, for "dicom".
    """

    kind: str
    remote_ae_title: str = ""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One instance that is in the archive now. origin: None where we stored it ourselves."""

    ref: InstanceRef
    resource_id: str
    size_bytes: int
    sop_class_uid: str = ""
    transfer_syntax_uid: str = ""
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class SubOperations:
    """What the PACS says of a C-GET or C-MOVE, under way or when it ends (PS3.7 9.1.3.1).

    remaining: None at the end, and where the PACS doesn't tell.
    """

    completed: int
    failed: int
    warning: int
    dimse_status: int
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class Completeness:
    """The record that a series was checked against a source: expected, stored, source, when."""

    expected: int
    stored: int
    source: str
    checked_at: str  # ISO 8601, UTC

    @property
    def was_whole(self) -> bool:
        """What lacked something when it was checked may lack it still, whatever came since."""
        return self.stored >= self.expected

    def to_json(self) -> Mapping[str, object]:
        return {
            "expected": self.expected,
            "stored": self.stored,
            "source": self.source,
            "checked_at": self.checked_at,
        }
