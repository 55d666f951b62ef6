"""The numbers of GET /farsight/metrics. No label carries a UID or anything of a patient."""

from __future__ import annotations

from farsight.services.retrieve_statistics import Totals
from farsight.web.prometheus import Samples, metric


def exposition(totals: Totals, active: int, memory_bytes: int) -> str:
    """All metrics. `active`: series on their way now; `memory_bytes`: in the memory tier now."""
    return _by_pacs(totals) + "".join(
        metric(name, kind, text, {(): number})
        for name, kind, text, number in (
            (
                "farsight_instances_stored_total",
                "counter",
                "Instances stored in Orthanc by retrieves.",
                totals.stored,
            ),
            (
                "farsight_storing_failures_total",
                "counter",
                "Instances Orthanc did not store.",
                totals.storing_failures,
            ),
            ("farsight_retrieves_active", "gauge", "Series on their way.", active),
            ("farsight_memory_tier_bytes", "gauge", "Instances held in memory.", memory_bytes),
        )
    )


def _by_pacs(totals: Totals) -> str:
    instances: Samples = {(pacs,): count for pacs, count in totals.instances.items()}
    sizes: Samples = {(pacs,): count for pacs, count in totals.received_bytes.items()}
    series: Samples = {(pacs, how): count for (pacs, how), count in totals.series.items()}
    told: Samples = {(pacs, how): count for (pacs, how), count in totals.sub_operations.items()}
    return "".join(
        metric(name, "counter", text, samples, labels)
        for name, text, samples, labels in (
            (
                "farsight_instances_received_total",
                "Instances that came from a PACS by C-GET.",
                instances,
                ("pacs",),
            ),
            ("farsight_received_bytes_total", "Bytes of those instances.", sizes, ("pacs",)),
            (
                "farsight_series_retrieved_total",
                "Retrieves of series that ended, by how.",
                series,
                ("pacs", "outcome"),
            ),
            (
                "farsight_sub_operations_total",
                "Sub-operations of C-GET and C-MOVE, as the PACS counts them.",
                told,
                ("pacs", "result"),
            ),
        )
    )
