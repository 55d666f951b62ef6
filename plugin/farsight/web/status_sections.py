"""What the status page, its JSON and the metrics tell beside PACS and retrieves, part by part."""

from __future__ import annotations

import html
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from farsight.errors import FarsightError
from farsight.ports.cache_book import CacheBook
from farsight.services.eviction import Evictor
from farsight.services.forwarding import Forwarder
from farsight.services.freshness import Freshness
from farsight.services.prefetch_schedule import PrefetchSchedule
from farsight.services.storing import StoringService
from farsight.web import handlers_outbox, prefetch_status
from farsight.web.handlers_cache import CacheHandler
from farsight.web.handlers_outbox import OutboxHandler
from farsight.web.prometheus import Samples, metric

LOG = logging.getLogger("farsight.web")


@dataclass(frozen=True, slots=True)
class Section:
    """facts: for JSON. table: HTML. metrics: as Prometheus reads them.

    No label of a metric carries a UID or anything of a patient.
    """

    key: str
    title: str
    facts: Callable[[], Mapping[str, Any]]
    table: Callable[[], str]
    metrics: Callable[[], str]

    def told(self) -> Mapping[str, Any]:
        """The facts, or why there are none: the other sections are there all the same."""
        try:
            return self.facts()
        except FarsightError as error:
            return {"error": str(error)}

    def shown(self) -> str:
        """HTML."""
        try:
            table = self.table()
        except FarsightError as error:
            table = f"<p>{html.escape(str(error))}</p>"
        return f"<h2>{html.escape(self.title)}</h2>\n{table}"

    def exposed(self) -> str:
        """The metrics: none where they can't be had, so that nobody takes them for nothing."""
        try:
            return self.metrics()
        except FarsightError as error:
            LOG.warning("no metrics of %s: %s", self.key, error)
            return ""


def table_of(headings: Sequence[str], rows: Iterable[Sequence[str]], empty: str = "none") -> str:
    """`rows`: escaped already. `empty`: what stands there without any."""
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    none = f'<tr><td colspan="{len(headings)}">{empty}</td></tr>'
    return f"<table><tr>{head}</tr>{body or none}</table>"


def outbox_section(handler: OutboxHandler, forwarder: Forwarder) -> Section:
    """What has to go to a PACS."""

    def metrics() -> str:
        totals = forwarder.statistics.totals()
        waiting: Samples = {
            (one.destination, stage): count
            for one in forwarder.progress()
            for stage, count in (("waiting", one.waiting), ("sent", one.sent), ("dead", one.dead))
        }
        told: tuple[_Told, ...] = (
            ("instances", "gauge", "Instances on their way.", waiting, ("pacs", "stage")),
            ("sent_total", "counter", "Instances a PACS took.", _by_one(totals.sent), _PACS),
            (
                "confirmed_total",
                "counter",
                "Instances a PACS is known to keep.",
                _by_one(totals.confirmed),
                _PACS,
            ),
            (
                "failures_total",
                "counter",
                "Attempts that failed.",
                {(pacs, what): n for (pacs, what), n in totals.failures.items()},
                ("pacs", "what"),
            ),
            ("dead_total", "counter", "Instances given up.", _by_one(totals.dead), _PACS),
        )
        return _exposed("outbox", told)

    def facts() -> Mapping[str, Any]:
        return {one.destination: asdict(one) for one in forwarder.progress()}

    def table() -> str:
        return table_of(handlers_outbox.HEADINGS, handler.rows())

    return Section("outbox", "Sending on", facts, table, metrics)


def cache_section(handler: CacheHandler, book: CacheBook, evictor: Evictor) -> Section:
    """What is stored, and what leaves."""

    def metrics() -> str:
        totals = book.totals()
        gone = evictor.statistics.totals().by_reason
        told: tuple[_Told, ...] = (
            ("bytes", "gauge", "Bytes stored.", {(): totals.size_bytes}, ()),
            ("instances", "gauge", "Instances stored.", {(): totals.instances}, ()),
            (
                "unconfirmed_bytes",
                "gauge",
                "Bytes no PACS is known to hold.",
                {(): totals.unconfirmed_bytes},
                (),
            ),
            (
                "evicted_series_total",
                "counter",
                "Series evicted, by reason.",
                {(str(why),): what.series for why, what in gone.items()},
                ("reason",),
            ),
            (
                "evicted_bytes_total",
                "counter",
                "Bytes evicted, by reason.",
                {(str(why),): what.size_bytes for why, what in gone.items()},
                ("reason",),
            ),
        )
        return _exposed("cache", told)

    def table() -> str:
        return f"<table>{handler.status_rows()}</table>"

    return Section("cache", "Store", handler.overview, table, metrics)


def storing_section(service: StoringService | None) -> Section:
    """What clients stored; None: they can't."""

    def counts() -> Mapping[str, int]:
        return {} if service is None else service.counts()

    def metrics() -> str:
        samples = _by_one(counts())
        text = "Instances that clients sent to be stored, by what became of them."
        return metric("farsight_stow_instances_total", "counter", text, samples, ("outcome",))

    def table() -> str:
        return table_of(("Stored", "Refused"), [[str(n) for n in counts().values()]])

    return Section("storing", "Stored by clients", counts, table, metrics)


def prefetch_section(schedule: PrefetchSchedule) -> Section:
    """What is fetched before anyone asks for it."""

    def table() -> str:
        rows = prefetch_status.rows(schedule.status())
        return table_of(prefetch_status.COLUMNS, [[html.escape(c) for c in row] for row in rows])

    return Section(
        "prefetch",
        "Prefetch by rules",
        lambda: prefetch_status.as_json(schedule.status()),
        table,
        lambda: prefetch_status.exposition(schedule.status()),
    )


def freshness_section(freshness: Freshness) -> Section:
    """What was checked against the PACS."""

    def metrics() -> str:
        totals = asdict(freshness.totals())
        return "".join(
            metric(f"farsight_freshness_{name}_total", "counter", text, {(): totals[name]})
            for name, text in _FRESHNESS.items()
        )

    def facts() -> Mapping[str, Any]:
        findings = [asdict(finding) for finding in freshness.findings()]
        return {**asdict(freshness.totals()), "findings": findings}

    def table() -> str:
        rows = [
            [html.escape(text.rstrip(".")), str(asdict(freshness.totals())[name])]
            for name, text in _FRESHNESS.items()
        ]
        return table_of(("Since the start", ""), rows)

    return Section("freshness", "Checks of what is here", facts, table, metrics)


_PACS = ("pacs",)
#: Name, kind, text, samples, names of their labels.
_Told = tuple[str, str, str, Samples, tuple[str, ...]]
_FRESHNESS = {
    "checks": "Studies compared with what the PACS have of them.",
    "failed": "Of that, with a PACS that did not answer.",
    "grown_series": "Series of which a PACS had more.",
    "new_series": "Series that were new at a PACS.",
    "vanished_instances": "Instances that a PACS lists no more.",
    "deleted_instances": "Of that, deleted here too.",
}


def _exposed(what: str, told: Iterable[_Told]) -> str:
    return "".join(metric(f"farsight_{what}_{name}", *rest) for name, *rest in told)  # type: ignore[arg-type]


def _by_one(counts: Mapping[str, int]) -> Samples:
    return {(name,): count for name, count in counts.items()}
