"""C-FIND of a Modality Worklist (PS3.4 K), on an association of its own for each question."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from farsight.adapters.circuit_breaker import CircuitBreaker
from farsight.adapters.dimse_connection import Connection
from farsight.adapters.dimse_exchange import Exchange
from farsight.adapters.pacs_address import PacsAddress
from farsight.dimse import commands, contexts, status
from farsight.dimse.association import AssociationRequest
from farsight.dimse.worklist import MODALITY_WORKLIST_FIND, worklist_identifier
from farsight.errors import MalformedDicom, PacsError, PacsFailure
from farsight.model import Attributes
from farsight.ps318.dicom_json import identifier_attributes

LOG = logging.getLogger("farsight.dimse")


class DimseWorklist:
    """The Worklist port. Asked every few minutes: nothing is kept between two questions."""

    def __init__(self, address: PacsAddress) -> None:
        self._address = address
        self._breaker = CircuitBreaker(address.name, address.breaker)

    @property
    def name(self) -> str:
        return self._address.name

    def scheduled(self, first: date, last: date, max_rows: int) -> list[Attributes]:
        """See ports.Worklist."""
        with self._exchange() as exchange:
            identifier = worklist_identifier(first, last, exchange.transfer_syntax)
            rows: list[Attributes] = []
            message = exchange.ask(commands.C_FIND_RQ, identifier)
            while message.command.status in status.PENDING:
                rows.append(self._row(message.data_set or b"", exchange.transfer_syntax))
                if len(rows) >= max_rows:
                    LOG.warning("worklist %r has more than %d steps", self.name, max_rows)
                    with contextlib.suppress(PacsError):  # enough came all the same
                        exchange.cancel()
                    return rows
                message = exchange.receive()
            exchange.check_end(message)
            if message.command.status != status.SUCCESS:
                why = "the worklist cut its answer short"
                raise PacsFailure(self.name, why, message.command.status)
        return rows

    @contextmanager
    def _exchange(self) -> Iterator[Exchange]:
        address = self._address
        request = AssociationRequest(
            address.calling_ae_title,
            address.ae_title,
            contexts.service_contexts(MODALITY_WORKLIST_FIND),
            user_identity=address.user_identity,
        )
        with self._breaker.guard():
            connection = Connection(
                address.name,
                (address.host, address.port),
                request,
                address.timeouts,
                address.tls,
            )
        try:
            yield Exchange(address.name, connection, (MODALITY_WORKLIST_FIND,), "worklist C-FIND")
            connection.release()
        finally:
            connection.abort()  # nothing, where it was released

    def _row(self, data_set: bytes, transfer_syntax_uid: str) -> Attributes:
        try:
            return identifier_attributes(data_set, transfer_syntax_uid, self._address.character_set)
        except MalformedDicom as error:
            raise PacsFailure(self.name, f"worklist: a row can't be read ({error})") from error
