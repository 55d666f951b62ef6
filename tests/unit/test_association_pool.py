"""The laws of the pool, with connections that count themselves."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import pytest

from farsight.adapters.association_pool import AssociationPool, PoolLimits, StaleConnection
from farsight.adapters.dimse_connection import TooManyAssociations
from farsight.dimse.association import (
    Accepted,
    AcceptedContext,
    AssociationRequest,
    ProposedContext,
    UserIdentity,
)
from farsight.errors import PacsError, PacsFailure, PacsUnavailable


def request(number: int = 0) -> AssociationRequest:
    return AssociationRequest("US", "PACS", (ProposedContext(f"1.2.{number}", ("1.2",)),))


class Peer:
    """What the PACS sees: open associations, and how many there were at most."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.open = self.most = self.opened = 0
        self.refuses = False
        self.refused_syntaxes: set[str] = set()
        self.dislikes: tuple[AssociationRequest, type[PacsError]] | None = None
        self.refused = 0
        self.slow_release: threading.Event | None = None

    def connect(self, asked: AssociationRequest) -> FakeConnection:
        if self.refuses:
            raise PacsUnavailable("pacs", "refused")
        if self.dislikes is not None and self.dislikes[0] == asked:
            self.refused += 1
            raise self.dislikes[1]("pacs", "so much is refused")
        with self.lock:
            self.open += 1
            self.opened += 1
            self.most = max(self.most, self.open)
        return FakeConnection(self, asked)


class FakeConnection:
    """Strict: one user at a time, none after its end."""

    def __init__(self, peer: Peer, asked: AssociationRequest) -> None:
        self._peer = peer
        self._ended = False
        self.request = asked
        self.accepted = Accepted(
            {
                number: AcceptedContext(number, context.abstract_syntax, "1.2")
                for number, context in enumerate(asked.contexts)
                if context.abstract_syntax not in peer.refused_syntaxes
            },
            0,
        )
        self.usable = True
        self.dead = False
        self.users = 0

    def accepts(self, asked: AssociationRequest) -> bool:
        return self.accepted.context_for(asked.contexts[0].abstract_syntax) is not None

    def is_alive(self) -> bool:
        return self.usable and not self.dead

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            with self._peer.lock:
                self._peer.open -= 1

    def release(self) -> None:
        if self.usable and self._peer.slow_release is not None:
            assert self._peer.slow_release.wait(10)
        self.usable = False
        self._end()

    def abort(self) -> None:
        self.usable = False
        self._end()

    close = abort


@pytest.fixture
def peer() -> Peer:
    return Peer()


def pool_of(peer: Peer, most: int = 3, idle_s: float = 60, wait_s: float = 30) -> AssociationPool:
    return AssociationPool("pacs", PoolLimits(most, idle_s, wait_s), peer.connect)


QUERY = AssociationRequest("US", "PACS", (ProposedContext("1.2.3", ("1.2",)),))
RETRIEVE = AssociationRequest(
    "US",
    "PACS",
    (ProposedContext("1.2.9", ("1.2",)), *QUERY.contexts, ProposedContext("1.2.5", ("1.2",))),
    scp_role_for=("1.2.5",),
)


def test_a_kept_connection_for_more_does_for_less(peer: Peer) -> None:
    pool = pool_of(peer)
    with pool.lease(RETRIEVE, urgent=True) as first:
        pass
    with pool.lease(QUERY, urgent=True) as second:
        assert second is first
    with pool.lease(RETRIEVE, urgent=False) as third:
        assert third is first, "it is kept for what it was opened for"
    assert peer.opened == 1


def test_after_one_died_unseen_a_fresh_one_is_had(peer: Peer) -> None:
    pool = pool_of(peer)
    with pool.lease(RETRIEVE, urgent=True), pool.lease(RETRIEVE, urgent=True):
        pass
    with pytest.raises(StaleConnection), pool.lease(QUERY, urgent=True):
        raise StaleConnection("pacs", "kept association lost")
    assert (pool.open_associations, peer.open) == (0, 0)
    with pool.lease(QUERY, urgent=True):
        assert peer.opened == 3


def test_but_one_of_its_own_goes_first(peer: Peer) -> None:
    pool = pool_of(peer)
    with pool.lease(QUERY, urgent=True) as own, pool.lease(RETRIEVE, urgent=True):
        pass
    with pool.lease(QUERY, urgent=True) as again:
        assert again is own


def test_one_opened_for_a_query_does_for_the_next_retrieve_too(peer: Peer) -> None:
    pool = pool_of(peer)
    with pool.lease(RETRIEVE, urgent=False), pool.lease(QUERY, urgent=True) as asking:
        assert asking.request == RETRIEVE
    with pool.lease(RETRIEVE, urgent=False) as bulk, pool.lease(RETRIEVE, urgent=True) as urgent:
        assert asking in (bulk, urgent)
    assert peer.opened == 2


