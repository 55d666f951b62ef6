"""What a modality wants to store by C-STORE, looked at before the archive takes it.

The archive would say "success" to a second content under a taken name, and keep the first: so the
sender is told. What is here already with the same content still has to go where all of it goes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from farsight.errors import FarsightError, NotFound
from farsight.model import Arrival, Origin
from farsight.ports.archive import Archive
from farsight.ports.cache_book import CacheBook
from farsight.ports.spool import InMemory
from farsight.services.offers import Offer, Refusal, examine, is_of_another, same_content
from farsight.services.pacs_senders import PacsSenders
from farsight.services.storing import Duplicates

LOG = logging.getLogger("farsight.storing")

SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110  # PS3.7 C.5
DUPLICATE_INSTANCE = 0x0111  # PS3.7 C.5
OUT_OF_RESOURCES = 0xA700  # PS3.4 B.2.3


class ModalityStores:
    """Thread-safe; blocks."""

    def __init__(
        self,
        archive: Archive,
        book: CacheBook,
        senders: PacsSenders,
        duplicates: Duplicates,
        room: Callable[[int], bool],
        on_data: Callable[[Arrival], None],
    ) -> None:
        """`senders`: PACS, whose own instances are cache. `room`: makes room for so many bytes,
        False where it can't. `on_data`: what has to be sent on."""
        self._archive = archive
        self._book = book
        self._senders = senders
        self._duplicates = duplicates
        self._room = room
        self._on_data = on_data

    def status_for(self, remote_ae_title: str, data: bytes) -> int:
        """The status of the C-STORE (PS3.4 B.2.3): the archive takes it only on success."""
        if not self._room(len(data)):
            LOG.error("an instance of %s is refused: no room is left", remote_ae_title)
            return OUT_OF_RESOURCES
        offer = examine(InMemory(data), None)
        if isinstance(offer, Refusal):
            return SUCCESS  # the archive knows what it can't take
        if self._senders.name_of(remote_ae_title, offer.ref.series):
            return SUCCESS
        try:
            return self._beside(offer, remote_ae_title)
        except FarsightError as error:
            LOG.error("instance %s is refused: %s", offer.ref.sop_instance_uid, error)
            return PROCESSING_FAILURE

    def _beside(self, offer: Offer, remote_ae_title: str) -> int:
        """Raises: ArchiveError, CacheBookError, OutboxError."""
        ref = offer.ref
        if is_of_another(offer, self._archive.patient_ids(ref.study_instance_uid)):
            LOG.error("study %s belongs to another patient here", ref.study_instance_uid)
            return PROCESSING_FAILURE
        named = self._archive.named(ref.sop_instance_uid)
        if any(other != ref for other in named):
            return self._taken(offer)
        if not named:
            return SUCCESS
        try:
            same = same_content(offer, self._archive.open(ref))
        except NotFound:
            return SUCCESS  # deleted meanwhile
        if same:
            origin = Origin("dicom", remote_ae_title)
            size, syntax = offer.part.size, offer.transfer_syntax_uid
            self._on_data(Arrival(ref, "", size, offer.sop_class_uid, syntax, origin))
            return SUCCESS
        if self._duplicates is Duplicates.REJECT:
            return self._taken(offer)
        if self._duplicates is Duplicates.REPLACE:
            self._book.claim((ref,))  # what a PACS has is not that then
        return SUCCESS

    @staticmethod
    def _taken(offer: Offer) -> int:
        LOG.error("instance %s is refused: its name is taken", offer.ref.sop_instance_uid)
        return DUPLICATE_INSTANCE
