"""A server we started: waited for until it answers, stopped by its process id."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0


class ServerFailed(Exception):
    """A server did not start, or ended by itself. The message has the end of its log."""


class ServerProcess:
    """One child process in a session of its own: a Ctrl-C at the terminal reaches only us.

    If we are killed, the kernel ends it too (PR_SET_PDEATHSIG, by util-linux's setpriv).
    """

    def __init__(
        self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.log = log
        self._is_asked = False
        log.parent.mkdir(parents=True, exist_ok=True)
        guard = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*guard, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    def check(self) -> None:
        """Raises: ServerFailed when it has ended."""
        code = self._process.poll()
        if code is not None:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise ServerFailed(
                f"{self.name} ended ({how}); the end of {self.log}:\n{self._log_end()}"
            )

    def wait_for_port(self, address: str, port: int) -> None:
        """Until something accepts connections there. Raises: ServerFailed."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            self.check()
            try:
                socket.create_connection((address, port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise ServerFailed(
            f"{self.name} does not answer on port {port} after {START_TIMEOUT_S:g} s; "
            f"the end of {self.log}:\n{self._log_end()}"
        )

    def ask_to_stop(self) -> None:
        """Begin the stopping without waiting for it: several servers stop side by side.

        Asked once: Orthanc gives up handling the signal, and a second one would kill it in the
        middle of its stopping.
        """
        if self._process.poll() is None and not self._is_asked:
            self._is_asked = True
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Ask it to end; after STOP_TIMEOUT_S end it. Its port is free when this returns."""
        self.ask_to_stop()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            print(f"{self.name} did not stop within {STOP_TIMEOUT_S:g} s; ending it", flush=True)
            self._process.kill()
            self._process.wait()

    def _log_end(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-15:])
