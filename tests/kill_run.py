"""kill -9 of a gateway before a real PACS, again and again, and what is true afterwards."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from free_ports import free_port
from kill_checks import Checks
from kill_ledger import Ledger, Name, Series, file_of
from kill_pacs import SeenPacs, pacs_of
from kill_workload import Doors, Load, Shelf
from orthanc_process import OrthancProcess, gateway_configuration

_OWN_STUDIES, _OWN_SERIES, _OWN_INSTANCES = 5, 2, 6
_LONGEST_LIFE_S = 3.0
_SHORTEST_LIFE_S = 0.1
_KILLED_AT_START = 0.1
_LONGEST_START_S = 1.5
_FULL_CHECK_EVERY = 10
_LOGS_KEPT = 3


@dataclass(frozen=True)
class Plan:
    """pacs: see kill_pacs.pacs_of. confirm_by, retrieve: as in Farsight.Pacs."""

    kills: int
    seed: int
    pacs: str = "orthanc"
    confirm_by: str = "auto"
    retrieve: str = "auto"


class KillRun:
    """One gateway through many lives."""

    def __init__(self, plan: Plan, gateway: OrthancProcess, pacs: SeenPacs) -> None:
        self.plan = plan
        self.ledger = Ledger()
        self.kills = 0
        self.evicted = 0
        self._gateway = gateway
        self._pacs = pacs
        self._chance = random.Random(plan.seed)
        own = [Series(study, series) for study, series, number in _own() if number == 1]
        self.ledger.offer(_own())
        self.ledger.acknowledge(name.uid for name in _own())  # they have to be there, too
        self._shelf = Shelf(self.ledger, own, first_study=100)
        self._checks = Checks(self.ledger, gateway, pacs)

    def run(self, tell: Callable[[str], None] = lambda _: None) -> None:
        """Stops at the first kill after which something is wrong. `tell`: how far it is."""
        full_check_at = _FULL_CHECK_EVERY
        self._start()
        while self.kills < self.plan.kills:
            self._live_and_die()
            self._start()
            self._checks.at_once()
            if self.kills >= full_check_at and not self.ledger.problems:
                self._checks.all(thorough=False)
                full_check_at = self.kills + _FULL_CHECK_EVERY
                tell(str(self.figures()))
            if self.ledger.problems:
                return
        self._checks.all(thorough=True)

    def figures(self) -> dict[str, int]:
        """Of all lives together."""
        counts = self.ledger.counts
        acknowledged = self.ledger.acknowledged()
        received = self._pacs.received()
        return {
            "kills": self.kills,
            "requests": sum(counts[kind] for kind in ("STOW", "C-STORE", "DELETE"))
            + sum(counts[kind] for kind in ("metadata", "series", "frame")),
            "acknowledged": len(acknowledged) - len(_own()),
            "acknowledged again": self.ledger.most_acknowledged() - len(acknowledged),
            "sent again": received - self._checks.at_pacs if received else 0,
            "evicted": self.evicted,
            "short, and said so": counts["short, and says so"],
            "found wrong": len(self.ledger.problems),
        }

    def told(self) -> str:
        """What is needed to understand a failure."""
        lines = [f"{self.plan}, after {self.kills} kills:", *self.ledger.problems[:20]]
        log = self._gateway.log()[-6000:]
        return "\n".join([*lines, str(self._gateway.directory), str(self.figures()), log])

    def _live_and_die(self) -> None:
        gateway = self._gateway
        doors = Doors(gateway.full_door_url, gateway.url, gateway.dicom_port)
        load = Load(self.ledger, self._shelf, doors, self._chance.randrange(1 << 30))
        load.start()
        load.wait_until_under_way()
        time.sleep(self._chance.uniform(_SHORTEST_LIFE_S, _LONGEST_LIFE_S))
        self._kill()
        load.end()
        self.evicted += load.evicted

    def _kill(self) -> None:
        self._gateway.stop(kill=True)
        self.kills += 1

    def _start(self) -> None:
        """Now and then it is killed while it starts."""
        while self.kills < self.plan.kills and self._chance.random() < _KILLED_AT_START:
            self._keep_log()
            self._gateway.start(wait=False)
            time.sleep(self._chance.uniform(0, _LONGEST_START_S))
            self._kill()
        self._keep_log()
        self._gateway.start()

    def _keep_log(self) -> None:
        """Of the last lives; the new one begins with an empty one."""
        path = self._gateway.log_path
        if path.exists():
            path.rename(path.with_suffix(f".{self.kills % _LOGS_KEPT}.log"))


def _own() -> list[Name]:
    """What the PACS has from the beginning."""
    return [
        Name(study, series, number)
        for study in range(1, _OWN_STUDIES + 1)
        for series in range(1, _OWN_SERIES + 1)
        for number in range(1, _OWN_INSTANCES + 1)
    ]


@contextmanager
def kill_run(directory: Path, plan: Plan) -> Iterator[KillRun]:
    """A PACS with studies of its own, and a gateway before it that isn't started yet."""
    files = directory / "files"
    files.mkdir(parents=True)
    for number, name in enumerate(_own()):
        (files / f"{number}.dcm").write_bytes(file_of(name))
    dicom_port = free_port()
    with pacs_of(plan.pacs, directory / "pacs", sorted(files.iterdir()), dicom_port) as pacs:
        gateway = OrthancProcess(
            directory / "gateway", _configuration(plan, pacs.peer.port, dicom_port)
        )
        try:
            yield KillRun(plan, gateway, pacs)
        finally:
            gateway.stop(kill=True)


def _configuration(plan: Plan, pacs_port: int, dicom_port: int) -> dict[str, object]:
    modality = {
        "AET": "PACS",
        "Host": "127.0.0.1",
        "Port": pacs_port,
        "AllowStorageCommitment": True,
    }
    farsight = {
        "Pacs": {"pacs": {"ConfirmBy": plan.confirm_by, "Retrieve": plan.retrieve}},
        "Stow": {"ForwardTo": ["pacs"]},
        "Outbox": {"Retry": 0.5, "LongestRetry": 2, "ConfirmAfter": 0.2},
        "Cache": {"MaxMegabytes": 1, "MinFreeMegabytes": 0, "FreshSeconds": 1},
    }
    return gateway_configuration({"pacs": modality}, farsight, DicomPort=dicom_port)
