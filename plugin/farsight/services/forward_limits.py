"""How patient sending on is, and how it makes sure that a PACS keeps what it took."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

_MOST_DOUBLINGS = 40


class ConfirmBy(StrEnum):
    """AUTO: by Storage Commitment where the PACS offers it and reports, else by C-FIND."""

    AUTO = "auto"
    COMMITMENT = "commitment"
    FIND = "find"


@dataclass(frozen=True, slots=True)
class ForwardLimits:
    """attempts: refusals until an instance is given up; silence does not count.

    confirm_tries: how often an instance may be missing in what the PACS lists until it is sent
    again, which counts as a refusal. report_within_s: until a commitment that was asked for is
    taken for never to be reported.
    """

    retry_s: float = 5.0
    longest_retry_s: float = 600.0
    attempts: int = 10
    confirm_after_s: float = 2.0
    confirm_tries: int = 5
    report_within_s: float = 60.0

    def backoff_s(self, failures: int) -> float:
        """How long to wait after so many failures, 1 at least: doubled each time, and a random
        part of up to half of it less, so that not all come back at once."""
        doubled = self.retry_s * 2.0 ** min(failures - 1, _MOST_DOUBLINGS)
        return min(doubled, self.longest_retry_s) * random.uniform(0.5, 1.0)
