"""The threads that send on: woken by a promise, ended when closed, outliving every error."""

from __future__ import annotations

import threading
import time

import pytest

from fakes.forwarding import Site, ref, uids
from fakes.receiving import ReceivingPacs
from fakes.scripted_pacs import wait_until
from farsight.errors import NotFound, PacsUnavailable
from farsight.services.forward_limits import ForwardLimits

QUICK = ForwardLimits(
    retry_s=0.02, longest_retry_s=0.1, attempts=3, confirm_after_s=0.01, confirm_tries=2
)


def site_of(*pacs: ReceivingPacs) -> Site:
    site = Site(*pacs, limits=QUICK)
    site.clock = time.time  # type: ignore[assignment]
    site.restart()
    return site


def test_a_promise_wakes_them() -> None:
    site = site_of(ReceivingPacs("near"), ReceivingPacs("far"))
    site.forwarder.start()
    site.enter(1, 1, 2, to="near")
    site.enter(2, 1, to="far")
    wait_until(lambda: not site.outbox.counts(), what="that all is sent and confirmed")
    assert site.book.held == {ref(1, 1): "near", ref(1, 2): "near", ref(2, 1): "far"}
    site.forwarder.close(10)
    assert not [one for one in threading.enumerate() if one.name.startswith("farsight-forward")]


def test_they_outlive_errors_of_every_kind() -> None:
    pacs = ReceivingPacs(down=PacsUnavailable("pacs", "connection refused"))
    site = site_of(pacs)
    errors: list[BaseException] = [KeyError("a bug"), MemoryError(), ValueError("another")]

    def fail(_: str) -> None:
        if errors:
            raise errors.pop()

    site.book.before = fail
    site.forwarder.start()
    site.outbox.promise(site.outbox.announce([site_item(site)]))
    site.forwarder.wake()
    wait_until(lambda: pacs.associations > 3, what="several attempts")
    pacs.down = None
    wait_until(lambda: not site.outbox.counts(), what="that all is sent and confirmed")
    assert errors == []
    site.forwarder.close(10)


def site_item(site: Site):  # type: ignore[no-untyped-def]
    other = Site()
    (number,) = other.enter(1, 1)
    site.archive.content.update(other.archive.content)
    return other.parcel(number).what


def test_closing_ends_after_the_instance_under_way() -> None:
    pacs = ReceivingPacs()
    site = site_of(pacs)
    numbers = site.enter(1, *range(1, 50))
    closing = threading.Event()
    closer = threading.Thread(target=lambda: (closing.wait(30), site.forwarder.close(30)))
    closer.start()

    def after() -> None:
        if len(pacs.sent) == 3:
            closing.set()
            wait_until(site.forwarder._over.is_set, what="closing")

    pacs.after_each = after
    site.forwarder.start()
    closer.join(60)
    assert not closer.is_alive()
    assert len(pacs.sent) == 4
    assert site.stages(numbers[:5]) == ["sent"] * 4 + ["waiting"]
    site.restart()
    pacs.after_each = lambda: None
    site.forwarder.start()
    wait_until(lambda: not site.outbox.counts(), what="that all is sent and confirmed")
    assert sorted(pacs.sent) == sorted(uids(1, *range(1, 50))), "none of them twice"
    site.forwarder.close(10)


def test_closed_before_it_was_started() -> None:
    site_of().forwarder.close(1)


def test_dead_ones_are_asked_for_again() -> None:
    uid = uids(1, 1)[0]
    pacs = ReceivingPacs(answers={uid: [0xC000] * 3})
    site = site_of(pacs)
    site.forwarder.start()
    (number,) = site.enter(1, 1)
    wait_until(lambda: site.stage(number) == "dead", what="that it is given up")
    assert site.forwarder.retry_dead("pacs") == 1
    wait_until(lambda: not site.outbox.counts(), what="that all is sent and confirmed")
    with pytest.raises(NotFound):
        site.forwarder.retry_dead("nobody")
    site.forwarder.close(10)


def test_progress_also_tells_of_what_is_no_pacs_any_more() -> None:
    site = Site()
    site.enter(1, 1, to="removed")
    removed = next(one for one in site.forwarder.progress() if one.destination == "removed")
    assert (removed.state, removed.waiting) == ("no PACS any more", 1)
    assert removed.oldest_entered_at is not None
