"""What became of everything in a request to store: the answer (PS3.18 10.5.3, annex I).

DICOM's answer has codes and no room for words: Error Comment (0000,0902) is of a command, not of a
data set. Words go into Warning headers (RFC 7234 5.5), as other archives have it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from farsight.errors import BadRequest
from farsight.model import Attributes, JsonAttribute
from farsight.ps318.dicom_xml import native_dicom_model
from farsight.ps318.media_type import DICOM_XML, Offer
from farsight.ps318.store_reasons import MEANINGS, FailureReason, WarningReason

#: A header can't hold any number of words.
_MOST_WARNINGS: Final = 8
_MOST_NAMED: Final = 3
_LONGEST_DETAIL: Final = 200


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One instance that is stored. retrieve_url: absolute, of the instance.

    original_attributes: one item of Original Attributes Sequence (0400,0561), if any were changed.
    detail: of the warning, for people; never patient data.
    """

    sop_class_uid: str
    sop_instance_uid: str
    retrieve_url: str
    warning_reason: WarningReason | None = None
    original_attributes: Attributes | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class FailedItem:
    """One part of the request that is not stored. UIDs: checked ones, "" where they can't be told.

    detail: why, for people; never patient data. part: its number in the message, from 1 on; 0 where
    there is none.
    """

    sop_class_uid: str
    sop_instance_uid: str
    reason: FailureReason
    detail: str = ""
    part: int = 0

    @property
    def name(self) -> str:
        """For people; "" where it has none."""
        return self.sop_instance_uid or (f"part {self.part}" if self.part else "")

    @property
    def is_named(self) -> bool:
        """Whether it can be referenced: that takes both UIDs (PS3.3 table 10-11)."""
        return bool(self.sop_class_uid and self.sop_instance_uid)


@dataclass(frozen=True, slots=True)
class StoreReport:
    """All that was in the request. study_url: absolute; "" if none or several studies were stored.

    Nothing that came is left out: `stored` and `failed` have one item for each instance.
    """

    stored: Sequence[StoredItem]
    failed: Sequence[FailedItem] = ()
    study_url: str = ""


def store_status(report: StoreReport) -> int:
    """HTTP status (PS3.18 table 10.5.3-1): 200, 202 for warnings and failures, 409 for no success.

    503 if nothing but room was missing (table 8.5-1): a client gives up after 409, and this one
    should come again. Raises: BadRequest where there was nothing to be stored (10.5.1.4).
    """
    if not report.stored and not report.failed:
        raise BadRequest("the body holds nothing to be stored")
    if not report.stored:
        reasons = {item.reason for item in report.failed}
        return 503 if reasons == {FailureReason.OUT_OF_RESOURCES} else 409
    warned = any(item.warning_reason is not None for item in report.stored)
    return 202 if warned or report.failed else 200


def store_attributes(report: StoreReport) -> Attributes:
    """The Store Instances Response Module (PS3.18 table I.1-1)."""
    named = [_failed(item) for item in report.failed if item.is_named]
    others = [{"00081197": _us(item.reason)} for item in report.failed if not item.is_named]
    attributes: Attributes = {"00081190": _text("UR", report.study_url)}
    if named:
        attributes["00081198"] = _sequence(named)
    if report.stored:
        attributes["00081199"] = _sequence([_stored(item) for item in report.stored])
    if others:
        attributes["0008119A"] = _sequence(others)
    return attributes


def store_payload(report: StoreReport, offer: Offer) -> bytes:
    """The module in the media type that media_type.choose_store_response chose.

    In JSON it is one object and no array: it is what clients take.
    """
    attributes = store_attributes(report)
    if offer.media_type == DICOM_XML:
        return native_dicom_model(attributes)
    return json.dumps(attributes, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def store_warnings(report: StoreReport) -> list[str]:
    """Texts for warning.warning_value: every reason with its words, and some of the instances by
    their UID or the number of their part.

    At most a handful: what the payload says in codes is complete.
    """
    groups: dict[tuple[FailureReason | WarningReason, str], list[str]] = {}
    for failed in report.failed:
        groups.setdefault((failed.reason, failed.detail), []).append(failed.name)
    for stored in report.stored:
        if stored.warning_reason is not None:
            key = (stored.warning_reason, stored.detail)
            groups.setdefault(key, []).append(stored.sop_instance_uid)
    said = [_words(*key, uids) for key, uids in groups.items()][:_MOST_WARNINGS]
    if more := len(groups) - len(said):
        said.append(f"{more} more reasons are not told here")
    return said


def _words(reason: FailureReason | WarningReason, detail: str, names: Sequence[str]) -> str:
    done = "stored with a warning" if isinstance(reason, WarningReason) else "not stored"
    why = f"{MEANINGS[reason]}{detail and ': ' + detail[:_LONGEST_DETAIL]}"
    known = [name for name in names if name]
    some = ", ".join(known[:_MOST_NAMED]) + (" and others" if len(known) > _MOST_NAMED else "")
    return f"{len(names)} {done} (0x{reason:04X}), {why}{some and ' [' + some + ']'}"


def _stored(item: StoredItem) -> Attributes:
    attributes = _reference(item.sop_class_uid, item.sop_instance_uid)
    attributes["00081190"] = _text("UR", item.retrieve_url)
    if item.warning_reason is not None:
        attributes["00081196"] = _us(item.warning_reason)
    if item.original_attributes is not None:
        attributes["04000561"] = _sequence([item.original_attributes])
    return attributes


def _failed(item: FailedItem) -> Attributes:
    attributes = _reference(item.sop_class_uid, item.sop_instance_uid)
    attributes["00081197"] = _us(item.reason)
    return attributes


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Attributes:
    """SOP Instance Reference Macro (PS3.3 table 10-11)."""
    return {"00081150": _text("UI", sop_class_uid), "00081155": _text("UI", sop_instance_uid)}


def _text(vr: str, value: str) -> JsonAttribute:
    return {"vr": vr, "Value": [value]} if value else {"vr": vr}


def _us(value: int) -> JsonAttribute:
    return {"vr": "US", "Value": [int(value)]}


def _sequence(items: Sequence[dict[str, Any]]) -> JsonAttribute:
    return {"vr": "SQ", "Value": list(items)}
