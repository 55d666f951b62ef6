"""GET /farsight/…: the page, the retrieves, the metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from fakes.retrieving import retrieving
from fakes.scripted_pacs import wait_until
from fakes.series_source import MemoryArchive, SeriesSource
from farsight.errors import CacheBookError, InvalidParameter, NotFound, PacsUnavailable
from farsight.model import SeriesRef
from farsight.services.holdings import RetrieveLimits
from farsight.services.memory_tier import MemoryTier
from farsight.services.prefetch import PrefetchService
from farsight.services.presence import Presence
from farsight.services.retrieve import RetrieveService
from farsight.web.handlers_cache import VERIFY
from farsight.web.handlers_prefetch import PrefetchHandler
from farsight.web.handlers_status import Others, StatusHandler
from farsight.web.messages import Request, Response
from farsight.web.status_sections import Section
from sample_files import ct_slice, series_uid, study_uid

NAME = '<b>"pacs"</b>'
SERIES = SeriesRef(study_uid(), series_uid())


class Answering(SeriesSource):
    """A source whose C-ECHO works, because the page asks for it."""

    def echo(self) -> None:
        if self.failure is not None:
            raise self.failure


ROOTS = {"pacs": "/pacs/pacs/dicom-web/"}


@pytest.fixture
def source() -> SeriesSource:
    return Answering([ct_slice(number, size=8) for number in range(1, 4)], NAME)


@pytest.fixture
def retrieve(source: SeriesSource) -> Iterator[RetrieveService]:
    archive, tier = MemoryArchive(), MemoryTier(64 << 20)
    limits = RetrieveLimits(passes=1, backoff_s=0.001, wait_s=20)
    service, persister = retrieving((source,), archive, tier, limits)
    yield service
    service.close()
    persister.close(5)


@pytest.fixture
def handler(source: SeriesSource, retrieve: RetrieveService) -> StatusHandler:
    prefetch = PrefetchHandler(PrefetchService(retrieve))
    return StatusHandler(
        (source,),
        retrieve,
        MemoryTier(1 << 20),
        lambda: "",
        ROOTS,
        Others(prefetch, unasked, unasked),
    )


def unasked(request: Request) -> Response:
    raise AssertionError(request.path)


def get(handler: StatusHandler, what: str, **query: str) -> Response:
    return handler(Request("GET", f"/farsight/{what}", tuple(query.items())))


def text(response: Response) -> str:
    assert isinstance(response.body, bytes)
    return response.body.decode("utf-8")


def fetched(retrieve: RetrieveService) -> None:
    retrieve.ensure_series(SERIES, Presence())
    wait_until(lambda: not retrieve.progress(), what="landing")


def test_active_and_ended_are_two_lists(handler: StatusHandler, retrieve: RetrieveService) -> None:
    fetched(retrieve)
    assert json.loads(text(get(handler, "retrieves"))) == []
    assert json.loads(text(get(handler, "retrieves", recent="false"))) == []
    (ended,) = json.loads(text(get(handler, "retrieves", recent="true")))
    assert ended.keys() == {
        "study", "series", "source", "expected", "received", "stored", "bytes", "rate", "age_s",
        "state", "error", "wanted_by", "sub_operations",
    }  # fmt: skip
    assert ended["sub_operations"] == {
        "remaining": None, "completed": 3, "failed": 0, "warning": 0,
    }  # fmt: skip
    assert (ended["state"], ended["source"], ended["error"]) == ("complete", NAME, None)
    with pytest.raises(InvalidParameter):
        get(handler, "retrieves", recent="1")
    with pytest.raises(NotFound):
        get(handler, "nothing")


def test_the_page_escapes_what_it_shows(
    handler: StatusHandler, source: SeriesSource, retrieve: RetrieveService
) -> None:
    fetched(retrieve)
    source.failure = PacsUnavailable("<script>", "<i>down</i>")
    page = text(get(handler, ""))
    assert series_uid() in page
    assert "&lt;b&gt;&quot;pacs&quot;&lt;/b&gt;" in page
    assert "&lt;i&gt;down&lt;/i&gt;" in page
    assert not any(tag in page for tag in ("<b>", "<i>", "<script>"))


def failing(*_: object) -> str:
    raise CacheBookError("the <book> can't be read")


def section(key: str, *, fails: bool) -> Section:
    if fails:
        return Section(key, key, failing, failing, failing)  # type: ignore[arg-type]
    return Section(key, key, lambda: {"a": 1}, lambda: f"<b>{key}</b>", lambda: f"{key} 1\n")


def test_a_section_that_fails_takes_nothing_else_away(
    source: SeriesSource, retrieve: RetrieveService
) -> None:
    sections = [section("one", fails=False), section("two", fails=True), section("3", fails=False)]
    others = Others(PrefetchHandler(PrefetchService(retrieve)), unasked, unasked, sections)
    handler = StatusHandler((source,), retrieve, MemoryTier(1), lambda: "", ROOTS, others)
    status = json.loads(text(get(handler, "status")))
    assert status["two"] == {"error": "the <book> can't be read"}
    assert status["one"] == status["3"] == {"a": 1}
    page = text(get(handler, ""))
    assert "<h2>two</h2>\n<p>the &lt;book&gt; can&#x27;t be read</p>" in page
    assert "<b>one</b>" in page
    assert "<b>3</b>" in page
    metrics = text(get(handler, "metrics"))
    assert "farsight_retrieves_active 0" in metrics
    assert metrics.endswith("one 1\n3 1\n")


@pytest.mark.parametrize("path", [VERIFY, f"{VERIFY}/"])
def test_what_can_be_read_with_a_slash_can_be_asked_for_with_it(path: str) -> None:
    assert "POST" in StatusHandler.methods(path)
    assert "POST" not in StatusHandler.methods("/farsight/cache/")


def test_metrics_have_no_uids(handler: StatusHandler, retrieve: RetrieveService) -> None:
    fetched(retrieve)
    answer = get(handler, "metrics")
    assert str(answer.header("Content-Type")).startswith("text/plain; version=0.0.4")
    lines = text(answer).splitlines()
    escaped = NAME.replace('"', '\\"')
    assert f'farsight_instances_received_total{{pacs="{escaped}"}} 3' in lines
    series = f'farsight_series_retrieved_total{{pacs="{escaped}",outcome="complete"}} 1'
    assert series in lines
    told = f'farsight_sub_operations_total{{pacs="{escaped}",result="completed"}} 3'
    assert told in lines
    assert "farsight_instances_stored_total 3" in lines
    assert "farsight_storing_failures_total 0" in lines
    assert "farsight_retrieves_active 0" in lines
    assert "farsight_memory_tier_bytes 0" in lines
    types = dict(line.split()[2:4] for line in lines if line.startswith("# TYPE"))
    assert types["farsight_received_bytes_total"] == "counter"
    assert types["farsight_memory_tier_bytes"] == "gauge"
    assert study_uid() not in text(answer)
