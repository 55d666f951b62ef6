"""What the PACS taught us, kept in Orthanc's database over restarts."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import Any

import orthanc

from farsight.dimse.manners import Manners, read_manners

LOG = logging.getLogger("farsight.dimse")
#: Orthanc leaves the global properties from 1024 on to plugins.
_PROPERTY = 10240
#: A PACS may be mended: after that long everything is tried afresh.
FORGET_AFTER_S = 24 * 3600


class OrthancManners:
    """Records by address of the PACS: another address is another PACS. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def recall(self, address: str) -> Manners | None:
        """What was learned lately; None if nothing. To be called once Orthanc has started."""
        record = self._read().get(address)
        if record is None or time.time() - record["at"] > FORGET_AFTER_S:
            return None
        try:
            return read_manners(json.dumps(record["manners"]))
        except ValueError as error:
            LOG.warning("%s: %s", address, error)
            return None

    def keep(self, address: str, manners: Manners) -> None:
        """Replaces what was kept for this address."""
        with self._lock:
            records = self._read()
            records[address] = {"at": time.time(), "manners": json.loads(manners.to_json())}
            try:
                orthanc.SetGlobalProperty(_PROPERTY, json.dumps(records))
            except orthanc.OrthancException as error:  # a full disk: learned again next time
                LOG.warning("what was learned of %s can't be kept: %s", address, error)

    def _read(self) -> dict[str, Any]:
        text = orthanc.GetGlobalProperty(_PROPERTY, "{}")
        try:
            records = json.loads(text)
            return {k: v for k, v in records.items() if isinstance(v["at"], int | float)}
        except (ValueError, AttributeError, KeyError, TypeError):
            LOG.warning("what was learned of the PACS is unreadable: forgotten")
            return {}
