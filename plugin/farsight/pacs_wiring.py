"""Where each PACS is and how it is to be spoken to, out of the settings."""

from __future__ import annotations

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
