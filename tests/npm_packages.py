"""Packages of npm that tests run: exact versions, unpacked below the state directory."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

#: Seconds; the registry may be far away.
PATIENCE_S = 120

requires_node = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None,
    reason="needs node and npm (Debian: nodejs, npm)",
)


def node_modules(project: Path) -> Path:
    """Where the packages are that `project`/package-lock.json names, fetched if need be.

    Skips the test where they can't be fetched; in CI that is a failure.
    """
    lock = project / "package-lock.json"
    state = Path(os.environ.get("STATE_DIR") or REPOSITORY / ".state")
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    directory = state / "node" / f"{project.name}-{digest}"
    if not directory.is_dir():
        _install(project, directory)
    return directory / "node_modules"


def _install(project: Path, directory: Path) -> None:
    """Whole or not at all: two runs may do it at once."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent) as name:
        work = Path(name) / "project"
        work.mkdir()
        for file in ("package.json", "package-lock.json"):
            shutil.copyfile(project / file, work / file)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            done = subprocess.run(
                command, cwd=work, capture_output=True, text=True, timeout=PATIENCE_S, check=False
            )
            problem = done.stderr if done.returncode else ""
        except subprocess.TimeoutExpired:
            problem = f"no answer within {PATIENCE_S} s"
        if problem:
            _give_up(f"npm can't fetch the packages of {project.name}: {problem[-2000:]}")
        if not directory.exists():
            work.rename(directory)


def _give_up(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
