"""The compose file, brought up from a copy of what it builds from."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container

REPOSITORY = Path(__file__).resolve().parents[2]
#: Containers, network and volume are this run's own; the images, named in the file, are shared.
PROJECT = f"farsight-test-{os.getpid()}"
#: Where Debian keeps the certificate authorities that an administrator has added.
MACHINE_AUTHORITIES = Path("/usr/local/share/ca-certificates")
BUILD_TIMEOUT_S = 1800
HEALTHY_TIMEOUT_S = 180


def compose_command() -> list[str] | None:
    """Compose 1 or 2, whichever is installed."""
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return ["docker", "compose"] if plugin.returncode == 0 else None


class Stack:
    """The running services. Ports are published where the system has room."""

    def __init__(self, context: Path, command: list[str], client: docker.DockerClient) -> None:
        self._context = context
        self._command = command
        self.client = client
        for name in ("docker", "plugin"):
            shutil.copytree(
                REPOSITORY / name,
                context / name,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        for name in ("docker-compose.yml", "requirements.txt", "requirements-demo.txt"):
            shutil.copy(REPOSITORY / name, context / name)
        for authority in MACHINE_AUTHORITIES.glob("*.crt"):
            shutil.copy(authority, context / "docker" / "ca" / authority.name)

    def compose(self, *arguments: str, timeout_s: float = 300) -> str:
        """What it printed. Raises: AssertionError with the end of it when it failed."""
        done = subprocess.run(
            [*self._command, "--project-name", PROJECT, *arguments],
            cwd=self._context,
            env={**os.environ, "HTTP_PORT": "0", "WEB_PORT": "0", "BIND": "127.0.0.1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(arguments)}:\n{done.stdout[-4000:]}"
        return done.stdout

    def containers(self) -> list[Container]:
        label = f"com.docker.compose.project={PROJECT}"
        return list(self.client.containers.list(all=True, filters={"label": label}))

    def service(self, name: str) -> Container:
        return next(
            one for one in self.containers() if one.labels["com.docker.compose.service"] == name
        )

    def wait_healthy(self, name: str) -> Container:
        """Until the service's own health check says so."""
        deadline = time.monotonic() + HEALTHY_TIMEOUT_S
        while time.monotonic() < deadline:
            container = self.service(name)
            if container.attrs["State"].get("Health", {}).get("Status") == "healthy":
                return container
            assert container.status in ("created", "running"), self._story(container)
            time.sleep(0.5)
        raise AssertionError(self._story(self.service(name)))

    def url(self, container_port: int) -> str:
        """Of the gateway, from this machine."""
        published = self.service("gateway").ports[f"{container_port}/tcp"]
        assert [one["HostIp"] for one in published] == ["127.0.0.1"]
        return f"http://127.0.0.1:{published[0]['HostPort']}"

    def json(self, container_port: int, path: str) -> Any:
        with urllib.request.urlopen(self.url(container_port) + path, timeout=60) as answer:
            return json.load(answer)

    @staticmethod
    def _story(container: Container) -> str:
        log = container.logs(tail=40).decode(errors="replace")
        return f"{container.name} is {container.status}:\n{log}"
