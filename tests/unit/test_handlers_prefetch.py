"""POST /farsight/prefetch and the metrics' text: what is taken, what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from farsight.errors import BadRequest, UnsupportedMediaType
from farsight.services.prefetch import PrefetchOutcome
from farsight.web.handlers_prefetch import PrefetchHandler
from farsight.web.messages import Request, Response
from farsight.web.prometheus import metric
from farsight.web.routes import READING, Router

JSON = {"content-type": "application/json; charset=utf-8"}


class Service:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def prefetch(self, study_instance_uids: Sequence[str]) -> dict[str, PrefetchOutcome]:
        self.asked += study_instance_uids
        return {
            "1.2": PrefetchOutcome(3, 1, 2),
            "1.3": PrefetchOutcome(error="unknown"),
            "1.4": PrefetchOutcome(1, 1, 0, warning="one PACS is down"),
        }


def post(body: object, headers: dict[str, str] | None = None) -> tuple[Service, Response]:
    service = Service()
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler = PrefetchHandler(service)  # type: ignore[arg-type]
    request = Request("POST", "/farsight/prefetch", headers=headers or JSON, body=raw)
    return service, handler(request)


def test_each_study_is_told_of() -> None:
    service, answer = post({"studies": ["1.2", "1.3", "1.4"]})
    assert service.asked == ["1.2", "1.3", "1.4"]
    assert answer.status == 202
    assert isinstance(answer.body, bytes)
    assert json.loads(answer.body) == {
        "studies": {
            "1.2": {"series": 3, "complete": 1, "queued": 2},
            "1.3": {"error": "unknown"},
            "1.4": {"series": 1, "complete": 1, "queued": 0, "warning": "one PACS is down"},
        }
    }


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100, "not JSON"),
        ([], "one key"),
        ({}, "one key"),
        ({"studies": ["1"], "more": 1}, "one key"),
        ({"studies": "1.2"}, "list of Study Instance UIDs"),
        ({"studies": [1]}, "list of Study Instance UIDs"),
        ({"studies": []}, "0 entries"),
        ({"studies": ["1"] * 1001}, "1001 entries"),
        ({"studies": ["1.2", "../x"]}, "studies is not a valid UID"),
    ],
)
def test_other_bodies_are_refused(body: object, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        post(body)


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_forms_of_other_sites_are_refused(media_type: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        post({"studies": ["1.2"]}, {"content-type": media_type})


def test_only_that_path_takes_post() -> None:
    def methods(path: str) -> tuple[str, ...]:
        return ("POST", "OPTIONS") if path == "/farsight/prefetch" else READING

    router = Router({"/farsight/": lambda _: Response(202)}, {"/farsight/": methods})
    assert router.handle(Request("POST", "/farsight/prefetch")).status == 202
    refused = router.handle(Request("GET", "/farsight/prefetch"))
    assert (refused.status, refused.header("Allow")) == (405, "POST, OPTIONS")
    refused = router.handle(Request("POST", "/farsight/status"))
    assert (refused.status, refused.header("Allow")) == (405, "GET, HEAD, OPTIONS")
    assert router.handle(Request("OPTIONS", "/farsight/prefetch")).header("Allow") == (
        "POST, OPTIONS"
    )


def test_metrics_as_prometheus_reads_them() -> None:
    assert metric("up", "gauge", "Is it?", {(): 1}) == "# HELP up Is it?\n# TYPE up gauge\nup 1\n"
    text = metric("got_total", "counter", "Got.", {("b", "x"): 2, ('a"\\\n', "y"): 1}, ("p", "o"))
    assert text.splitlines()[2:] == [
        'got_total{p="a\\"\\\\\\n",o="y"} 1',
        'got_total{p="b",o="x"} 2',
    ]


def test_large_counts_keep_every_digit() -> None:
    text = metric("bytes_total", "counter", "Bytes.", {(): 123_456_789_012})
    assert text.splitlines()[-1] == "bytes_total 123456789012"


def test_how_the_rules_stand() -> None:
    """Without rules, and whether they are asked for by GET or HEAD."""
    for method in ("GET", "HEAD"):
        handler = PrefetchHandler(Service())  # type: ignore[arg-type]
        answer = handler(Request(method, "/farsight/prefetch"))
        assert (answer.status, answer.header("Content-Type")) == (200, "application/json")
        assert isinstance(answer.body, bytes)
        assert json.loads(answer.body)["rules"] == []
