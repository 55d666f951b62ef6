"""Orthanc's built-in REST API from inside the process, with our errors for its own."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import orthanc

from farsight.adapters.storage_area import Attachment
from farsight.errors import ArchiveError, ArchiveFull, ArchiveRefused, FarsightError, NotFound
from farsight.model import Completeness

LOG = logging.getLogger("farsight.archive")

#: Where the completeness record is kept with a series; Orthanc leaves 1024 to 65535 to users.
COMPLETENESS_METADATA = 10240
#: Where what was made of a series or an instance is kept with it.
FARSIGHT_ATTACHMENT = 10240
NO_LIMIT = 0


class NoContextAccepted(ArchiveError):
    """The modality that Orthanc was to speak to accepted no presentation context for it."""


class NetworkFailed(ArchiveError):
    """The modality could not be reached, or did not answer as it should."""


def post_json(uri: str, body: object) -> Any:
    """Raises: NotFound, NoContextAccepted, NetworkFailed, ArchiveError."""
    try:
        return json.loads(orthanc.RestApiPost(uri, json.dumps(body).encode()))
    except orthanc.OrthancException as error:
        what = f"Orthanc can't do {uri}: {_words(error)}"
        kind = _FAILURES.get(_code(error), ArchiveError)
        raise kind(what) from error


_FAILURES: dict[int, type[FarsightError]] = {
    int(orthanc.ErrorCode.UNKNOWN_RESOURCE): NotFound,
    int(orthanc.ErrorCode.INEXISTENT_ITEM): NotFound,
    int(orthanc.ErrorCode.NETWORK_PROTOCOL): NetworkFailed,
    2015: NoContextAccepted,  # for which not every plugin has a name
}


def get_json(uri: str) -> Any:
    """Raises: NotFound, ArchiveError."""
    return json.loads(get_bytes(uri))


def get_bytes(uri: str) -> bytes:
    """Raises: NotFound, ArchiveError."""
    try:
        return bytes(orthanc.RestApiGet(uri))
    except orthanc.OrthancException as error:
        if _code(error) in (
            orthanc.ErrorCode.UNKNOWN_RESOURCE,
            orthanc.ErrorCode.INEXISTENT_ITEM,
        ):
            raise NotFound(f"{uri} is not stored any more") from error
        raise ArchiveError(f"Orthanc can't answer {uri}: {_words(error)}") from error


def put(uri: str, body: bytes) -> None:
    """Raises: ArchiveError."""
    try:
        orthanc.RestApiPut(uri, body)
    except orthanc.OrthancException as error:
        raise ArchiveError(f"Orthanc can't keep {uri}: {_words(error)}") from error


def find(level: str, query: Mapping[str, str], *, limit: int = NO_LIMIT) -> list[dict[str, Any]]:
    """What `tools/find` answers, expanded. Raises: ArchiveError."""
    body = {"Level": level, "Query": dict(query), "Expand": True, "CaseSensitive": True}
    if limit:
        body["Limit"] = limit
    try:
        found = json.loads(orthanc.RestApiPost("/tools/find", json.dumps(body).encode()))
    except orthanc.OrthancException as error:
        raise ArchiveError(f"Orthanc's search failed: {_words(error)}") from error
    return [dict(resource) for resource in found]


def store_instance(part10: bytes | memoryview, sop_instance_uid: str) -> Mapping[str, Any]:
    """Orthanc's answer to a stored instance. Raises: ArchiveError, ArchiveFull,
    ArchiveRefused."""
    try:
        answer = json.loads(orthanc.RestApiPost("/instances", part10))
    except orthanc.OrthancException as error:
        what = f"Orthanc did not store instance {sop_instance_uid}: {_words(error)}"
        if _code(error) == orthanc.ErrorCode.FULL_STORAGE:
            raise ArchiveFull(what) from error
        if _code(error) == orthanc.ErrorCode.BAD_FILE_FORMAT:
            raise ArchiveRefused(what) from error
        raise ArchiveError(what) from error
    status = answer.get("Status")
    if status not in ("Success", "AlreadyStored"):
        raise ArchiveError(f"Orthanc did not store instance {sop_instance_uid}: {status}")
    return dict(answer)


def lookup(uid: str) -> list[dict[str, Any]]:
    """What is stored under a DICOM UID: {"ID": …, "Type": …}. Raises: ArchiveError."""
    try:
        found = json.loads(orthanc.RestApiPost("/tools/lookup", uid.encode("ascii")))
    except orthanc.OrthancException as error:
        raise ArchiveError(f"Orthanc's search failed: {_words(error)}") from error
    return [dict(one) for one in found]


def delete_resources(resource_ids: Sequence[str]) -> None:
    """Those that are there. Raises: ArchiveError."""
    body = json.dumps({"Resources": list(resource_ids)}).encode()
    try:
        orthanc.RestApiPost("/tools/bulk-delete", body)
    except orthanc.OrthancException as error:
        raise ArchiveError(f"Orthanc did not delete: {_words(error)}") from error


def read_record(series_resource_id: str) -> Completeness | None:
    """The completeness record of a series. Raises: ArchiveError."""
    try:
        raw = get_json(f"/series/{series_resource_id}/metadata/{COMPLETENESS_METADATA}")
        return Completeness(
            expected=int(raw["expected"]),
            stored=int(raw["stored"]),
            source=str(raw["source"]),
            checked_at=str(raw["checked_at"]),
        )
    except NotFound:
        return None
    except (ValueError, KeyError, TypeError):
        LOG.warning("series %s has an unreadable completeness record", series_resource_id)
        return None


def attachment_of(instance: Mapping[str, Any]) -> Attachment:
    """The DICOM file of an instance as Orthanc describes it."""
    uuid, size = instance.get("FileUuid"), instance.get("FileSize")
    if not isinstance(uuid, str) or not isinstance(size, int):
        return Attachment("", 0, is_file=False)
    return Attachment(uuid, size)


def _code(error: Exception) -> Any:
    return error.args[0] if error.args else None


def _words(error: Exception) -> str:
    """What Orthanc says of it; its number stands before that."""
    return str(error.args[-1]) if error.args else "it doesn't say why"
