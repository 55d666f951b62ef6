"""The demo's PACS: an Orthanc that speaks only DIMSE, with the sample studies in it.

An Orthanc rather than dcmqrscp because it fills every count and serves all of C-FIND, C-GET and
C-MOVE for every transfer syntax among the samples; dcmqrscp sends no object whose encoding
wasn't negotiated as it stores it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from farsight_demo.orthanc_configuration import (
    LOADER_AE_TITLE,
    Configuration,
    pacs_configuration,
)
from farsight_demo.run_settings import DEMO_AE_TITLE, RunSettings
from farsight_demo.samples import make_samples, samples_digest
from farsight_demo.server_process import ServerFailed, ServerProcess


def start_demo_pacs(settings: RunSettings, orthanc: str) -> ServerProcess:
    """Running, and holding the samples; they are sent to it only once.

    Raises: ServerFailed.
    """
    state = settings.state_directory
    storage, samples = state / "pacs", state / "samples"
    digest = samples_digest()
    loaded = state / "pacs-loaded"
    is_loaded = loaded.is_file() and loaded.read_text() == digest and storage.is_dir()
    if not is_loaded:
        print("==> Making sample studies", flush=True)
        print(f"    {make_samples(samples)} files", flush=True)
        shutil.rmtree(storage, ignore_errors=True)
    configuration = pacs_configuration(
        storage, settings.demo_pacs_port, "127.0.0.1", settings.dicom_port
    )
    command = [orthanc, str(write_configuration(state / "pacs.json", configuration))]
    print("==> Starting the demo PACS", flush=True)
    pacs = ServerProcess("demo PACS", command, state / "log" / "pacs.log", {"TCP_NODELAY": "1"})
    try:
        pacs.wait_for_port("127.0.0.1", settings.demo_pacs_port)
        if not is_loaded:
            print("==> Sending the sample studies to the demo PACS", flush=True)
            load(samples, settings.demo_pacs_port, state / "log" / "dcmsend.log")
            loaded.write_text(digest)
    except BaseException:
        pacs.stop()
        raise
    return pacs


def load(samples: Path, port: int, log: Path) -> None:
    """C-STORE all files to the PACS, each in the encoding it has.

    Raises: ServerFailed when a single one was not taken.
    """
    command = ["dcmsend", "--verbose", "--aetitle", LOADER_AE_TITLE, "--call", DEMO_AE_TITLE]
    command += ["--scan-directories", "--recurse", "--decompress-never"]
    command += ["--scan-pattern", "*.dcm", "127.0.0.1", str(port), str(samples)]
    with log.open("wb") as output:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TCP_NODELAY": "1"},
            check=False,
        )
    if done.returncode != 0:
        raise ServerFailed(f"dcmsend failed (exit code {done.returncode}): see {log}")


def write_configuration(path: Path, configuration: Configuration) -> Path:
    """It may hold a password: only we may read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as output:
        json.dump(configuration, output, indent=2)
    return path
