"""One Orthanc with Farsight and the official DICOMweb plugin in it, and the ways to ask it."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from benchmarks.http_load import Measured

from orthanc_process import (
    PLUGINS,
    OrthancProcess,
    gateway_configuration,
    running_orthanc,
)


@dataclass
class Door:
    """Where the same is asked for, and what came of it: of a trial, then of each round."""

    name: str
    port: int
    root: str
    status: int = 0
    length: int = 0
    requests: int = 0
    rounds: list[Measured] = field(default_factory=list)

    @property
    def answers(self) -> bool:
        return self.status == 200

    @property
    def per_second(self) -> float:
        """Median of the rounds."""
        return statistics.median(found.per_second for found in self.rounds)

    @property
    def broken(self) -> int:
        return sum(found.broken for found in self.rounds)

    def latency_ms(self, percent: int) -> float:
        """Percentile of the requests of all rounds."""
        every = sorted(ms for found in self.rounds for ms in found.latencies_ms)
        return every[min(len(every) - 1, len(every) * percent // 100)]


def doors_of(gateway: OrthancProcess) -> list[Door]:
    """The official plugin first."""
    own = urlsplit(gateway.full_door_url).port
    assert own is not None
    return [
        Door("official", gateway.http_port, "/official/"),
        Door("Orthanc's port", gateway.http_port, "/dicom-web/"),
        Door("full door", own, "/dicom-web/"),
    ]


@contextmanager
def gateway_with_both(
    directory: Path, megabytes: int, storage: Path | None = None
) -> Iterator[OrthancProcess]:
    """`megabytes`: of instances that Farsight keeps in memory, and of files that Orthanc does, out
    of which the official plugin is served. `storage`: one that exists."""
    store = str(storage or directory / "storage")
    configuration = gateway_configuration(
        {},
        {"Memory": {"MaxMegabytes": megabytes}},
        DicomWeb={"Enable": True, "Root": "/official/"},
        StorageDirectory=store,
        IndexDirectory=store,
        MaximumStorageCacheSize=megabytes,
    )
    configuration["Plugins"].append(str(PLUGINS / "libOrthancDicomWeb.so"))
    with running_orthanc(directory, configuration) as gateway:
        yield gateway