def test_nothing_is_asked_for_before_a_retrieve_did(peer: Peer) -> None:
    pool = pool_of(peer)
    with pool.lease(QUERY, urgent=True) as asking:
        assert asking.request == QUERY


@pytest.mark.parametrize("refusal", [PacsUnavailable, TooManyAssociations, PacsFailure])
def test_a_peer_that_does_not_take_so_much_is_asked_for_less(
    peer: Peer, refusal: type[PacsError]
) -> None:
    learned: list[int] = []
    pool = AssociationPool("pacs", PoolLimits(3, 60, 30), peer.connect, learned.append)
    with pool.lease(RETRIEVE, urgent=False):
        peer.dislikes = RETRIEVE, refusal
        with pool.lease(QUERY, urgent=True) as asking:
            assert asking.request == QUERY
        assert (peer.refused, learned) == (1, [])
    peer.dislikes = None
    pool.close()
    with pool.lease(RETRIEVE, urgent=False), pool.lease(QUERY, urgent=True) as asking:
        assert asking.request == QUERY, "that is not tried again"


def test_one_that_is_not_there_has_not_said_what_it_takes(peer: Peer) -> None:
    pool = pool_of(peer)
    with pool.lease(RETRIEVE, urgent=False):
        peer.refuses = True
        with pytest.raises(PacsUnavailable), pool.lease(QUERY, urgent=True):
            pass
        peer.refuses = False
        with pool.lease(QUERY, urgent=True) as asking:
            assert asking.request == RETRIEVE


def test_one_that_accepts_less_this_time_is_asked_for_the_query_alone(peer: Peer) -> None:
    pool = pool_of(peer)
    with pool.lease(RETRIEVE, urgent=False):
        peer.refused_syntaxes = {QUERY.contexts[0].abstract_syntax}
        with pool.lease(QUERY, urgent=True) as asking:
            assert asking.request == QUERY
        assert peer.open == 2, "the other was released"


def test_where_no_instance_can_be_sent_queries_ask_for_no_more(peer: Peer) -> None:
    pool = pool_of(peer)
    peer.refused_syntaxes = {"1.2.5"}
    with pool.lease(RETRIEVE, urgent=False), pool.lease(QUERY, urgent=True) as asking:
        assert asking.request == QUERY


def test_not_where_the_peer_does_not_accept_it(peer: Peer) -> None:
    pool = pool_of(peer)
    peer.refused_syntaxes = {QUERY.contexts[0].abstract_syntax}
    with pool.lease(RETRIEVE, urgent=True) as first:
        pass
    with pool.lease(QUERY, urgent=True) as second:
        assert second is not first
        assert second.request == QUERY, "nor is it asked for so much again"


@pytest.mark.parametrize(
    "other",
    [
        replace(QUERY, contexts=(ProposedContext("1.2.4", ("1.2",)),)),
        replace(QUERY, contexts=(ProposedContext("1.2.3", ("1.2", "1.3")),)),
        replace(QUERY, calling_ae_title="THEM"),
        replace(QUERY, user_identity=UserIdentity("somebody")),
        replace(RETRIEVE, contexts=RETRIEVE.contexts[1:]),
    ],
)
def test_what_a_kept_connection_does_not_do_for(peer: Peer, other: AssociationRequest) -> None:
    pool = pool_of(peer)
    with pool.lease(RETRIEVE, urgent=True) as first:
        pass
    with pool.lease(other, urgent=True) as second:
        assert second is not first


def test_a_kept_connection_is_used_again(peer: Peer) -> None:
    pool = pool_of(peer)
    with pool.lease(request(), urgent=True) as first:
        pass
    with pool.lease(request(), urgent=False) as second:
        assert second is first
    assert (peer.opened, pool.open_associations) == (1, 1)


def test_another_request_takes_the_place_of_an_idle_one(peer: Peer) -> None:
    pool = pool_of(peer, most=1)
    for number in (1, 2, 1):
        with pool.lease(request(number), urgent=True) as connection:
            assert connection.request == request(number)
    assert (peer.opened, peer.most, peer.open) == (3, 1, 1)


def test_a_dead_idle_one_is_replaced(peer: Peer) -> None:
    pool = pool_of(peer, most=1)
    with pool.lease(request(), urgent=True) as first:
        pass
    first.dead = True
    with pool.lease(request(), urgent=True) as second:
        assert second is not first
    assert (peer.most, pool.open_associations) == (1, 1)


