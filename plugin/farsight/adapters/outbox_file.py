"""The file of the outbox: one SQLite database, ours alone while it is open.

Laws: what isn't an outbox, or isn't whole, is refused and left as it is. Write-ahead log and
synchronous FULL: a transaction that has ended survives the end of process and machine.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from farsight.errors import OutboxError

#: "FSOB" in the file's header: no other program's database bears it.
_APPLICATION_ID = 0x46534F42
_VERSION = 1
#: An Orthanc that is restarted may have to wait for the end of the one before.
_LOCKED_S = 5.0
_MAGIC = b"SQLite format 3\0"
#: How many findings of a check are told.
_FINDINGS = 3
_WHAT_TO_DO = (
    "Put back a copy of it; or move it away, and start again: all that is stored stays, but what "
    "still had to go to a PACS is not sent any more, unless it is stored again"
)

# One index for each question: the head of each study, what to look for at the PACS, the pages of
# a stage, the parcels of an instance.
_SCHEMA = (
    """CREATE TABLE parcels (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        destination TEXT NOT NULL,
        stage TEXT NOT NULL,
        study TEXT NOT NULL,
        series TEXT NOT NULL,
        instance TEXT NOT NULL,
        sop_class TEXT NOT NULL,
        transfer_syntax TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        due_at REAL NOT NULL,
        entered_at REAL NOT NULL,
        error TEXT NOT NULL,
        listed_before INTEGER)""",
    "CREATE INDEX by_study ON parcels (destination, stage, study, number)",
    "CREATE INDEX by_stage ON parcels (stage, number)",
    "CREATE INDEX by_instance ON parcels (instance)",
    "CREATE INDEX sent_by_time ON parcels (destination, due_at, number) WHERE stage = 'sent'",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_VERSION}",
)


def open_outbox_file(path: Path) -> sqlite3.Connection:
    """For any one thread at a time, no transaction open. Its folder and the file are made where
    there are none, for our user alone.

    Raises: OutboxError.
    """
    try:
        _make(path)
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
    except OSError as error:
        raise OutboxError(f"the outbox {path} can't be opened: {error.strerror}") from error
    if head not in (b"", _MAGIC):
        raise OutboxError(
            f"{path} is not an outbox, or damaged: it is left as it is. {_WHAT_TO_DO}"
        )
    try:
        return _connected(path)
    except sqlite3.Error as error:
        raise _explained(path, error) from error


def _explained(path: Path, error: sqlite3.Error) -> OutboxError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # absent where Python found it
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        what = f"the outbox {path} is damaged, and left as it is ({error})"
        return OutboxError(f"{what}. {_WHAT_TO_DO}")
    if code == sqlite3.SQLITE_BUSY:
        what = f"the outbox {path} is in use by another process"
        return OutboxError(f"{what} ({error}): each Orthanc needs its own")
    return OutboxError(f"the outbox {path} can't be opened: {error}")


def _make(path: Path) -> None:
    folder = path.parent
    if not folder.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _synchronise(folder.parent)
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        _synchronise(folder)


def _synchronise(folder: Path) -> None:
    """What was made in it is there after a power cut, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_LOCKED_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA synchronous = FULL")
        _check(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        _take(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Reads all of it. Raises: OutboxError, sqlite3.Error."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if (application, version, tables) == (0, 0, 0):
        return
    if application != _APPLICATION_ID:
        raise OutboxError(f"{path} is a database of something else: it is left as it is")
    if version != _VERSION:
        raise OutboxError(
            f"the outbox {path} is of version {version}, this Farsight knows {_VERSION}"
        )
    with closing(connection.execute(f"PRAGMA quick_check({_FINDINGS})")) as rows:
        findings = "; ".join(str(finding) for (finding,) in rows)
    if findings != "ok":
        what = f"the outbox {path} is damaged, and left as it is: {findings}"
        raise OutboxError(f"{what}. {_WHAT_TO_DO}")


def _take(connection: sqlite3.Connection) -> None:
    """Nobody else opens it from now on; a new file gets its tables, all or none."""
    connection.execute("BEGIN EXCLUSIVE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        for statement in _SCHEMA:
            connection.execute(statement)
    connection.execute("COMMIT")
