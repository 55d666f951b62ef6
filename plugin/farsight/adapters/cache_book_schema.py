"""The tables of the account of what is stored, and what is asked of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from farsight.errors import CacheBookError
from farsight.model import InstanceRef, SeriesRef
from farsight.ports.cache_book import BookedSeries

_VERSION: Final = 1

# An instance counts while it has a resource id. The numbers of its series and the one row of
# `total` follow from it by the triggers below, and by nothing else.
_TABLES: Final = """
CREATE TABLE series (
  number INTEGER PRIMARY KEY,
  study TEXT NOT NULL, series TEXT NOT NULL,
  used_at REAL NOT NULL DEFAULT 0,
  instances INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0,
  unconfirmed INTEGER NOT NULL DEFAULT 0, unconfirmed_bytes INTEGER NOT NULL DEFAULT 0,
  UNIQUE (study, series)
);
CREATE INDEX series_evictable ON series (used_at) WHERE instances > 0 AND unconfirmed = 0;
CREATE TABLE instance (
  of INTEGER NOT NULL, sop TEXT NOT NULL,
  resource TEXT NOT NULL DEFAULT '', bytes INTEGER NOT NULL, held_by TEXT NOT NULL,
  doubtful INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (of, sop)
) WITHOUT ROWID;
CREATE INDEX instance_resource ON instance (resource) WHERE resource <> '';
CREATE TABLE total (
  series INTEGER NOT NULL, instances INTEGER NOT NULL, bytes INTEGER NOT NULL,
  unconfirmed INTEGER NOT NULL, unconfirmed_bytes INTEGER NOT NULL
);
INSERT INTO total VALUES (0, 0, 0, 0, 0);
CREATE TABLE event (name TEXT PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID;

CREATE TRIGGER instance_counts AFTER UPDATE ON instance WHEN NEW.resource <> '' BEGIN
  UPDATE series SET
    instances = instances + (OLD.resource = ''),
    bytes = bytes + NEW.bytes - iif(OLD.resource = '', 0, OLD.bytes),
    unconfirmed = unconfirmed + (NEW.held_by = '')
      - (OLD.resource <> '' AND OLD.held_by = ''),
    unconfirmed_bytes = unconfirmed_bytes + iif(NEW.held_by = '', NEW.bytes, 0)
      - iif(OLD.resource <> '' AND OLD.held_by = '', OLD.bytes, 0)
  WHERE number = NEW.of;
END;
CREATE TRIGGER instance_goes AFTER DELETE ON instance WHEN OLD.resource <> '' BEGIN
  UPDATE series SET
    instances = instances - 1, bytes = bytes - OLD.bytes,
    unconfirmed = unconfirmed - (OLD.held_by = ''),
    unconfirmed_bytes = unconfirmed_bytes - iif(OLD.held_by = '', OLD.bytes, 0)
  WHERE number = OLD.of;
END;
CREATE TRIGGER series_counts
AFTER UPDATE OF instances, bytes, unconfirmed, unconfirmed_bytes ON series BEGIN
  UPDATE total SET
    series = series + (NEW.instances > 0) - (OLD.instances > 0),
    instances = instances + NEW.instances - OLD.instances,
    bytes = bytes + NEW.bytes - OLD.bytes,
    unconfirmed = unconfirmed + NEW.unconfirmed - OLD.unconfirmed,
    unconfirmed_bytes = unconfirmed_bytes + NEW.unconfirmed_bytes - OLD.unconfirmed_bytes;
END;
"""

_OF_SERIES: Final = "of = (SELECT number FROM series WHERE study = ? AND series = ?)"
_THIS: Final = f"{_OF_SERIES} AND sop = ?"
_SHOWN: Final = "SELECT study, series, instances, bytes, unconfirmed, used_at FROM series WHERE "

INSERT: Final = (
    "INSERT OR IGNORE INTO instance (of, sop, bytes, held_by)"
    " SELECT number, ?, ?, ? FROM series WHERE study = ? AND series = ?"
)
ADD_SERIES: Final = "INSERT OR IGNORE INTO series (study, series, used_at) VALUES (?, ?, ?)"
# Of what isn't stored, `doubtful` says that a run before this one claimed it, and this one hasn't
# to do with it yet.
LEAVE: Final = "UPDATE instance SET doubtful = 1 WHERE resource = '' AND held_by = ''"
#: ?: whether that isn't said yet.
LEFT: Final = (
    "SELECT study, series, sop FROM instance JOIN series ON number = of"
    " WHERE resource = '' AND (doubtful OR (? AND held_by = ''))"
)
DROP_LEFT: Final = "DELETE FROM instance WHERE resource = '' AND doubtful"
CLAIM: Final = f"UPDATE instance SET held_by = '', doubtful = (resource <> '') WHERE {_THIS}"
DOUBT: Final = f"UPDATE instance SET doubtful = (resource <> '') WHERE {_THIS}"
IS_HELD: Final = f"SELECT 1 FROM instance WHERE {_THIS} AND held_by <> ''"
MARK_CLAIM: Final = (
    "INSERT INTO event VALUES ('claim', 1) ON CONFLICT (name) DO UPDATE SET times = times + 1"
)
#: Under another resource id than before nobody knows whether both are there: it is data.
STORED: Final = (
    "UPDATE instance SET held_by = iif(resource IN ('', ?1), held_by, ''), resource = ?1,"
    " bytes = ?2, doubtful = 0"
    " WHERE of = (SELECT number FROM series WHERE study = ?3 AND series = ?4) AND sop = ?5"
)
#: By ?1, where it is ?2 now: what lies beyond that was said by a clock that was ahead.
USED: Final = (
    "UPDATE series SET used_at = iif(used_at > ?2, ?1, max(used_at, ?1))"
    " WHERE study = ?3 AND series = ?4"
)
OF_RESOURCE: Final = "SELECT of FROM instance WHERE resource = ? AND resource <> ''"
GONE: Final = "DELETE FROM instance WHERE resource = ? AND resource <> ''"
DROP_EMPTY: Final = (
    "DELETE FROM series WHERE number = ? AND NOT EXISTS (SELECT 1 FROM instance WHERE of = ?)"
)
CONFIRM: Final = f"UPDATE instance SET held_by = ?, doubtful = 0 WHERE {_THIS} AND resource <> ''"
ONE: Final = f"{_SHOWN} study = ? AND series = ? AND instances > 0"
OF_STUDY: Final = f"{_SHOWN} study = ? AND instances > 0 ORDER BY series"
INSTANCES: Final = (
    f"SELECT sop, resource, bytes, held_by FROM instance WHERE {_OF_SERIES} AND resource <> ''"
)
INSTANCE: Final = f"SELECT resource, bytes, held_by FROM instance WHERE {_THIS} AND resource <> ''"
EVICTABLE: Final = (
    f"{_SHOWN} instances > 0 AND unconfirmed = 0 AND used_at < ? ORDER BY used_at LIMIT ?"
)
TOTALS: Final = "SELECT series, instances, bytes, unconfirmed, unconfirmed_bytes FROM total"
RESOURCE_IDS: Final = "SELECT resource FROM instance WHERE resource <> ''"
DOUBTFUL: Final = "SELECT resource FROM instance WHERE doubtful AND resource <> ''"
EXPECTS: Final = (
    f"SELECT 1 FROM instance WHERE {_THIS} AND resource = '' AND held_by <> '' AND bytes = ?"
)
CAUGHT_UP: Final = "SELECT 1 FROM event WHERE name = 'caught up'"
CLOSED: Final = "INSERT OR IGNORE INTO event VALUES ('closed', 1)"
OPENED: Final = "DELETE FROM event WHERE name = 'closed'"
CATCH_UP: Final = "INSERT OR IGNORE INTO event VALUES ('caught up', 1)"


def prepare(database: sqlite3.Connection) -> None:
    """Makes the tables where there are none. Raises: sqlite3.Error, CacheBookError."""
    database.execute("PRAGMA locking_mode=EXCLUSIVE")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=NORMAL")
    database.execute("PRAGMA journal_size_limit=67108864")
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version == 0:
        version = f"PRAGMA user_version={_VERSION};"
        database.executescript(f"BEGIN IMMEDIATE; {_TABLES} {version} COMMIT;")
    elif version != _VERSION:
        raise CacheBookError(f"the cache book is of version {version}, this is {_VERSION}")
    problems = database.execute("PRAGMA quick_check(1)").fetchone()
    if problems != ("ok",):
        error = sqlite3.DatabaseError("its indexes and tables disagree")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All of it, or nothing. Raises: sqlite3.Error."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


@contextmanager
def on_the_disk(database: sqlite3.Connection) -> Iterator[None]:
    """Around a transaction: it is on the disk when this ends. Raises: sqlite3.Error."""
    database.execute("PRAGMA synchronous=FULL")
    try:
        yield
    finally:
        database.execute("PRAGMA synchronous=NORMAL")


def explained(path: Path, error: sqlite3.Error | OSError) -> CacheBookError:
    """In words that say what to do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # absent where Python found it
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return CacheBookError(
            f"{path} is damaged ({error}). It is safe to move it away and start again: everything "
            "stored is then taken for data, and nothing is evicted until it is confirmed anew"
        )
    if code == sqlite3.SQLITE_BUSY:
        return CacheBookError(f"{path} is in use by another process: each Orthanc needs its own")
    return CacheBookError(f"{path} can't be used: {error}")


def names(ref: InstanceRef) -> tuple[str, str, str]:
    """As the statements want them."""
    return ref.study_instance_uid, ref.series_instance_uid, ref.sop_instance_uid


def series_of(row: tuple[str, str, int, int, int, float]) -> BookedSeries:
    """Of a row that shows a series."""
    study, series, instances, size_bytes, unconfirmed, used_at = row
    return BookedSeries(SeriesRef(study, series), instances, size_bytes, unconfirmed, used_at)
