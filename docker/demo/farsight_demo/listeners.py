"""Whether a TCP port is free, and who has it if not (from /proc, so only on Linux)."""

from __future__ import annotations

import socket
from pathlib import Path

_LISTEN = "0A"


def refuses_port(address: str, port: int) -> str:
    """Why nobody can listen at (address, port) now; empty if somebody can."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except PermissionError:
            return "ports below 1024 need root"
        except OSError as error:
            return f"taken by {listener(port)}" if error.errno == 98 else str(error.strerror)
    return ""


def listener(port: int) -> str:
    """Name and process id of who listens there, as far as we may know it."""
    inodes = _listening_inodes(port)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            links = [str(link.readlink()) for link in (process / "fd").iterdir()]
            if any(f"socket:[{inode}]" in links for inode in inodes):
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
        except OSError:
            continue  # gone meanwhile, or not ours to look at
    return "a process that only root can see"


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not Path(table).exists():
            continue
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(fields[9])
    return found
