"""Private messages that wait for somebody who is not here."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from mcast.errors import McastError

from .database import Database

LIFE = 24 * 3600.0
"""Seconds after which a letter is given up."""
MOST = 100
"""Letters that wait for one person."""
CLAIM = 60.0
"""Seconds for which a program that sends a letter keeps it from other programs of the same user."""


class Letter(msgspec.Struct, frozen=True):
    """A private message to the identity `origin` (16 bytes), called `name`; `at` is when it was written.

    `letter` stays the same whenever it is sent: who gets it twice knows it again.
    """

    number: int
    origin: bytes
    name: str
    data: bytes
    at: float
    letter: int


def _create(db: sqlite3.Connection) -> None:
    db.execute(
        "CREATE TABLE letters (number INTEGER PRIMARY KEY AUTOINCREMENT, room BLOB, origin BLOB, name TEXT,"
        " data BLOB, at REAL, claimed REAL)"
    )


def _add_letter(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE letters ADD COLUMN letter INTEGER")
    db.execute("UPDATE letters SET letter = (random() & ((1 << 62) - 1)) | 1")


_COLUMNS = "SELECT number, origin, name, data, at, letter FROM letters WHERE room = ?"


class Letters:
    """The letters of one user in the file at `path`, each for one room. Any thread may use it.

    Errors are McastErrors with a remedy. What is removed is overwritten on the disk.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = Database(path, [_create, _add_letter])

    @property
    def notice(self) -> str:
        """What to tell the user about the file; empty if it is as it was left."""
        return self._database.notice

    def close(self) -> None:
        """Close the file, when no thread uses it."""
        with self._lock:
            self._database.close()

    def add(
        self,
        room: bytes,
        origin: bytes,
        name: str,
        data: bytes,
        now: float,
        *,
        letter: int,
        claim: bool = False,
    ) -> int:
        """Keep a letter; its number here. `claim`: the caller sends it now. McastError if too many wait."""
        with self._lock, self._database.writing() as db:
            waiting = db.execute("SELECT count(*) FROM letters WHERE origin = ?", (origin,)).fetchone()[0]
            if waiting >= MOST:
                raise McastError(f"{MOST} private messages wait for {name!r} already", "wait for an answer")
            row = (room, origin, name, data, now, now + CLAIM if claim else 0.0, letter)
            cursor = db.execute("INSERT INTO letters VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", row)
            return int(cursor.lastrowid or 0)

    def waiting(self, room: bytes) -> list[Letter]:
        """The letters of a room, oldest first."""
        with self._lock, self._database.reading() as db:
            return [Letter(*row) for row in db.execute(f"{_COLUMNS} ORDER BY number", (room,))]

    def take(self, room: bytes, origins: Sequence[bytes], now: float) -> list[Letter]:
        """The letters for those who are here, oldest first. No other program gets them for a while."""
        marks = ",".join("?" * len(origins))
        chosen = f"{_COLUMNS} AND origin IN ({marks}) AND claimed <= ? ORDER BY number"
        with self._lock, self._database.writing() as db:
            letters = [Letter(*row) for row in db.execute(chosen, (room, *origins, now))]
            for letter in letters:
                db.execute("UPDATE letters SET claimed = ? WHERE number = ?", (now + CLAIM, letter.number))
            return letters

    def release(self, numbers: Iterable[int]) -> None:
        """These were not delivered: they may be taken again."""
        with self._lock, self._database.writing() as db:
            rows = [(number,) for number in numbers]
            db.executemany("UPDATE letters SET claimed = 0 WHERE number = ?", rows)

    def remove(self, numbers: Iterable[int]) -> None:
        """These were delivered."""
        with self._lock, self._database.writing() as db:
            db.executemany("DELETE FROM letters WHERE number = ?", [(number,) for number in numbers])

    def expire(self, room: bytes, now: float) -> list[Letter]:
        """Remove the letters of a room that waited for too long, and return them."""
        with self._lock, self._database.writing() as db:
            old = [Letter(*row) for row in db.execute(f"{_COLUMNS} AND at < ?", (room, now - LIFE))]
            db.executemany("DELETE FROM letters WHERE number = ?", [(letter.number,) for letter in old])
            return old
