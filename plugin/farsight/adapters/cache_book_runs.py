"""Whether the run before this one closed the account of what is stored, also on a full disk."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from farsight.adapters import cache_book_schema as sql

LOG = logging.getLogger("farsight.cache")
#: What the disk says where it takes nothing more: full, a quota, the longest file.
_TAKES_NOTHING = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)


class Run:
    """This run. Under the lock of the database.

    Law: whatever is written was written after this run began: an end from then on is a crash,
    until it is closed. Where the disk doesn't take even that, an empty file beside the account
    says so: it needs no room.
    """

    def __init__(self, database: sqlite3.Connection, path: Path) -> None:
        """Begins it, if the disk lets it; else it hasn't begun. Raises: sqlite3.Error, OSError."""
        self._database = database
        self._sign = path.with_name(f"{path.name}.unclosed")
        self.has_begun = False
        self.ended_well = False
        was_unclosed = self._sign.exists()
        try:
            was_closed = self._begin()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) not in _TAKES_NOTHING:
                raise
            LOG.error("nothing can be booked, what is stored is data: %s", error)
            self._sign.touch(mode=0o600)
        else:
            self.ended_well = was_closed and not was_unclosed

    def begin(self) -> None:
        """Before anything is written. Raises: sqlite3.Error, OSError."""
        if not self.has_begun:
            self._begin()

    def _begin(self) -> bool:
        """Whether the run before was closed."""
        with sql.transaction(self._database):
            self._database.execute(sql.LEAVE)
            was_closed = self._database.execute(sql.OPENED).rowcount > 0
        self._sign.unlink(missing_ok=True)
        self.has_begun = True
        return was_closed
