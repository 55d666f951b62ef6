"""Searches over PACS and archive in memory, and what their rows say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fakes.archive import FakeArchive
from fakes.catalog import Study, study
from fakes.pacs import FakePacs
from farsight.model import Attributes
from farsight.ps318.resource_path import parse_resource_path
from farsight.ps318.search_query import parse_search_query
from farsight.services.search import SearchResult, SearchService

ROOT = "http://host/dicom-web"
COUNT_TAGS = ("00080061", "00201206", "00201208")
#: Of two patients, with other modalities.
TWO = [study("1.2.1", ("CT",)), study("1.2.2", ("MR", "SR"), _00100010="ROE^JANE")]


def search(service: SearchService, path: str = "/studies", *pairs: tuple[str, str]) -> SearchResult:
    scope = parse_resource_path(path)
    return service.search(parse_search_query(pairs, scope.level), scope, ROOT)


def service(*pacs: FakePacs, archive: FakeArchive | None = None, **options: Any) -> SearchService:
    return SearchService(pacs, archive, **options)


def values(row: Attributes, tag: str) -> list[Any]:
    return list(row[tag].get("Value", []))


def uids(rows: Sequence[Attributes], tag: str = "0020000D") -> list[str]:
    return [values(row, tag)[0] for row in rows]


def dated(count: int) -> list[Study]:
    return [
        study(f"1.2.{n}", _00080020=f"202401{n % 7 + 1:02}", _00080030=f"{n % 5:02}0000")
        for n in range(1, count + 1)
    ]