def test_an_error_aborts_and_gives_the_permit_back(peer: Peer) -> None:
    pool = pool_of(peer, most=1)
    for error in (PacsFailure("pacs", "no"), KeyError("bug"), KeyboardInterrupt()):
        with pytest.raises(type(error)), pool.lease(request(), urgent=True):
            raise error
    assert (peer.open, pool.open_associations) == (0, 0)


def test_no_connection_gives_the_permit_back(peer: Peer) -> None:
    pool = pool_of(peer, most=1)
    peer.refuses = True
    for _ in range(3):
        with pytest.raises(PacsUnavailable), pool.lease(request(), urgent=True):
            pass
    assert pool.open_associations == 0


def test_waiting_ends_with_words(peer: Peer) -> None:
    pool = pool_of(peer, most=1, wait_s=0.05)
    with (
        pool.lease(request(), urgent=True),
        pytest.raises(PacsUnavailable, match="all 1 associations are in use"),
        pool.lease(request(), urgent=True),
    ):
        pass


def test_bulk_leaves_one_free_of_three(peer: Peer) -> None:
    pool = pool_of(peer, most=3, wait_s=0.05)
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(pool.lease(request(), urgent=False))
        with pytest.raises(PacsUnavailable), pool.lease(request(), urgent=False):
            pass
        with pool.lease(request(), urgent=True):
            assert peer.open == 3


def _started(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_urgent_goes_first(peer: Peer) -> None:
    pool = pool_of(peer, most=1)
    order: list[str] = []

    def take(name: str, *, urgent: bool) -> None:
        with pool.lease(request(), urgent=urgent):
            order.append(name)

    with pool.lease(request(), urgent=True):
        bulk = _started(lambda: take("bulk", urgent=False))
        urgent = _started(lambda: take("urgent", urgent=True))
        while pool._urgent_waiting == 0:
            threading.Event().wait(0.001)
    bulk.join(10)
    urgent.join(10)
    assert order == ["urgent", "bulk"]


def test_idle_ones_go_when_their_time_is_over(peer: Peer) -> None:
    pool = pool_of(peer, idle_s=0.05)
    with pool.lease(request(1), urgent=True), pool.lease(request(2), urgent=True):
        pass
    for _ in range(500):
        if peer.open == 0 and pool.open_associations == 0:
            break
        threading.Event().wait(0.01)
    assert (peer.open, pool.open_associations) == (0, 0)


@pytest.mark.parametrize("idle_s", [0.01, 0, 60], ids=["its time is over", "not kept", "displaced"])
def test_a_permit_is_free_only_after_the_release(peer: Peer, idle_s: float) -> None:
    """The PACS counts an association until it is released, so we do too."""
    peer.slow_release = threading.Event()
    pool = pool_of(peer, most=1, idle_s=idle_s)
    got = [threading.Event(), threading.Event()]

    def take(number: int) -> None:
        with pool.lease(request(number), urgent=True):
            got[number].set()

    first = _started(lambda: take(0))
    assert got[0].wait(10)
    threading.Event().wait(0.1)  # the first one's release is under way, or it is idle
    second = _started(lambda: take(1))
    assert not got[1].wait(0.2)
    peer.slow_release.set()
    assert got[1].wait(10)
    first.join(10)
    second.join(10)
    assert peer.most == 1


@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_laws_under_a_hundred_threads(peer: Peer, most: int) -> None:
    pool = pool_of(peer, most=most, idle_s=0.002)
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        try:
            for _ in range(20):
                try:
                    with pool.lease(
                        request(chance.randrange(3)), urgent=chance.random() < 0.5
                    ) as c:
                        c.users += 1
                        assert c.users == 1, "one user at a time"
                        assert c.usable
                        if chance.random() < 0.2:
                            threading.Event().wait(0.001)
                        c.users -= 1
                        if chance.random() < 0.1:
                            c.dead = True
                        if chance.random() < 0.1:
                            raise PacsFailure("pacs", "no")
                except PacsFailure:
                    pass
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "nobody waits for ever"
    assert not failures
    assert peer.most <= most
    pool.close()
    for _ in range(500):  # the last idle ones may be on their way out
        if peer.open == 0 and pool.open_associations == 0:
            break
        threading.Event().wait(0.01)
    assert (peer.open, pool.open_associations) == (0, 0)


def test_close_lets_nobody_wait(peer: Peer) -> None:
    pool = pool_of(peer, most=1)
    refused: list[str] = []

    def wait() -> None:
        try:
            with pool.lease(request(), urgent=False):
                refused.append("let in")
        except PacsUnavailable as error:
            refused.append(str(error))

    with pool.lease(request(), urgent=True):
        waiting = _started(wait)
        threading.Event().wait(0.05)
        pool.close()
        waiting.join(10)
        assert not waiting.is_alive()
    assert len(refused) == 1
    assert "in use" in refused[0]
    assert (peer.open, pool.open_associations) == (0, 0)
