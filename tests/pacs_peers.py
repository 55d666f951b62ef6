"""PACS that others wrote, for tests: DCMTK's dcmqrscp, Orthanc, pynetdicom's qrscp.

Each is started on a free port with the files given, knows the AE title FARSIGHT as a move
destination, and is stopped by its process id.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread

from free_ports import free_port
from orthanc_process import OrthancProcess

if sys.prefix != sys.base_prefix:
    # pynetdicom installs programs of the same names, found first where its environment is active.
    own = os.path.dirname(sys.executable)
    os.environ["PATH"] = os.pathsep.join(
        path for path in os.environ["PATH"].split(os.pathsep) if path != own
    )

AE_TITLE = "PACS"
requires_dcmtk = pytest.mark.skipif(
    shutil.which("dcmqrscp") is None, reason="needs DCMTK's tools (Debian: dcmtk)"
)


@dataclass(frozen=True)
class Peer:
    """Where a PACS listens, and the process to kill when a test wants it dead."""

    kind: str
    port: int
    process: subprocess.Popen[bytes] | OrthancProcess

    def kill(self) -> None:
        if isinstance(self.process, OrthancProcess):
            self.process.stop(kill=True)
        else:
            os.killpg(self.process.pid, signal.SIGKILL)  # dcmqrscp forks one per association
            self.process.wait()


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the PACS ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the PACS does not listen")


@contextmanager
def _stopped_afterwards(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def dcmqrscp(
    directory: Path,
    files: Sequence[Path],
    move_port: int = 1,
    *,
    options: Sequence[str] = (),
    port: int | None = None,
    max_associations: int = 32,
) -> Iterator[Peer]:
    """DCMTK's archive: no relational queries, no counts, names compared by case."""
    store = directory / "db"
    store.mkdir(parents=True)
    port = port or free_port()
    copies = []
    for number, file in enumerate(files):
        copy = store / f"{number:05d}.dcm"
        shutil.copyfile(file, copy)
        copies.append(str(copy))
    (directory / "dcmqrscp.cfg").write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 131072\n"
        f"MaxAssociations = {max_associations}\n"
        "HostTable BEGIN\n"
        f"farsight = (FARSIGHT, 127.0.0.1, {move_port})\n"
        "HostTable END\n"
        "VendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\n{AE_TITLE} {store} RW (20000, 4096mb) ANY\nAETable END\n"
    )
    for start in range(0, len(copies), 200):
        subprocess.run(["dcmqridx", str(store), *copies[start : start + 200]], check=True)
    with (directory / "dcmqrscp.log").open("wb") as log:
        process = subprocess.Popen(
            ["dcmqrscp", "-c", str(directory / "dcmqrscp.cfg"), *options],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    with _stopped_afterwards(process):
        _wait_for_port(port, process)
        yield Peer("dcmqrscp", port, process)


@contextmanager
def orthanc_pacs(
    directory: Path, files: Sequence[Path], move_port: int = 1, **configuration: object
) -> Iterator[Peer]:
    """A second Orthanc, without DICOMweb."""
    process = OrthancProcess(
        directory,
        {
            "DicomAet": AE_TITLE,
            "DicomModalities": {"farsight": ["FARSIGHT", "127.0.0.1", move_port]},
            "OverwriteInstances": True,
            "TranscodeDicomProtocol": False,
            **configuration,
        },
    )
    process.start()
    try:
        for file in files:
            process.store(file.read_bytes())
        yield Peer("orthanc", process.dicom_port, process)
    finally:
        process.stop()


@contextmanager
def qrscp(directory: Path, files: Sequence[Path], move_port: int = 1) -> Iterator[Peer]:
    """pynetdicom's example archive: fails on lists of UIDs."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    (directory / "qrscp.ini").write_text(
        f"[DEFAULT]\nae_title: {AE_TITLE}\nport: {port}\nbind_address: 127.0.0.1\n"
        f"max_pdu: 131072\nacse_timeout: 30\ndimse_timeout: 30\nnetwork_timeout: 60\n"
        f"instance_location: {directory / 'instances'}\n"
        f"database_location: {directory / 'db.sqlite'}\n"
        f"[FARSIGHT]\naddress: 127.0.0.1\nport: {move_port}\n"
    )
    (directory / "instances").mkdir()
    with (directory / "qrscp.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pynetdicom", "qrscp", "-c", str(directory / "qrscp.ini")],
            stdout=log,
            stderr=log,
            cwd=directory,
            start_new_session=True,
        )
    with _stopped_afterwards(process):
        _wait_for_port(port, process)
        if files:
            send(files, port)
        yield Peer("qrscp", port, process)


@contextmanager
def storescp(directory: Path, options: Sequence[str] = ()) -> Iterator[Peer]:
    """DCMTK's receiver: keeps what it is sent bit for bit, one file each, in `directory`/taken."""
    (directory / "taken").mkdir(parents=True)
    port = free_port()
    command = ["storescp", "-aet", AE_TITLE, "+B", "-od", str(directory / "taken"), *options]
    with (directory / "storescp.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, str(port)], stdout=log, stderr=log, start_new_session=True
        )
    with _stopped_afterwards(process):
        _wait_for_port(port, process)
        yield Peer("storescp", port, process)


def send(files: Sequence[Path], port: int) -> None:
    """By pynetdicom, one context for each pair of class and syntax the files have."""
    from pynetdicom import AE

    entity = AE("SENDER")
    data_sets = [dcmread(file) for file in files]
    for data_set in data_sets:
        entity.add_requested_context(data_set.SOPClassUID, data_set.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", port, ae_title=AE_TITLE)
    assert association.is_established
    for data_set in data_sets:
        status = association.send_c_store(data_set)
        assert status.Status == 0, status
    association.release()


PEERS = {"dcmqrscp": dcmqrscp, "orthanc": orthanc_pacs, "qrscp": qrscp}
