"""The thread that follows what happens in the archive: it outlives whatever it meets.

Orthanc's SDK is there within Orthanc only; here it answers from a dictionary.
"""

from __future__ import annotations

import importlib
import json
import sys
import types
from collections.abc import Collection, Iterator
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import pytest

from farsight import adapters
from farsight.adapters.archive_index import ArchiveIndex
from farsight.model import Arrival

if TYPE_CHECKING:
    from farsight.adapters.store_events import StoreEvents

WITH_THE_SDK = ("orthanc_rest", "orthanc_lookup", "store_events")


class ErrorCode(IntEnum):
    UNKNOWN_RESOURCE = 17
    INEXISTENT_ITEM = 7
    NETWORK_PROTOCOL = 9
    FULL_STORAGE = 11
    BAD_FILE_FORMAT = 15


class OrthancError(Exception):
    """As the SDK's: a code and words."""


def instance(resource_id: str) -> dict[str, object]:
    """What Orthanc tells of one in the only series of the only study."""
    return {
        f"/instances/{resource_id}": {
            "ID": resource_id,
            "ParentSeries": "series",
            "FileUuid": resource_id,
            "FileSize": 10,
            "MainDicomTags": {"SOPInstanceUID": f"1.1.1.{resource_id}"},
        },
        f"/instances/{resource_id}/metadata?expand": {"Origin": "DicomProtocol"},
        "/series/series": {
            "ParentStudy": "study",
            "MainDicomTags": {"SeriesInstanceUID": "1.1.1"},
        },
        "/studies/study": {"MainDicomTags": {"StudyInstanceUID": "1.1"}},
    }


class Account:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.bugs: list[Exception] = []

    def arrived(self, arrival: Arrival) -> None:
        if self.bugs:
            raise self.bugs.pop()
        self.told.append(f"+{arrival.resource_id}")

    def departed(self, resource_ids: Collection[str]) -> None:
        self.told += [f"-{resource_id}" for resource_id in resource_ids]


class Site:
    def __init__(self, events: StoreEvents, there: dict[str, object]) -> None:
        self.events = events
        self.there = there
        self.account = Account()
        events.listen(stored=print, gone=print, account=self.account)

    def happens(self, kind: str, resource_id: str) -> None:
        if kind == "added":
            self.there.update(instance(resource_id))
        else:
            del self.there[f"/instances/{resource_id}"]
        self.events.put(kind, resource_id)
        assert self.events.followed(10)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    there: dict[str, object] = {}

    def get(uri: str) -> bytes:
        if uri not in there:
            raise OrthancError(ErrorCode.UNKNOWN_RESOURCE, "not there")
        return json.dumps(there[uri]).encode()

    sdk: Any = types.ModuleType("orthanc")
    sdk.ErrorCode, sdk.OrthancException, sdk.RestApiGet = ErrorCode, OrthancError, get
    monkeypatch.setitem(sys.modules, "orthanc", sdk)
    module = importlib.import_module("farsight.adapters.store_events")
    events = module.StoreEvents(ArchiveIndex(), lambda: None)
    yield Site(events, there)
    events.close(10)
    for name in WITH_THE_SDK:
        del sys.modules[f"farsight.adapters.{name}"]
        delattr(adapters, name)


def test_the_thread_outlives_a_bug(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.account.bugs.append(ValueError("a bug"))
    site.happens("added", "1")
    site.happens("added", "2")
    assert site.account.told == ["+2"]
    assert "a bug" in caplog.text


def test_who_stores_again_what_we_stored_and_is_gone_is_told_of(site: Site) -> None:
    with site.events.own.storing():
        site.events.own.note("1")  # its event was never told
    site.there.update(instance("1"))
    site.happens("removed", "1")
    site.happens("added", "1")
    assert site.account.told == ["-1", "+1"]
