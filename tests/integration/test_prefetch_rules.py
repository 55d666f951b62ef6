"""Rules of prefetch before a real PACS and a real worklist, with the services as they are wired."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from fakes.scripted_pacs import scripted_pacs, wait_until
from farsight.model_prefetch import EveryRule, Hours, OpenedRule, PriorsWanted, WorklistRule
from free_ports import free_port
from orthanc_process import requires_orthanc
from pacs_peers import PEERS, Peer, requires_dcmtk
from prefetch_desk import Desk, desk, image
from worklist_peers import entry

pytestmark = [requires_dcmtk, requires_orthanc]
CHEST = frozenset({"CHEST"})
AT_OPENING = [OpenedRule("priors")]


# ---- opening


IMAGES = [
    image(1, "20240601", part="CHEST"),
    image(2, "20240501", part="CHEST"),
    image(3, "20240401", part="HEAD"),
    image(4, "20240301", modality="MR", part="CHEST"),
    image(5, "20240201"),
    image(6, "20240101", part="CHEST"),
    image(7, "20100101", part="CHEST"),
    image(8, "20240701", part="CHEST"),
    image(9, "20240502", "4712", part="CHEST"),
]


@pytest.mark.parametrize("kind", sorted(PEERS))
def test_opening_a_study_brings_its_priors_and_nothing_else(tmp_path: Path, kind: str) -> None:
    wanted = PriorsWanted(frozenset({"CT", "MR"}), number=10, max_age_days=730)
    with desk(tmp_path, IMAGES, [OpenedRule("priors", priors=wanted)], kind=kind) as at:
        at.opened(1)
        assert at.brought() == [2, 3, 5, 6]
        counts = at.status.rules[0].counts
        assert (counts.found, counts.queued, counts.done, counts.failures) == (4, 4, 4, {})
        assert counts.runs == 1, "what was fetched ahead was not opened"


@pytest.mark.parametrize(("kind", "brings"), [("orthanc", [2, 6]), ("dcmqrscp", []), ("qrscp", [])])
def test_body_parts_count_where_the_pacs_tells_them(
    tmp_path: Path, kind: str, brings: list[int]
) -> None:
    """Two of them leave (0018,0015) out of their answers: then nothing is of that body part."""
    wanted = PriorsWanted(body_parts=CHEST, number=10, max_age_days=730)
    with desk(tmp_path, IMAGES, [OpenedRule("priors", priors=wanted)], kind=kind) as at:
        at.opened(1)
        assert at.brought() == brings


def test_the_number_is_of_the_newest_and_other_modalities_come_where_they_are_wanted(
    tmp_path: Path,
) -> None:
    images = [image(1, "20240601"), *(image(n, f"2023010{n}") for n in range(2, 7))]
    images.append(image(7, "20231231", modality="MR"))
    wanted = PriorsWanted(same_modality=False, number=3)
    with desk(tmp_path, images, [OpenedRule("priors", priors=wanted)]) as at:
        at.opened(1)
        assert at.brought() == [5, 6, 7]


def test_neither_namesakes_nor_those_with_another_birth_date_are_mixed(tmp_path: Path) -> None:
    images = [
        image(1, "20240601", "4711"),
        image(2, "20240501", "4711", born="19991231"),
        image(3, "20240501", "4712"),
        image(4, "20240501", "47110"),
        image(5, "20240501", ""),
        image(6, "20240501", "4711", name="Changed^Anna"),
    ]
    with desk(tmp_path, images, AT_OPENING) as at:
        at.opened(1)
        assert at.brought() == [6]


def test_without_a_patient_id_nothing_is_fetched(tmp_path: Path) -> None:
    images = [image(1, "20240601", ""), image(2, "20240501", ""), image(3, "20240401")]
    with desk(tmp_path, images, AT_OPENING) as at:
        at.opened(1)
        assert at.brought() == []


@pytest.mark.parametrize(("rules", "asked"), [([], False), (AT_OPENING, True)])
def test_off_by_default(rules: list[OpenedRule], asked: bool) -> None:
    """Without a rule the PACS isn't even spoken to."""
    with scripted_pacs([image(1, "20240601")]) as pacs, ExitStack() as stack:
        at = Desk(rules, pacs, free_port(), stack)
        told = threading.Event()
        at.openings.listen(lambda _: told.set())
        at.opened(1)
        assert told.wait(30)
        assert at.brought() == []
        assert (pacs.connections_made > 0) is asked


