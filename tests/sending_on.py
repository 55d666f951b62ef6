"""A gateway that sends on what is stored in it, and how it stands with that."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind

from fakes.scripted_pacs import wait_until
from farsight.dicom.part10 import opening, parse_object
from free_ports import free_port
from orthanc_process import OrthancProcess, gateway_configuration
from pacs_peers import AE_TITLE
from stowing import new_study, part10, store, uid_of

TIMEOUT_S = 30
#: Nothing a test waits for takes longer than it has to.
SOON = {"Retry": 0.1, "LongestRetry": 0.5, "ConfirmAfter": 0.1}
PATIENT = ("Muster", "PAT1", "ACC1")


def modality(port: int, ae_title: str = AE_TITLE) -> dict[str, Any]:
    """An entry of DicomModalities."""
    return {"AET": ae_title, "Host": "127.0.0.1", "Port": port, "AllowStorageCommitment": True}


@dataclass
class Onward:
    """One such gateway; `told`: what earlier runs of it logged."""

    process: OrthancProcess
    told: str = ""

    @property
    def doors(self) -> tuple[str, str]:
        return self.process.full_door_url, self.process.url

    def stow(self, files: Sequence[bytes], door: int = 0) -> None:
        """All of it is accepted."""
        answer = store(self.doors[door], files)
        assert answer.status == 200, answer.body
        assert answer.stored == [uid_of(file) for file in files]

    def standing(self, to: str = "pacs") -> dict[str, Any]:
        """How it stands with one PACS."""
        told = self.process.json("/farsight/outbox")["destinations"]
        (found,) = [one for one in told if one["destination"] == to]
        return dict(found)

    def counts(self, to: str = "pacs") -> tuple[int, int, int]:
        """Waiting, sent, dead."""
        found = self.standing(to)
        return found["waiting"], found["sent"], found["dead"]

    def parcels(self, stage: str, **more: Any) -> list[dict[str, Any]]:
        query = {"stage": stage, "limit": 1000, **more}
        answer = requests.get(f"{self.doors[0]}/farsight/outbox", params=query, timeout=TIMEOUT_S)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["parcels"])

    def order(self, what: str, **body: Any) -> requests.Response:
        """`what`: "retry" or "discard"."""
        url = f"{self.doors[0]}/farsight/outbox/{what}"
        return requests.post(url, json=body, timeout=TIMEOUT_S)

    def cache(self) -> dict[str, Any]:
        return dict(self.process.json("/farsight/cache"))

    def wait_for(self, waiting: int, sent: int, dead: int, to: str = "pacs") -> None:
        wanted = waiting, sent, dead
        try:
            wait_until(lambda: self.counts(to) == wanted, TIMEOUT_S, f"{wanted} for {to}")
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.standing(to)}\n{self.log()[-2000:]}") from None

    def wait_until_settled(self, to: str = "pacs") -> None:
        """Everything is known to be kept there."""
        self.wait_for(0, 0, 0, to)

    def unconfirmed(self) -> int:
        return int(self.cache()["unconfirmed_instances"])

    def metrics(self) -> dict[str, float]:
        """Those of sending on and of the store, by name and labels."""
        text = requests.get(f"{self.doors[0]}/farsight/metrics", timeout=TIMEOUT_S).text
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}

    def restart(self, *, kill: bool = False, between: Any = lambda: None) -> None:
        self.process.stop(kill=kill)
        self.told = self.log()
        self.process.log_path.unlink()  # the next full door has another port
        between()
        self.process.start()

    def log(self) -> str:
        """Of all runs."""
        return self.told + self.process.log()

    def assert_tells_nothing_of_patients(self) -> None:
        """Neither in the log nor where it tells how it stands."""
        full = self.doors[0]
        pages = ["", "status", "metrics", "outbox", "cache"]
        pages += [f"outbox?stage={stage}" for stage in ("waiting", "sent", "dead")]
        told = [requests.get(f"{full}/farsight/{page}", timeout=TIMEOUT_S).text for page in pages]
        for text in (self.log(), *told):
            assert [word for word in PATIENT if word in text] == []


@contextmanager
def onward(
    directory: Path,
    modalities: dict[str, dict[str, Any]],
    *,
    forward_to: Sequence[str] | None = None,
    stow: dict[str, Any] | None = None,
    outbox: dict[str, Any] | None = None,
    pacs: dict[str, Any] | None = None,
    farsight: dict[str, Any] | None = None,
    **orthanc: Any,
) -> Iterator[Onward]:
    """Running. `modalities`: all are PACS, and all that is stored goes to all unless `forward_to`
    says to which; `pacs`: of Farsight.Pacs, for each."""
    configuration = gateway_configuration(
        modalities,
        {
            "Pacs": {name: pacs or {} for name in modalities},
            "Stow": {"ForwardTo": list(forward_to or modalities), **(stow or {})},
            "Outbox": {**SOON, **(outbox or {})},
            **(farsight or {}),
        },
        **{"DicomPort": free_port(), **orthanc},
    )
    process = OrthancProcess(directory, configuration)
    process.start()
    try:
        yield Onward(process)
    finally:
        process.stop()


def new_studies(count: int, instances: int, *, size: int = 16) -> list[list[bytes]]:
    """Files of studies that nobody has stored before."""
    return [[part10(image) for image in new_study(instances, size=size)] for _ in range(count)]


def data_set(file: bytes) -> bytes:
    """What is behind the file meta information."""
    return file[opening(file)[0] :]


def study_of(file: bytes) -> str:
    return parse_object(file).study_instance_uid


def listed(port: int, files: Sequence[bytes]) -> list[str]:
    """What the PACS lists of the series of these files, each as often as it does."""
    entity = AE("LOOKING")
    entity.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    association = entity.associate("127.0.0.1", port, ae_title=AE_TITLE)
    assert association.is_established
    found: list[str] = []
    read = [parse_object(file) for file in files]
    for study, series in sorted({(o.study_instance_uid, o.series_instance_uid) for o in read}):
        asked = Dataset()
        asked.QueryRetrieveLevel, asked.SOPInstanceUID = "IMAGE", ""
        asked.StudyInstanceUID, asked.SeriesInstanceUID = study, series
        for status, row in association.send_c_find(
            asked, StudyRootQueryRetrieveInformationModelFind
        ):
            if row is not None and status.Status in (0xFF00, 0xFF01):
                found.append(str(row.SOPInstanceUID))
    association.release()
    return sorted(found)


def uids(files: Sequence[bytes]) -> list[str]:
    return sorted(uid_of(file) for file in files)


def storescu(
    gateway: Onward, files: Sequence[bytes], directory: Path, *, calling: str = "MODALITY"
) -> tuple[int, str]:
    """A modality sends files in one association; its exit code and what it says."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / f"{number:04d}.dcm" for number in range(len(files))]
    for path, file in zip(paths, files, strict=True):
        path.write_bytes(file)
    command = ["storescu", "-v", "-aet", calling, "-aec", "FARSIGHT", "127.0.0.1"]
    done = subprocess.run(
        [*command, str(gateway.process.dicom_port), *map(str, paths)],
        check=False, capture_output=True, text=True, timeout=TIMEOUT_S,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr
