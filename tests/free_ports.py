"""Ports for servers that can't be told to choose one themselves, such as Orthanc."""

from __future__ import annotations

import os
import random
import socket
from contextlib import closing
from pathlib import Path

_LOWEST = 12_000
#: Test processes that run side by side; each has ports of its own.
_PROCESSES = 8
_GIVEN: set[int] = set()


def free_port() -> int:
    """A port nobody listens on now, never given before.

    As a rule it isn't one that the system gives to a connection or to a server that asks for any
    (port 0): between this call and the server's own bind, such a one may be gone.
    """
    ports = _own_ports()
    for port in random.sample(ports, len(ports)):
        if port not in _GIVEN and _is_free(port):
            _GIVEN.add(port)
            return port
    raise RuntimeError(f"no port of {ports} is free")


def _own_ports() -> range:
    given_by_system = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    below = int(given_by_system[0])
    if below < _LOWEST + 100 * _PROCESSES:  # it gives nearly all there are
        below = 1 << 16
    each = (below - _LOWEST) // _PROCESSES
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PROCESSES
    return range(_LOWEST + process * each, _LOWEST + (process + 1) * each)


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
