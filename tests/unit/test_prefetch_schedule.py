"""The schedule of prefetch, step by step, by clocks of the test's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from fakes.archive import FakeArchive
from fakes.catalog import Study, study
from fakes.pacs import FakePacs
from fakes.scripted_pacs import wait_until
from farsight.errors import (
    ArchiveError,
    FarsightError,
    NotFound,
    PacsTimeout,
    PacsUnavailable,
    RetrieveIncomplete,
)
from farsight.model import SeriesRef
from farsight.model_prefetch import (
    EveryRule,
    Hours,
    OpenedRule,
    PrefetchRules,
    PriorsWanted,
    Rule,
    WorklistRule,
)
from farsight.services.flights import Ended
from farsight.services.prefetch_schedule import (
    Clock,
    PrefetchPeers,
    PrefetchSchedule,
    PrefetchStatus,
    RuleStatus,
)
from farsight.web import prefetch_status

NOON = datetime(2024, 6, 1, 12, 0, tzinfo=UTC)
TODAY = EveryRule("today", 900.0)
PRIORS = OpenedRule("priors")


class Clocks:
    """Both stand still until they are put forward."""

    def __init__(self) -> None:
        self.s = 1000.0

    def clock(self) -> Clock:
        return Clock(lambda: self.s, self.local)

    def local(self, ahead_s: float) -> datetime:
        return NOON + timedelta(seconds=self.s - 1000.0 + ahead_s)


class Retrieves:
    """The retrieve service as far as prefetch uses it: each study has one series."""

    def __init__(self) -> None:
        self.complete: set[str] = set()
        self.begun: list[str] = []
        self.refuses: dict[str, FarsightError] = {}
        self.ends_at_once = True
        self._tell: list[Ended] = []

    def when_ended(self, tell: Ended) -> None:
        self._tell.append(tell)

    def study_series(self, uid: str) -> tuple[tuple[SeriesRef, ...], str | None]:
        if uid in self.refuses:
            raise self.refuses[uid]
        return (SeriesRef(uid, uid + ".1"),), None

    def fetch_ahead(self, series: SeriesRef) -> bool:
        if series.study_instance_uid in self.complete:
            return False
        self.begun.append(series.study_instance_uid)
        if self.ends_at_once:
            self.end(series.study_instance_uid)
        return True

    def end(self, uid: str, error: FarsightError | None = None) -> None:
        if error is None:
            self.complete.add(uid)
        for tell in self._tell:
            tell(SeriesRef(uid, uid + ".1"), error)


def of_today(*numbers: int) -> list[Study]:
    return [
        study(f"1.{number}", slices=1, _00080020="20240601", _00080030=f"{20 - number:02d}0000")
        for number in numbers
    ]


class Desk:
    """A schedule with all it needs."""

    def __init__(
        self, rules: Sequence[Rule], pacs: FakePacs, per_minute: int = 10, most: int = 100
    ) -> None:
        self.clocks = Clocks()
        self.retrieve = Retrieves()
        self.pacs = pacs
        self.room: bool | FarsightError = True
        self.schedule = PrefetchSchedule(
            PrefetchRules(tuple(rules), per_minute, most),
            PrefetchPeers([pacs], FakeArchive([])),
            self.retrieve,  # type: ignore[arg-type]
            self._has_room,
            self.clocks.clock(),
        )

    def _has_room(self) -> bool:
        if isinstance(self.room, FarsightError):
            raise self.room
        return self.room

    def run(self) -> float:
        """Until there is nothing to do now; in how many seconds there is."""
        for _ in range(1000):
            if (wait_s := self.schedule.step()) > 0:
                return wait_s
        raise AssertionError("never at rest")

    def later(self, seconds: float) -> None:
        self.clocks.s += seconds

    @property
    def status(self) -> PrefetchStatus:
        return self.schedule.status()

    def of(self, name: str) -> RuleStatus:
        return next(one for one in self.status.rules if one.name == name)


# ---- off by default


def test_without_rules_there_is_no_thread_and_no_question() -> None:
    desk = Desk([], FakePacs(of_today(1)))
    desk.schedule.start()
    desk.schedule.opened("1.1")
    assert desk.run() == math.inf
    desk.schedule.close(1)
    assert desk.pacs.asked == []
    assert desk.retrieve.begun == []
    assert desk.status == PrefetchStatus(studies_per_minute=10)
    assert prefetch_status.exposition(desk.status) == ""


def test_a_rule_that_is_not_for_openings_takes_none() -> None:
    desk = Desk([TODAY], FakePacs([]))
    desk.run()
    before = len(desk.pacs.asked)
    desk.schedule.opened("1.1")
    desk.run()
    assert len(desk.pacs.asked) == before


# ---- every so often, so many per minute


def test_what_is_due_is_followed_and_not_again_before_its_time() -> None:
    desk = Desk([TODAY], FakePacs(of_today(1, 2)))
    assert desk.run() == 900.0
    assert desk.retrieve.begun == ["1.1", "1.2"]
    assert len(desk.pacs.asked) == 1
    desk.later(899)
    assert desk.run() == pytest.approx(1.0)
    assert len(desk.pacs.asked) == 1
    desk.later(1)
    desk.run()
    assert len(desk.pacs.asked) == 2
    assert desk.retrieve.begun == ["1.1", "1.2"], "what was fetched isn't fetched again"
    counts = desk.of("today").counts
    assert (counts.runs, counts.found, counts.queued, counts.done) == (2, 4, 2, 2)


def test_so_many_per_minute() -> None:
    desk = Desk([TODAY], FakePacs(of_today(*range(1, 10))), per_minute=2)
    assert desk.run() == pytest.approx(30.0)
    assert desk.retrieve.begun == ["1.1", "1.2"]
    assert (desk.status.waiting, desk.status.held_up) == (7, "StudiesPerMinute")
    desk.later(30)
    desk.run()
    desk.later(60)
    desk.run()
    assert desk.retrieve.begun == ["1.1", "1.2", "1.3", "1.4", "1.5"]


def test_what_is_complete_already_does_not_count() -> None:
    desk = Desk([TODAY], FakePacs(of_today(*range(1, 10))), per_minute=1)
    desk.retrieve.complete = {f"1.{number}" for number in range(1, 9)}
    assert desk.run() == 900.0
    assert desk.retrieve.begun == ["1.9"]
    counts = desk.of("today").counts
    assert (counts.complete, counts.done) == (8, 1)


def test_one_study_at_a_time() -> None:
    desk = Desk([TODAY], FakePacs(of_today(1, 2)))
    desk.retrieve.ends_at_once = False
    desk.run()
    desk.run()
    assert desk.retrieve.begun == ["1.1"]
    assert desk.status.under_way == "1.1"
    desk.retrieve.end("1.1")
    desk.run()
    assert desk.retrieve.begun == ["1.1", "1.2"]
    assert desk.status.under_way == "1.2"


def test_a_study_that_takes_for_ever_is_left_to_itself() -> None:
    desk = Desk([TODAY], FakePacs(of_today(1, 2)))
    desk.retrieve.ends_at_once = False
    desk.run()
    desk.later(3600)
    desk.run()
    assert desk.retrieve.begun == ["1.1", "1.2"]
    assert desk.of("today").counts.failures == {"1.1": "not fetched within 3600 s"}


# ---- hours and room


def test_outside_of_its_hours_a_rule_asks_nobody() -> None:
    night = EveryRule("night", hours=(Hours(19 * 60, 7 * 60),))
    desk = Desk([night], FakePacs(of_today(1)))
    assert desk.run() == 7 * 3600
    assert desk.pacs.asked == []
    assert not desk.of("night").is_open
    assert desk.of("night").next_run_in_s == 7 * 3600
    desk.later(7 * 3600)
    desk.run()
    assert desk.retrieve.begun == ["1.1"]


def test_what_waits_when_the_hours_end_waits_until_they_begin() -> None:
    noon = EveryRule("noon", hours=(Hours(12 * 60, 12 * 60 + 1),))
    desk = Desk([noon], FakePacs(of_today(1, 2)), per_minute=1)
    desk.run()
    desk.later(60)
    assert desk.run() == 24 * 3600 - 60
    assert desk.retrieve.begun == ["1.1"]
    assert (desk.status.waiting, desk.status.held_up) == (1, "outside of Hours")
    desk.later(24 * 3600 - 60)
    desk.run()
    assert desk.retrieve.begun == ["1.1", "1.2"]


def test_what_is_opened_outside_of_the_hours_brings_nothing() -> None:
    rule = OpenedRule("priors", hours=(Hours(0, 60),))
    desk = Desk([rule], FakePacs([*of_today(1), study("1.5", _00080020="20230101")]))
    desk.schedule.opened("1.1")
    desk.run()
    assert desk.pacs.asked == []
    desk.later(12 * 3600)
    desk.schedule.opened("1.1")
    desk.run()
    assert desk.retrieve.begun == ["1.5"]


@pytest.mark.parametrize("full", [False, ArchiveError("broken")])
def test_without_room_nothing_is_begun(full: bool | FarsightError) -> None:
    desk = Desk([TODAY], FakePacs(of_today(1)))
    desk.room = full
    assert desk.run() == 30.0
    assert (desk.retrieve.begun, desk.status.held_up) == ([], "no room in the cache")
    desk.room = True
    desk.later(30)
    desk.run()
    assert desk.retrieve.begun == ["1.1"]
    assert desk.status.held_up == ""


# ---- openings


def test_opening_brings_priors_once_and_before_what_else_waits() -> None:
    studies = [*of_today(1, 2, 3), study("1.5", _00080020="20230101")]
    desk = Desk([PRIORS, TODAY], FakePacs(studies), per_minute=1)
    desk.run()
    assert desk.retrieve.begun == ["1.1"]
    desk.schedule.opened("1.3")
    desk.schedule.opened("1.3")
    desk.run()
    before = len(desk.pacs.asked)
    desk.later(60)
    desk.schedule.opened("1.3")
    desk.run()
    assert len(desk.pacs.asked) == before, "its priors are on their way already"
    assert desk.retrieve.begun == ["1.1", "1.5"]
    assert desk.of("priors").counts.found == 1


def test_too_many_that_wait() -> None:
    desk = Desk([TODAY], FakePacs(of_today(*range(1, 8))), per_minute=1, most=3)
    desk.room = False
    desk.run()
    counts = desk.of("today").counts
    assert (desk.status.waiting, counts.queued, counts.dropped) == (3, 3, 4)


# ---- what fails


def test_a_pacs_that_is_silent_is_left_alone_for_longer_each_time() -> None:
    desk = Desk([TODAY], FakePacs(of_today(1, 2)))
    silent = PacsTimeout("pacs", "no answer")
    desk.retrieve.refuses = {"1.1": silent, "1.2": silent}
    waits = []
    for _ in range(3):
        waits.append(desk.run())
        assert desk.status.held_up == "no answer from pacs"
        assert desk.status.waiting == 2
        desk.later(waits[-1])
    assert waits == [30.0, 60.0, 120.0]
    desk.retrieve.refuses = {}
    desk.run()
    assert desk.retrieve.begun == ["1.1", "1.2"]
    assert desk.of("today").counts.failed == 0


def test_after_some_attempts_a_study_has_failed() -> None:
    desk = Desk([TODAY], FakePacs(of_today(1)))
    desk.retrieve.refuses = {"1.1": PacsUnavailable("pacs", "no connection")}
    for _ in range(5):
        desk.later(desk.run())
    assert desk.status.waiting == 0
    assert desk.of("today").counts.failures == {"1.1": "PACS 'pacs': no connection"}


@pytest.mark.parametrize(
    "error", [NotFound("unknown"), RetrieveIncomplete("pacs", 1, 2)], ids=["unknown", "short"]
)
def test_one_that_fails_is_told_of_and_tried_again_when_it_is_found_again(
    error: FarsightError,
) -> None:
    desk = Desk([TODAY], FakePacs(of_today(1, 2)))
    desk.retrieve.refuses = {"1.1": error}
    desk.run()
    counts = desk.of("today").counts
    assert (counts.failures, counts.done) == ({"1.1": str(error)}, 1)
    desk.retrieve.refuses = {}
    desk.later(900)
    desk.run()
    assert desk.retrieve.begun == ["1.2", "1.1"]


def test_a_pacs_that_goes_down_in_the_middle() -> None:
    desk = Desk([TODAY], FakePacs(of_today(1)))
    desk.retrieve.ends_at_once = False
    desk.run()
    desk.retrieve.end("1.1", PacsUnavailable("pacs", "connection lost"))
    assert desk.run() == 30.0
    assert (desk.status.waiting, desk.status.under_way) == (1, "")
    desk.later(30)
    desk.run()
    desk.retrieve.end("1.1")
    desk.run()
    assert desk.of("today").counts.done == 1


def test_a_worklist_that_does_not_answer_is_told_of() -> None:
    class Down:
        name = "ris"

        def scheduled(self, *_: object) -> list[dict[str, object]]:
            raise PacsUnavailable("ris", "no connection")

    rule = WorklistRule("ris", "ris", 60.0, priors=PriorsWanted(), pacs=("pacs",))
    schedule = PrefetchSchedule(
        PrefetchRules((rule,)),
        PrefetchPeers([FakePacs([])], FakeArchive([]), [Down()]),
        Retrieves(),  # type: ignore[arg-type]
    )
    assert schedule.step() == 0.0
    (status,) = schedule.status().rules
    assert status.counts.errors == ("PACS 'ris': no connection",)


# ---- its thread, and what is shown


def test_the_thread_hears_of_openings_and_ends_when_it_is_closed() -> None:
    pacs = FakePacs([*of_today(1), study("1.5", _00080020="20230101")])
    retrieve = Retrieves()
    schedule = PrefetchSchedule(
        PrefetchRules((PRIORS,)),
        PrefetchPeers([pacs], FakeArchive([])),
        retrieve,  # type: ignore[arg-type]
    )
    schedule.start()
    schedule.opened("1.1")
    wait_until(lambda: retrieve.begun == ["1.5"], what="the prior")
    wait_until(lambda: schedule.status().rules[0].counts.done == 1, what="its end")
    schedule.close(10)
    schedule.opened("1.5")
    assert schedule._thread is not None
    assert not schedule._thread.is_alive()


def test_what_is_shown() -> None:
    desk = Desk([PRIORS, TODAY], FakePacs(of_today(1)))
    desk.run()
    shown = prefetch_status.as_json(desk.status)
    assert (shown["waiting"], shown["under_way"], shown["held_up"]) == (0, None, None)
    opened, today = shown["rules"]
    assert (opened["when"], opened["next_run"], opened["last_run"]) == ("opened", None, None)
    assert (today["found"], today["queued"], today["done"], today["failed"]) == (1, 1, 1, 0)
    assert today["within_hours"] is True
    assert datetime.fromisoformat(today["next_run"]) > datetime.fromisoformat(today["last_run"])
    rows = prefetch_status.rows(desk.status)
    assert all(len(row) == len(prefetch_status.COLUMNS) for row in rows)
    text = prefetch_status.exposition(desk.status)
    assert 'farsight_prefetch_studies_total{rule="today",outcome="fetched"} 1' in text
    assert "farsight_prefetch_waiting 0" in text
    assert "P1" not in text + str(shown), "nothing of a patient"
