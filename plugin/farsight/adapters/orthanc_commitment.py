"""Storage Commitment by Orthanc itself: its N-ACTION, and what comes to its own DICOM port.

Orthanc takes the N-EVENT-REPORT on another association, from a modality of its DicomModalities
that has the AE title asked and AllowStorageCommitment. It remembers the last hundred transactions
(StorageCommitmentReportsSize), none beyond a restart.

Orthanc tells a PACS that offers no Storage Commitment from one that can't be asked, but not why
that is: no connection, silence, an abort and a refused N-ACTION are all the same to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from farsight.adapters.orthanc_rest import (
    NetworkFailed,
    NoContextAccepted,
    get_json,
    post_json,
)
from farsight.errors import ArchiveError, NotFound, PacsRefusedService, PacsUnavailable
from farsight.model import checked_uid
from farsight.ports.commitment import CommitmentReport

_PENDING, _TOLD = "Pending", frozenset({"Success", "Failure"})


class OrthancCommitments:
    """The Commitments port. PACS have their names of DicomModalities."""

    def __init__(self, timeout_s: int = 3) -> None:
        """`timeout_s`: of each phase of asking; where Orthanc's plugin holds the interpreter lock
        during calls, everything waits for about twice as long when a PACS is silent."""
        self._timeout_s = timeout_s

    def request(self, pacs: str, instances: Sequence[tuple[str, str]]) -> str:
        """See ports.commitment."""
        if not instances:
            raise ValueError("a commitment for no instances")
        body = {
            "DicomInstances": [
                {"SOPClassUID": sop_class_uid, "SOPInstanceUID": sop_instance_uid}
                for sop_class_uid, sop_instance_uid in instances
            ],
            "Timeout": self._timeout_s,
        }
        try:
            answer = post_json(f"/modalities/{pacs}/storage-commitment", body)
        except NoContextAccepted as error:
            raise PacsRefusedService(pacs, "does not offer Storage Commitment") from error
        except (NetworkFailed, NotFound) as error:
            why = "Storage Commitment could not be asked for: no connection, no answer or refused"
            raise PacsUnavailable(pacs, why) from error
        transaction = answer.get("ID") if isinstance(answer, dict) else None
        if not isinstance(transaction, str):
            raise PacsUnavailable(pacs, "Orthanc named no Storage Commitment transaction")
        return transaction

    def report(self, transaction: str) -> CommitmentReport | None:
        """See ports.commitment."""
        told = get_json(f"/storage-commitment/{checked_uid(transaction, 'transaction')}")
        status = told.get("Status") if isinstance(told, dict) else None
        if status == _PENDING:
            return None
        if status not in _TOLD:
            raise ArchiveError(f"storage commitment {transaction} is in the status {status!r}")
        failed = {
            one["SOPInstanceUID"]: int(one["FailureReason"]) for one in _list(told, "Failures")
        }
        committed = {one["SOPInstanceUID"] for one in _list(told, "Success")}
        return CommitmentReport(frozenset(committed - failed.keys()), failed)


def _list(told: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = told.get(key)
    return found if isinstance(found, list) else []
