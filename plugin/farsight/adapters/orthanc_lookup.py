"""Questions to Orthanc's index, answered as our own values."""

from __future__ import annotations

import functools
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from farsight.adapters import orthanc_rest as rest
from farsight.adapters.archive_index import StoredInstance
from farsight.errors import NotFound
from farsight.model import Arrival, InstanceRef, Origin

LOG = logging.getLogger("farsight.archive")

#: What Orthanc calls the ways by which an instance comes in; the others keep its word for them.
_KINDS = {"DicomProtocol": "dicom", "RestApi": "rest", "Plugins": "plugin"}
#: More than any Orthanc takes in within a minute.
_LATEST_CHANGES = 100_000


def rows_of(study_instance_uid: str) -> list[StoredInstance]:
    """All that is stored of a study. Raises: ArchiveError."""
    query = {"StudyInstanceUID": study_instance_uid}
    series_uids = {
        str(found["ID"]): str(found["MainDicomTags"]["SeriesInstanceUID"])
        for found in rest.find("Series", query)
    }
    return [
        StoredInstance(
            InstanceRef(
                study_instance_uid,
                series_uids[str(found["ParentSeries"])],
                str(found["MainDicomTags"]["SOPInstanceUID"]),
            ),
            str(found["ID"]),
            str(found["ParentSeries"]),
            rest.attachment_of(found),
        )
        for found in (rest.find("Instance", query) if series_uids else ())
        if str(found["ParentSeries"]) in series_uids
    ]


def named(sop_instance_uid: str) -> list[InstanceRef]:
    """See ports.Archive."""
    refs = []
    for resource_id in ids_named(sop_instance_uid):
        try:
            refs.append(ref_of(rest.get_json(f"/instances/{resource_id}")))
        except NotFound:
            continue  # deleted meanwhile
    return refs


def ids_named(sop_instance_uid: str) -> list[str]:
    """Resource ids of stored instances of that name. Raises: ArchiveError."""
    found = rest.lookup(sop_instance_uid)
    return [str(one["ID"]) for one in found if one.get("Type") == "Instance"]


def patient_ids(study_instance_uid: str, series: Collection[str] | None) -> frozenset[str]:
    """See ports.Archive. `series`: resource ids of all its series, where they are known."""
    if series is not None:
        try:
            return frozenset(map(_patient_of_series, series))
        except NotFound:
            LOG.debug("a series of study %s is gone", study_instance_uid)
    found: set[str] = set()
    for one in rest.lookup(study_instance_uid):
        if one.get("Type") == "Study":
            try:
                found.add(_patient_id(str(one["ID"])))
            except NotFound:
                continue  # deleted meanwhile
    return frozenset(found)


@functools.lru_cache(maxsize=8192)
def _patient_of_series(series_resource_id: str) -> str:
    """PatientID. An identifier of Orthanc's is made of the patient's too: it says who for ever.

    Raises: NotFound, ArchiveError.
    """
    return _patient_id(str(rest.get_json(f"/series/{series_resource_id}")["ParentStudy"]))


@functools.lru_cache(maxsize=1024)
def _patient_id(study_resource_id: str) -> str:
    study = rest.get_json(f"/studies/{study_resource_id}")
    return str(study.get("PatientMainDicomTags", {}).get("PatientID", ""))


def arrival_of(resource_id: str) -> Arrival | None:
    """What is to be known of a stored instance; None where it is gone. Raises: ArchiveError."""
    try:
        instance = rest.get_json(f"/instances/{resource_id}")
        metadata = rest.get_json(f"/instances/{resource_id}/metadata?expand")
        ref = ref_of(instance)
    except NotFound:
        return None
    word = str(metadata.get("Origin", ""))
    return Arrival(
        ref,
        resource_id,
        rest.attachment_of(instance).size,
        str(metadata.get("SopClassUid", "")),
        str(metadata.get("TransferSyntax", "")),
        Origin(_KINDS.get(word, word.lower()), str(metadata.get("RemoteAET", "")).strip()),
    )


def resource_ids() -> Sequence[str]:
    """Of all instances there are. Raises: ArchiveError."""
    return [str(resource_id) for resource_id in rest.get_json("/instances")]


def latest_ids() -> Sequence[str]:
    """Of the instances that came in last, again and again maybe. Raises: ArchiveError."""
    last = int(rest.get_json("/changes?last")["Last"])
    since = max(0, last - _LATEST_CHANGES)
    changes = rest.get_json(f"/changes?since={since}&limit={_LATEST_CHANGES}")["Changes"]
    return [str(one["ID"]) for one in changes if one["ChangeType"] == "NewInstance"]


def ref_of(instance: Mapping[str, Any]) -> InstanceRef:
    """Of one that Orthanc describes. Raises: NotFound, ArchiveError."""
    uids = _uids_of_series(str(instance["ParentSeries"]))
    return InstanceRef(*uids, str(instance["MainDicomTags"]["SOPInstanceUID"]))


@functools.lru_cache(maxsize=8192)
def _uids_of_series(series_resource_id: str) -> tuple[str, str]:
    """Of its study and its own, which its identifier is made of: they stay.

    Raises: NotFound, ArchiveError.
    """
    series = rest.get_json(f"/series/{series_resource_id}")
    study = rest.get_json(f"/studies/{series['ParentStudy']}")
    return (
        str(study["MainDicomTags"]["StudyInstanceUID"]),
        str(series["MainDicomTags"]["SeriesInstanceUID"]),
    )
