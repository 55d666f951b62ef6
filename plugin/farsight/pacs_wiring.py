"""Where each PACS is and how it is to be spoken to, out of the settings."""

from __future__ import annotations

from collections.abc import Sequence

from farsight.adapters.association_pool import PoolLimits
from farsight.adapters.dimse_connection import Timeouts
from farsight.adapters.dimse_tls import client_context
from farsight.adapters.pacs_address import PacsAddress
from farsight.dimse.association import UserIdentity
from farsight.settings import Settings
from farsight.settings_pacs import PacsSettings


def address_of(settings: Settings, pacs: PacsSettings) -> PacsAddress:
    tls = pacs.tls
    return PacsAddress(
        name=pacs.name,
        ae_title=pacs.ae_title,
        host=pacs.host,
        port=pacs.port,
        calling_ae_title=settings.calling_ae_title,
        retrieve=pacs.retrieve,
        uncompressed_only=pacs.uncompressed,
        limits=PoolLimits(pacs.max_associations, pacs.idle_timeout_s),
        timeouts=Timeouts(pacs.connect_timeout_s, pacs.acse_timeout_s, pacs.dimse_timeout_s),
        tls=None
        if tls is None
        else client_context(tls.trusted_certificates, tls.certificate, tls.private_key),
        user_identity=UserIdentity(pacs.username, pacs.passcode) if pacs.username else None,
        character_set=pacs.character_set,
    )


def said_of_pacs(every: Sequence[PacsSettings]) -> str:
    """For the log: which they are, and what follows where nobody named them."""
    said = f"PACS: {', '.join(pacs.name for pacs in every) or 'none'}"
    if any(not pacs.is_named for pacs in every):
        said += (
            " (all modalities that allow C-FIND: Farsight.Pacs names none. What they send unasked"
            " is taken for data that is nowhere else)"
        )
    return said
