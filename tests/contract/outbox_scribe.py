"""A process that writes into an outbox and prints each step that it was told is done.

Given a limit in bytes it goes on until no file may grow further, and says how that was told.
"""

from __future__ import annotations

import json
import random
import resource
import signal
import sys
from pathlib import Path

from farsight.adapters.sqlite_outbox import SqliteOutbox
from farsight.errors import OutboxError
from farsight.model import InstanceRef
from farsight.ports.outbox import Consignment


def tell(step: str, numbers: list[int]) -> None:
    print(json.dumps([step, numbers]), flush=True)


def items(round_: int) -> list[Consignment]:
    return [
        Consignment("pacs", InstanceRef("1.2", "1.2.3", f"1.{round_}.{n}"), "1.4", "1.5")
        for n in range(1 + round_ % 7)
    ]


def write(outbox: SqliteOutbox, seed: int) -> None:
    """Never comes back but by an error."""
    chance = random.Random(seed)
    round_ = seed * 1_000_000
    while True:
        round_ += 1
        numbers = list(outbox.announce(items(round_)))
        tell("announced", numbers)
        outbox.promise(numbers)
        tell("waiting", numbers)
        if chance.random() < 0.6:
            outbox.sent(numbers, 7.0)
            tell("sent", numbers)
            fate = chance.choice(["gone", "dead", "waiting", "sent"])
            if fate == "gone":
                tell("going", numbers)
                outbox.withdraw(numbers)
            elif fate == "dead":
                outbox.bury(numbers, "given up")
            elif fate == "waiting":
                outbox.failed(numbers, "not listed", 8.0)
            tell(fate, numbers)


def main(path: Path, seed: int, most_bytes: int) -> None:
    if most_bytes:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    outbox = SqliteOutbox(path)
    tell("open", [])
    try:
        write(outbox, seed)
    except OutboxError as error:
        tell(f"error: {error}", [])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
