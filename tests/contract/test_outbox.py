"""What every outbox promises: the one in memory and the one on disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.outbox import MemoryOutbox
from farsight.adapters.sqlite_outbox import SqliteOutbox
from farsight.errors import OutboxError
from farsight.model import InstanceRef
from farsight.ports.outbox import Consignment, Outbox, Parcel, Stage


def item(study: int, instance: int, destination: str = "pacs") -> Consignment:
    ref = InstanceRef(f"1.{study}", f"1.{study}.1", f"1.{study}.1.{instance}")
    return Consignment(destination, ref, "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1")


@pytest.fixture(params=["memory", "disk"])
def outbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outbox]:
    made: Outbox
    made = MemoryOutbox() if request.param == "memory" else SqliteOutbox(tmp_path / "outbox.db")
    yield made
    made.close()


def promised(outbox: Outbox, *items: Consignment) -> list[int]:
    numbers = outbox.announce(items)
    outbox.promise(numbers)
    return list(numbers)


def numbers_of(parcels: object) -> list[int]:
    return [parcel.number for parcel in parcels]  # type: ignore[attr-defined]


def one(outbox: Outbox, number: int) -> Parcel:
    (parcel,) = outbox.numbered([number])
    return parcel


def test_announced_is_not_due_and_promised_is(outbox: Outbox) -> None:
    numbers = outbox.announce([item(1, 1), item(1, 2)])
    assert numbers == sorted(set(numbers))
    assert outbox.due("pacs", 1e12, 10) == []
    assert outbox.next_due_at("pacs") is None
    assert [p.stage for p in outbox.parcels(Stage.ANNOUNCED)] == [Stage.ANNOUNCED] * 2
    outbox.promise(numbers)
    due = outbox.due("pacs", 0.0, 10)
    assert numbers_of(due) == numbers
    assert [parcel.what for parcel in due] == [item(1, 1), item(1, 2)]
    assert due[0].entered_at > 1e9
    assert outbox.next_due_at("pacs") == 0.0
    assert outbox.due("other", 1e12, 10) == []


def test_the_study_that_waits_longest_goes_first_in_its_order(outbox: Outbox) -> None:
    first, _second, third, _fourth = promised(
        outbox, item(2, 1), item(1, 1), item(2, 2), item(1, 2)
    )
    assert numbers_of(outbox.due("pacs", 0, 10)) == [first, third]
    assert numbers_of(outbox.due("pacs", 0, 1)) == [first]


def test_a_parcel_that_failed_holds_back_its_study_and_no_other(outbox: Outbox) -> None:
    held, other, _later = promised(outbox, item(1, 1), item(2, 1), item(1, 2))
    outbox.failed([held], "refused", 50.0)
    assert numbers_of(outbox.due("pacs", 49, 10)) == [other]
    outbox.sent([other], 1.0)
    assert outbox.due("pacs", 49, 10) == []
    assert outbox.next_due_at("pacs") == 50.0
    assert numbers_of(outbox.due("pacs", 50, 10)) == [held, _later]
    assert (one(outbox, held).attempts, one(outbox, held).error) == (1, "refused")
    outbox.failed([held], "silent", 60.0, counts=False)
    assert (one(outbox, held).attempts, one(outbox, held).error) == (1, "silent")


def test_a_later_parcel_that_is_not_due_holds_back_nothing(outbox: Outbox) -> None:
    numbers = promised(outbox, item(1, 1), item(1, 2))
    outbox.failed(numbers[1:], "accepted, but not listed", 50.0)
    assert numbers_of(outbox.due("pacs", 0, 10)) == numbers
    assert outbox.next_due_at("pacs") == 0.0


def test_sent_ones_are_looked_for_study_by_study(outbox: Outbox) -> None:
    numbers = promised(outbox, item(1, 1), item(2, 1), item(2, 2), item(1, 2))
    outbox.sent([numbers[0], numbers[3]], 20.0)
    outbox.sent([numbers[1]], 10.0)
    outbox.sent([numbers[2]], 30.0, "doubtful")
    assert outbox.next_due_at("pacs") is None
    assert outbox.next_due_at("pacs", Stage.SENT) == 10.0
    assert outbox.unconfirmed("pacs", 9, 10) == []
    assert numbers_of(outbox.unconfirmed("pacs", 25, 10)) == [numbers[1]]
    outbox.sent([numbers[1]], 40.0)
    assert numbers_of(outbox.unconfirmed("pacs", 25, 10)) == [numbers[0], numbers[3]]
    assert numbers_of(outbox.unconfirmed("pacs", 25, 1)) == [numbers[0]]
    assert one(outbox, numbers[2]).error == "doubtful"
    outbox.withdraw(numbers)
    assert outbox.counts() == {}


def test_sent_and_failed_keep_what_was_counted(outbox: Outbox) -> None:
    (number,) = promised(outbox, item(1, 1))
    outbox.failed([number], "refused", 1.0)
    outbox.sent([number], 2.0)
    assert (one(outbox, number).attempts, one(outbox, number).error) == (1, "")
    outbox.failed([number], "not listed", 3.0)
    found = one(outbox, number)
    assert (found.stage, found.attempts, found.due_at) == (Stage.WAITING, 2, 3.0)


def test_dead_letters_come_back_or_go(outbox: Outbox) -> None:
    numbers = promised(outbox, item(1, 1), item(1, 2), item(1, 3))
    outbox.failed(numbers[:1], "refused", 5.0)
    outbox.bury(numbers[:2], "given up")
    dead = outbox.numbered(numbers[:2])
    assert [(each.stage, each.attempts, each.due_at) for each in dead] == [
        (Stage.DEAD, 2, 0.0),
        (Stage.DEAD, 1, 0.0),
    ]
    assert numbers_of(outbox.due("pacs", 0, 10)) == numbers[2:]
    assert outbox.counts() == {"pacs": {Stage.DEAD: 2, Stage.WAITING: 1}}
    assert outbox.retry([numbers[0], 999]) == 1
    back = one(outbox, numbers[0])
    assert (back.stage, back.attempts, back.due_at) == (Stage.WAITING, 0, 0.0)
    assert numbers_of(outbox.due("pacs", 0, 10)) == [numbers[0], numbers[2]]
    assert outbox.discard(numbers) == 1
    assert numbers_of(outbox.numbered(numbers)) == [numbers[0], numbers[2]]


def test_what_was_there_before_is_known_until_it_is_given_up(outbox: Outbox) -> None:
    numbers = promised(outbox, item(1, 1), item(1, 2), item(1, 3))
    (announced,) = outbox.announce([item(1, 4)])
    outbox.looked_for([numbers[0], announced, 999], True)
    outbox.looked_for(numbers[1:2], False)
    known = [parcel.listed_before for parcel in outbox.numbered([*numbers, announced])]
    assert known == [True, False, None, None]
    outbox.looked_for(numbers[:1], None)
    outbox.sent(numbers, 1.0)
    outbox.looked_for(numbers, True)
    outbox.failed(numbers, "not listed", 2.0)
    outbox.retry(numbers)
    assert [parcel.listed_before for parcel in outbox.numbered(numbers)] == [None, False, None]
    outbox.bury(numbers, "given up")
    outbox.retry(numbers)
    assert [parcel.listed_before for parcel in outbox.numbered(numbers)] == [None] * 3


@pytest.mark.parametrize("stage", [Stage.WAITING, Stage.SENT, Stage.DEAD])
def test_a_new_promise_takes_the_place_of_the_old(outbox: Outbox, stage: Stage) -> None:
    old, other = promised(outbox, item(1, 1), item(1, 2))
    outbox.failed([old], "refused", 50.0)
    if stage is Stage.SENT:
        outbox.sent([old], 50.0)
    elif stage is Stage.DEAD:
        outbox.bury([old], "given up")
    (new,) = outbox.announce([item(1, 1)])
    assert one(outbox, old).stage is stage, "nobody was promised anything new yet"
    outbox.promise([new])
    assert numbers_of(outbox.due("pacs", 0, 10)) == [other, new]
    assert outbox.numbered([old]) == []
    assert one(outbox, new).attempts == 0
    outbox.sent([old], 1.0)  # by whoever was sending it meanwhile
    outbox.failed([old], "x", 1.0)
    outbox.bury([old], "x")
    assert outbox.counts() == {"pacs": {Stage.WAITING: 2}}


def test_an_announcement_that_is_withdrawn_leaves_the_old_promise(outbox: Outbox) -> None:
    (old,) = promised(outbox, item(1, 1))
    (new,) = outbox.announce([item(1, 1)])
    outbox.withdraw([new])
    assert numbers_of(outbox.due("pacs", 0, 10)) == [old]


def test_each_of_two_announcements_may_be_promised(outbox: Outbox) -> None:
    (first,) = outbox.announce([item(1, 1)])
    (second,) = outbox.announce([item(1, 1)])
    outbox.promise([second])
    assert one(outbox, first).stage is Stage.ANNOUNCED
    outbox.promise([first])
    assert numbers_of(outbox.due("pacs", 0, 10)) == [first]


def test_other_destinations_have_parcels_of_their_own(outbox: Outbox) -> None:
    numbers = promised(outbox, item(1, 1), item(1, 1, "other"))
    assert numbers_of(outbox.due("other", 0, 10)) == numbers[1:]
    assert numbers_of(outbox.concerning([item(1, 1).ref, item(9, 9).ref])) == numbers
    outbox.withdraw(numbers[:1])
    assert numbers_of(outbox.concerning([item(1, 1).ref])) == numbers[1:]
    assert outbox.counts() == {"other": {Stage.WAITING: 1}}


def test_numbers_are_never_given_again(outbox: Outbox) -> None:
    numbers = promised(outbox, item(1, 1), item(1, 2))
    outbox.withdraw(numbers)
    assert outbox.announce([item(1, 1)])[0] > max(numbers)


def test_pages(outbox: Outbox) -> None:
    numbers = promised(outbox, *(item(1, n, "ab"[n % 2]) for n in range(6)))
    assert numbers_of(outbox.parcels(Stage.WAITING, most=2)) == numbers[:2]
    assert numbers_of(outbox.parcels(Stage.WAITING, after=numbers[3])) == numbers[4:]
    assert numbers_of(outbox.parcels(Stage.WAITING, "b")) == numbers[1::2]
    assert outbox.parcels(Stage.DEAD) == []


def test_what_is_announced_is_no_parcel_for_other_methods(outbox: Outbox) -> None:
    numbers = outbox.announce([item(1, 1)])
    outbox.sent(numbers, 1.0)
    outbox.failed(numbers, "x", 1.0)
    outbox.bury(numbers, "x")
    assert outbox.retry(numbers) == outbox.discard(numbers) == 0
    assert outbox.counts() == {"pacs": {Stage.ANNOUNCED: 1}}


def test_nothing_of_nothing(outbox: Outbox) -> None:
    assert outbox.announce([]) == []
    for method in (outbox.promise, outbox.withdraw):
        method([])
    assert outbox.retry([]) == outbox.discard([]) == 0
    assert outbox.numbered([]) == outbox.concerning([]) == []


# ---- the file


def test_a_restart_keeps_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "outbox.db"
    outbox = SqliteOutbox(path)
    numbers = promised(outbox, item(1, 1), item(1, 2))
    before = outbox.numbered(numbers)
    outbox.close()
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600
    again = SqliteOutbox(path)
    assert again.numbered(numbers) == before
    again.close()


def _text(path: Path) -> None:
    path.write_bytes(b"patients.csv, or whatever else this may be")


def _other_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE something (x)")
    connection.close()


def _newer(path: Path) -> None:
    SqliteOutbox(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()


def _truncated(path: Path) -> None:
    outbox = SqliteOutbox(path)
    promised(outbox, *(item(1, n) for n in range(500)))
    outbox.close()
    path.write_bytes(path.read_bytes()[: 5 * 4096])


def _overwritten(path: Path) -> None:
    outbox = SqliteOutbox(path)
    promised(outbox, *(item(1, n) for n in range(500)))
    outbox.close()
    whole = bytearray(path.read_bytes())
    whole[3 * 4096 : 12 * 4096] = b"\xa5" * (9 * 4096)
    path.write_bytes(whole)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_text, "is not an outbox"),
        (_other_database, "something else"),
        (_newer, "version 2"),
        (_truncated, "outbox.db"),
        (_overwritten, "outbox.db"),
        (Path.mkdir, "can't be opened"),
    ],
)
def test_another_or_a_damaged_file_is_refused_and_left(
    tmp_path: Path, make: Callable[[Path], None], says: str
) -> None:
    path = tmp_path / "outbox.db"
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(OutboxError, match=says) as raised:
        SqliteOutbox(path)
    assert str(path) in str(raised.value)
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_an_empty_file_becomes_an_outbox(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    path.touch()
    SqliteOutbox(path).close()


def test_only_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farsight.adapters.outbox_file._LOCKED_S", 0.05)
    outbox = SqliteOutbox(tmp_path / "outbox.db")
    with pytest.raises(OutboxError, match="locked"):
        SqliteOutbox(tmp_path / "outbox.db")
    outbox.close()
    SqliteOutbox(tmp_path / "outbox.db").close()


def test_closed_is_an_error(tmp_path: Path) -> None:
    outbox = SqliteOutbox(tmp_path / "outbox.db")
    outbox.close()
    outbox.close()
    with pytest.raises(OutboxError):
        outbox.announce([item(1, 1)])
