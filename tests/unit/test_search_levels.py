"""Searches across the levels: all series and instances, and what is told of the levels above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from fakes.archive import FakeArchive
from fakes.catalog import study
from fakes.pacs import FakePacs
from farsight.errors import PacsFailure
from farsight.model import Level
from farsight.ps318.resource_path import parse_resource_path
from farsight.ps318.search_query import parse_search_query
from farsight.services.search import SearchLimits
from farsight.services.search_newest import DescentLimits
from searching import ROOT, TWO, dated, search, service, uids, values

# ---- relational resources, by going down the hierarchy


def test_all_series_and_all_instances() -> None:
    one = service(FakePacs(TWO))
    series = search(one, "/series", ("Modality", "MR")).rows
    assert uids(series, "0020000E") == ["1.2.2.1"]
    assert values(series[0], "00100010") == [{"Alphabetic": "ROE^JANE"}]  # of its study
    instances = search(one, "/instances", ("PatientName", "*jane*")).rows
    assert len(instances) == 4
    assert values(instances[0], "00080060") == ["MR"]
    assert uids(search(one, "/series", ("StudyInstanceUID", "1.2.1")).rows) == ["1.2.1"]


def test_instances_of_a_study() -> None:
    rows = search(service(FakePacs(TWO)), "/studies/1.2.2/instances").rows
    assert sorted(uids(rows, "00080018")) == ["1.2.2.1.1", "1.2.2.1.2", "1.2.2.2.1", "1.2.2.2.2"]
    assert "00080060" in rows[0]
    assert "00100010" not in rows[0]


def test_going_down_is_bounded_and_says_so() -> None:
    limits = SearchLimits(descent=DescentLimits(max_fan_out=5))
    pacs = FakePacs(dated(20))
    result = search(service(pacs, limits=limits), "/series")
    assert len(result.rows) == 5
    assert result.warnings == (
        "PACS 'pacs': only the first 5 of 20 objects at level STUDY were searched",
    )
    assert len(pacs.asked) == 6


def test_rows_of_another_study_than_asked_are_dropped() -> None:
    class Careless(FakePacs):
        def _matches(self, key: Any, stored: Any) -> bool:
            return True

    rows = search(service(Careless(TWO)), "/studies/1.2.1/series").rows
    assert uids(rows, "0020000E") == ["1.2.1.1"]


# ---- what a source tells of the levels above

TWO_KINDS = [study("1.2.1", ("CT",), 2), study("1.2.2", ("MR", "SR"), 3)]
SILENT = {"no_counts": True, "ignores_modalities": True}


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/series", 2), ("/instances", 6), ("/studies/1.2.2/series", 2), ("/studies/1.2.1/series", 0),
     ("/studies/1.2.2/instances", 6), ("/studies/1.2.1/instances", 0)],
)  # fmt: skip
def test_modalities_in_study_is_a_key_at_every_level(path: str, expected: int) -> None:
    one = service(FakePacs(TWO_KINDS, **SILENT))
    result = search(one, path, ("ModalitiesInStudy", "MR"))
    assert len(result.rows) == expected
    assert {values(row, "0020000D")[0] for row in result.rows} <= {"1.2.2"}
    assert result.warnings == ()


def test_modalities_are_found_out_within_a_bound() -> None:
    limits = SearchLimits(descent=DescentLimits(max_counted=1))
    one = service(FakePacs(TWO_KINDS, **SILENT), limits=limits)
    result = search(one, "/series", ("ModalitiesInStudy", "CT,MR"))
    assert {values(row, "0020000D")[0] for row in result.rows} < {"1.2.1", "1.2.2"}
    assert any("modalities of 1 studies" in text for text in result.warnings)


@pytest.mark.parametrize(
    ("path", "pairs", "counts"),
    [
        ("/series", (), {"00201206": 1, "00201208": 2, "00201209": 2}),
        ("/instances", (), {"00201206": 1, "00201208": 2, "00201209": 2}),
        ("/studies/1.2.1/series", (("includefield", "00201206"),), {"00201206": 1}),
        ("/studies/1.2.1/series/1.2.1.1/instances", (("includefield", "00201209"),),
         {"00201209": 2}),
    ],
)  # fmt: skip
def test_counts_of_the_levels_above(
    path: str, pairs: Sequence[tuple[str, str]], counts: dict[str, int]
) -> None:
    (row, *_) = search(service(FakePacs(TWO_KINDS[:1], **SILENT)), path, *pairs).rows
    assert {tag: values(row, tag)[0] for tag in counts} == counts


# ---- modalities that must not get lost


class _TellsNoModalities(FakePacs):
    """Returns ModalitiesInStudy, empty, as many do with what they don't support."""

    def find(self, level: Level, identifier: Any, **options: Any) -> Any:
        for row in super().find(level, identifier, **options):
            yield {**row, "00080061": {"vr": "CS"}} if level is Level.STUDY else row


@pytest.mark.parametrize("path", ["/studies", "/series"])
def test_modalities_that_come_empty_are_not_told(path: str) -> None:
    pacs = _TellsNoModalities(TWO_KINDS, ignores_modalities=True)
    rows = search(service(pacs), path, ("ModalitiesInStudy", "MR")).rows
    assert {values(row, "0020000D")[0] for row in rows} == {"1.2.2"}


def test_a_study_whose_modalities_one_source_does_not_tell_stays() -> None:
    """The local part has MR alone; what the PACS has can't be found out."""
    failing = {"fails": PacsFailure("pacs", "C-FIND: refused", 0xC000), "fails_at": {Level.SERIES}}
    pacs = FakePacs([study("1.2.1", ("CT", "MR"))], ignores_modalities=True, **failing)
    one = service(pacs, archive=FakeArchive([study("1.2.1", ("MR",))]))
    result = search(one, "/studies", ("ModalitiesInStudy", "CT"))
    assert uids(result.rows) == ["1.2.1"]
    assert any("modalities and counts are incomplete" in text for text in result.warnings)


@pytest.mark.parametrize("path", ["/studies", "/series"])
def test_fresh_means_modalities_and_counts_too(path: str) -> None:
    studies = [study("1.2.1", ("MR",))]
    pacs = FakePacs(studies, **SILENT)
    one = service(pacs, limits=SearchLimits(answers_live_s=60))
    asked = ("ModalitiesInStudy", "CT")
    assert search(one, path, asked).rows == ()
    pacs._studies[:] = [study("1.2.1", ("MR", "CT"))]
    scope = parse_resource_path(path)
    query = replace(parse_search_query([asked], scope.level), fresh=True)
    assert one.search(query, scope, ROOT).rows


def test_modalities_are_found_out_without_counting_instances() -> None:
    pacs = FakePacs(TWO_KINDS, **SILENT)
    search(service(pacs), "/series", ("ModalitiesInStudy", "US"))
    assert Level.IMAGE not in {level for level, _ in pacs.asked}
