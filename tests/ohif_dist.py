"""Where tests find OHIF's build: OHIF_DIST, or where `make run` unpacks it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def ohif_dist() -> Path | None:
    """The directory with OHIF's index.html, or None where there is none."""
    configured = os.environ.get("OHIF_DIST")
    state = Path(os.environ.get("STATE_DIR") or REPOSITORY / ".state")
    dist = Path(configured) if configured else state / "ohif" / "package" / "dist"
    return dist if (dist / "index.html").is_file() else None


requires_ohif = pytest.mark.skipif(
    ohif_dist() is None,
    reason="no OHIF build: set OHIF_DIST to the directory package/dist of npm's @ohif/app",
)
