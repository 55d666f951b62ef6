"""/farsight/cache: what is shown, what may be asked for, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from booked import ONE, OTHER, TWO, Clock, keep, ref
from fakes.cache_book import FakeCacheBook
from fakes.memory_archive import MemoryArchive
from fakes.outbox import MemoryOutbox
from farsight.errors import (
    BadRequest,
    Conflict,
    InvalidUid,
    MethodNotAllowed,
    NotFound,
    UnsupportedMediaType,
)
from farsight.model import SeriesRef
from farsight.services.claiming_outbox import ClaimingOutbox
from farsight.services.eviction import Evictor
from farsight.services.eviction_statistics import EvictionLimits
from farsight.services.series_locks import SeriesLocks
from farsight.services.verification import Verifier
from farsight.web.handlers_cache import CacheHandler
from farsight.web.messages import Request, Response


class Site:
    def __init__(self) -> None:
        clock, locks = Clock(), SeriesLocks()
        self.archive = MemoryArchive()
        self.archive.capacity_bytes = 1000
        self.book = FakeCacheBook(clock)
        self.in_use: set[SeriesRef] = set()
        in_use = self.in_use.__contains__
        limits = EvictionLimits(max_bytes=500, min_free_bytes=10)
        self.evictor = Evictor(self.book, self.archive, in_use, limits, locks, clock=clock)
        confirm = ClaimingOutbox(MemoryOutbox(), self.book).found_held
        self.verifier = Verifier((), self.archive, confirm, locks, lambda _: False, clock=clock)
        self.handler = CacheHandler(self.book, self.archive, self.evictor, self.verifier, in_use)
        for of in (ref(1), ref(2), ref(1, TWO), ref(1, OTHER)):
            self.archive.stored[of] = b"x" * 10
            keep(self.book, of, pacs="" if of.series == OTHER else "pacs")
        clock.now = 5000.0

    def ask(self, path: str = "", method: str = "GET", body: object = None) -> Response:
        headers = {"content-type": "application/json"}
        raw = json.dumps(body).encode()
        return self.handler(Request(method, f"/farsight/cache{path}", headers=headers, body=raw))

    def json(self, path: str = "", method: str = "GET", body: object = None) -> Any:
        answer = self.ask(path, method, body)
        assert answer.header("Content-Type") == "application/json"
        assert isinstance(answer.body, bytes)
        return json.loads(answer.body)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.verifier.close(10)


def test_what_is_stored_and_what_may_go(site: Site) -> None:
    shown = site.json()
    assert shown["series"] == 3
    assert (shown["instances"], shown["bytes"], shown["free_bytes"]) == (4, 40, 960)
    assert (shown["unconfirmed_instances"], shown["unconfirmed_bytes"]) == (1, 10)
    assert shown["limits"]["max_bytes"] == 500
    assert shown["last_run_at"] is None
    assert not shown["complete_account"]
    site.book.caught_up()
    site.in_use.add(ONE)
    assert not site.evictor.make_room(5000)
    shown = site.json("/")
    assert shown["complete_account"]
    assert shown["last_run_at"] == "1970-01-01T01:23:20+00:00"
    assert shown["evicted"]["room"] == {"series": 1, "instances": 1, "bytes": 10}
    assert shown["not_evicted"] == {"it is being read or retrieved": 1}
    assert not shown["limits_kept"]


def test_a_study(site: Site) -> None:
    site.in_use.add(TWO)
    shown = site.json("/studies/1.1")
    assert shown["study"] == "1.1"
    assert shown["series"] == [
        {
            "series": series,
            "instances": instances,
            "bytes": instances * 10,
            "unconfirmed": 0,
            "used_at": "1970-01-01T00:16:40+00:00",
            "in_use": in_use,
        }
        for series, instances, in_use in (("1.1.1", 2, False), ("1.1.2", 1, True))
    ]
    with pytest.raises(NotFound):
        site.ask("/studies/9.9")


def test_a_study_is_evicted(site: Site) -> None:
    assert site.json("/studies/1.1", "DELETE") == {"series": 2, "instances": 3, "bytes": 30}
    assert set(site.archive.stored) == {ref(1, OTHER)}
    with pytest.raises(NotFound):
        site.ask("/studies/1.1", "DELETE")
    with pytest.raises(Conflict, match="of 1 instances"):
        site.ask("/studies/1.2", "DELETE")


def test_verifications(site: Site) -> None:
    answer = site.ask("/verify", "POST", {"studies": ["9.9"]})
    assert answer.status == 202
    site.verifier.close(10)
    (job,) = site.json("/verify")["jobs"]
    assert job["number"] == 1
    assert job["studies"] == ["9.9"]
    assert job["state"] in ("done", "stopped", "waiting")


@pytest.mark.parametrize(
    ("path", "method", "error"),
    [
        ("", "POST", MethodNotAllowed),
        ("", "DELETE", MethodNotAllowed),
        ("/verify", "DELETE", MethodNotAllowed),
        ("/studies/1.1", "POST", MethodNotAllowed),
        ("/studies/../verify", "DELETE", InvalidUid),
        ("/studies/1.1/series/1.1.1", "DELETE", InvalidUid),
        ("/studies", "GET", NotFound),
        ("/other", "GET", NotFound),
        ("/verify", "POST", BadRequest),
    ],
)
def test_what_is_refused(site: Site, path: str, method: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        site.ask(path, method)


def test_a_form_of_another_web_site_can_not_ask(site: Site) -> None:
    request = Request(
        "POST", "/farsight/cache/verify", headers={"content-type": "text/plain"}, body=b"{}"
    )
    with pytest.raises(UnsupportedMediaType):
        site.handler(request)


def test_rows_of_the_status_page(site: Site) -> None:
    site.evictor.statistics.failed("<script>")
    rows = site.handler.status_rows()
    assert "&lt;script&gt;" in rows
    assert rows.count("<tr>") == rows.count("</tr>") >= 5