# ---- every so often, with a pace and hours


def test_todays_studies_as_fast_as_is_allowed(tmp_path: Path) -> None:
    images = [image(number, "20240601") for number in range(1, 6)]
    images += [image(8, "20240531"), image(9, "20240601", modality="US")]
    rule = EveryRule("today", modalities=frozenset({"CT", "MR"}))
    with desk(tmp_path, images, [rule], per_minute=2) as at:
        assert len(at.brought()) == 2
        assert (at.status.waiting, at.status.held_up) == (3, "StudiesPerMinute")
        at.later(60)
        wait_until(lambda: at.status.waiting == 1, what="two more")
        assert len(at.brought()) == 4
        at.later(60)
        wait_until(lambda: at.status.waiting == 0, what="the last")
        assert at.brought() == [1, 2, 3, 4, 5]
        at.later(900)
        wait_until(lambda: at.status.rules[0].counts.runs == 2, what="the next run")
        assert at.brought() == [1, 2, 3, 4, 5]
        assert at.status.rules[0].counts.queued == 5


def test_hours_hold(tmp_path: Path) -> None:
    rule = EveryRule("night", hours=(Hours(19 * 60, 7 * 60),))
    with desk(tmp_path, [image(1, "20240601"), image(2, "20240602")], [rule]) as at:
        at.later(7 * 3600 - 1)
        assert at.status.rules[0].next_run_in_s == 1.0
        assert at.pacs.open_associations == 0
        at.later(1)
        assert at.brought() == [1]


def test_a_pacs_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    images = [image(1, "20240601"), image(2, "20240601")]
    with desk(tmp_path, images, [EveryRule("today")], per_minute=1) as at:
        (first,) = at.brought()
        assert isinstance(at.peer, Peer)
        at.peer.kill()
        at.later(60)
        wait_until(lambda: at.status.held_up == "no answer from pacs", what="the pause")
        assert (at.brought(), at.status.waiting) == ([first], 1)
        files = sorted((tmp_path / "files").iterdir())
        with PEERS["dcmqrscp"](tmp_path / "again", files, port=at.peer.port):
            at.later(60)
            wait_until(lambda: not at.status.waiting, what="the other")
            assert at.brought() == [1, 2]
            assert at.status.rules[0].counts.failed == 0


# ---- a worklist


def test_priors_of_who_is_on_the_worklist(tmp_path: Path) -> None:
    images = [
        image(1, "20230101", "4711"),
        image(2, "20220101", "4711"),
        image(3, "20230101", "4712"),
        image(4, "20230101", "4713", born="19450508"),
        image(5, "20230101", "4714"),
        image(6, "20230101", "4715", modality="MR"),
    ]
    scheduled = [
        entry("4711", "20240601"),
        entry("4712", "20240602"),
        entry("4713", "20240601"),
        entry("4715", "20240601"),
    ]
    rule = WorklistRule("worklist", "ris", priors=PriorsWanted(number=1), pacs=("pacs",))
    with desk(tmp_path, images, [rule], scheduled=scheduled) as at:
        assert at.brought() == [1]
        counts = at.status.rules[0].counts
        assert (counts.runs, counts.found, counts.errors) == (1, 1, ())


def test_a_worklist_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    rule = WorklistRule("worklist", "ris", pacs=("pacs",))
    with desk(tmp_path, [image(1, "20230101")], [rule]) as at:
        assert at.brought() == []
        (error,) = at.status.rules[0].counts.errors
        assert error.startswith("PACS 'ris': no connection")
