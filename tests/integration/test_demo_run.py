"""`make run`'s last step, as a process: up, answering, and gone without a trace on Ctrl-C."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.free_ports import free_port
from tests.orthanc_process import REPOSITORY, requires_orthanc

pytestmark = [pytest.mark.orthanc, requires_orthanc]

VARIABLES = ("HTTP_PORT", "WEB_PORT", "DICOM_PORT", "DEMO_PACS_PORT")
STOP_TIMEOUT_S = 60


class DemoRun:
    def __init__(self, state: Path, **extra: str) -> None:
        self.ports = {variable: free_port() for variable in VARIABLES}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "farsight_demo"],
            env={
                **{name: value for name, value in os.environ.items() if name not in VARIABLES},
                **{name: str(port) for name, port in self.ports.items()},
                "PYTHONPATH": str(REPOSITORY / "docker" / "demo"),
                "STATE_DIR": str(state),
                **extra,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def read_until(self, mark: str) -> str:
        """What it printed up to the line with `mark`, or up to its end."""
        assert self.process.stdout is not None
        printed = ""
        for line in self.process.stdout:
            printed += line
            if mark in line:
                break
        return printed

    def json(self, variable: str, path: str) -> list[dict[str, object]]:
        url = f"http://127.0.0.1:{self.ports[variable]}{path}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return list(json.load(answer))


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture
def demo(state: Path) -> Iterator[DemoRun]:
    run = DemoRun(state)
    yield run
    run.process.terminate()
    run.process.communicate(timeout=STOP_TIMEOUT_S)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_shows_the_demo_and_stops_clean(demo: DemoRun, stop: signal.Signals) -> None:
    printed = demo.read_until("Ctrl-C")
    assert f"http://127.0.0.1:{demo.ports['WEB_PORT']}/ohif/" in printed, printed
    for door in ("WEB_PORT", "HTTP_PORT"):
        rows = demo.json(door, "/dicom-web/studies?PatientID=DEMO-0001")
        assert [row["00201208"] for row in rows] == [
            {"vr": "IS", "Value": [240]},
            {"vr": "IS", "Value": [60]},
        ]
    demo.process.send_signal(stop)
    demo.process.communicate(timeout=STOP_TIMEOUT_S)
    assert demo.process.returncode == 0
    for port in demo.ports.values():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))


def test_its_servers_end_with_it_even_when_it_is_killed(demo: DemoRun) -> None:
    demo.read_until("Ctrl-C")
    servers = _children(demo.process.pid)
    assert len(servers) == 2
    demo.process.kill()
    demo.process.wait()
    for server in servers:
        _wait_for_end(server)


def test_a_second_run_on_the_same_state_is_refused(demo: DemoRun, state: Path) -> None:
    demo.read_until("Ctrl-C")
    second = DemoRun(state)
    printed = second.read_until("no such line")
    assert second.process.wait(STOP_TIMEOUT_S) == 1
    assert "in use by another run" in printed


def test_a_server_that_ends_takes_the_run_with_it(demo: DemoRun) -> None:
    demo.read_until("Ctrl-C")
    os.kill(_children(demo.process.pid)[0], signal.SIGKILL)
    printed = demo.read_until("no such line")
    assert demo.process.wait(STOP_TIMEOUT_S) == 1
    assert "signal 9" in printed


def test_a_taken_port_is_named(state: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = DemoRun(tmp_path, WEB_PORT=str(port))
        printed = run.read_until("no such line")
    assert run.process.wait(STOP_TIMEOUT_S) == 2
    assert f"WEB_PORT is '{port}': taken by" in printed


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _wait_for_end(pid: int) -> None:
    """An orphan: not ours to wait for, but a pidfd tells when it is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ready, _, _ = select.select([descriptor], [], [], STOP_TIMEOUT_S)
        assert ready, f"process {pid} is still there"
    finally:
        os.close(descriptor)
