"""/farsight/outbox: what is told, what is taken, what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fakes.forwarding import Site, ref
from fakes.receiving import ReceivingPacs
from farsight.errors import (
    BadRequest,
    Conflict,
    FarsightError,
    InvalidParameter,
    MethodNotAllowed,
    NotFound,
    PacsUnavailable,
    UnsupportedMediaType,
)
from farsight.web.handlers_outbox import DISCARD, HEADINGS, OUTBOX, RETRY, OutboxHandler
from farsight.web.messages import Request

JSON = {"content-type": "application/json; charset=utf-8"}
DOWN = PacsUnavailable("pacs", "connection <refused>")


@pytest.fixture
def site() -> Site:
    return Site(ReceivingPacs(down=DOWN))


def get(site: Site, **query: str) -> Any:
    handler = OutboxHandler(site.forwarder, site.entrance)
    answer = handler(Request("GET", OUTBOX, tuple(query.items())))
    assert (answer.status, answer.header("Content-Type")) == (200, "application/json")
    assert answer.header("Cache-Control") == "no-store"
    assert isinstance(answer.body, bytes)
    return json.loads(answer.body)


def post(site: Site, path: str, body: object, headers: dict[str, str] | None = None) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler = OutboxHandler(site.forwarder, site.entrance)
    answer = handler(Request("POST", path, headers=JSON if headers is None else headers, body=raw))
    assert answer.status == 200
    assert isinstance(answer.body, bytes)
    return json.loads(answer.body)


def test_how_it_stands(site: Site) -> None:
    site.enter(1, 1, 2)
    site.outbox.bury(site.enter(1, 3), "refused")
    site.work()
    (told,) = get(site)["destinations"]
    oldest = told.pop("oldest")
    assert oldest.endswith("+00:00")
    assert told.pop("state").startswith("waiting until 1970-01-12T13:46:4")
    assert told == {
        "destination": "pacs",
        "announced": 0,
        "waiting": 2,
        "sent": 0,
        "dead": 1,
        "error": str(DOWN),
    }


def test_rows_of_the_page_are_escaped(site: Site) -> None:
    site.enter(1, 1, 2)
    site.work()
    (row,) = OutboxHandler(site.forwarder, site.entrance).rows()
    assert len(row) == len(HEADINGS)
    assert row[:4] == ("pacs", "2", "0", "0")
    assert "&lt;refused&gt;" in row[-1]


def test_the_parcels_of_a_stage_in_pages(site: Site) -> None:
    numbers = site.enter(1, 1, 2, 3)
    site.enter(1, 1, to="other")
    site.outbox.failed(numbers[:1], "refused", 1_000_000_000.0)
    told = get(site, stage="waiting", destination="pacs", limit="2")
    first, second = told["parcels"]
    assert told["next_after"] == second["number"] == numbers[1]
    entered = first.pop("entered")
    assert entered[:2] == "20"
    assert first == {
        "number": numbers[0],
        "destination": "pacs",
        "stage": "waiting",
        "study": ref(1, 1).study_instance_uid,
        "series": ref(1, 1).series_instance_uid,
        "instance": ref(1, 1).sop_instance_uid,
        "sop_class": "1.2.840.10008.5.1.4.1.1.2",
        "transfer_syntax": "1.2.840.10008.1.2.1",
        "attempts": 1,
        "error": "refused",
        "due": "2001-09-09T01:46:40+00:00",
    }
    assert second["due"] is None
    told = get(site, stage="waiting", destination="pacs", limit="2", after=str(numbers[1]))
    assert [one["number"] for one in told["parcels"]] == numbers[2:]
    assert "next_after" not in told
    assert get(site, limit="5") == {"parcels": []}, "dead ones, where no stage is named"


@pytest.mark.parametrize(
    "query",
    [
        {"stage": "lost"},
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "٣"},
        {"after": "-1"},
        {"after": "9" * 30},
        {"destiny": "pacs"},
    ],
)
def test_other_queries_are_refused(site: Site, query: dict[str, str]) -> None:
    with pytest.raises(InvalidParameter, match=next(iter(query))):
        get(site, **query)


def test_dead_ones_are_sent_again(site: Site) -> None:
    numbers = site.enter(1, 1, 2, 3)
    site.outbox.bury(numbers[:2], "refused")
    assert post(site, RETRY, {"parcels": [numbers[0], numbers[2]]}) == {"retried": 2}
    assert site.stages(numbers) == ["waiting", "dead", "waiting"]
    assert post(site, RETRY, {"destination": "pacs"}) == {"retried": 1}
    assert site.stages(numbers) == ["waiting"] * 3


def test_a_retry_ends_the_pause(site: Site) -> None:
    (number,) = site.enter(1, 1)
    assert (site.work() or 0) > 0
    site.pacs["pacs"].down = None
    site.work()
    assert site.stage(number) == "waiting"
    post(site, RETRY, {"parcels": [number]})
    site.work()
    assert site.stage(number) == "sent"


def test_dead_ones_are_discarded_and_stay_data(site: Site) -> None:
    numbers = site.enter(1, 1, 2)
    site.outbox.bury(numbers, "refused")
    told = post(site, DISCARD, {"parcels": numbers[:1]})
    assert told["discarded"] == 1
    assert "never be sent" in told["note"]
    assert site.stages(numbers) == ["gone", "dead"]
    assert site.archive.holds(ref(1, 1))
    assert site.book.held == {}


def test_all_or_none(site: Site) -> None:
    dead, waiting, announced = site.enter(1, 1, 2, 3)
    site.outbox.bury([dead], "refused")
    what = site.parcel(announced).what
    (announced,) = site.outbox.announce([what])
    for path, numbers, error in (
        (DISCARD, [dead, waiting], Conflict),
        (DISCARD, [dead, 999], NotFound),
        (RETRY, [dead, announced], Conflict),
        (RETRY, [999, dead], NotFound),
    ):
        with pytest.raises(error, match=r"parcel \d+"):
            post(site, path, {"parcels": numbers})
    assert site.stages([dead, waiting, announced]) == ["dead", "waiting", "announced"]
    with pytest.raises(NotFound, match="nobody"):
        post(site, RETRY, {"destination": "nobody"})


@pytest.mark.parametrize("path", [RETRY, DISCARD])
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100, "not JSON"),
        ([], "one key"),
        ({}, "one key"),
        ({"parcels": [1], "destination": "pacs"}, "one key"),
        ({"parcels": 1}, "list of numbers"),
        ({"parcels": ["1"]}, "list of numbers"),
        ({"parcels": [True]}, "list of numbers"),
        ({"parcels": [1.0]}, "list of numbers"),
        ({"parcels": []}, "0 entries"),
        ({"parcels": [1] * 1001}, "1001 entries"),
        ({"parcels": [0]}, "no parcel can have"),
        ({"parcels": [1 << 70]}, "no parcel can have"),
    ],
)
def test_other_bodies_are_refused(site: Site, path: str, body: object, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        post(site, path, body)


def test_all_of_a_destination_is_never_discarded(site: Site) -> None:
    with pytest.raises(BadRequest, match='one key "parcels"'):
        post(site, DISCARD, {"destination": "pacs"})
    with pytest.raises(BadRequest, match="name of a PACS"):
        post(site, RETRY, {"destination": ["pacs"]})


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_forms_of_other_sites_are_refused(site: Site, media_type: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        post(site, RETRY, {"destination": "pacs"}, {"content-type": media_type})


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("POST", OUTBOX, MethodNotAllowed),
        ("GET", RETRY, MethodNotAllowed),
        ("DELETE", DISCARD, MethodNotAllowed),
        ("GET", OUTBOX + "/burn", NotFound),
    ],
)
def test_other_paths_and_methods(
    site: Site, method: str, path: str, error: type[FarsightError]
) -> None:
    with pytest.raises(error):
        OutboxHandler(site.forwarder, site.entrance)(Request(method, path, headers=JSON))
