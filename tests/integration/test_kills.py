"""kill -9 at random moments of storing, sending on, retrieving and evicting: nothing is lost.

FARSIGHT_KILLS says how often (some that fit into a test run, unless it is set); FARSIGHT_SEED
which moments. `python -m benchmarks.kills` prints the figures.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kill_run import Plan, kill_run
from orthanc_process import requires_orthanc
from pacs_peers import requires_dcmtk

pytestmark = [requires_orthanc, requires_dcmtk]
KILLS = int(os.environ.get("FARSIGHT_KILLS", "0"))
SEED = int(os.environ.get("FARSIGHT_SEED", "6"))


@pytest.mark.parametrize(
    "plan",
    [
        Plan(KILLS or 8, SEED),
        Plan(KILLS or 3, SEED, pacs="dcmqrscp", confirm_by="find", retrieve="c-move"),
    ],
    ids=lambda plan: f"{plan.pacs}-{plan.seed}",
)
def test_nothing_is_lost_and_nothing_partial_is_complete(tmp_path: Path, plan: Plan) -> None:
    with kill_run(tmp_path, plan) as run:
        run.run()
        assert not run.ledger.problems, run.told()
        figures = run.figures()
        assert figures["kills"] == plan.kills
        assert figures["acknowledged"] > plan.kills
