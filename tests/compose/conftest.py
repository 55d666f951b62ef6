"""One stack for all compose tests: building it takes minutes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import docker
import pytest
from docker.errors import DockerException

from tests.compose.stack import BUILD_TIMEOUT_S, Stack, compose_command


def _missing(reason: str) -> None:
    """A reason to skip, except where the tests have to run."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    command = compose_command()
    if command is None:
        _missing("needs Docker Compose (Debian: docker-compose)")
    try:
        client = docker.from_env()
        client.ping()
    except DockerException as error:
        _missing(f"needs a running Docker daemon: {error}")
    base = f"debian:{os.environ.get('DEBIAN_RELEASE', 'trixie')}-slim"
    if not client.images.list(name=base):
        try:
            client.images.pull(base)
        except DockerException as error:
            _missing(f"needs the image {base}: {error}")
    running = Stack(tmp_path_factory.mktemp("compose"), command, client)
    running.compose("down", "--volumes", "--remove-orphans")
    try:
        running.compose("build", timeout_s=BUILD_TIMEOUT_S)
        running.compose("up", "--detach", timeout_s=600)
        yield running
    finally:
        running.compose("down", "--volumes", "--remove-orphans")
        client.close()
