"""/farsight/cache: what is stored, what of it may go, and whether the PACS has the same."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from farsight.errors import MethodNotAllowed, NotFound
from farsight.model import SeriesRef, checked_uid
from farsight.ports.archive import Archive
from farsight.ports.cache_book import BookedSeries, CacheBook
from farsight.services.eviction import Evictor
from farsight.services.verification import Verifier
from farsight.services.verification_report import JobReport, SeriesReport
from farsight.web.messages import Request, Response
from farsight.web.study_list import studies_asked

_HEADERS = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
_READ = ("GET", "HEAD")
CACHE = "/farsight/cache"
STUDIES = "/farsight/cache/studies/"
VERIFY = "/farsight/cache/verify"


class CacheHandler:
    """GET cache; GET, DELETE cache/studies/{uid}; GET, POST cache/verify. All answer JSON."""

    def __init__(
        self,
        book: CacheBook,
        archive: Archive,
        evictor: Evictor,
        verifier: Verifier,
        in_use: Callable[[SeriesRef], bool],
    ) -> None:
        """`in_use`: whether a series is being read or retrieved."""
        self._book = book
        self._archive = archive
        self._evictor = evictor
        self._verifier = verifier
        self._in_use = in_use

    def __call__(self, request: Request) -> Response:
        """Raises: NotFound, MethodNotAllowed, Conflict, InvalidUid, BadRequest,
        UnsupportedMediaType, ArchiveError, CacheBookError."""
        path = request.path.rstrip("/")
        if path == CACHE:
            _check_method(request, _READ)
            return _json(200, self.overview())
        if path == VERIFY:
            return self._verify(request)
        if path.startswith(STUDIES):
            return self._study(request, path.removeprefix(STUDIES))
        raise NotFound("/farsight/cache has studies/{uid} and verify")

    def _verify(self, request: Request) -> Response:
        _check_method(request, (*_READ, "POST"))
        if request.method == "POST":
            return _json(202, _job(self._verifier.submit(studies_asked(request))))
        return _json(200, {"jobs": [_job(job) for job in self._verifier.jobs()]})

    def _study(self, request: Request, uid: str) -> Response:
        _check_method(request, (*_READ, "DELETE"))
        study = checked_uid(uid, "study")
        if request.method == "DELETE":
            evicted = self._evictor.evict_study(study)
            return _json(
                200,
                {
                    "series": evicted.series,
                    "instances": evicted.instances,
                    "bytes": evicted.size_bytes,
                },
            )
        booked = self._book.of_study(study)
        if not booked:
            raise NotFound(f"nothing of study {study} is booked as stored")
        return _json(200, {"study": study, "series": [self._series(one) for one in booked]})

    def _series(self, booked: BookedSeries) -> dict[str, object]:
        return {
            "series": booked.series.series_instance_uid,
            "instances": booked.instances,
            "bytes": booked.size_bytes,
            "unconfirmed": booked.unconfirmed,
            "used_at": _time(booked.used_at),
            "in_use": self._in_use(booked.series),
        }

    def overview(self) -> dict[str, Any]:
        """What is stored, the limits, and how eviction fares. Raises: CacheBookError,
        ArchiveError."""
        totals, limits = self._book.totals(), self._evictor.limits
        evictions = self._evictor.statistics.totals()
        return {
            "series": totals.series,
            "instances": totals.instances,
            "bytes": totals.size_bytes,
            "unconfirmed_instances": totals.unconfirmed_instances,
            "unconfirmed_bytes": totals.unconfirmed_bytes,
            "free_bytes": self._archive.free_bytes(),
            "complete_account": self._book.has_caught_up,
            "limits": {
                "max_bytes": limits.max_bytes,
                "max_age_s": limits.max_age_s,
                "min_free_bytes": limits.min_free_bytes,
                "reserve_bytes": limits.reserve_bytes,
            },
            "evicted": {
                str(why): {
                    "series": what.series,
                    "instances": what.instances,
                    "bytes": what.size_bytes,
                }
                for why, what in evictions.by_reason.items()
            },
            "last_run_at": _time(evictions.last_run_at),
            "limits_kept": evictions.limits_kept,
            "not_evicted": {str(what): count for what, count in evictions.obstacles.items()},
            "error": evictions.error,
        }

    def status_rows(self) -> str:
        """Rows of two cells for the table of a status page, as HTML. Raises: as `overview`."""
        shown = self.overview()
        limits = shown["limits"]
        rows = [
            ("Stored", f"{_megabytes(shown['bytes'])} in {shown['instances']} instances"),
            (
                "Of that no PACS is known to hold",
                f"{_megabytes(shown['unconfirmed_bytes'])}"
                f" in {shown['unconfirmed_instances']} instances",
            ),
            ("Room left on the disk", _megabytes(shown["free_bytes"])),
            ("Most that is kept", _megabytes(limits["max_bytes"] or None)),
        ]
        rows += [
            (f"Evicted: {why}", f"{what['series']} series, {_megabytes(what['bytes'])}")
            for why, what in shown["evicted"].items()
            if what["instances"]
        ]
        if not shown["limits_kept"]:
            rows.append(("The limits", "can't be kept: what is left may not be evicted"))
        rows += [
            (f"Not evicted: {why}", f"{count} series")
            for why, count in shown["not_evicted"].items()
        ]
        if shown["error"]:
            rows.append(("Last error", shown["error"]))
        return "".join(
            f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>"
            for name, value in rows
        )


def _check_method(request: Request, allowed: tuple[str, ...]) -> None:
    if request.method not in allowed:
        raise MethodNotAllowed(request.method, allowed)


def _json(status: int, body: object) -> Response:
    return Response(status, _HEADERS, json.dumps(body).encode("utf-8"))


def _time(seconds: float | None) -> str | None:
    """ISO 8601, UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _megabytes(size_bytes: int | None) -> str:
    return "–" if size_bytes is None else f"{size_bytes / (1 << 20):.1f} MB"


def _job(job: JobReport) -> dict[str, object]:
    return {
        "number": job.number,
        "state": str(job.state),
        "studies": list(job.studies),
        "asked_at": _time(job.asked_at),
        "started_at": _time(job.started_at),
        "ended_at": _time(job.ended_at),
        "series_total": job.series_total,
        "series_done": len(job.series),
        "instances_compared": job.instances_compared,
        "series": [_verified(report) for report in job.series],
        "errors": dict(job.errors),
    }


def _verified(report: SeriesReport) -> dict[str, object]:
    return {
        "study": report.series.study_instance_uid,
        "series": report.series.series_instance_uid,
        "pacs": list(report.pacs),
        "counts": {str(finding): count for finding, count in report.counts.items()},
        "instances": {str(finding): list(uids) for finding, uids in report.named.items()},
        "warnings": list(report.warnings),
    }
