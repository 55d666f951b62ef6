"""/farsight/: what goes on inside, for the administrator and for scripts."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from farsight import __version__
from farsight.errors import InvalidParameter, NotFound, PacsError
from farsight.ports.pacs import Pacs
from farsight.services.memory_tier import MemoryTier
from farsight.services.retrieve import RetrieveService
from farsight.web import prometheus
from farsight.web.handlers_cache import CACHE, STUDIES, VERIFY
from farsight.web.handlers_outbox import DISCARD, RETRY
from farsight.web.handlers_outbox import PATHS as OUTBOX_PATHS
from farsight.web.handlers_prefetch import PrefetchHandler
from farsight.web.messages import Request, Response
from farsight.web.retrieve_metrics import exposition
from farsight.web.routes import READING
from farsight.web.status_sections import Section, table_of

_JSON = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
_HTML = (("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-store"))
_METRICS = (("Content-Type", prometheus.CONTENT_TYPE), ("Cache-Control", "no-store"))
PREFETCH = "/farsight/prefetch"


@dataclass(frozen=True, slots=True)
class Others:
    """What is below /farsight/ beside the status, and what that tells of it."""

    prefetch: PrefetchHandler
    outbox: Callable[[Request], Response]
    cache: Callable[[Request], Response]
    sections: Sequence[Section] = ()


class StatusHandler:
    """GET /farsight/ (a page), status, retrieves, retrieves?recent=true (JSON), metrics; and what
    others answer.
    """

    def __init__(
        self,
        sources: Sequence[Pacs],
        retrieve: RetrieveService,
        tier: MemoryTier,
        full_door_url: Callable[[], str],
        roots: Mapping[str, str],
        others: Others,
    ) -> None:
        """`roots`: name of a PACS -> where it alone is searched, "" for nowhere."""
        self._roots = roots
        self._sources = sources
        self._others = others
        self._retrieve = retrieve
        self._tier = tier
        self._full_door_url = full_door_url

    @staticmethod
    def methods(path: str) -> tuple[str, ...]:
        """What can be done at a path."""
        if path == PREFETCH or path.rstrip("/") == VERIFY:
            return ("GET", "HEAD", "POST", "OPTIONS")
        if path in (RETRY, DISCARD):
            return ("POST", "OPTIONS")
        return ("GET", "HEAD", "DELETE", "OPTIONS") if path.startswith(STUDIES) else READING

    def __call__(self, request: Request) -> Response:
        """Raises: NotFound; as the others."""
        if request.path == PREFETCH:
            return self._others.prefetch(request)
        if request.path in OUTBOX_PATHS:
            return self._others.outbox(request)
        if request.path == CACHE or request.path.startswith(f"{CACHE}/"):
            return self._others.cache(request)
        what = request.path.removeprefix("/farsight/")
        if what == "":
            return Response(200, _HTML, self._page().encode("utf-8"))
        if what == "status":
            return Response(200, _JSON, json.dumps(self._status()).encode("utf-8"))
        if what == "retrieves":
            return Response(200, _JSON, json.dumps(self._retrieves(request)).encode("utf-8"))
        if what == "metrics":
            return Response(200, _METRICS, self._metrics().encode("utf-8"))
        raise NotFound("/farsight/ has status, retrieves, metrics, prefetch, outbox and cache")

    def _retrieves(self, request: Request) -> list[dict[str, object]]:
        recent = request.parameter("recent")
        if recent not in (None, "true", "false"):
            raise InvalidParameter("recent", str(recent), "must be true or false")
        return self._retrieve.ended() if recent == "true" else self._retrieve.progress()

    def _metrics(self) -> str:
        return exposition(
            self._retrieve.statistics.totals(),
            active=len(self._retrieve.progress()),
            memory_bytes=self._tier.resident_bytes,
        ) + "".join(section.exposed() for section in self._others.sections)

    def _status(self) -> dict[str, Any]:
        return {
            "version": __version__,
            "full_door": self._full_door_url(),
            "memory_bytes": self._tier.resident_bytes,
            "retrieves": len(self._retrieve.progress()),
            **{section.key: section.told() for section in self._others.sections},
            "pacs": [
                {**_pacs_status(pacs), "root": self._roots.get(pacs.name, "")}
                for pacs in self._sources
            ],
        }

    def _page(self) -> str:
        status = self._status()
        sources = [
            _cells(
                pacs["name"],
                pacs["ae_title"],
                pacs["root"],
                "answers" if pacs["ok"] else pacs["error"],
            )
            for pacs in status["pacs"]
        ]
        flights = map(_flight_cells, self._retrieve.progress())
        ended = map(_flight_cells, self._retrieve.ended()[:10])
        megabytes = status["memory_bytes"] / (1 << 20)
        return _PAGE.format(
            version=html.escape(status["version"]),
            sources=table_of(_PACS_HEADINGS, sources, "none configured"),
            flights=table_of(_FLIGHT_HEADINGS, flights, "none under way"),
            ended=table_of(_FLIGHT_HEADINGS, ended, "none yet"),
            memory=f"{megabytes:.1f}",
            sections="\n".join(section.shown() for section in self._others.sections),
        )


def _pacs_status(pacs: Pacs) -> dict[str, Any]:
    try:
        pacs.echo()
    except PacsError as error:
        return {"name": pacs.name, "ae_title": pacs.ae_title, "ok": False, "error": str(error)}
    return {"name": pacs.name, "ae_title": pacs.ae_title, "ok": True}


_PACS_HEADINGS = ("Name", "AE title", "Its own root", "C-ECHO")
_FLIGHT_HEADINGS = ("Study, series", "PACS", "Instances", "Rate", "State", "")


def _flight_cells(flight: Mapping[str, Any]) -> tuple[str, ...]:
    counts = f"{flight['received']} of {flight['expected'] if flight['expected'] else '?'}"
    rate = f"{flight['rate'] / (1 << 20):.1f} MB/s"
    uids = "<br>".join(
        f"<code>{html.escape(str(flight[level]))}</code>" for level in ("study", "series")
    )
    others = (flight["source"], counts, rate, flight["state"], flight["error"] or "")
    return (uids, *_cells(*others))


def _cells(*values: object) -> tuple[str, ...]:
    return tuple(html.escape(str(value)) for value in values)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Farsight</title>
<meta http-equiv="refresh" content="5">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; color: #222 }}
table {{ border-collapse: collapse; width: 100%; margin-bottom: 2rem }}
td, th {{ border-bottom: 1px solid #ddd; padding: .4rem .6rem; text-align: left }}
td {{ overflow-wrap: anywhere }}
code {{ font: .75rem/1.4 ui-monospace, monospace }}
h1 span {{ color: #888; font-size: 1rem; font-weight: normal }}
</style></head><body>
<h1>Farsight <span>{version}</span></h1>
<h2>PACS</h2>
{sources}
<h2>Retrieves</h2>
{flights}
<h2>The last retrieves</h2>
{ended}
{sections}
<p>{memory} MB of instances in memory.
<a href="/farsight/status">status</a> · <a href="/farsight/retrieves">retrieves</a> ·
<a href="/farsight/outbox">outbox</a> · <a href="/farsight/cache">cache</a> ·
<a href="/farsight/cache/verify">verifications</a> · <a href="/farsight/prefetch">prefetch</a> ·
<a href="/farsight/metrics">metrics</a></p>
</body></html>
"""
