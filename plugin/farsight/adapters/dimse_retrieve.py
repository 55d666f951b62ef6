"""What is wanted of a PACS, as the requests of C-GET and C-MOVE that bring it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Protocol

from farsight.adapters.association_pool import LeftAtRest, StaleConnection
from farsight.adapters.dimse_endings import Endings
from farsight.adapters.dimse_exchange import Exchange
from farsight.adapters.dimse_requests import Abandoned, Getting, move
from farsight.adapters.pacs_address import PacsAddress
from farsight.dimse import contexts, status
from farsight.dimse.association import ProposedContext
from farsight.dimse.manners import MOST_UIDS, Way
from farsight.dimse.retrieve_identifier import retrieve_keys
from farsight.errors import PacsFailure, PacsRefusedContexts
from farsight.model import IdentifierKey, Level, SubOperations
from farsight.ports.pacs import Arrivals, Sink, Told, not_told


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to fetch, and how: one way of naming it, the contexts to propose for a C-GET.

    proposed: None has it moved to Orthanc by C-MOVE.
    """

    study_instance_uid: str
    series_instance_uid: str | None
    way: Way
    proposed: tuple[ProposedContext, ...] | None
    urgent: bool
    told: Told = not_told


class LeaseFor(Protocol):
    """How an exchange is had: operation, models, contexts for what is sent to us besides them."""

    def __call__(
        self,
        operation: str,
        sop_class_uids: Sequence[str],
        proposed: tuple[ProposedContext, ...] = (),
        *,
        urgent: bool,
    ) -> AbstractContextManager[Exchange]: ...


class Retriever:
    """Every request of one way on one association. Thread-safe."""

    def __init__(
        self,
        address: PacsAddress,
        lease: LeaseFor,
        patient_id_of: Callable[[str], str | None],
        has_room: Callable[[], bool],
    ) -> None:
        """`patient_id_of`: for a Study Instance UID; asked only where the Patient root is used.

        `has_room`: see Endings.
        """
        self._name = address.name
        self._lease = lease
        self._patient_id_of = patient_id_of
        self._move_destination = address.calling_ae_title
        self._endings = Endings(address.name, has_room)

    def retrieve(self, wanted: Wanted, sink: Sink, arrivals: Arrivals) -> SubOperations:
        """A kept association that died unseen is replaced once.

        Raises: PacsRefusedService, PacsFailure, PacsTimeout, PacsUnavailable; what `sink` and
        `arrivals` raise.
        """
        try:
            try:
                return self._on_exchange(wanted, sink, arrivals, None)
            except StaleConnection:
                return self._on_exchange(wanted, sink, arrivals, None)
            except _PatientIdNeeded as error:
                patient_id = self._patient_id_of(wanted.study_instance_uid)
                if not patient_id:
                    raise PacsFailure(self._name, _NO_PATIENT_ID) from error
                return self._on_exchange(wanted, sink, arrivals, patient_id)
        except Abandoned as error:
            raise error.why from None

    def headers(
        self, sop_instance_uids: Sequence[str], proposed: tuple[ProposedContext, ...], sink: Sink
    ) -> None:
        """Instances without bulk data (PS3.4 Z.4.2). Raises: as `retrieve`."""

        def fetch() -> None:
            services = (contexts.WITHOUT_BULK_DATA_GET,)
            with self._lease("C-GET", services, proposed, urgent=True) as exchange:
                for at in range(0, len(sop_instance_uids), MOST_UIDS):
                    uids = "\\".join(sop_instance_uids[at : at + MOST_UIDS])
                    keys = (IdentifierKey("00080018", "UI", uids),)
                    Getting(self._name, exchange, Level.IMAGE, keys, sink).to_its_end()

        try:
            try:
                fetch()
            except StaleConnection:
                fetch()
        except Abandoned as error:
            raise error.why from None

    def _on_exchange(
        self, wanted: Wanted, sink: Sink, arrivals: Arrivals, patient_id: str | None
    ) -> SubOperations:
        operation, models = "C-MOVE", contexts.MOVE_MODELS
        if wanted.proposed is not None:
            operation, models = "C-GET", contexts.GET_MODELS
        total, only = SubOperations(0, 0, 0, status.SUCCESS), _only_one(wanted)
        with ExitStack() as held:
            exchange = held.enter_context(
                self._lease(operation, models, wanted.proposed or (), urgent=wanted.urgent)
            )
            if exchange.patient_root and patient_id is None:
                raise _PatientIdNeeded
            if wanted.proposed and not exchange.accepts_any_of(wanted.proposed):
                why = "C-GET: no storage context of the instances is accepted"
                raise _NothingToSendOn(self._name, why)
            series = None if wanted.way.level is Level.STUDY else wanted.series_instance_uid
            for uids in wanted.way.sop_instance_uids or ((),):
                level, keys = retrieve_keys(
                    wanted.study_instance_uid,
                    series,
                    uids,
                    patient_id if exchange.patient_root else None,
                )
                if wanted.proposed is None:
                    to = self._move_destination
                    one = move(self._name, exchange, level, keys, to, arrivals, wanted.told)
                else:
                    getting = Getting(self._name, exchange, level, keys, sink, wanted.told)
                    one = self._endings.got(getting, only, held)
                total = _added(total, one)
        return total


def _only_one(wanted: Wanted) -> str | None:
    """The instance that is waited for, if it is asked for alone."""
    way = wanted.way
    if not wanted.urgent or way.level is not Level.IMAGE or len(way.sop_instance_uids) != 1:
        return None
    uids = way.sop_instance_uids[0]
    return uids[0] if len(uids) == 1 else None


class _PatientIdNeeded(LeftAtRest):
    """Only the Patient root is offered, and its identifiers name the patient."""


class _NothingToSendOn(PacsRefusedContexts, LeftAtRest):
    """Found out before anything was asked on the association."""


_NO_PATIENT_ID = "offers the Patient root only, and tells no PatientID for the study"


def _added(one: SubOperations, other: SubOperations) -> SubOperations:
    """Counts of two requests together; the first status that isn't a success stays."""
    return SubOperations(
        completed=one.completed + other.completed,
        failed=one.failed + other.failed,
        warning=one.warning + other.warning,
        dimse_status=one.dimse_status or other.dimse_status,
    )
