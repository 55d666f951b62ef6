"""`make run`: the demo in the foreground, until Ctrl-C. Run as `python -m farsight_demo`."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from farsight_demo.demo_pacs import start_demo_pacs, write_configuration
from farsight_demo.listeners import refuses_port
from farsight_demo.orthanc_configuration import GATEWAY_AE_TITLE, gateway_configuration
from farsight_demo.run_settings import RunSettings, SettingRefused, read_run_settings
from farsight_demo.server_process import ServerFailed, ServerProcess

REPOSITORY = Path(__file__).resolve().parents[3]
CHECK_INTERVAL_S = 1.0


def main() -> int:
    try:
        settings = read_run_settings(os.environ)
        _refuse_taken_ports(settings)
    except SettingRefused as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return 2
    stop = threading.Event()
    with _stopping_on_signals(stop):
        try:
            with _own_state(settings.state_directory):
                _serve(settings, stop)
        except ServerFailed as failure:
            print(f"error: {failure}", file=sys.stderr)
            return 1
        except _Interrupted:
            pass
    print("Stopped. What was fetched is kept in", settings.state_directory)
    return 0


class _Interrupted(BaseException):
    """Ctrl-C or SIGTERM before everything was up."""


@contextmanager
def _stopping_on_signals(stop: threading.Event) -> Iterator[None]:
    """The first SIGINT or SIGTERM interrupts what is going on; more of them change nothing."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        if not stop.is_set():
            stop.set()
            raise _Interrupted

    previous = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def _own_state(directory: Path) -> Iterator[None]:
    """The state directory for ourselves: two Orthancs on one store destroy it."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ServerFailed(
                f"STATE_DIR {directory} is in use by another run; set STATE_DIR to another one"
            ) from error
        yield


def _serve(settings: RunSettings, stop: threading.Event) -> None:
    orthanc = shutil.which("Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if orthanc is None:
        raise ServerFailed("there is no Orthanc; on Debian: apt-get install orthanc")
    servers: list[ServerProcess] = []
    try:
        if not settings.pacs:
            servers.append(start_demo_pacs(settings, orthanc))
        servers.append(_start_gateway(settings, orthanc))
        _wait_for_gateway(settings, servers[-1])
        print(_welcome(settings), flush=True)
        while not stop.wait(CHECK_INTERVAL_S):
            for server in servers:
                server.check()
    finally:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # nothing may interrupt the stopping
        print("\nStopping", " and ".join(server.name for server in servers), flush=True)
        for server in servers:
            server.ask_to_stop()
        for server in servers:
            server.stop()


def _refuse_taken_ports(settings: RunSettings) -> None:
    for variable, port in settings.ports.items():
        # Orthanc listens on every address whatever it lets in; only the full door is bound.
        address = settings.bind if variable == "WEB_PORT" else "0.0.0.0"
        why = refuses_port(address, port)
        if why:
            raise SettingRefused(variable, str(port), f"{why}; set {variable} to another port")


def _start_gateway(settings: RunSettings, orthanc: str) -> ServerProcess:
    print("==> Starting Orthanc with Farsight", flush=True)
    state = settings.state_directory
    configuration = gateway_configuration(
        settings, REPOSITORY / "plugin", state / "ohif" / "package" / "dist"
    )
    path = write_configuration(state / "gateway.json", configuration)
    environment = {"PYTHONPATH": sysconfig.get_path("purelib"), "TCP_NODELAY": "1"}
    return ServerProcess(
        "Orthanc", [orthanc, str(path)], state / "log" / "orthanc.log", environment
    )


def _wait_for_gateway(settings: RunSettings, gateway: ServerProcess) -> None:
    gateway.wait_for_port(_reachable(settings), settings.http_port)
    gateway.wait_for_port(_reachable(settings), settings.web_port)


def _reachable(settings: RunSettings) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.bind, settings.bind)


def _welcome(settings: RunSettings) -> str:
    address = _reachable(settings)
    host = f"[{address}]" if ":" in address else address
    full, orthanc = f"http://{host}:{settings.web_port}", f"http://{host}:{settings.http_port}"
    behind = ", ".join(f"{one.ae_title}@{one.host}:{one.port}" for one in settings.pacs)
    lines = [
        "",
        f"  OHIF              {full}/ohif/",
        f"  DICOMweb          {full}/dicom-web   (also {orthanc}/dicom-web)",
        f"  Status            {full}/farsight/",
        f"  Orthanc Explorer  {orthanc}/app/explorer.html",
        f"  PACS              {behind or f'the demo PACS at 127.0.0.1:{settings.demo_pacs_port}'}",
        f"  AE title          {GATEWAY_AE_TITLE}, port {settings.dicom_port}",
        f"  Logs              {settings.state_directory / 'log'}",
    ]
    if settings.pacs:
        lines.append("  The PACS must know that AE title at this machine, and that port.")
    return "\n".join([*lines, "", "  Ctrl-C stops it.", ""])


if __name__ == "__main__":
    sys.exit(main())
