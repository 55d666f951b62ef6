"""One of several instances that can't be stored, or one value that can't be written."""

from __future__ import annotations

from farsight.errors import FarsightError
from farsight.ps318.store_reasons import FailureReason


class InstanceRefused(FarsightError):
    """One instance of a message can't be stored; the others may be. No patient data in words."""

    status = 409

    def __init__(self, reason: FailureReason, why: str) -> None:
        super().__init__(why)
        self.reason = reason


class ValueUnfit(FarsightError):
    """The value of one attribute can't be had, or its VR has no way to carry it."""

    status = 409

    def __init__(self, why: str, reason: FailureReason = FailureReason.CANNOT_UNDERSTAND) -> None:
        super().__init__(why)
        self.reason = reason
