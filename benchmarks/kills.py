"""kill -9 of Orthanc with Farsight at random moments, and what is found wrong afterwards.

    python -m benchmarks.kills [--kills 200] [--seed 1] [--pacs orthanc|dcmqrscp]
        [--confirm-by auto|commitment|find] [--retrieve auto|c-get|c-move]

Clients store, a modality sends, others read and evict; the process is killed 0.1 to 3 s into that,
one time in ten while it starts. After each kill nothing that was acknowledged may be lost, and no
part of a series be called complete; after every tenth, and at the end, all is read and compared.
ORTHANC_COMMAND and FARSIGHT_SITE choose another Orthanc. Exits with 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1] / "plugin")]

from kill_run import Plan, kill_run  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pacs", default="orthanc", choices=("orthanc", "dcmqrscp"))
    parser.add_argument("--confirm-by", default="auto", choices=("auto", "commitment", "find"))
    parser.add_argument("--retrieve", default="auto", choices=("auto", "c-get", "c-move"))
    asked = parser.parse_args()
    plan = Plan(asked.kills, asked.seed, asked.pacs, asked.confirm_by, asked.retrieve)
    with tempfile.TemporaryDirectory() as directory, kill_run(Path(directory), plan) as run:
        run.run(lambda so_far: print(so_far, file=sys.stderr, flush=True))
        figures = run.figures()
        print("| " + " | ".join(figures) + " |")
        print("|" + "---:|" * len(figures))
        print("| " + " | ".join(f"{number:,}" for number in figures.values()) + " |")
        if run.ledger.problems:
            print(run.told(), file=sys.stderr)
        return int(bool(run.ledger.problems))


if __name__ == "__main__":
    sys.exit(main())
