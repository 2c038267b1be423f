"""A SQLite file that several processes of one user share.

Only this user can read it. A damaged file is set aside, so that a program can go on with a new one.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mcast.errors import McastError

BUSY = 5.0
"""Seconds to wait for another process that writes."""
SCRATCH = ("", "-wal", "-shm")
"""What SQLite appends to the name of a database for its files."""

Migration = Callable[[sqlite3.Connection], None]


class Database:
    """The database at `path`. `migrations[n]` takes it from version n to n + 1.

    Every method raises McastError, with a remedy, if the file cannot be used. `notice` says what the caller
    should tell the user, as when a damaged file was set aside; else it is empty.
    """

    def __init__(self, path: Path, migrations: Sequence[Migration]) -> None:
        self.path = path
        self.notice = ""
        self._migrations = migrations
        with self._explained():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self.connection = self._open()
        except sqlite3.DatabaseError as error:
            if not _damaged(error):
                raise self._problem(error) from error
            self._set_aside()
            with self._explained():
                self.connection = self._open()

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for reading."""
        with self._explained():
            yield self.connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The connection within a transaction, which is undone if the block fails."""
        with self._explained(), _transaction(self.connection):
            yield self.connection

    def _open(self) -> sqlite3.Connection:
        # SQLite would create a file that others can read. Its other files get the rights of this one.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        # The thread that writes is not the one that opened it; the caller lets one at a time use it.
        connection = sqlite3.connect(self.path, timeout=BUSY, isolation_level=None, check_same_thread=False)
        try:
            for pragma in ("journal_mode = wal", "synchronous = normal", "secure_delete = on"):
                connection.execute(f"PRAGMA {pragma}")
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Bring the tables to the newest version."""
        newest = len(self._migrations)
        if _version(connection) == newest:
            return
        with _transaction(connection):  # another process may migrate, too
            version = _version(connection)
            if version > newest:
                raise McastError(f"{self.path} was made by a newer mcast", "update mcast")
            for migrate in self._migrations[version:]:
                migrate(connection)
            connection.execute(f"PRAGMA user_version = {newest}")

    def _set_aside(self) -> None:
        """Rename the damaged file and those that SQLite keeps beside it."""
        aside = self.path.with_name(f"{self.path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        with self._explained():
            for ending in SCRATCH:
                with contextlib.suppress(FileNotFoundError):
                    os.replace(f"{self.path}{ending}", f"{aside}{ending}")
        self.notice = f"{self.path} is damaged; it is now {aside.name}, and a new one was started"

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise self._problem(error) from error

    def _problem(self, error: OSError | sqlite3.Error) -> McastError:
        why = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        return McastError(f"cannot use {self.path}: {why}", "make it writable, or free some disk space")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        # SQLite may have rolled back by itself, as it does when the disk is full.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _damaged(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is not, or no longer, a database: neither locked nor without rights."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
