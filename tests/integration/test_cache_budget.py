"""A limit of bytes: least recently used first, whole series, and all of it comes back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from cache_site import SLICES, STUDIES, CacheSite, series_path, write_study
from fakes.scripted_pacs import wait_until
from orthanc_process import requires_orthanc
from related_parts import related_parts
from sample_files import instance_uid, study_uid

from .conftest import StartSite

pytestmark = requires_orthanc
LIMIT_BYTES = 2 << 20
ANY_FRAME = {"Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six series of one study, of which three fit."""
    return write_study(tmp_path_factory.mktemp("files"), range(1, 7))


@pytest.fixture(scope="module")
def site(files: list[Path], start_site: StartSite) -> CacheSite:
    cache = {"MaxMegabytes": LIMIT_BYTES >> 20, "MinFreeMegabytes": 0}
    found = start_site("orthanc", files, farsight={"Cache": cache})
    return CacheSite(found.gateway)


def instance_path(number: int, series: int) -> str:
    return f"{series_path(series)}/instances/{instance_uid(number, series)}"


def resources(series: int) -> dict[str, dict[str, str]]:
    """What a viewer asks of a series, and what it accepts."""
    return {
        f"{series_path(series)}/metadata": {},
        f"{instance_path(2, series)}/metadata": {},
        f"{instance_path(1, series)}/frames/1": ANY_FRAME,
        f"{instance_path(3, series)}/rendered": {"Accept": "image/png"},
        f"{series_path(series)}/thumbnail": {"Accept": "image/jpeg"},
    }


def seen(site: CacheSite, series: int) -> dict[str, tuple[object, str | None]]:
    """Body of each, and the entity tag where it is made of the content alone."""
    found: dict[str, tuple[object, str | None]] = {}
    for path, headers in resources(series).items():
        answer = site.get(path, **headers)
        assert "Warning" not in answer.headers
        is_related = answer.headers["Content-Type"].startswith("multipart/")
        body = related_parts(answer) if is_related else answer.content
        is_of_content = path.endswith(("/metadata", "/thumbnail"))
        found[path] = body, answer.headers["ETag"] if is_of_content else None
    return found


@contextmanager
def listed_all_the_time(site: CacheSite) -> Iterator[list[object]]:
    """Searches again and again; yields what was not as it should be."""
    wrong: list[object] = []
    over = threading.Event()
    query = f"{site.door}{STUDIES}?StudyInstanceUID={study_uid()}"

    def search() -> None:
        while not over.wait(0.05):
            answer = requests.get(query, headers={"Cache-Control": "no-cache"}, timeout=60)
            is_right = answer.status_code == 200 and "Warning" not in answer.headers
            if not is_right or [row["0020000D"]["Value"] for row in answer.json()] != [
                [study_uid()]
            ]:
                wrong.append((answer.status_code, answer.text))

    thread = threading.Thread(target=search)
    thread.start()
    try:
        yield wrong
    finally:
        over.set()
        thread.join()


def test_what_was_not_used_for_longest_goes_and_comes_back(site: CacheSite) -> None:
    objects = [site.fetch(series) for series in (1, 2, 3)]
    before = seen(site, 3), seen(site, 1), seen(site, 2)
    assert site.overview()["limits_kept"]
    assert not any(site.overview()["not_evicted"].values())
    with listed_all_the_time(site) as wrong:
        site.fetch(4)
        wait_until(lambda: site.has_just(1, 2, 4), 60, what="the eviction of series 3")
        assert site.fetch(3) == objects[2]
        assert seen(site, 3) == before[0]
        assert seen(site, 2) == before[2]  # used again: series 4 is older than both
        wait_until(lambda: site.has_just(2, 3, 4), 60, what="the eviction of series 1")
        assert seen(site, 1) == before[1], "from the PACS again, instance by instance"
    assert wrong == []
    site.at_rest()
    shown = site.overview()
    assert shown["evicted"]["size"]["series"] >= 2
    assert shown["evicted"]["size"]["instances"] == shown["evicted"]["size"]["series"] * SLICES
    assert shown["unconfirmed_instances"] == 0
    assert shown["error"] == ""


def test_a_frame_that_is_read_from_memory_counts_as_use(site: CacheSite) -> None:
    """And so does one that is read from the store, after a restart."""
    for series in (1, 2, 3):
        site.fetch(series)
    wait_until(lambda: site.has_just(1, 2, 3), 60, what="just three series")
    for series in (1, 2):
        site.get(f"{instance_path(1, series)}/frames/1", **ANY_FRAME)
    site.restart()
    site.get(f"{instance_path(1, 1)}/frames/1", **ANY_FRAME)
    site.fetch(5)
    wait_until(lambda: site.has_just(1, 2, 5), 60, what="the eviction of series 3")
    site.fetch(6)
    wait_until(lambda: site.has_just(1, 5, 6), 60, what="the eviction of series 2")


def test_more_than_fits_at_once(site: CacheSite) -> None:
    """A whole study of twice the limit is answered whole; then the limit is kept again."""
    answer = site.get(f"{STUDIES}/{study_uid()}/metadata")
    rows = {row["00080018"]["Value"][0] for row in answer.json()}
    assert rows == {instance_uid(n, s) for s in range(1, 7) for n in range(1, SLICES + 1)}
    site.at_rest()
    wait_until(lambda: site.overview()["bytes"] <= LIMIT_BYTES, 60, what="keeping the limit")
    counts = [one["instances"] for one in site.study().values()]
    assert counts == [SLICES] * 3, "whole series"
    assert site.series_here() == set(site.study())
    assert site.overview()["error"] == ""
