"""C-GET and C-FIND of ours beside DCMTK's tools and pynetdicom.

    python -m benchmarks.dimse [--rounds 5] [--slices 300] [--small 1000]

C-GET: one series into the memory tier (parsed headers, Part 10 bytes) beside `getscu`, which
writes files, and pynetdicom's `send_c_get`, which keeps the encoded data sets. C-FIND: one row
per instance of the small series. Every run opens its own association; rounds are interleaved,
medians are printed. The peers run with TCP_NODELAY=1, which is kind to the others: without it
every message of theirs waits 40 ms for an acknowledgement, ours don't (TCP_QUICKACK). "Thrown away
unread" is how fast the PACS itself sends.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage
from pynetdicom import AE, build_role, evt

sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1] / "plugin")]

from benchmarks.drain import drained  # noqa: E402

from farsight.adapters.dimse_pacs import DimsePacs  # noqa: E402
from farsight.adapters.pacs_address import PacsAddress  # noqa: E402
from farsight.dicom.part10 import parse_object  # noqa: E402
from farsight.dimse.contexts import STUDY_ROOT_FIND, STUDY_ROOT_GET  # noqa: E402
from farsight.model import IdentifierKey, InstanceRef, Level, ReceivedInstance, SeriesRef  # noqa: E402
from farsight.services.memory_tier import MemoryTier  # noqa: E402
from pacs_peers import PEERS  # noqa: E402
from sample_files import series_uid, study_uid, write_series  # noqa: E402

_EXPLICIT_LE = "1.2.840.10008.1.2.1"


@dataclass(frozen=True)
class Workload:
    """One series at a peer: its name in the table, its number, how many instances it has."""

    name: str
    series: int
    instances: int


#: As in a gateway that has run for a while: full of what came before, which makes room.
TIER = MemoryTier(256 << 20)
_RUNS = itertools.count()


def our_get(port: int, work: Workload) -> int:
    pacs = DimsePacs(PacsAddress("pacs", "PACS", "127.0.0.1", port, "FARSIGHT"))
    study, series = study_uid(), series_uid(work.series)
    kept_as = SeriesRef(f"{study}.{next(_RUNS)}", series)

    def sink(received: ReceivedInstance) -> None:
        ref = InstanceRef(kept_as.study_instance_uid, series, received.sop_instance_uid)
        TIER.add_stored(ref, parse_object(received.part10))

    pacs.retrieve(study, series, (), (CTImageStorage,), sink)
    pacs.close()
    return len(TIER.instances(kept_as))


def getscu(port: int, work: Workload) -> int:
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(
            [
                "getscu", "-S", "-aet", "FARSIGHT", "-aec", "PACS", "-od", directory,
                "--bit-preserving", "-k", "QueryRetrieveLevel=SERIES",
                "-k", f"StudyInstanceUID={study_uid()}",
                "-k", f"SeriesInstanceUID={series_uid(work.series)}", "127.0.0.1", str(port),
            ],
            check=True, capture_output=True,
        )  # fmt: skip
        return len(list(Path(directory).iterdir()))


def pynetdicom_get(port: int, work: Workload) -> int:
    kept: list[bytes] = []

    def keep(event: evt.Event) -> int:
        kept.append(event.request.DataSet.getvalue())
        return 0

    entity = AE("FARSIGHT")
    entity.maximum_pdu_size = 131_072
    entity.add_requested_context(STUDY_ROOT_GET)
    entity.add_requested_context(CTImageStorage, _EXPLICIT_LE)
    association = entity.associate(
        "127.0.0.1", port, ae_title="PACS",
        ext_neg=[build_role(CTImageStorage, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, keep)],
    )  # fmt: skip
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "SERIES"
    identifier.StudyInstanceUID, identifier.SeriesInstanceUID = study_uid(), series_uid(work.series)
    for _ in association.send_c_get(identifier, STUDY_ROOT_GET):
        pass
    association.release()
    return len(kept)


def our_find(port: int, work: Workload) -> int:
    pacs = DimsePacs(PacsAddress("pacs", "PACS", "127.0.0.1", port, "FARSIGHT"))
    keys = (
        IdentifierKey("0020000D", "UI", study_uid()),
        IdentifierKey("0020000E", "UI", series_uid(work.series)),
        IdentifierKey("00080018", "UI"),
        IdentifierKey("00200013", "IS"),
    )
    rows = len(list(pacs.find(Level.IMAGE, keys)))
    pacs.close()
    return rows


def findscu(port: int, work: Workload) -> int:
    done = subprocess.run(
        [
            "findscu", "-S", "-aet", "FARSIGHT", "-aec", "PACS", "-k", "QueryRetrieveLevel=IMAGE",
            "-k", f"StudyInstanceUID={study_uid()}",
            "-k", f"SeriesInstanceUID={series_uid(work.series)}",
            "-k", "SOPInstanceUID", "-k", "InstanceNumber", "127.0.0.1", str(port),
        ],
        check=True, capture_output=True, env={**os.environ, "TCP_NODELAY": "1"},
    )  # fmt: skip
    return done.stderr.count(b"(0008,0018)") + done.stdout.count(b"(0008,0018)")


def pynetdicom_find(port: int, work: Workload) -> int:
    entity = AE("FARSIGHT")
    entity.maximum_pdu_size = 131_072
    entity.add_requested_context(STUDY_ROOT_FIND)
    association = entity.associate("127.0.0.1", port, ae_title="PACS")
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "IMAGE"
    identifier.StudyInstanceUID, identifier.SeriesInstanceUID = study_uid(), series_uid(work.series)
    identifier.SOPInstanceUID = identifier.InstanceNumber = None
    rows = sum(
        found is not None for _, found in association.send_c_find(identifier, STUDY_ROOT_FIND)
    )
    association.release()
    return rows


def unread(port: int, work: Workload) -> int:
    return drained(port, study_uid(), series_uid(work.series))


GETS = {"Farsight": our_get, "getscu": getscu, "pynetdicom": pynetdicom_get, "unread": unread}
FINDS = {"Farsight": our_find, "findscu": findscu, "pynetdicom": pynetdicom_find}


def medians(
    runs: dict[str, Callable[[int, Workload], int]], port: int, work: Workload, rounds: int
) -> list[float]:
    """Seconds per run, in the order of `runs`; every run has to bring every instance."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run(port, work)  # the first run reads from a cold disk
    for _ in range(rounds):
        for name, run in runs.items():
            started = time.perf_counter()
            count = run(port, work)
            times[name].append(time.perf_counter() - started)
            assert count == work.instances, f"{name}: {count} of {work.instances}"
    return [statistics.median(times[name]) for name in runs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--small", type=int, default=1000)
    options = parser.parse_args()
    os.environ["TCP_NODELAY"] = "1"  # read by DCMTK, in the peers and in its tools
    large = Workload(f"{options.slices} CT of 512 kB", 1, options.slices)
    small = Workload(f"{options.small} of 30 kB", 2, options.small)
    print("| PACS | work | ours s | DCMTK s | pynetdicom s | thrown away unread s "
          "| DCMTK / ours | pynetdicom / ours | unread / ours |")  # fmt: skip
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        root = Path(directory)
        files = write_series(root / "large", large.instances, size=512)
        files += write_series(root / "small", small.instances, series=2, size=122)
        for kind in ("dcmqrscp", "orthanc"):
            port = stack.enter_context(PEERS[kind](root / kind, files)).port
            jobs = [("C-GET", GETS, large), ("C-GET", GETS, small), ("C-FIND", FINDS, small)]
            for name, runs, work in jobs:
                ours, dcmtk, peer, *bound = medians(runs, port, work, options.rounds)
                least = f"{bound[0]:.3f}" if bound else "–"
                share = f"{bound[0] / ours:.2f}" if bound else "–"
                print(
                    f"| {kind} | {name}, {work.name} | {ours:.3f} | {dcmtk:.3f} | {peer:.3f} "
                    f"| {least} | {dcmtk / ours:.1f}× | {peer / ours:.1f}× | {share} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
