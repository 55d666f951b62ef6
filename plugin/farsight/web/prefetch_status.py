"""How prefetch by rules stands, as JSON, as rows of the status page and as metrics."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from farsight.services.prefetch_schedule import PrefetchStatus, RuleStatus
from farsight.web.prometheus import Samples, metric

#: What the cells of a row are.
COLUMNS = ("Rule", "When", "Next run", "Found", "Fetched", "Complete before", "Failed", "")


def as_json(status: PrefetchStatus) -> dict[str, Any]:
    """For GET /farsight/prefetch."""
    return {
        "rules": [_rule(one) for one in status.rules],
        "waiting": status.waiting,
        "under_way": status.under_way or None,
        "held_up": status.held_up or None,
        "studies_per_minute": status.studies_per_minute,
    }


def _rule(rule: RuleStatus) -> dict[str, Any]:
    counts = rule.counts
    return {
        "name": rule.name,
        "when": rule.when,
        "hours": list(rule.hours),
        "within_hours": rule.is_open,
        "runs": counts.runs,
        "last_run": counts.last_run or None,
        "next_run": _next_run(rule),
        "found": counts.found,
        "queued": counts.queued,
        "done": counts.done,
        "complete": counts.complete,
        "failed": counts.failed,
        "dropped": counts.dropped,
        "errors": list(counts.errors),
        "failures": counts.failures,
    }


def _next_run(rule: RuleStatus) -> str | None:
    if rule.next_run_in_s is None:
        return None
    at = datetime.now(UTC) + timedelta(seconds=rule.next_run_in_s)
    return at.isoformat(timespec="seconds")


def rows(status: PrefetchStatus) -> list[tuple[str, ...]]:
    """One for each rule, as COLUMNS says; not escaped."""
    return [
        (
            one.name,
            one.when if one.is_open else f"{one.when}, outside of {', '.join(one.hours)}",
            _next_run(one) or "when a study is opened",
            str(one.counts.found),
            str(one.counts.done),
            str(one.counts.complete),
            str(one.counts.failed),
            "; ".join(one.counts.errors),
        )
        for one in status.rules
    ]


def exposition(status: PrefetchStatus) -> str:
    """Metrics; nothing where there are no rules."""
    if not status.rules:
        return ""
    outcomes: Samples = {
        (one.name, outcome): count
        for one in status.rules
        for outcome, count in (
            ("fetched", one.counts.done),
            ("complete", one.counts.complete),
            ("failed", one.counts.failed),
            ("dropped", one.counts.dropped),
        )
    }
    found: Samples = {(one.name,): one.counts.found for one in status.rules}
    return "".join(
        (
            metric(
                "farsight_prefetch_found_total",
                "counter",
                "Studies a rule meant.",
                found,
                ("rule",),
            ),
            metric(
                "farsight_prefetch_studies_total",
                "counter",
                "Studies whose turn came, by how it went.",
                outcomes,
                ("rule", "outcome"),
            ),
            metric(
                "farsight_prefetch_waiting",
                "gauge",
                "Studies that wait to be fetched ahead.",
                {(): status.waiting},
            ),
        )
    )
