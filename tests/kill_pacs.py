"""The PACS of a kill test, and what they hold, seen without the gateway."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

from kill_ledger import Series
from orthanc_process import OrthancProcess
from pacs_peers import AE_TITLE, Peer, dcmqrscp, orthanc_pacs


class SeenPacs(Protocol):
    """What a PACS holds by its own account."""

    peer: Peer

    def listed(self, series: Collection[Series]) -> Counter[str]:
        """SOPInstanceUIDs of these series, each as often as it is listed."""
        ...

    def files(self, series: Series) -> Iterator[tuple[str, bytes]]:
        """SOPInstanceUID and file of all in a series."""
        ...

    def received(self) -> int:
        """How many objects it ever took; 0 where it doesn't tell."""
        ...


class OrthancPacs:
    """By its REST API."""

    def __init__(self, peer: Peer) -> None:
        assert isinstance(peer.process, OrthancProcess)
        self.peer = peer
        self._rest = peer.process

    def listed(self, series: Collection[Series]) -> Counter[str]:
        found: Counter[str] = Counter()
        for one in series:
            found.update(row["MainDicomTags"]["SOPInstanceUID"] for row in self._rows(one))
        return found

    def files(self, series: Series) -> Iterator[tuple[str, bytes]]:
        for row in self._rows(series):
            file = self._rest.request("GET", f"/instances/{row['ID']}/file")
            yield str(row["MainDicomTags"]["SOPInstanceUID"]), file

    def received(self) -> int:
        since, count = 0, 0
        while True:
            page = self._rest.json(f"/changes?since={since}&limit=10000")
            count += sum(one["ChangeType"] == "NewInstance" for one in page["Changes"])
            if page["Done"]:
                return count
            since = page["Last"]

    def _rows(self, series: Series) -> Sequence[dict[str, Any]]:
        return instances_of(self._rest, series)


class DcmtkPacs:
    """By C-FIND and C-GET."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def listed(self, series: Collection[Series]) -> Counter[str]:
        entity = AE("WITNESS")
        entity.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
        association = entity.associate("127.0.0.1", self.peer.port, ae_title=AE_TITLE)
        assert association.is_established
        found: Counter[str] = Counter()
        for one in series:
            for status, row in association.send_c_find(
                _keys(one), StudyRootQueryRetrieveInformationModelFind
            ):
                assert status.Status in (0, 0xFF00, 0xFF01), status
                if row is not None and "SOPInstanceUID" in row:
                    found[str(row.SOPInstanceUID)] += 1
        association.release()
        return found

    def files(self, series: Series) -> Iterator[tuple[str, bytes]]:
        taken: list[tuple[str, bytes]] = []

        def take(event: Event) -> int:
            data_set = event.dataset
            data_set.file_meta = event.file_meta
            written = BytesIO()
            data_set.save_as(written, enforce_file_format=True)
            taken.append((str(data_set.SOPInstanceUID), written.getvalue()))
            return 0

        entity = AE("WITNESS")
        entity.add_requested_context(StudyRootQueryRetrieveInformationModelGet)
        entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        association = entity.associate(
            "127.0.0.1",
            self.peer.port,
            ae_title=AE_TITLE,
            ext_neg=[build_role(CTImageStorage, scp_role=True)],
            evt_handlers=[(evt.EVT_C_STORE, take)],
        )
        assert association.is_established
        keys = _keys(series)
        keys.QueryRetrieveLevel = "SERIES"
        del keys.SOPInstanceUID
        for status, _ in association.send_c_get(keys, StudyRootQueryRetrieveInformationModelGet):
            assert status.Status in (0, 0xFF00), status
        association.release()
        return iter(taken)

    def received(self) -> int:
        return 0


def _keys(series: Series) -> Dataset:
    keys = Dataset()
    keys.QueryRetrieveLevel = "IMAGE"
    keys.StudyInstanceUID, keys.SeriesInstanceUID = series.study_uid, series.uid
    keys.SOPInstanceUID = ""
    return keys


def instances_of(rest: OrthancProcess, series: Series | None = None) -> list[dict[str, Any]]:
    """Orthanc's rows of the instances of a series, or of all there are."""
    query = {"SeriesInstanceUID": series.uid} if series else {}
    return find(rest, "Instance", query)


def find(rest: OrthancProcess, level: str, query: dict[str, str]) -> list[dict[str, Any]]:
    body = {"Level": level, "Query": query, "Expand": True, "CaseSensitive": True}
    return list(json.loads(rest.request("POST", "/tools/find", json.dumps(body).encode())))


@contextmanager
def pacs_of(
    kind: str, directory: Path, files: Sequence[Path], gateway_port: int
) -> Iterator[SeenPacs]:
    """kind: "orthanc", which commits itself to what it keeps, or "dcmqrscp", which doesn't."""
    if kind == "dcmqrscp":
        with dcmqrscp(directory, files, gateway_port) as peer:
            yield DcmtkPacs(peer)
        return
    gateway = {
        "AET": "FARSIGHT",
        "Host": "127.0.0.1",
        "Port": gateway_port,
        "AllowStorageCommitment": True,
    }
    with orthanc_pacs(directory, files, DicomModalities={"farsight": gateway}) as peer:
        yield OrthancPacs(peer)
