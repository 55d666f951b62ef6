"""Where a PACS is, and how it is to be spoken to: what the configuration says of it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from farsight.adapters.association_pool import PoolLimits
from farsight.adapters.circuit_breaker import BreakerLimits
from farsight.adapters.dimse_connection import Timeouts
from farsight.dimse.association import UserIdentity


@dataclass(frozen=True, slots=True)
class PacsAddress:
    """Where a PACS is and how it is to be spoken to."""

    name: str
    ae_title: str
    host: str
    port: int
    calling_ae_title: str
    retrieve: str = "auto"  # "c-get", "c-move" or "auto"
    uncompressed_only: bool = False
    limits: PoolLimits = field(default_factory=PoolLimits)
    timeouts: Timeouts = field(default_factory=Timeouts)
    breaker: BreakerLimits = field(default_factory=BreakerLimits)
    tls: ssl.SSLContext | None = None
    user_identity: UserIdentity | None = None
    character_set: str = ""  # it is asked in besides UTF-8

    def __str__(self) -> str:
        return f"{self.ae_title}@{self.host}:{self.port}"
