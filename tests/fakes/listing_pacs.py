"""A PACS that takes instances, lists them, and commits itself to keeping them, as it is told to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
)

from fakes.receiving_pacs import EXPLICIT_LE, IMPLICIT_LE, ReceivingPacs

PUSH_INSTANCE = "1.2.840.10008.1.20.1.1"
NO_SUCH_INSTANCE = 0x0112


class ListingPacs(ReceivingPacs):
    """See ReceivingPacs. May be changed while it runs:

    hides: SOPInstanceUIDs it takes and neither lists nor commits itself to. aborts_at: of those it
    breaks off at. commits: Storage Commitment is offered, on associations from now on; reports go
    to `report_to`, a port, unless it is 0. reasons: SOPInstanceUID -> why it doesn't commit itself.
    looked: how often it was asked for a list. committed: SOPInstanceUIDs it was asked to keep.
    """

    def __init__(self, *arguments: Any, **script: Any) -> None:
        self.hides: set[str] = set()
        self.aborts_at: set[str] = set()
        self.commits = False
        self.report_to = 0
        self.reasons: dict[str, int] = {}
        self.looked = 0
        self.committed: list[str] = []
        self._to_report: Dataset | None = None
        super().__init__(*arguments, **script)
        self._server.bind(evt.EVT_C_FIND, self._find)
        self._server.bind(evt.EVT_N_ACTION, self._asked_to_keep)
        self._server.bind(evt.EVT_RELEASED, self._released)

    def accept(self, kinds: dict[str, list[str]]) -> None:
        """See ReceivingPacs."""
        own = [StudyRootQueryRetrieveInformationModelFind]
        own += [StorageCommitmentPushModel] if self.commits else []
        self._kinds = kinds
        super().accept({**{uid: [EXPLICIT_LE, IMPLICIT_LE] for uid in own}, **kinds})

    def commit(self, report_to: int, reasons: dict[str, int] | None = None) -> None:
        """Storage Commitment is offered from now on."""
        self.commits, self.report_to, self.reasons = True, report_to, reasons or {}
        self.accept(self._kinds)

    @property
    def kept(self) -> set[str]:
        return {one.sop_instance_uid for one in self.taken} - self.hides

    def of(self, sop_instance_uid: str) -> list[bytes]:
        """Every data set it took under that name, in order."""
        return [one.data_set for one in self.taken if one.sop_instance_uid == sop_instance_uid]

    def _store(self, event: Event) -> Dataset:
        uid = str(event.request.AffectedSOPInstanceUID)
        if uid in self.aborts_at:
            self.asked.append(uid)
            event.assoc.abort()
            return _nothing()
        return super()._store(event)

    def _find(self, event: Event) -> Iterator[tuple[int, Dataset]]:
        self.looked += 1
        asked = event.identifier
        listed: set[str] = set()
        for one in list(self.taken):
            uid = one.sop_instance_uid
            found = _read(one.data_set, one.transfer_syntax_uid)
            same = (found.StudyInstanceUID, found.SeriesInstanceUID) == (
                asked.StudyInstanceUID,
                asked.SeriesInstanceUID,
            )
            if same and uid not in self.hides | listed:
                listed.add(uid)
                row = Dataset()
                row.QueryRetrieveLevel, row.SOPInstanceUID = "IMAGE", uid
                row.StudyInstanceUID = asked.StudyInstanceUID
                row.SeriesInstanceUID = asked.SeriesInstanceUID
                yield 0xFF00, row

    def _asked_to_keep(self, event: Event) -> tuple[int, None]:
        asked = event.action_information
        self._to_report = told = Dataset()
        told.TransactionUID = asked.TransactionUID
        told.ReferencedSOPSequence, told.FailedSOPSequence = [], []
        for item in asked.ReferencedSOPSequence:
            uid = str(item.ReferencedSOPInstanceUID)
            self.committed.append(uid)
            reason = self.reasons.get(uid, 0 if uid in self.kept else NO_SUCH_INSTANCE)
            if reason:
                item.FailureReason = reason
                told.FailedSOPSequence.append(item)
            else:
                told.ReferencedSOPSequence.append(item)
        return 0x0000, None

    def _released(self, _event: Event) -> None:
        told, self._to_report = self._to_report, None
        if told is None or not self.report_to:
            return
        entity = AE("PACS")
        entity.add_requested_context(StorageCommitmentPushModel)
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        association = entity.associate(
            "127.0.0.1", self.report_to, ext_neg=[role], ae_title="FARSIGHT"
        )
        if association.is_established:
            kind = 2 if told.FailedSOPSequence else 1
            association.send_n_event_report(told, kind, StorageCommitmentPushModel, PUSH_INSTANCE)
            association.release()


def _nothing() -> Dataset:
    """An answer that never gets there."""
    answer = Dataset()
    answer.Status = 0x0110
    return answer


def _read(data_set: bytes, transfer_syntax_uid: str) -> Dataset:
    return read_dataset(
        DicomBytesIO(data_set),
        is_implicit_VR=transfer_syntax_uid == IMPLICIT_LE,
        is_little_endian=True,
    )


@contextlib.contextmanager
def listing_pacs(*arguments: Any, **script: Any) -> Iterator[ListingPacs]:
    """Listening, and closed whatever happens."""
    pacs = ListingPacs(*arguments, **script)
    try:
        yield pacs
    finally:
        pacs.close()
