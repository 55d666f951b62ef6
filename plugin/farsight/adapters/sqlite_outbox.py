"""The Outbox port on one SQLite file.

Laws: every method that changes something is one transaction; it is on the disk when the method
returns, or nothing of it is. One connection serves all threads in turn.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from farsight.adapters.outbox_file import open_outbox_file
from farsight.errors import OutboxError
from farsight.model import InstanceRef
from farsight.ports.outbox import Consignment, Parcel, Stage

_COLUMNS = (
    "number, destination, study, series, instance, sop_class, transfer_syntax, stage, attempts,"
    " due_at, entered_at, error, listed_before"
)
# The first waiting parcel of each study, found by one step in the index per study.
_HEADS = """WITH RECURSIVE studies (study) AS (
    SELECT min(study) FROM parcels WHERE destination = :destination AND stage = 'waiting'
    UNION ALL
    SELECT (SELECT min(study) FROM parcels
            WHERE destination = :destination AND stage = 'waiting' AND study > studies.study)
    FROM studies WHERE study IS NOT NULL),
heads AS (
    SELECT * FROM parcels WHERE number IN (
        SELECT (SELECT min(number) FROM parcels
                WHERE destination = :destination AND stage = 'waiting' AND study = studies.study)
        FROM studies WHERE study IS NOT NULL))
