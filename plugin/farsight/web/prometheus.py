"""Numbers in the text format of Prometheus, version 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: Label values in the order of a metric's label names -> the count, written with every digit.
Samples = Mapping[tuple[str, ...], int]


def metric(name: str, kind: str, text: str, samples: Samples, labels: Iterable[str] = ()) -> str:
    """One metric with its samples; `kind`: "counter" or "gauge"."""
    names = tuple(labels)
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    for values, number in sorted(samples.items()):
        pairs = ",".join(f'{n}="{_escaped(v)}"' for n, v in zip(names, values, strict=True))
        lines.append(f"{name}{{{pairs}}} {number}" if pairs else f"{name} {number}")
    return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
