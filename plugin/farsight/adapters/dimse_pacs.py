"""A PACS over DIMSE: which service, model, level and engine to use, and what it taught us."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace

from farsight.adapters.asked_for import AskedFor
from farsight.adapters.association_pool import AssociationPool, StaleConnection
from farsight.adapters.circuit_breaker import CircuitBreaker
from farsight.adapters.dimse_connection import Connection
from farsight.adapters.dimse_engines import Engines
from farsight.adapters.dimse_exchange import Exchange
from farsight.adapters.dimse_find import Finder, PatientIds
from farsight.adapters.dimse_retrieve import Retriever, Wanted
from farsight.adapters.dimse_store import Sender
from farsight.adapters.pacs_address import PacsAddress
from farsight.adapters.right_of_way import RightOfWay
from farsight.dimse import commands, contexts, status
from farsight.dimse.association import AssociationRequest, ProposedContext
from farsight.dimse.manners import C_MOVE, Manners, ways_to_retrieve
from farsight.errors import PacsFailure
from farsight.model import (
    Attributes,
    IdentifierKey,
    Level,
    ReceivedInstance,
    SeriesRef,
    SubOperations,
)
from farsight.ports.pacs import (
    Arrivals,
    Delivered,
    Outgoing,
    Sink,
    Told,
    not_told,
    unknown_arrivals,
)

LOG = logging.getLogger("farsight.dimse")
#: From this repetition on what a list of UIDs didn't bring is asked for one by one, if so few.
_SPLIT_AT_ATTEMPT, _MOST_SPLIT = 2, 100
_UNANSWERED_STORES = 16
_FAR_S = 0.01  # a round trip that makes a series worth splitting


class DimsePacs:
    """The Pacs port over real associations."""

    def __init__(
        self, address: PacsAddress, learned: Callable[[Manners], None] = lambda _manners: None
    ) -> None:
        """`learned` is told when the PACS taught us something."""
        self._address = address
        self._manners = Manners()
        self._tell = learned
        self._breaker = CircuitBreaker(address.name, address.breaker)
        self._pool = AssociationPool(address.name, address.limits, self._connect, self._has_limit)
        self._right_of_way = RightOfWay(
            address.name, self._serves_one_at_a_time, lambda: self._pool.is_waited_for
        )
        self._round_trip_s = 0.0
        self._asked_for = AskedFor()
        self._patient_ids = PatientIds()
        self._finder = Finder(address, self._finding, self._patient_ids)
        self._retriever = Retriever(
            address, self._exchange, self._find_patient_id, lambda: self._pool.has_room
        )
        self._engines = Engines(
            self._retriever, address.retrieve, lambda: self._manners, self._learn
        )
        self._sender = Sender(
            address.name,
            self._storing,
            self._right_of_way.begin,
            lambda: self._pool.is_wanted,
            uncompressed_only=address.uncompressed_only,
        )

    @property
    def address(self) -> PacsAddress:
        return self._address

    @property
    def name(self) -> str:
        return self._address.name

    @property
    def ae_title(self) -> str:
        return self._address.ae_title

    def was_asked_for(self, series: SeriesRef) -> bool:
        """Whether it was to send that series: what it sends of it is no news."""
        return series in self._asked_for

    @property
    def open_associations(self) -> int:
        return self._pool.open_associations

    @property
    def manners(self) -> Manners:
        return self._manners

    @property
    def engine(self) -> str:
        """How instances are fetched now: "c-get", or "c-move" where that was set or learned."""
        return self._engines.chosen

    @property
    def requests_at_once(self) -> int:
        """See ports.Pacs: over a far line every instance costs a round trip."""
        manners = self._manners
        takes_lists = manners.uid_lists and manners.finest_level is Level.IMAGE
        if self._round_trip_s < _FAR_S or not takes_lists or self.engine == C_MOVE:
            return 1
        return max(1, self._pool.bulk_limit)

    @property
    def sends_headers(self) -> bool:
        return self._manners.headers and self.engine != C_MOVE

    def adopt(self, manners: Manners) -> None:
        """Behaves as was learned, before this start or just now."""
        self._manners = manners
        if manners.one_at_a_time:
            self._right_of_way.expect_no_answer()
            self._pool.one_bulk_at_a_time()
        if manners.max_associations:
            self._pool.lower(manners.max_associations)

    def close(self) -> None:
        self._pool.close()

    # ---- associations

    def _connect(self, request: AssociationRequest) -> Connection:
        address = self._address
        with self._breaker.guard():
            connection = Connection(
                address.name,
                (address.host, address.port),
                request,
                address.timeouts,
                address.tls,
            )
        # The shortest: a busy machine makes others longer, never shorter.
        self._round_trip_s = min(self._round_trip_s or math.inf, connection.round_trip_s)
        self._right_of_way.is_so_far_away(self._round_trip_s)
        return connection

    @contextmanager
    def _exchange(
        self,
        operation: str,
        sop_class_uids: Sequence[str],
        proposed: tuple[ProposedContext, ...] = (),
        *,
        urgent: bool,
    ) -> Iterator[Exchange]:
        """See LeaseFor."""
        address = self._address
        services = contexts.GET_SERVICES if proposed else sop_class_uids
        request = AssociationRequest(
            address.calling_ae_title,
            address.ae_title,
            (*contexts.service_contexts(*services), *proposed),
            scp_role_for=tuple(dict.fromkeys(c.abstract_syntax for c in proposed)),
            performed_operations=_UNANSWERED_STORES if proposed else 1,
            user_identity=address.user_identity,
        )
        with self._pool.lease(request, urgent=urgent) as connection:
            if proposed:
                headers = connection.accepted.context_for(contexts.WITHOUT_BULK_DATA_GET)
                self._learn(replace(self._manners, headers=headers is not None))
            yield Exchange(address.name, connection, sop_class_uids, operation)

    def _finding(self) -> AbstractContextManager[Exchange]:
        return self._exchange("C-FIND", contexts.FIND_MODELS, urgent=True)

    @contextmanager
    def _storing(self, proposed: tuple[ProposedContext, ...]) -> Iterator[Connection]:
        """See dimse_store.Lease."""
        own = self._address
        request = AssociationRequest(
            own.calling_ae_title, own.ae_title, proposed, user_identity=own.user_identity
        )
        with self._pool.lease(request, urgent=False, last=True) as connection:
            yield connection

    def _has_limit(self, most: int) -> None:
        self._learn(replace(self._manners, max_associations=most))

    def _serves_one_at_a_time(self) -> None:
        if self._pool.bulk_limit == self._address.limits.max_associations:
            return  # what is urgent may have waited for a permit of ours, not for the PACS
        self._learn(replace(self._manners, one_at_a_time=True))

    def _learn(self, manners: Manners) -> None:
        if manners != self._manners:
            self.adopt(manners)
            LOG.warning("PACS %r from now on: %s", self.name, manners)
            self._tell(manners)

    # ---- C-ECHO, C-FIND

    def echo(self) -> None:
        """See ports.Pacs."""
        try:
            self._echo()
        except StaleConnection:
            self._echo()

    def _echo(self) -> None:
        with self._exchange("C-ECHO", (contexts.VERIFICATION,), urgent=True) as exchange:
            if (code := exchange.ask(commands.C_ECHO_RQ, None).command.status) != status.SUCCESS:
                raise PacsFailure(self.name, f"C-ECHO: {status.describe(code)}", code)

    def find(
        self, level: Level, identifier: Sequence[IdentifierKey], *, max_rows: int | None = None
    ) -> Iterator[Attributes]:
        """See ports.Pacs."""
        try:
            rows = self._finder.rows(level, identifier, max_rows)
            first = next(rows, None)
        except StaleConnection:
            rows = self._finder.rows(level, identifier, max_rows)
            first = next(rows, None)
        with closing(rows):
            if first is not None:
                yield first
                yield from rows

    # ---- C-STORE

    def store(self, instances: Sequence[Outgoing], delivered: Delivered) -> None:
        """See ports.Pacs."""
        self._sender.send(instances, delivered)

    # ---- C-GET, C-MOVE

    def retrieve(
        self,
        study_instance_uid: str,
        series_instance_uid: str | None,
        sop_instance_uids: Sequence[str],
        sop_class_uids: Sequence[str],
        sink: Sink,
        *,
        arrivals: Arrivals = unknown_arrivals,
        told: Told = not_told,
        urgent: bool = False,
        attempt: int = 0,
    ) -> SubOperations:
        """See ports.Pacs."""
        proposed = contexts.get_contexts(
            tuple(sorted(set(sop_class_uids))),
            uncompressed_only=self._address.uncompressed_only,
            attempt=attempt,
        )
        split = attempt >= _SPLIT_AT_ATTEMPT and len(sop_instance_uids) <= _MOST_SPLIT
        ways = ways_to_retrieve(
            series_instance_uid is not None, sop_instance_uids, self._manners, split=split
        )
        what = (study_instance_uid, series_instance_uid)
        self._asked_for.note(study_instance_uid, series_instance_uid)
        wanted = [Wanted(*what, way, proposed, urgent, told) for way in ways]
        if not urgent:
            self._right_of_way.begin()
            return self._engines.in_some_way(wanted, sink, arrivals, self._right_of_way.give)
        with self._right_of_way.taken() as answered:
            return self._engines.in_some_way(wanted, sink, arrivals, answered)

    def headers(
        self, sop_instance_uids: Sequence[str], sop_class_uids: Sequence[str], sink: Sink
    ) -> None:
        """See ports.Pacs."""
        proposed = contexts.get_contexts(
            tuple(sorted(set(sop_class_uids))), uncompressed_only=self._address.uncompressed_only
        )
        with self._right_of_way.taken() as answered:

            def counting(received: ReceivedInstance) -> None:
                answered(1)
                sink(received)

            self._retriever.headers(sop_instance_uids, proposed, counting)

    def _find_patient_id(self, study_instance_uid: str) -> str | None:
        """The finder remembers the PatientID of every study it sees."""
        if (known := self._patient_ids.of(study_instance_uid)) is None:
            study = IdentifierKey("0020000D", "UI", study_instance_uid)
            keys = (study, IdentifierKey("00100020", "LO"))
            for _ in self.find(Level.STUDY, keys):
                pass
        return known or self._patient_ids.of(study_instance_uid)
