"""The services of prefetch before one real PACS, and perhaps a worklist, for tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from pydicom.dataset import Dataset, FileDataset

from fakes.memory_archive import MemoryArchive
from fakes.retrieving import retrieving
from fakes.scripted_pacs import ScriptedPacs, wait_until
from farsight.adapters.dimse_pacs import DimsePacs
from farsight.adapters.dimse_worklist import DimseWorklist
from farsight.adapters.pacs_address import PacsAddress
from farsight.model_prefetch import PrefetchRules, Rule
from farsight.services.holdings import RetrieveLimits
from farsight.services.memory_tier import MemoryTier
from farsight.services.openings import Openings
from farsight.services.prefetch_schedule import (
    Clock,
    PrefetchPeers,
    PrefetchSchedule,
    PrefetchStatus,
)
from free_ports import free_port
from pacs_peers import PEERS, Peer
from sample_files import ct_slice, study_uid
from worklist_peers import AE_TITLE, wlmscpfs

NOW = datetime(2024, 6, 1, 12, 0)


def image(
    number: int,
    day: str,
    patient_id: str = "4711",
    *,
    born: str = "19700101",
    modality: str = "CT",
    part: str = "",
    name: str = "Muster^Anna",
) -> FileDataset:
    """The one image of a study of its own."""
    made = ct_slice(1, study=number, size=8)
    made.PatientID, made.PatientName, made.PatientBirthDate = patient_id, name, born
    made.StudyDate, made.Modality = day, modality
    if part:
        made.BodyPartExamined = part
    return made


class Desk:
    """The services before one PACS, and perhaps a worklist, with a clock of the test's own."""

    def __init__(
        self,
        rules: Sequence[Rule],
        peer: Peer | ScriptedPacs,
        ris_port: int,
        stack: ExitStack,
        per_minute: int = 100,
    ) -> None:
        self.peer = peer
        self.pacs = DimsePacs(PacsAddress("pacs", "PACS", "127.0.0.1", peer.port, "FARSIGHT"))
        self.archive = MemoryArchive()
        tier = MemoryTier(64 << 20)
        limits = RetrieveLimits(passes=2, backoff_s=0.01, wait_s=20)
        retrieve, persister = retrieving([self.pacs], self.archive, tier, limits)
        address = PacsAddress("ris", AE_TITLE, "127.0.0.1", ris_port, "FARSIGHT")
        self.s = 0.0
        self.openings = Openings()
        self._schedule = PrefetchSchedule(
            PrefetchRules(tuple(rules), per_minute),
            PrefetchPeers([self.pacs], self.archive, [DimseWorklist(address)]),
            retrieve,
            clock=Clock(lambda: self.s, lambda ahead_s: NOW + timedelta(seconds=self.s + ahead_s)),
        )
        self.openings.listen(self._schedule.opened)
        self._schedule.start()
        for close in (self.pacs.close, retrieve.close):
            stack.callback(close)
        stack.callback(persister.close, 5)
        stack.callback(self._schedule.close, 5)
        stack.callback(self.openings.close, 5)

    @property
    def status(self) -> PrefetchStatus:
        return self._schedule.status()

    def opened(self, number: int) -> None:
        self.openings.opened(study_uid(number))

    def is_at_rest(self) -> bool:
        """Every rule ran, and nothing waits that may go."""
        status = self.status
        ran = all(one.counts.runs for one in status.rules)
        return ran and not status.under_way and (not status.waiting or bool(status.held_up))

    def brought(self) -> list[int]:
        """The studies that are here, once nothing is on its way."""
        wait_until(self.is_at_rest, what="rest")
        uids = {ref.study_instance_uid for ref in self.archive.stored}
        return sorted(int(uid.rsplit(".", 1)[1]) for uid in uids)

    def later(self, seconds: float) -> None:
        self.s += seconds
        self._schedule._wake()


@contextmanager
def desk(
    tmp_path: Path,
    images: Sequence[FileDataset],
    rules: Sequence[Rule],
    *,
    kind: str = "dcmqrscp",
    scheduled: Sequence[Dataset] | None = None,
    per_minute: int = 100,
) -> Iterator[Desk]:
    files = []
    (tmp_path / "files").mkdir()
    for index, one in enumerate(images):
        files.append(tmp_path / "files" / f"{index}.dcm")
        one.save_as(files[-1], enforce_file_format=True)
    with ExitStack() as stack:
        peer = stack.enter_context(PEERS[kind](tmp_path / "pacs", files))
        ris_port = free_port()
        if scheduled is not None:
            ris_port = stack.enter_context(wlmscpfs(tmp_path / "ris", scheduled)).port
        yield Desk(rules, peer, ris_port, stack, per_minute)
