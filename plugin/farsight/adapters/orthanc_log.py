"""Python's logging into Orthanc's log, until Orthanc stops."""

from __future__ import annotations

import logging

import orthanc


class OrthancLog(logging.Handler):
    """Sends records of the "farsight" loggers to Orthanc; silent once `stopped`."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped = False
        self.setFormatter(logging.Formatter("farsight: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if self.stopped:
            return
        text = self.format(record)
        if record.levelno >= logging.ERROR:
            orthanc.LogError(text)
        elif record.levelno >= logging.WARNING:
            orthanc.LogWarning(text)
        else:
            orthanc.LogInfo(text)


def log_to_orthanc() -> OrthancLog:
    """Installs the handler on the "farsight" logger."""
    handler = OrthancLog()
    logger = logging.getLogger("farsight")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    logger.propagate = False
    return handler