"""
_Row = tuple[int, str, str, str, str, str, str, str, int, float, float, str, int | None]


class SqliteOutbox:
    """See ports.outbox.Outbox."""

    def __init__(self, path: Path) -> None:
        """Raises: OutboxError where the file is damaged, not an outbox, or used by another."""
        self._path = path
        self._lock = threading.Lock()
        self._connection = open_outbox_file(path)

    def announce(self, consignments: Sequence[Consignment]) -> Sequence[int]:
        now = time.time()
        with self._transaction() as connection:
            return [_entered(connection, one, now) for one in consignments]

    def promise(self, numbers: Sequence[int]) -> None:
        replaced = """DELETE FROM parcels WHERE number IN (
            SELECT old.number FROM parcels AS new
            JOIN parcels AS old ON old.instance = new.instance AND old.series = new.series
            AND old.study = new.study AND old.destination = new.destination
            WHERE new.number = ? AND new.stage = 'announced' AND old.stage != 'announced')"""
        promised = """UPDATE parcels SET stage = 'waiting', due_at = 0
            WHERE number = ? AND stage = 'announced'"""
        with self._transaction() as connection:
            for number in numbers:
                connection.execute(replaced, (number,))
                connection.execute(promised, (number,))

    def withdraw(self, numbers: Sequence[int]) -> None:
        self._each("DELETE FROM parcels WHERE number = ?", ((number,) for number in numbers))

    def due(self, destination: str, now: float, most: int) -> Sequence[Parcel]:
        first = f"{_HEADS} SELECT study FROM heads WHERE due_at <= :now ORDER BY number LIMIT 1"
        chosen = f"""SELECT {_COLUMNS} FROM parcels
            WHERE destination = ? AND stage = 'waiting' AND study = ? ORDER BY number LIMIT ?"""
        with self._transaction() as connection:
            found = connection.execute(first, {"destination": destination, "now": now}).fetchone()
            if found is None:
                return []
            return _parcels(connection.execute(chosen, (destination, found[0], most)))

    def unconfirmed(self, destination: str, now: float, most: int) -> Sequence[Parcel]:
        first = """SELECT study FROM parcels WHERE destination = ? AND stage = 'sent'
            AND due_at <= ? ORDER BY due_at, number LIMIT 1"""
        chosen = f"""SELECT {_COLUMNS} FROM parcels WHERE destination = ? AND stage = 'sent'
            AND study = ? AND due_at <= ? ORDER BY number LIMIT ?"""
        with self._transaction() as connection:
            found = connection.execute(first, (destination, now)).fetchone()
            if found is None:
                return []
            return _parcels(connection.execute(chosen, (destination, found[0], now, most)))

    def next_due_at(self, destination: str, stage: Stage = Stage.WAITING) -> float | None:
        if stage is Stage.WAITING:
            asked = f"{_HEADS} SELECT min(due_at) FROM heads"
        elif stage is Stage.SENT:
            asked = """SELECT min(due_at) FROM parcels
                WHERE destination = :destination AND stage = 'sent'"""
        else:
            return None
        with self._transaction() as connection:
            (due_at,) = connection.execute(asked, {"destination": destination}).fetchone()
        return None if due_at is None else float(due_at)

    def looked_for(self, numbers: Sequence[int], listed_before: bool | None) -> None:
        self._each(
            "UPDATE parcels SET listed_before = ? WHERE number = ? AND stage = 'waiting'",
            ((listed_before, number) for number in numbers),
        )

    def sent(self, numbers: Sequence[int], due_at: float, remark: str = "") -> None:
        self._each(
            """UPDATE parcels SET stage = 'sent', due_at = ?, error = ?
            WHERE number = ? AND stage IN ('waiting', 'sent')""",
            ((due_at, remark, number) for number in numbers),
        )

    def failed(
        self, numbers: Sequence[int], error: str, due_at: float, *, counts: bool = True
    ) -> None:
        self._each(
            """UPDATE parcels
            SET stage = 'waiting', due_at = ?, error = ?, attempts = attempts + ?
            WHERE number = ? AND stage IN ('waiting', 'sent')""",
            ((due_at, error, int(counts), number) for number in numbers),
        )

    def bury(self, numbers: Sequence[int], error: str) -> None:
        self._each(
            """UPDATE parcels
            SET stage = 'dead', error = ?, attempts = attempts + 1, due_at = 0
            WHERE number = ? AND stage IN ('waiting', 'sent')""",
            ((error, number) for number in numbers),
        )

    def retry(self, numbers: Sequence[int]) -> int:
        return self._each(
            """UPDATE parcels SET stage = 'waiting', attempts = 0, due_at = 0,
                listed_before = CASE stage WHEN 'waiting' THEN listed_before END
            WHERE number = ? AND stage IN ('dead', 'waiting')""",
            ((number,) for number in numbers),
        )

    def discard(self, numbers: Sequence[int]) -> int:
        return self._each(
            "DELETE FROM parcels WHERE number = ? AND stage = 'dead'",
            ((number,) for number in numbers),
        )

    def numbered(self, numbers: Sequence[int]) -> Sequence[Parcel]:
        asked = f"SELECT {_COLUMNS} FROM parcels WHERE number = ?"
        with self._transaction() as connection:
            return [
                parcel
                for number in sorted(set(numbers))
                for parcel in _parcels(connection.execute(asked, (number,)))
            ]

    def concerning(self, refs: Collection[InstanceRef]) -> Sequence[Parcel]:
        asked = f"""SELECT {_COLUMNS} FROM parcels
            WHERE instance = ? AND series = ? AND study = ?"""
        found: list[Parcel] = []
        with self._transaction() as connection:
            for ref in set(refs):
                uids = (ref.sop_instance_uid, ref.series_instance_uid, ref.study_instance_uid)
                found += _parcels(connection.execute(asked, uids))
        return sorted(found, key=lambda parcel: parcel.number)

    def parcels(
        self, stage: Stage, destination: str | None = None, *, most: int = 1000, after: int = 0
    ) -> Sequence[Parcel]:
        asked = f"""SELECT {_COLUMNS} FROM parcels WHERE stage = :stage AND number > :after
            AND (:destination IS NULL OR destination = :destination)
            ORDER BY number LIMIT :most"""
        values = {"stage": stage, "destination": destination, "most": most, "after": after}
        with self._transaction() as connection:
            return _parcels(connection.execute(asked, values))

    def counts(self) -> Mapping[str, Mapping[Stage, int]]:
        counted: dict[str, dict[Stage, int]] = {}
        with self._transaction() as connection:
            for destination, stage, count in connection.execute(
                "SELECT destination, stage, count(*) FROM parcels GROUP BY destination, stage"
            ):
                counted.setdefault(destination, {})[Stage(stage)] = count
        return counted

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _each(self, statement: str, values: Iterable[tuple[object, ...]]) -> int:
        """In one transaction; how many parcels it concerned."""
        with self._transaction() as connection:
            return max(0, connection.executemany(statement, values).rowcount)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            connection = self._connection
            try:
                connection.execute("BEGIN")
                yield connection
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise OutboxError(f"the outbox {self._path} fails: {error}") from error
            finally:
                self._roll_back()

    def _roll_back(self) -> None:
        """What did not come to its end leaves nothing behind."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise OutboxError(f"the outbox {self._path} fails: {error}") from error


def _entered(connection: sqlite3.Connection, one: Consignment, now: float) -> int:
    entered = connection.execute(
        """INSERT INTO parcels (destination, stage, study, series, instance, sop_class,
            transfer_syntax, attempts, due_at, entered_at, error)
        VALUES (?, 'announced', ?, ?, ?, ?, ?, 0, 0, ?, '')""",
        (
            one.destination,
            one.ref.study_instance_uid,
            one.ref.series_instance_uid,
            one.ref.sop_instance_uid,
            one.sop_class_uid,
            one.transfer_syntax_uid,
            now,
        ),
    )
    assert entered.lastrowid is not None
    return entered.lastrowid


def _parcels(rows: Iterable[_Row]) -> list[Parcel]:
    return [_parcel(row) for row in rows]


def _parcel(row: _Row) -> Parcel:
    number, destination, study, series, instance, sop_class, syntax, stage = row[:8]
    attempts, due_at, entered_at, error, listed = row[8:]
    consignment = Consignment(destination, InstanceRef(study, series, instance), sop_class, syntax)
    before = None if listed is None else bool(listed)
    return Parcel(number, consignment, Stage(stage), attempts, due_at, entered_at, error, before)
