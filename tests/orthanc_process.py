"""A real Orthanc for a test: started with a configuration, awaited, stopped by its process id."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from free_ports import free_port

PLUGINS = Path(os.environ.get("ORTHANC_PLUGINS", "/usr/share/orthanc/plugins"))
COMMAND = os.environ.get("ORTHANC_COMMAND", shutil.which("Orthanc") or "").split()
REPOSITORY = Path(__file__).parent.parent
PLUGIN_SCRIPT = REPOSITORY / "plugin" / "farsight_plugin.py"

requires_orthanc = pytest.mark.skipif(
    not COMMAND or not (PLUGINS / "libOrthancPython.so").exists(),
    reason="needs Orthanc and its Python plugin (Debian: orthanc, orthanc-python)",
)
requires_dicomweb_plugin = pytest.mark.skipif(
    not (PLUGINS / "libOrthancDicomWeb.so").exists(),
    reason="needs the official DICOMweb plugin (Debian: orthanc-dicomweb)",
)


class OrthancProcess:
    """One running Orthanc. `url` is its REST root without a trailing slash."""

    def __init__(self, directory: Path, configuration: dict[str, Any]) -> None:
        self.directory = directory
        self.http_port = configuration.setdefault("HttpPort", free_port())
        self.dicom_port = configuration.setdefault("DicomPort", free_port())
        configuration.setdefault("Name", "test")
        configuration.setdefault("StorageDirectory", str(directory / "storage"))
        configuration.setdefault("IndexDirectory", str(directory / "storage"))
        configuration.setdefault("DicomCheckCalledAet", False)
        configuration.setdefault("DicomAlwaysAllowGet", True)
        configuration.setdefault("DicomAlwaysAllowMove", True)
        configuration.setdefault("DicomAlwaysAllowFind", True)
        configuration.setdefault("DicomAlwaysAllowStore", True)
        self.configuration = configuration
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.log_path = directory / "orthanc.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / "orthanc.json"
        path.write_text(json.dumps(self.configuration, indent=1))
        site_packages = sysconfig.get_paths()["purelib"]
        environment = {**os.environ, "PYTHONPATH": os.environ.get("FARSIGHT_SITE", site_packages)}
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*COMMAND, str(path)],
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self.directory,
            )
        if wait:
            self._wait_until_it_answers()

    def starts(self) -> bool:
        """Waits until it answers (True) or ends by itself (False)."""
        try:
            self._wait_until_it_answers()
        except RuntimeError:
            assert self._process is not None
            if self._process.poll() is None:
                raise
            return False
        return True

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                raise RuntimeError(f"Orthanc ended at start:\n{self.log()[-3000:]}")
            try:
                self.request("GET", "/system")
                return
            except urllib.error.HTTPError as error:
                if error.code in (401, 403):
                    return
                raise
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.1)
        raise RuntimeError(f"Orthanc did not answer within 60 s:\n{self.log()[-3000:]}")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def wait(self, timeout_s: float = 30) -> int:
        """Its exit code, once it ended by itself."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def stop(self, timeout_s: float = 30, *, kill: bool = False) -> int:
        """Stops it; its exit code. A process that doesn't stop in time is killed and reported."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise RuntimeError(f"Orthanc did not stop:\n{self.log()[-2000:]}") from None

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """One call of its REST API."""
        users = self.configuration.get("RegisteredUsers", {})
        headers = {}
        for name, password in users.items():
            token = base64.b64encode(f"{name}:{password}".encode()).decode()
            headers = {"Authorization": f"Basic {token}"}
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return bytes(answer.read())

    def json(self, path: str) -> Any:
        return json.loads(self.request("GET", path))

    def store(self, part10: bytes) -> dict[str, Any]:
        return dict(json.loads(self.request("POST", "/instances", part10)))

    @property
    def full_door_url(self) -> str:
        """Where Farsight's own listener is, as its log says."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            found = re.findall(r"full door: (http://[\d.:]+)/", self.log())
            if found:
                return str(found[-1])
            time.sleep(0.05)
        raise RuntimeError(f"no full door in the log:\n{self.log()[-3000:]}")


@contextmanager
def running_orthanc(directory: Path, configuration: dict[str, Any]) -> Iterator[OrthancProcess]:
    """Started, and stopped whatever happens."""
    process = OrthancProcess(directory, configuration)
    process.start()
    try:
        yield process
    finally:
        process.stop()


def gateway_configuration(
    modalities: dict[str, Any],
    farsight: dict[str, Any] | None = None,
    **orthanc: Any,
) -> dict[str, Any]:
    """An Orthanc configuration with Farsight, its full door on a port the system picks."""
    section = {"Http": {"Port": 0}, **(farsight or {})}
    return {
        "Plugins": [str(PLUGINS / "libOrthancPython.so")],
        "PythonScript": str(PLUGIN_SCRIPT),
        "PythonVerbose": False,
        "Python": {"AllowThreads": True},
        "DicomAet": "FARSIGHT",
        "DicomModalities": modalities,
        "Farsight": section,
        **orthanc,
    }


def python_matches() -> bool:
    """Whether this Python is of the version that Orthanc embeds."""
    return sys.version_info >= (3, 11)
